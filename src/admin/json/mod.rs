//! The displays as JSON: the schema is that of l2tpd-admin(5). Names are only ever added, so that a script that
//! reads today's goes on working. Times are RFC 3339, durations seconds, unknown values `null`.

mod object;
mod replies;

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::part::Part;
use super::report::{Dropped, Health, Interface, Overview};
use super::show::Cookies;
use super::summary::{self, Counted, Row};
use crate::proto::history::Change;
use crate::proto::snapshot::{Failure, PeerState, SessionSnapshot, TunnelSnapshot};
use crate::wire::{Cookie, Encapsulation};
use object::{array, begin, line, object, put_string, Object};

pub use replies::{done, echo, echoes, entry, event, explanation, pings, pong, remark};

/// Octets of the peer as text: what is not UTF-8 becomes U+FFFD.
fn lossy(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

fn header(object: &mut Object<'_>, daemon: &Overview) {
    object.text("version", daemon.version);
    object.plain("pid", daemon.pid);
    object.text("time", &daemon.time.to_string());
    object.seconds("uptime", daemon.uptime);
    object.text("log_level", daemon.log_level.name());
}

/// The reply to `status` and to `explain`, up to the first tunnel.
pub fn status_head(out: &mut String, daemon: &Overview) {
    let mut top = begin(out);
    header(&mut top, daemon);
    let identity = &daemon.identity;
    top.text("hostname", &lossy(&identity.hostname));
    top.text("hostname_source", &identity.hostname_source);
    top.optional_text("router_id", identity.router_id.map(Ipv4Addr::from));
    top.text("router_id_source", &identity.router_id_source);
    top.member("tunnels").push('[');
}

/// Some sessions, with their tunnel around them where they begin or end it.
pub fn status_part(out: &mut String, part: &Part, cookies: Cookies) {
    tunnel_part(out, part, tunnel, |object, s, interface| session(object, s, interface, cookies));
}

/// What follows the last tunnel.
pub fn status_tail(out: &mut String, dropped: &Dropped) {
    out.push(']');
    let mut top = Object { out, begun: true };
    counters_of_none(&mut top, dropped);
    array(top.member("dropped_from"), &dropped.from, |out, source| {
        object(out, |object| {
            object.text("address", &source.address.to_string());
            object.text("what", &source.what);
            object.plain("count", source.count);
            object.seconds("ago", source.ago);
        });
    });
    top.plain("dropped_from_others", dropped.others);
    out.push_str("}\n");
}

fn counters_of_none(top: &mut Object<'_>, dropped: &Dropped) {
    top.counters("drops", dropped.drops.entries());
    top.counters("strays", dropped.unmatched.entries());
}

/// An element of `tunnels`: what `of_tunnel` writes, and `sessions` with what `of_session` writes of each.
fn tunnel_part(
    out: &mut String,
    part: &Part,
    of_tunnel: impl FnOnce(&mut Object<'_>, &TunnelSnapshot),
    of_session: impl Fn(&mut Object<'_>, &SessionSnapshot, Option<&Interface>),
) {
    if part.begins {
        if !part.first {
            out.push(',');
        }
        let mut object = begin(out);
        of_tunnel(&mut object, &part.tunnel);
        object.member("sessions").push('[');
    }
    for (at, (session, interface)) in part.sessions().enumerate() {
        if at > 0 || !part.begins {
            out.push(',');
        }
        object(out, |object| of_session(object, session, interface));
    }
    if part.ends {
        out.push_str("]}");
    }
}

fn tunnel(object: &mut Object<'_>, tunnel: &TunnelSnapshot) {
    object.text("name", &tunnel.name);
    object.plain("disabled", tunnel.disabled);
    object.plain("manual", tunnel.manual);
    object.text("state", tunnel.state.status_name());
    object.seconds("since", tunnel.since);
    object.optional_text("peer", tunnel.peer);
    let path = tunnel.path.as_ref();
    object.optional_text("local_address", path.map(|path| path.local.ip()));
    object.optional_text("remote_address", path.map(|path| path.remote.ip()));
    object.optional_text("encapsulation", path.map(|path| path.encapsulation.word()));
    let udp = path.filter(|path| path.encapsulation == Encapsulation::Udp);
    object.id("local_port", udp.map_or(0, |path| path.local.port().into()));
    object.id("remote_port", udp.map_or(0, |path| path.remote.port().into()));
    object.optional_text("remote_hostname", tunnel.remote_hostname.as_deref().map(lossy));
    object.optional_text("remote_router_id", tunnel.remote_router_id.map(Ipv4Addr::from));
    object.optional_text("remote_vendor", tunnel.remote_vendor.as_deref().map(lossy));
    object.id("local_tunnel_id", tunnel.local_ccid.0);
    object.id("remote_tunnel_id", tunnel.remote_ccid.0);
    object.plain("ns", tunnel.ns);
    object.plain("nr", tunnel.nr);
    object.plain("queued", tunnel.queued);
    object.plain("peer_window", tunnel.peer_window);
    object.plain("authenticated", tunnel.authenticated);
    object.plain("cisco", tunnel.cisco);
    object.optional("round_trip", tunnel.round_trip, Object::fine_seconds);
    let mtu = tunnel.path_search.and_then(|found| found.mtu);
    object.optional("path_mtu", mtu, |object, name, value| object.plain(name, value));
    object.optional_text("path_mtu_state", tunnel.path_search.map(|found| found.state));
    troubles(object, tunnel.problem.as_deref(), &tunnel.last_failure, tunnel.next_try);
    changes(object, &tunnel.history);
    peers(object, tunnel);
    object.counters("counters", tunnel.counters.entries());
}

/// Several peers, in the order of preference; an empty list where there is one.
fn peers(object: &mut Object<'_>, tunnel: &TunnelSnapshot) {
    array(object.member("peers"), &tunnel.peers, |out, peer| {
        self::object(out, |object| {
            object.text("remote", &peer.remote);
            array(object.member("addresses"), &peer.addresses, |out, address| {
                put_string(out, &address.to_string());
            });
            object.text("state", peer.state.name());
            let within_reach = match peer.state {
                PeerState::WithinReach(time) => Some(time),
                PeerState::InUse | PeerState::Standby | PeerState::Idle => None,
            };
            object.optional("within_reach", within_reach, Object::seconds);
        });
    });
    object.optional_text("peer_reason", Some(&tunnel.peer_why).filter(|why| !why.is_empty()));
    object.plain("peer_changes", tunnel.peer_changes);
}

fn troubles(
    object: &mut Object<'_>,
    problem: Option<&str>,
    failure: &Option<(Failure, Duration)>,
    next_try: Option<Duration>,
) {
    object.optional_text("problem", problem);
    object.optional("last_failure", failure.as_ref(), |object, name, (failure, ago)| {
        self::object(object.member(name), |object| {
            object.text("check", &failure.check);
            object.text("expected", &failure.expected);
            object.text("received", &failure.received);
            object.optional_text("message", Some(failure.cause.message()).filter(|id| !id.is_empty()));
            object.seconds("ago", *ago);
        });
    });
    object.optional("next_try", next_try, Object::seconds);
}

fn changes(object: &mut Object<'_>, history: &[Change]) {
    array(object.member("history"), history, |out, change| {
        self::object(out, |object| {
            object.text("event", change.what.name());
            object.text("reason", &change.reason);
            object.plain("count", change.count);
            object.seconds("ago", change.ago);
        });
    });
}

/// A cookie as hex digits; `null` where there is none, and `****` for those who may not see it.
fn cookie(object: &mut Object<'_>, name: &str, cookie: &Cookie, cookies: Cookies) {
    if cookies == Cookies::Masked && !cookie.is_empty() {
        return object.text(name, "****");
    }
    let mut digits = String::new();
    for octet in cookie.as_slice() {
        let _ = write!(digits, "{octet:02x}");
    }
    object.optional_text(name, (!cookie.is_empty()).then_some(digits));
}

fn session(
    object: &mut Object<'_>,
    session: &SessionSnapshot,
    interface: Option<&Interface>,
    cookies: Cookies,
) {
    object.text("interface", &session.interface);
    object.plain("disabled", session.disabled);
    object.plain("manual", session.manual);
    object.text("state", session.state.status_name());
    object.seconds("since", session.since);
    object.text("remote_end_id", &lossy(&session.remote_end_id));
    object.id("local_session_id", session.local.0);
    object.id("remote_session_id", session.remote.0);
    object.plain("serial", session.serial);
    object.plain("local_cookie_size", session.local_cookie.len());
    object.plain("remote_cookie_size", session.remote_cookie.len());
    cookie(object, "local_cookie", &session.local_cookie, cookies);
    cookie(object, "remote_cookie", &session.remote_cookie, cookies);
    object.plain("sublayer_received", session.sublayer.0);
    object.plain("sublayer_sent", session.sublayer.1);
    object.plain("sequencing_received", session.sequencing.0);
    object.plain("sequencing_sent", session.sequencing.1);
    object.plain("fragments_received", session.fragments.0);
    object.plain("fragments_sent", session.fragments.1);
    object.plain("pseudowire_type", session.pw_type);
    object.optional_plain("remote_circuit_status", session.remote_circuit);
    object.optional_plain("remote_mtu", session.remote_mtu);
    troubles(object, session.problem, &session.last_failure, session.next_try);
    changes(object, &session.history);
    let unknown = Interface::default();
    let interface = interface.unwrap_or(&unknown);
    object.plain("present", interface.present);
    object.plain("link_up", interface.link_up);
    object.plain("admin_up", interface.admin_up);
    object.id("mtu", u32::try_from(interface.mtu).unwrap_or(0));
    object.optional_text("data_plane", (!interface.data_plane.is_empty()).then_some(interface.data_plane));
    object.optional_text("why_not_bpf", interface.why_not_bpf.as_deref());
    object.optional_text("bridge", interface.bridge.as_ref().map(|(bridge, _)| bridge));
    object.optional_text("bridge_state", interface.bridge.as_ref().map(|(_, state)| state));
    object.optional_text("interface_problem", interface.problem.as_deref());
    object.counters("counters", interface.counters.entries());
}

/// The reply to `health`.
pub fn health(out: &mut String, daemon: &Overview, health: &Health) {
    object(out, |top| {
        header(top, daemon);
        top.plain("up", health.is_up());
        top.plain("tunnels_enabled", health.tunnels);
        top.plain("tunnels_up", health.tunnels_up);
        top.plain("sessions_enabled", health.sessions);
        top.plain("sessions_up", health.sessions_up);
    });
    out.push('\n');
}

/// `summary`: the rows, each with its rates where they are known.
pub fn summary<'a>(
    rows: impl Iterator<Item = (&'a Row, Option<&'a Counted>)>,
    totals: &summary::Totals,
) -> String {
    line(|top| {
        top.text("version", &totals.version);
        top.plain("uptime", totals.uptime);
        top.plain("tunnels_enabled", totals.tunnels);
        top.plain("tunnels_up", totals.tunnels_up);
        top.plain("sessions_enabled", totals.sessions);
        top.plain("sessions_up", totals.sessions_up);
        array(top.member("tunnels"), rows, |out, (row, rates)| object(out, |o| summary_row(o, row, rates)));
    })
}

fn summary_row(object: &mut Object<'_>, row: &Row, rates: Option<&Counted>) {
    object.text("name", &row.name);
    object.optional_text("peer", Some(&row.peer).filter(|peer| !peer.is_empty()));
    object.text("state", &row.state);
    object.text("standing", row.standing.name());
    object.plain("since", row.since);
    object.plain("sessions_up", row.sessions_up);
    object.plain("sessions_enabled", row.sessions);
    let totals = row.counted.entries();
    totals.iter().for_each(|(name, total)| object.plain(name, total));
    self::object(object.member("per_second"), |object| {
        let rates = rates.map(Counted::entries);
        for (at, (name, _)) in totals.iter().enumerate() {
            object.optional_plain(name, rates.as_ref().and_then(|rates| rates.get(at)).map(|(_, rate)| rate));
        }
    });
    object.optional("round_trip", row.round_trip.map(Duration::from_micros), Object::fine_seconds);
    object.text("reason", &row.reason);
}

/// The reply to `counters`, up to the first tunnel.
pub fn counters_head(out: &mut String, daemon: &Overview) {
    let mut top = begin(out);
    header(&mut top, daemon);
    top.member("tunnels").push('[');
}

/// Some sessions, with their tunnel around them where they begin or end it.
pub fn counters_part(out: &mut String, part: &Part) {
    let of_tunnel = |object: &mut Object<'_>, tunnel: &TunnelSnapshot| {
        object.text("name", &tunnel.name);
        object.counters("counters", tunnel.counters.entries());
    };
    tunnel_part(out, part, of_tunnel, |object, session, interface| {
        object.text("interface", &session.interface);
        object.counters("counters", interface.map(|i| i.counters).unwrap_or_default().entries());
    });
}

/// What follows the last tunnel.
pub fn counters_tail(out: &mut String, dropped: &Dropped) {
    out.push(']');
    counters_of_none(&mut Object { out, begun: true }, dropped);
    out.push_str("}\n");
}
