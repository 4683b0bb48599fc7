//! A connection in service (RFC 3931 4.4): when a HELLO has to leave, since the peer was not heard for a while, or since an
//! address translator (NAT) is between us and the peer, as far as the addresses tell, which forgets a connection on which
//! nothing is sent; probes of the path, and what becomes of all that when the path or the configuration changes.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::identity::VENDOR_NAME;
use super::outcome::Outcome;
use super::path_probe::PathProbe;
use super::table::State;
use super::transport::asking;
use super::Connection;
use crate::config::model::{Mtu, MtuProbing, NatKeepalive, Oversize, SessionConfig, TunnelConfig};
use crate::proto::action::Path;
use crate::proto::context::{ConnectionDue, Context};
use crate::proto::snapshot::{Cause, Failure};
use crate::wire::Encapsulation;

/// Translators keep what was answered for 30 s or longer.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// It serves its tunnel from now on.
pub fn serve(connection: &mut Connection, cx: &mut Context) {
    arm_first_hello(connection, cx);
    probe_path(connection, cx);
}

/// Takes over the settings that may change while the connection is up.
pub fn update(connection: &mut Connection, cx: &mut Context, config: &Rc<TunnelConfig>) {
    let hello_changed = connection.config.hello_interval != config.hello_interval
        || connection.config.nat_keepalive != config.nat_keepalive;
    connection.config = Rc::clone(config);
    connection.transport.set_retry(config);
    connection.transport.ttl = config.ttl;
    if hello_changed && connection.state == State::Established {
        cx.cancel(&mut connection.hello);
        arm_first_hello(connection, cx);
    }
    probe_path(connection, cx);
}

/// When something of the peer came last; `data` is when data of its sessions did (C-074).
pub fn last_heard(connection: &Connection, data: Option<Instant>) -> Instant {
    data.map_or(connection.heard, |data| data.max(connection.heard))
}

/// Arms the HELLO timer. The peer was `heard`, and something was `sent` to it, at these times. A little earlier than
/// configured: connections must not act in step (C-076).
fn arm_hello(connection: &mut Connection, cx: &mut Context, heard: Instant, sent: Instant) {
    let Connection { config, transport, .. } = &*connection;
    let times = [(config.hello_interval, heard), (of_translators(config, transport.path), sent)];
    let first = times.into_iter().filter_map(|(interval, from)| {
        let interval = interval?;
        let early = cx.jitter(interval.mul_f32(0.05));
        Some((from.checked_add(interval.saturating_sub(early))?, interval))
    });
    if let Some((at, interval)) = first.min() {
        let timer = connection.transport.timer(ConnectionDue::Hello);
        cx.arm_repeated(&mut connection.hello, at, interval, timer);
    }
}

/// Arms it for the first time. Many connections may have begun together: each sends its first HELLO at any moment of its
/// interval, so that neither this one nor all later ones come together.
fn arm_first_hello(connection: &mut Connection, cx: &mut Context) {
    let Connection { config, transport, .. } = &*connection;
    let Some(delay) = config.hello_interval.and_then(|interval| cx.any_moment(interval)) else {
        return arm_hello(connection, cx, cx.now, cx.now);
    };
    let delay = of_translators(config, transport.path).map_or(delay, |keepalive| delay.min(keepalive));
    connection.early = true;
    let timer = connection.transport.timer(ConnectionDue::Hello);
    cx.arm(&mut connection.hello, delay, timer);
}

/// There is a hint that the peer has forgotten it, or cannot be reached: the peer is asked, if it has ever known it.
/// `elsewhere`: it seems to be at the other end of that path now, and is asked there, too.
pub fn probe(connection: &mut Connection, cx: &mut Context, elsewhere: Option<Path>) -> Outcome {
    if connection.state != State::Established {
        return Outcome::Keep;
    }
    let built = match elsewhere {
        Some(path) => asking::look_for(&mut connection.transport, cx, path),
        None => asking::probe(&mut connection.transport, cx),
    };
    kept_if(built, "HELLO")
}

/// What becomes of a connection whose message was built, or could not be.
pub fn kept_if(built: bool, message: &str) -> Outcome {
    match built {
        true => Outcome::Keep,
        false => Outcome::Lost(Failure::new(format!("the {message} could not be built"), Cause::NotBuilt)),
    }
}

/// A HELLO for the administrator. `false`: there is no connection for it, or it could not be built.
#[must_use]
pub fn ping(connection: &mut Connection, cx: &mut Context) -> bool {
    connection.state == State::Established && connection.transport.ping(cx)
}

/// Begins to probe the path, or ends it: a session wants to know, HELLOs may be sent, and the peer takes long ones.
pub fn probe_path(connection: &mut Connection, cx: &mut Context) {
    let takes = match connection.config.mtu_probing {
        MtuProbing::Off => false,
        MtuProbing::On => true,
        MtuProbing::Auto => connection.peer.vendor_name.as_deref() == Some(VENDOR_NAME),
    };
    let depends = |s: &Rc<SessionConfig>| s.mtu == Mtu::Auto || s.oversize != Oversize::Fragment;
    let may = takes && !connection.refuses_probes && connection.state == State::Established;
    let interval =
        connection.config.hello_interval.filter(|_| may && connection.config.sessions.iter().any(depends));
    match (interval, &mut connection.transport.path_probe) {
        (Some(interval), None) => {
            let due = connection.transport.timer(ConnectionDue::PathProbe);
            let probe = PathProbe::new(cx, connection.transport.path, interval, due);
            connection.transport.path_probe = Some(Box::new(probe));
        }
        (Some(interval), Some(probe)) => probe.follow(interval),
        (None, Some(_)) => connection.end_path_probe(cx),
        (None, None) => {}
    }
}

/// The peer is at another address or port, or we are.
pub fn move_to(connection: &mut Connection, cx: &mut Context, path: Path) -> Path {
    let established = connection.state == State::Established;
    cx.peers.moved(connection.transport.path.remote, established, false);
    cx.peers.remove(connection.transport.path.remote, connection.ids());
    cx.peers.add(path.remote, connection.ids(), connection.key);
    cx.peers.moved(path.remote, false, established);
    let before = std::mem::replace(&mut connection.transport.path, path);
    connection.watch_path(cx);
    if let Some(probe) = &mut connection.transport.path_probe {
        probe.restart(cx, path);
    }
    if connection.state == State::Established && connection.hello.is_none() {
        arm_hello(connection, cx, cx.now, cx.now);
    }
    before
}

/// From now on the system chooses the source address; the path is then this.
pub fn send_from_anywhere(connection: &mut Connection, cx: &mut Context) -> Path {
    let path = connection.transport.path.from_anywhere();
    connection.next_hop = None;
    move_to(connection, cx, path);
    path
}

/// The HELLO timer fired. What was heard meanwhile (control, or `data` of its sessions, C-074) only left a stamp,
/// which is looked at now; one HELLO at a time.
pub fn hello_due(connection: &mut Connection, cx: &mut Context, data: Option<Instant>) -> Outcome {
    connection.hello = None;
    if connection.state != State::Established {
        return Outcome::Keep;
    }
    let heard = last_heard(connection, data).min(cx.now);
    let sent = connection.transport.sent.unwrap_or(connection.since);
    // The timer ran a little short on purpose; so does this.
    let is_over = |interval: Duration, from: Instant| {
        cx.now.saturating_duration_since(from) >= interval.mul_f32(11.0 / 12.0)
    };
    let silent = connection.config.hello_interval.filter(|interval| is_over(*interval, heard));
    let forgotten = of_translators(&connection.config, connection.transport.path)
        .is_some_and(|interval| is_over(interval, sent));
    let early = std::mem::take(&mut connection.early);
    if silent.is_none() && !forgotten && !early {
        arm_hello(connection, cx, heard, sent);
        return Outcome::Keep;
    }
    if connection.transport.channel.is_empty() && !connection.transport.hello(cx) {
        return kept_if(false, "HELLO");
    }
    if let Some(interval) = silent {
        asking::suspect(&mut connection.transport, cx, interval);
    }
    arm_hello(connection, cx, if silent.is_some() || early { cx.now } else { heard }, cx.now);
    Outcome::Keep
}

/// The time after which something has to be sent on this path, so that translators keep it.
fn of_translators(config: &TunnelConfig, path: Path) -> Option<Duration> {
    match config.nat_keepalive {
        NatKeepalive::None => None,
        NatKeepalive::Every(interval) => Some(interval),
        NatKeepalive::Auto => is_translated(config, path).then_some(KEEPALIVE),
    }
}

/// The peer sends from another port than it was said to, or our address is a private one and its is not.
fn is_translated(config: &TunnelConfig, path: Path) -> bool {
    let other_port = path.encapsulation == Encapsulation::Udp && path.remote.port() != config.udp_port.remote;
    other_port || (is_private(path.local.ip()) && !is_private(path.remote.ip()))
}

/// RFC 1918, RFC 6598; RFC 4193.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            address.is_private() || (first == 100 && second & 0xc0 == 64)
        }
        IpAddr::V6(address) => {
            let [first, ..] = address.octets();
            first & 0xfe == 0xfc
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)]

    use super::*;
    use crate::config::model::Via;

    #[test]
    fn addresses_tell_of_a_translator() {
        let config = TunnelConfig::new("t");
        let translated = |encapsulation, local: &str, remote: &str| {
            let end = |text: &str| text.parse().expect("an address and a port");
            is_translated(
                &config,
                Path { encapsulation, local: end(local), remote: end(remote), via: Via::ANY },
            )
        };
        for (local, remote, expected) in [
            ("10.0.0.1:1701", "198.51.100.1:1701", true),
            ("100.64.0.1:1701", "198.51.100.1:1701", true),
            ("[fd00::1]:1701", "[2001:db8::1]:1701", true),
            ("10.0.0.1:1701", "192.168.3.4:1701", false),
            ("100.128.0.1:1701", "198.51.100.1:1701", false),
            ("198.51.100.2:1701", "10.0.0.1:1701", false),
            ("0.0.0.0:1701", "198.51.100.1:1701", false),
            ("198.51.100.2:1701", "198.51.100.1:40000", true),
        ] {
            assert_eq!(translated(Encapsulation::Udp, local, remote), expected, "{local} {remote}");
        }
        assert!(translated(Encapsulation::Ip, "10.0.0.1:0", "198.51.100.1:0"));
        assert!(!translated(Encapsulation::Ip, "198.51.100.2:0", "198.51.100.1:0"));
    }
}
