//! Which link-local frames a bridge forwards: the masks `group_fwd_mask` of the bridge and of each port. Bit n stands for
//! frames to 01:80:c2:00:00:0n. By messages of NETLINK_ROUTE: files in /sys can only be written by root.

use std::io;
use std::mem;

use libc::c_int;

use super::netif;
use super::netlink::{self, attribute, field, messages, HEADER};
use crate::sys::socket_call::{receive, send};

// linux/if_link.h; libc lacks them.
const IFLA_BR_GROUP_FWD_MASK: u16 = 9;
const IFLA_BRPORT_GROUP_FWD_MASK: u16 = 31;
const IFLA_BRPORT_ISOLATED: u16 = 33;

/// Octets of struct ifinfomsg.
const IFINFO: usize = mem::size_of::<libc::ifinfomsg>();
const _: () = assert!(mem::offset_of!(libc::ifinfomsg, ifi_index) == 4 && IFINFO == 16);

/// The mask of a bridge, for frames that come in at any of its ports.
pub fn forwarded(bridge: &str) -> io::Result<u16> {
    let reply = call(libc::RTM_GETLINK, libc::AF_UNSPEC, bridge, &[])?;
    let info = attribute(&reply, libc::IFLA_LINKINFO);
    let data = info.and_then(|info| attribute(info, libc::IFLA_INFO_DATA));
    let mask =
        data.and_then(|data| attribute(data, IFLA_BR_GROUP_FWD_MASK)).and_then(|m| m.first_chunk::<2>());
    mask.map(|m| u16::from_ne_bytes(*m)).ok_or_else(|| io::Error::from_raw_os_error(libc::EOPNOTSUPP))
}

/// Sets the mask of a bridge. The kernel takes no bit below 3.
pub fn forward(bridge: &str, mask: u16) -> io::Result<()> {
    let data = nested(libc::IFLA_INFO_DATA, &field(IFLA_BR_GROUP_FWD_MASK, &mask.to_ne_bytes()));
    let info = [field(libc::IFLA_INFO_KIND, b"bridge"), data].concat();
    call(libc::RTM_NEWLINK, libc::AF_UNSPEC, bridge, &nested(libc::IFLA_LINKINFO, &info)).map(|_| ())
}

/// Sets the mask of a port, for frames that come in there; they are forwarded if either mask has their bit. The kernel
/// takes all bits but bit 1.
pub fn forward_from(port: &str, mask: u16) -> io::Result<()> {
    let mask = field(IFLA_BRPORT_GROUP_FWD_MASK, &mask.to_ne_bytes());
    call(libc::RTM_SETLINK, libc::AF_BRIDGE, port, &nested(libc::IFLA_PROTINFO, &mask)).map(|_| ())
}

/// Whether a port is isolated: a bridge passes no frames between isolated ports.
pub fn isolate(port: &str, on: bool) -> io::Result<()> {
    let isolated = field(IFLA_BRPORT_ISOLATED, &[u8::from(on)]);
    call(libc::RTM_SETLINK, libc::AF_BRIDGE, port, &nested(libc::IFLA_PROTINFO, &isolated)).map(|_| ())
}

/// An attribute that consists of attributes.
fn nested(kind: u16, attributes: &[u8]) -> Vec<u8> {
    field(kind | libc::NLA_F_NESTED as u16, attributes)
}

/// Sends a request about an interface; the attributes of the kernel's answer, or none where it only acknowledges.
fn call(kind: u16, family: c_int, interface: &str, attributes: &[u8]) -> io::Result<Vec<u8>> {
    let octets = request(kind, family, netif::index(interface)?, attributes);
    let fd = netlink::open(libc::NETLINK_ROUTE, 0)?;
    send(&fd, &octets)?;
    // The kernel has answered when the call that sends returns.
    let mut buffer = [0u8; 32768];
    let mut reply = Vec::new();
    loop {
        if let Some(end) = read(receive(&fd, &mut buffer)?, &mut reply) {
            return end.map(|()| reply);
        }
    }
}

/// struct ifinfomsg: family (1), padding (1), type (2), index (4), flags (4), change (4); attributes.
fn request(kind: u16, family: c_int, index: c_int, attributes: &[u8]) -> Vec<u8> {
    let body = [&[family as u8, 0, 0, 0][..], &index.to_ne_bytes(), &[0; 8], attributes].concat();
    netlink::request(kind, libc::NLM_F_ACK, 0, &body)
}

/// Reads messages of an answer; `Some` at its end.
fn read(octets: &[u8], reply: &mut Vec<u8>) -> Option<io::Result<()>> {
    for (kind, message) in messages(octets) {
        if c_int::from(kind) == libc::NLMSG_ERROR {
            return netlink::outcome(message);
        }
        reply.extend(message.get(HEADER + IFINFO..).unwrap_or_default());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_bridge_has_no_mask() {
        assert_eq!(forwarded("lo").unwrap_err().raw_os_error(), Some(libc::EOPNOTSUPP));
        assert!(forward("lo", 8).is_err() && forward_from("lo", 8).is_err() && isolate("lo", true).is_err());
        assert!(forwarded("no-such-bridge").is_err());
    }

    #[test]
    fn cut_answers_end_nothing() {
        let octets = request(libc::NLMSG_ERROR as u16, 0, -libc::EPERM, &[]);
        let mut reply = Vec::new();
        for cut in 0..octets.len() {
            assert!(read(&octets[..cut], &mut reply).is_none());
        }
        assert!(reply.is_empty());
        let attributes = nested(libc::IFLA_LINKINFO, &field(libc::IFLA_INFO_KIND, b"bridge"));
        assert!(read(&request(libc::RTM_NEWLINK, 0, 1, &attributes), &mut reply).is_none());
        let kind =
            attribute(&reply, libc::IFLA_LINKINFO).and_then(|info| attribute(info, libc::IFLA_INFO_KIND));
        assert_eq!(kind, Some(&b"bridge"[..]));
    }
}
