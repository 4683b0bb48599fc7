//! What the configuration says of an interface, and what it is like at present.

use super::paths::look_up_mtu;
use crate::config::model::{
    self, LinkLocalFrames, LinkState, Mtu, Oversize, Pseudowire, StormLimit, TcpMss, Tos,
};
use crate::frame::ETHERNET_HEADER;
use crate::proto::Path;
use crate::wire::Encapsulation;

/// The MTUs that a TAP interface can have.
const MTUS: std::ops::RangeInclusive<usize> = 68..=65521;

/// Octets of a VLAN tag.
const VLAN_TAG: usize = 4;

/// The MTU of a new TAP interface.
pub(super) const DEFAULT_MTU: usize = 1500;

/// What the data plane needs to know of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// As the configuration calls it.
    pub name: String,
    /// The tunnel's name.
    pub tunnel: String,
    /// `mtu`.
    pub mtu: Mtu,
    /// `tcp-mss`.
    pub tcp_mss: TcpMss,
    /// `oversize`.
    pub oversize: Oversize,
    /// `bridge`.
    pub bridge: Option<String>,
    /// `split-horizon`.
    pub split_horizon: Option<String>,
    /// `loop-detection`.
    pub loop_detection: bool,
    /// `storm-limit`.
    pub storm_limit: StormLimit,
    /// `link-local-frames forward`.
    pub forwards_link_local: bool,
    /// `mac-address`, or the one that is derived from the names.
    pub mac_address: [u8; 6],
    /// `link-state follow`.
    pub follow_link_state: bool,
    /// Frames are expected to have a VLAN tag: room for it is kept.
    pub tagged: bool,
    /// `dont-fragment`.
    pub dont_fragment: bool,
    /// `ttl`.
    pub ttl: u8,
    /// `tos`.
    pub tos: Tos,
}

impl Interface {
    /// The interface of a session block.
    pub fn new(tunnel: &model::TunnelConfig, session: &model::SessionConfig) -> Interface {
        Interface {
            name: session.interface.clone(),
            tunnel: tunnel.name.clone(),
            mtu: session.mtu,
            tcp_mss: session.tcp_mss,
            oversize: session.oversize,
            bridge: session.bridge.clone(),
            split_horizon: session.split_horizon.clone(),
            loop_detection: session.loop_detection,
            storm_limit: session.storm_limit,
            forwards_link_local: session.link_local_frames == LinkLocalFrames::Forward,
            mac_address: session.mac_address.unwrap_or_else(|| derived_mac_address(tunnel, session)),
            follow_link_state: session.link_state == LinkState::Follow,
            tagged: session.pseudowire == Pseudowire::Vlan,
            dont_fragment: tunnel.dont_fragment,
            ttl: tunnel.ttl,
            tos: tunnel.tos,
        }
    }
}

impl Interface {
    /// The MTU whose frames fit a path, with so many octets of L2TP's own before the frame. `None` where there is no route
    /// to the peer.
    pub fn fitting_mtu(&self, path: &Path, header: usize) -> Option<usize> {
        let mtu = look_up_mtu(path)?;
        Some(self.mtu_within(mtu, path, header))
    }

    /// What becomes of a frame that is too long for the path.
    pub(super) fn fate_of_oversize(&self) -> &'static str {
        match self.oversize {
            Oversize::Fragment if !self.dont_fragment => "travel as fragments",
            Oversize::Pseudowire => "travel as fragments of the pseudowire, where the peer takes them",
            Oversize::Icmp => "are answered by ICMP, where their sender can be told",
            Oversize::Fragment | Oversize::Drop => "are dropped",
        }
    }

    /// What is left of a path's MTU after all headers (RFC 4719 3.3).
    pub(super) fn mtu_within(&self, mtu: usize, path: &Path, header: usize) -> usize {
        let longest = longest_within(mtu, path, header);
        // Frames with a tag are four octets longer than the interface's MTU says: they would be lost. An MTU that was
        // given is measured by frames without one.
        let keeps_room = self.dont_fragment && self.mtu == Mtu::Auto;
        let tag = if self.tagged || keeps_room { VLAN_TAG } else { 0 };
        longest.saturating_sub(ETHERNET_HEADER + tag).clamp(*MTUS.start(), *MTUS.end())
    }
}

/// The longest frame that leaves in one packet, where the path has this MTU.
pub(super) fn longest_within(mtu: usize, path: &Path, header: usize) -> usize {
    let outer = if path.remote.is_ipv4() { 20 } else { 40 };
    let udp = if path.encapsulation == Encapsulation::Udp { 8 } else { 0 };
    mtu.saturating_sub(outer + udp + header)
}

/// The same address after each start, another one for each interface. The two ends may use the same names for
/// tunnel and interface; what tells them apart are the host's name, its router id and the addresses.
fn derived_mac_address(tunnel: &model::TunnelConfig, session: &model::SessionConfig) -> [u8; 6] {
    let manual = session.manual.as_ref().map(|m| (m.local, m.remote));
    let ends = format!("{:?} {:?} {:?}", tunnel.local_address, tunnel.remotes.first(), manual);
    let parts = [
        &tunnel.local_hostname[..],
        &tunnel.local_router_id.unwrap_or_default(),
        ends.as_bytes(),
        tunnel.name.as_bytes(),
        session.interface.as_bytes(),
    ];
    // FNV-1a, 64 bits; a zero octet ends each part.
    let octets = parts.iter().flat_map(|p| p.iter().chain(&[0]));
    let hash = octets.fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let [_, _, a, b, c, d, e, f] = (hash ^ (hash >> 48)).to_be_bytes();
    // Locally administered, not a group address.
    [(a & 0xfc) | 0x02, b, c, d, e, f]
}
