//! What tags mean beside each other: in one block, and in the whole file. A value that is good for itself is found
//! wrong here.

use std::collections::btree_map::Entry;
use std::collections::BTreeMap;
use std::time::Duration;

use super::error::{Fault, Given, Place};
use super::model::*;

/// What the blocks read so far have taken: of each kind what, in one word each, and who has it, by a name and the line of the block.
pub(super) struct Known {
    data_plane: DataPlane,
    taken: BTreeMap<String, Box<(String, usize)>>,
}

/// What only one block can have.
#[derive(Debug)]
enum Taken {
    Tunnel,
    /// What tells one control connection from another; by the tunnel.
    Identity,
    Interface,
    SessionId,
    /// The group of `split-horizon` in a bridge; by the group.
    Group,
    /// In one tunnel; by the session.
    EndId,
}

impl Known {
    /// Before the first block.
    pub fn new(data_plane: DataPlane) -> Known {
        Known { data_plane, taken: BTreeMap::new() }
    }

    /// Who has it already; else it is taken now.
    fn take(&mut self, kind: Taken, what: &str, name: &str, line: usize) -> Option<(String, usize)> {
        match self.taken.entry(format!("{kind:?} {what}")) {
            Entry::Occupied(other) => Some((**other.get()).clone()),
            Entry::Vacant(free) => {
                free.insert(Box::new((name.to_owned(), line)));
                None
            }
        }
    }
}

/// An error that these checks found.
pub(super) struct Complaint {
    pub place: Place,
    pub tag: &'static str,
    pub fault: Fault,
    pub detail: String,
}

/// Collects complaints about the tags of one block.
struct Findings<'a> {
    header: Place,
    given: &'a [Given],
    found: Vec<Complaint>,
}

impl Findings<'_> {
    fn has(&self, tag: &str) -> bool {
        self.given.iter().any(|g| g.tag == tag)
    }

    fn add(&mut self, tag: &'static str, fault: Fault, detail: impl Into<String>) {
        let place = self.given.iter().find(|g| g.tag == tag).map_or(self.header, |g| g.place);
        self.found.push(Complaint { place, tag, fault, detail: detail.into() });
    }

    /// About the block's own name.
    fn header(&mut self, tag: &'static str, detail: String) {
        self.found.push(Complaint { place: self.header, tag, fault: Fault::InvalidValue, detail });
    }

    fn invalid(&mut self, tag: &'static str, detail: impl Into<String>) {
        self.add(tag, Fault::InvalidValue, detail);
    }
}

/// Checks a tunnel block whose sessions have been read.
pub(super) fn tunnel(
    tunnel: &mut TunnelConfig,
    header: Place,
    given: &[Given],
    known: &mut Known,
) -> Vec<Complaint> {
    let mut findings = Findings { header, given, found: Vec::new() };
    families(tunnel, &mut findings);
    secrets(tunnel, &mut findings);
    intervals(tunnel, &mut findings);
    if known.data_plane == DataPlane::Kernel {
        kernel_cannot(&mut findings, "tos", tunnel.tos == Tos::Copy, "copy the TOS of frames");
        kernel_cannot(&mut findings, "dont-fragment", tunnel.dont_fragment, "set Don't Fragment");
    }
    peers(tunnel, &mut findings);
    standby(tunnel, &mut findings, known);
    if tunnel.role == Role::Active && tunnel.is_for_any() {
        findings.invalid("role", "an active end needs a remote-address to begin with; it is any");
    }
    if tunnel.is_manual() && tunnel.encapsulations.second.is_some() {
        findings.invalid("encapsulation", "nobody answers to manual sessions: they need one encapsulation");
    }
    unique(tunnel, &mut findings, known);
    findings.found
}

/// `data-plane kernel` does less than the daemon itself: what it lacks is refused rather than ignored.
fn kernel_cannot(findings: &mut Findings<'_>, tag: &'static str, asked: bool, what: &str) {
    if asked {
        findings.invalid(tag, format!("the kernel cannot {what}: this needs data-plane tap"));
    }
}

/// `add` complains of the first line with the tag; this one of the line that names a peer.
fn peer(findings: &mut Findings<'_>, at: usize, fault: Fault, detail: String) {
    let place = findings.given.iter().filter(|g| g.tag == "remote-address").nth(at).map(|g| g.place);
    let place = place.unwrap_or(findings.header);
    findings.found.push(Complaint { place, tag: "remote-address", fault, detail });
}

fn families(tunnel: &TunnelConfig, findings: &mut Findings<'_>) {
    let Some(local) = tunnel.local_address else { return };
    for (at, remote) in tunnel.remotes.iter().enumerate() {
        let Remote::Address(remote) = remote else { continue };
        if local.is_ipv4() != remote.is_ipv4() {
            let detail = format!("{remote} and the local-address {local} are of different families");
            peer(findings, at, Fault::InvalidAddress, detail);
        }
    }
}

/// A standby needs a peer, which we call, and a data plane that knows two sessions of one interface.
fn standby(tunnel: &TunnelConfig, findings: &mut Findings<'_>, known: &Known) {
    let hot = tunnel.standby == Standby::Hot;
    if hot && tunnel.remotes.len() < 2 && !tunnel.remotes.is_empty() {
        findings.invalid("standby", "there is no other peer: a second remote-address is missing");
    }
    if hot && tunnel.role == Role::Passive {
        findings.invalid("standby", "a passive end does not call the peer that is to stand by");
    }
    let kernel = known.data_plane == DataPlane::Kernel;
    kernel_cannot(findings, "standby", hot && kernel, "have two sessions of one interface");
}

/// Several peers are different ones, and each can be called.
fn peers(tunnel: &TunnelConfig, findings: &mut Findings<'_>) {
    for (at, remote) in tunnel.remotes.iter().enumerate().skip(1) {
        if tunnel.remotes.iter().take(at).any(|before| before == remote) {
            let detail = "this peer stands in a line before already".to_owned();
            peer(findings, at, Fault::InvalidValue, detail);
        } else if tunnel.is_for_any() {
            let detail =
                "any stands alone: where anybody may call there is no order of preference".to_owned();
            return peer(findings, at, Fault::InvalidValue, detail);
        }
    }
}

fn secrets(tunnel: &TunnelConfig, findings: &mut Findings<'_>) {
    // What is there is asked of the file, not of the values: a password that was refused has its own error.
    let password = findings.has("password");
    if tunnel.hidden && !password {
        findings.invalid("hidden", "AVPs are hidden under the password, and there is none");
    }
    if tunnel.digest == Digest::None && password {
        findings
            .invalid("digest", "with a password every message is authenticated: allowed are auto and md5");
    }
    if findings.has("password-old") && !password {
        findings.invalid("password-old", "this is accepted beside the password, and there is none");
    }
}

/// A longest time that is given is not shorter than the first one; one that is not given adapts itself.
fn intervals(tunnel: &mut TunnelConfig, findings: &mut Findings<'_>) {
    let first_retry = match tunnel.first_retry() {
        RetryInterval::Auto => Duration::ZERO, // bounded by the longest
        RetryInterval::Fixed(interval) => interval,
    };
    let TunnelConfig { retry_interval_max, restart_interval, restart_interval_max, .. } = tunnel;
    for (first_tag, first, tag, most) in [
        ("retry-interval", first_retry, "retry-interval-max", retry_interval_max),
        ("restart-interval", *restart_interval, "restart-interval-max", restart_interval_max),
    ] {
        if *most < first && findings.has(tag) {
            findings.invalid(tag, format!("this is less than the {first_tag}, {first:?}"));
        } else {
            *most = (*most).max(first);
        }
    }
}

/// A name stands for one tunnel, and so do the addresses and names that a message can be told by.
fn unique(tunnel: &TunnelConfig, findings: &mut Findings<'_>, known: &mut Known) {
    if !tunnel.name.is_empty() {
        let twin = known.take(Taken::Tunnel, &tunnel.name, "", tunnel.line);
        if let Some((_, line)) = twin {
            let detail = format!("there is a tunnel {} in line {line} already", tunnel.name);
            findings.header("tunnel", detail);
        }
    }
    if tunnel.is_manual() {
        return;
    }
    // What is missing of them is reported elsewhere.
    let (Some(hostname), Some(id)) = (&tunnel.remote_hostname, &tunnel.remote_router_id) else { return };
    let remotes = tunnel.remotes.iter().enumerate();
    for (at, remote, way) in
        remotes.flat_map(|(at, remote)| tunnel.each_encapsulation().map(move |way| (at, remote, way)))
    {
        let ports = tunnel.ports_of(way);
        let identity = (tunnel.local_address, remote, tunnel.bind_device, way, ports, hostname, id);
        let twin = known.take(Taken::Identity, &format!("{identity:?}"), &tunnel.name, tunnel.line);
        // Of another block of the same name it was told already.
        if let Some((twin, _)) = twin.filter(|(twin, _)| *twin != tunnel.name) {
            let detail = format!(
                "tunnel {twin} has the same addresses, bind-device, encapsulation, remote-hostname and remote-router-id:\n\
                 nothing would tell the messages of the one from those of the other"
            );
            peer(findings, at, Fault::InvalidValue, detail);
        }
    }
}

/// Checks a session block; `tunnel` holds the tunnel's own tags.
pub(super) fn session(
    session: &SessionConfig,
    tunnel: &TunnelConfig,
    header: Place,
    given: &[Given],
    known: &mut Known,
) -> Vec<Complaint> {
    let mut findings = Findings { header, given, found: Vec::new() };
    interface(session, &mut findings, known);
    if session.sequencing != Sequencing::Off && session.sublayer == Sublayer::None {
        findings.invalid("sequencing", "sequence numbers stand in the sublayer: set l2-sublayer default");
    }
    if session.oversize == Oversize::Pseudowire && session.sequencing != Sequencing::Both {
        findings.invalid(
            "oversize",
            "fragments of the pseudowire are numbered: set l2-sublayer default and sequencing both",
        );
    }
    let clamps = known.data_plane == DataPlane::Kernel && session.tcp_mss != TcpMss::Off;
    kernel_cannot(&mut findings, "tcp-mss", clamps, "lower the MSS of TCP connections");
    let chooses = known.data_plane == DataPlane::Kernel && session.oversize != Oversize::Fragment;
    kernel_cannot(&mut findings, "oversize", chooses, "tell or drop what is too long");
    let limits = known.data_plane == DataPlane::Kernel && session.storm_limit != StormLimit::Off;
    kernel_cannot(&mut findings, "storm-limit", limits, "limit broadcasts");
    split_horizon(session, &mut findings, known);
    end_id(session, tunnel, &mut findings, known);
    manual(session, tunnel, &mut findings, known);
    findings.found
}

fn interface(session: &SessionConfig, findings: &mut Findings<'_>, known: &mut Known) {
    let name = &session.interface;
    if name.is_empty() {
        return; // refused already
    }
    if session.bridge.as_ref() == Some(name) {
        findings.invalid("bridge", "an interface cannot join itself");
    }
    if let Some((_, line)) = known.take(Taken::Interface, name, "", session.line) {
        findings.header("session", format!("there is a session {name} in line {line} already"));
    }
}

/// The ports of a group are isolated ports of its bridge, and there is one kind of these.
fn split_horizon(session: &SessionConfig, findings: &mut Findings<'_>, known: &mut Known) {
    let Some(group) = &session.split_horizon else { return };
    let Some(bridge) = &session.bridge else {
        return findings.invalid("split-horizon", "it keeps ports of a bridge apart, and there is no bridge");
    };
    let before = known.take(Taken::Group, bridge, group, session.line);
    if let Some((other, line)) = before.filter(|(other, _)| other != group) {
        findings.invalid(
            "split-horizon",
            format!(
                "the session in line {line} has the group {other} in bridge {bridge}: a bridge has one group"
            ),
        );
    }
}

fn end_id(session: &SessionConfig, tunnel: &TunnelConfig, findings: &mut Findings<'_>, known: &mut Known) {
    let Some(id) = session.remote_end_id.as_ref().filter(|_| !findings.has("manual")) else { return };
    let of_tunnel = format!("{} {id:?}", tunnel.line);
    if let Some((twin, _)) = known.take(Taken::EndId, &of_tunnel, &session.interface, session.line) {
        findings.invalid("remote-end-id", format!("the session {twin} of this tunnel has this one already"));
    }
}

fn manual(session: &SessionConfig, tunnel: &TunnelConfig, findings: &mut Findings<'_>, known: &mut Known) {
    if !findings.has("manual") {
        for tag in ["local-cookie", "remote-cookie"] {
            if findings.has(tag) {
                findings.invalid(tag, "the cookies of a negotiated session are chosen at random: see cookie");
            }
        }
        return;
    }
    if findings.has("cookie") && session.cookie != CookieLength::Off {
        findings.invalid("cookie", "a manual session takes its cookies from local-cookie and remote-cookie");
    }
    if tunnel.remotes.len() > 1 {
        findings.invalid(
            "manual",
            "nothing tells whether the peer of a manual session is dead: one remote-address",
        );
    }
    if tunnel.is_for_any() {
        findings
            .invalid("manual", "a manual session needs to know its peer; the tunnel's remote-address is any");
    }
    let Some(ids) = session.manual else { return };
    if let Some((_, line)) = known.take(Taken::SessionId, &ids.local.to_string(), "", session.line) {
        findings
            .invalid("manual", format!("the session in line {line} has the local id {} already", ids.local));
    }
}
