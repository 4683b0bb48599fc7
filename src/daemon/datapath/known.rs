//! What the programs of `data-plane bpf` are told of a session.

use std::net::IpAddr;

use super::port::Port;
use super::session::Session;
use crate::bpf::values;
use crate::sys::address::octets;
use crate::wire::Encapsulation;

/// The ways of a session's frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ways {
    /// The index of the interface that leads to the peer.
    pub(super) underlay: i32,
    /// The index of the session's interface.
    pub(super) interface: i32,
    pub(super) ingress: Option<values::Ingress>,
    pub(super) egress: Option<values::Egress>,
}

impl Ways {
    /// Nothing goes there yet.
    pub(super) fn new(underlay: i32, interface: i32) -> Ways {
        Ways { underlay, interface, ingress: None, egress: None }
    }
}

/// Bits of the sublayer's first octet that must be zero: VCCV, fragments.
const FOREIGN: u8 = 0xb0;

/// Copies octets to a place in an array.
fn put(to: &mut [u8], at: usize, from: &[u8]) {
    to.iter_mut().skip(at).zip(from).for_each(|(to, from)| *to = *from);
}

/// How the frames of a session come in; `gro` is the interface that TCP goes by first, or 0.
pub(super) fn ingress_value(session: &Session, local: IpAddr, interface: i32, gro: i32) -> values::Ingress {
    let path = &session.path;
    let mut known = [0; 40];
    put(&mut known, 0, &octets(path.remote.ip()));
    put(&mut known, 16, &octets(local));
    if path.encapsulation == Encapsulation::Udp {
        put(&mut known, 32, &path.remote.port().to_be_bytes());
        put(&mut known, 34, &path.local.port().to_be_bytes());
        put(&mut known, 36, &1u32.to_ne_bytes());
    }
    let cookie = session.attachment.cookie_expected.as_slice();
    let (mut mask, mut expected) = ([0; 12], [0; 12]);
    put(&mut mask, 0, &vec![0xff; cookie.len()]);
    put(&mut expected, 0, cookie);
    let sublayer = if session.attachment.sublayer_expected { 4 } else { 0 };
    if sublayer > 0 {
        put(&mut mask, cookie.len(), &[FOREIGN]);
    }
    let header = (4 + cookie.len() + sublayer) as u32;
    values::Ingress { path: known, mask, expected, header, interface: interface as u32, gro: gro as u32 }
}

/// How the frames of a session's port are sent: by the interface `device`, which finishes checksums or not, or first by
/// that for GSO, if there is one.
pub(super) fn egress_value(
    port: &Port,
    session: &Session,
    local: IpAddr,
    (device, finishes_checksums): (i32, bool),
    longest: usize,
    gso: i32,
) -> values::Egress {
    let (path, interface) = (&session.path, &port.interface);
    let tos = interface.tos.fixed();
    let udp = path.encapsulation == Encapsulation::Udp;
    let ipv6 = path.remote.is_ipv6();
    let protocol = if udp { 17 } else { 115 };
    let ends = [octets(local), octets(path.remote.ip())].concat();
    let mut headers = match path.remote.ip() {
        IpAddr::V4(_) => {
            let flags = if interface.dont_fragment { 0x40 } else { 0 };
            vec![0x45, tos, 0, 0, 0, 0, flags, 0, interface.ttl, protocol, 0, 0]
        }
        IpAddr::V6(_) => vec![0x60 | tos >> 4, tos << 4, 0, 0, 0, 0, protocol, interface.ttl],
    };
    headers.extend(ends);
    if udp {
        // Length and checksum follow; RFC 3931 4.1.2.1 allows that data messages have no checksum.
        headers.extend(
            [path.local.port().to_be_bytes(), path.remote.port().to_be_bytes(), [0; 2], [0; 2]].concat(),
        );
    }
    headers.extend(session.plain_header());
    let mut all = [0; values::Egress::HEADERS];
    put(&mut all, 0, &headers);
    values::Egress {
        headers: all,
        length: headers.len() as u32,
        ipv6,
        udp,
        device: device as u32,
        longest: longest as u32,
        session: session.id.0,
        gso: gso as u32,
        // What cannot be sent as it comes. Without that interface only the program can tell what the daemon has to segment.
        all_gso: [!udp || ipv6 || !finishes_checksums, !finishes_checksums].map(|all| all && gso != 0),
    }
}
