//! The stations that a bridge knows, from its table of addresses (NETLINK_ROUTE).

use std::io;

use libc::c_int;

use super::netif;
use super::netlink::{self, attribute, messages, number, HEADER};
use crate::gather;
use crate::sys::socket_call::{receive, send};

/// Octets of struct ndmsg: family (1), padding (3), index (4), state (2), flags (1), type (1).
const NDMSG: usize = 12;

// linux/neighbour.h; libc lacks them.
const NDA_LLADDR: u16 = 2;
const NDA_MASTER: u16 = 9;
const NUD_PERMANENT: u16 = 0x80;

/// Parts of an answer that are read at most: some hundred thousand addresses.
const MOST_PARTS: usize = 1024;

/// The addresses of at most `most` stations that a bridge has learned, or was told, behind other ports than `port`, and
/// its own. Not those of its ports.
pub fn stations(bridge: &str, port: &str, most: usize) -> io::Result<Vec<[u8; 6]>> {
    let (bridge_index, port) = (netif::index(bridge)?, netif::index(port)?);
    let mut found = gather::set([netif::mac_address(bridge)?]);
    let fd = netlink::open(libc::NETLINK_ROUTE, 0)?;
    send(&fd, &request(bridge_index))?;
    // Each part of the answer is made when the one before it is read: there is nothing to wait for.
    let mut buffer = [0u8; 32768];
    for _ in 0..MOST_PARTS {
        for (kind, message) in messages(receive(&fd, &mut buffer)?) {
            match c_int::from(kind) {
                libc::NLMSG_DONE => return Ok(found.into_iter().collect()),
                libc::NLMSG_ERROR => netlink::outcome(message).unwrap_or(Ok(()))?,
                _ if found.len() < most => found.extend(station(message, bridge_index, port)),
                _ => {}
            }
        }
    }
    Ok(found.into_iter().collect())
}

/// struct ndmsg, and the bridge. Older kernels pass over the last, so the answer is looked at once more.
fn request(bridge: c_int) -> Vec<u8> {
    let mut body = vec![libc::AF_BRIDGE as u8];
    body.resize(NDMSG, 0);
    body.extend(netlink::field(NDA_MASTER, &bridge.to_ne_bytes()));
    netlink::request(libc::RTM_GETNEIGH, libc::NLM_F_DUMP, 0, &body)
}

/// The address in an entry, if it is that of a station of this bridge behind another port.
fn station(message: &[u8], bridge: c_int, port: c_int) -> Option<[u8; 6]> {
    let attributes = message.get(HEADER + NDMSG..)?;
    let index = number(message, HEADER + 4)? as c_int;
    let state = message.get(HEADER + 8..)?.first_chunk::<2>().map(|s| u16::from_ne_bytes(*s))?;
    let master = attribute(attributes, NDA_MASTER).and_then(|m| number(m, 0))? as c_int;
    let address = *attribute(attributes, NDA_LLADDR)?.first_chunk::<6>()?;
    let group = address.first().is_some_and(|first| first & 1 != 0);
    let is_station = master == bridge && index != port && state & NUD_PERMANENT == 0 && !group;
    is_station.then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry of port 3 of bridge 7.
    fn entry(address: [u8; 6], state: u16) -> Vec<u8> {
        let mut octets = vec![0; HEADER];
        octets.extend([libc::AF_BRIDGE as u8, 0, 0, 0]);
        octets.extend(3i32.to_ne_bytes());
        octets.extend(state.to_ne_bytes());
        octets.extend([0; 2]);
        octets.extend(10u16.to_ne_bytes());
        octets.extend(NDA_LLADDR.to_ne_bytes());
        octets.extend(address);
        octets.extend([0; 2]);
        octets.extend(8u16.to_ne_bytes());
        octets.extend(NDA_MASTER.to_ne_bytes());
        octets.extend(7i32.to_ne_bytes());
        octets
    }

    #[test]
    fn stations_are_what_was_learned_behind_other_ports() {
        let address = [2, 0, 0x5e, 0, 0x53, 1];
        assert_eq!(station(&entry(address, 2), 7, 9), Some(address));
        for (entry, bridge, port) in [
            (entry(address, 2), 8, 9),
            (entry(address, 2), 7, 3),
            (entry(address, NUD_PERMANENT), 7, 9),
            (entry([0x33, 0x33, 0, 0, 0, 1], 2), 7, 9),
        ] {
            assert_eq!(station(&entry, bridge, port), None);
        }
        let whole = entry(address, 2);
        for cut in 0..whole.len() {
            assert_eq!(station(&whole[..cut], 7, 9), None);
        }
    }

    #[test]
    fn what_is_no_bridge_has_no_stations() {
        assert!(stations("no-such-bridge", "lo", 10).is_err());
        assert_eq!(stations("lo", "lo", 10).unwrap(), [[0; 6]], "its own address");
    }
}
