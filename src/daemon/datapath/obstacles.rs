//! Which sessions the programs of `data-plane bpf` cannot carry, and why.

use super::interface::longest_within;
use super::port::Port;
use super::session::Session;
use crate::bpf::egress;
use crate::config::model::{Device, StormLimit, TcpMss, Tos};
use crate::frame::ETHERNET_HEADER;
use crate::sys::netif;
use crate::sys::policy::Policies;
use crate::sys::route::KernelRoute;
use crate::wire::Encapsulation;

/// Interfaces that lead to peers that `data-plane auto` puts the program at.
const MOST_AUTOMATIC: usize = 16;

/// An interface that leads to peers.
#[derive(Debug, Clone)]
pub(super) struct Underlay {
    pub(super) name: String,
    pub(super) is_ethernet: bool,
    pub(super) finishes_checksums: bool,
}

/// A session whose way may go past the daemon.
pub(super) struct Case<'a> {
    pub(super) port: &'a Port,
    pub(super) session: &'a Session,
    pub(super) route: &'a KernelRoute,
    pub(super) underlay: &'a Underlay,
    /// The MTU of the path.
    pub(super) mtu: Option<usize>,
    pub(super) policies: &'a Policies,
    /// `data-plane auto`: the programs are one choice of several.
    pub(super) automatic: bool,
    /// There are no interfaces for GRO and GSO.
    pub(super) no_pairs: bool,
    /// At how many other interfaces that lead to peers the program is.
    pub(super) others: usize,
}

impl Case<'_> {
    fn is_udp(&self) -> bool {
        self.session.path.encapsulation == Encapsulation::Udp
    }

    /// Why the programs cannot carry the session, if so.
    pub(super) fn obstacle(&self) -> Option<&'static str> {
        OBSTACLES.iter().find(|(_, is_so)| is_so(self)).map(|(why, _)| *why)
    }
}

/// What the daemon must carry the frames of a session for: the first row that is so is the reason. `{}` is the interface
/// that leads to the peer, `{why}` why there are no interfaces for GRO and GSO.
type Row = (&'static str, fn(&Case<'_>) -> bool);
const OBSTACLES: &[Row] = &[
    ("sequencing needs the daemon", |c| c.session.is_numbered()),
    ("tcp-mss needs the daemon", |c| c.port.interface.tcp_mss != TcpMss::Off),
    ("tos copy needs the daemon", |c| c.port.interface.tos == Tos::Copy),
    ("storm-limit needs the daemon", |c| c.port.interface.storm_limit != StormLimit::default()),
    ("bind-device needs the daemon", |c| c.session.path.via.device != Device::NONE),
    ("fwmark needs the daemon", |c| c.session.path.via.mark != 0),
    ("an IPsec policy is about packets to the peer", |c| c.policies.concern(c.session.path.remote.ip())),
    ("nftables or iptables have rules that they would pass by", |c| c.policies.filter),
    ("the peer is this host", |c| c.route.local),
    ("{} has no Ethernet headers", |c| !c.underlay.is_ethernet),
    (
        "{} leaves checksums to its other end, which cannot see those of the frames (ethtool -K {} tx off), and {why}",
        |c| !c.underlay.finishes_checksums && c.no_pairs,
    ),
    ("the interface is down", |c| !c.port.up),
    ("{} leaves checksums to its other end: the daemon finishes them at less expense", |c| {
        c.automatic && !c.underlay.finishes_checksums
    }),
    // The kernel waits for all processors whenever the program is put there, or taken away; so does the daemon.
    ("auto puts the program at no more interfaces that lead to peers, as each holds up the daemon", |c| {
        c.automatic && c.others >= MOST_AUTOMATIC
    }),
    // They add up the octets of each frame, the daemon those of a super-frame.
    ("over UDP and IPv6 the daemon is faster with TCP", |c| {
        c.automatic && c.is_udp() && c.session.path.remote.is_ipv6()
    }),
    // There the programs leave what TCP sends to the daemon, and hand on what it receives one frame at a time.
    ("over IP the daemon is faster with TCP: {why}", |c| c.automatic && c.no_pairs && !c.is_udp()),
    ("in a bridge the daemon is faster with TCP, whose frames it joins: {why}", |c| {
        c.automatic && c.no_pairs && c.port.name().is_some_and(|name| netif::is_port(&name))
    }),
    ("the MTU of the path is not known", |c| c.mtu.is_none()),
    ("over UDP and IPv6 the programs add up no frames of that mtu", |c| {
        let adds = c.is_udp() && c.session.path.remote.is_ipv6();
        adds && c.port.mtu.is_some_and(|mtu| mtu + ETHERNET_HEADER > egress::LONGEST_SUM)
    }),
    // Fragments are the system's, and shorter frames would overtake them.
    ("mtu: not all frames fit the path", |c| {
        let longest = c.mtu.map(|mtu| longest_within(mtu, &c.session.path, c.session.header_length));
        c.port.mtu.map(|mtu| mtu + ETHERNET_HEADER) > longest
    }),
];
