//! Events of the kernel (NETLINK_ROUTE): of interfaces, of this host's addresses, of routes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};

use libc::c_int;

use super::netlink::{self, address, attribute, messages, number};
use crate::sys::kinds::NetEvent;
use crate::sys::socket_call::set_option;

/// Octets of the socket's buffer: enough for a change of some thousand interfaces at once.
const BUFFER: c_int = 8 << 20;

/// The socket that they come from.
pub(in crate::sys) fn open() -> io::Result<OwnedFd> {
    let groups = libc::RTMGRP_LINK
        | libc::RTMGRP_IPV4_IFADDR
        | libc::RTMGRP_IPV6_IFADDR
        | libc::RTMGRP_IPV4_ROUTE
        | libc::RTMGRP_IPV6_ROUTE
        | libc::RTMGRP_IPV4_RULE
        | 1 << (libc::RTNLGRP_IPV6_RULE - 1);
    let fd = netlink::open(libc::NETLINK_ROUTE, groups as u32)?;
    // Without it more events are lost, and then everything is looked at.
    let _ = set_option(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, BUFFER);
    Ok(fd)
}

/// Hands the events in what was received to `report`.
pub(in crate::sys) fn parse(octets: &[u8], report: &mut dyn FnMut(NetEvent)) {
    for (kind, message) in messages(octets) {
        let event = match kind {
            libc::RTM_NEWLINK | libc::RTM_DELLINK => link(kind, message),
            libc::RTM_NEWADDR | libc::RTM_DELADDR => host_address(kind, message),
            libc::RTM_NEWROUTE | libc::RTM_DELROUTE => route(message),
            libc::RTM_NEWRULE | libc::RTM_DELRULE => Some(NetEvent::Rule),
            _ => None,
        };
        event.into_iter().for_each(&mut *report);
    }
}

/// struct ifinfomsg: family (1), padding (1), type (2), index (4), flags (4), change (4).
fn link(kind: u16, message: &[u8]) -> Option<NetEvent> {
    let index = number(message, 20)? as c_int;
    let flags = number(message, 24)?;
    match kind {
        libc::RTM_NEWLINK => Some(NetEvent::Link { index, up: flags & libc::IFF_UP as u32 != 0 }),
        // A port that leaves a bridge is "deleted" from it too, in the family AF_BRIDGE.
        _ => (message.get(16) == Some(&0)).then_some(NetEvent::LinkDeleted { index }),
    }
}

/// struct ifaddrmsg: family (1), prefix length (1), flags (1), scope (1), index (4); then attributes. Of a
/// point-to-point interface, IFA_ADDRESS is the other end.
pub(super) fn host_address(kind: u16, message: &[u8]) -> Option<NetEvent> {
    let index = number(message, 20)? as c_int;
    let attributes = message.get(24..)?;
    let value = attribute(attributes, libc::IFA_LOCAL).or_else(|| attribute(attributes, libc::IFA_ADDRESS));
    let flags = u32::from(*message.get(18)?);
    let deprecated = kind == libc::RTM_NEWADDR && flags & libc::IFA_F_DEPRECATED != 0;
    Some(NetEvent::Address { index, address: address(value?)?, deprecated })
}

/// struct rtmsg: family (1), length of destination (1) and source (1), TOS (1), table (1), protocol (1), scope (1),
/// type (1), flags (4); then attributes. The default route has no destination.
fn route(message: &[u8]) -> Option<NetEvent> {
    let any: IpAddr = match c_int::from(*message.get(16)?) {
        libc::AF_INET => Ipv4Addr::UNSPECIFIED.into(),
        libc::AF_INET6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return None,
    };
    let bits = *message.get(17)?;
    let network = attribute(message.get(28..)?, libc::RTA_DST).and_then(address).unwrap_or(any);
    Some(NetEvent::Route { network, bits })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut octets = (16 + body.len() as u32).to_ne_bytes().to_vec();
        octets.extend(kind.to_ne_bytes());
        octets.extend([0; 10]);
        octets.extend(body);
        octets.resize(octets.len().next_multiple_of(4), 0);
        octets
    }

    fn link(kind: u16, family: u8, index: u32, flags: u32) -> Vec<u8> {
        let numbers = [index.to_ne_bytes(), flags.to_ne_bytes(), [0; 4]].concat();
        message(kind, &[&[family, 0, 1, 0][..], &numbers].concat())
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut octets = (4 + value.len() as u16).to_ne_bytes().to_vec();
        octets.extend(kind.to_ne_bytes());
        octets.extend(value);
        octets
    }

    fn read(octets: &[u8]) -> Vec<NetEvent> {
        let mut events = Vec::new();
        parse(octets, &mut |event| events.push(event));
        for cut in 0..octets.len() {
            parse(&octets[..cut], &mut |_| {});
        }
        events
    }

    #[test]
    fn reads_link_messages() {
        let mut octets = link(libc::RTM_NEWLINK, 0, 7, libc::IFF_UP as u32);
        octets.extend(link(libc::RTM_DELLINK, libc::AF_BRIDGE as u8, 8, 0));
        octets.extend(link(libc::RTM_NEWLINK, 0, 9, 0));
        octets.extend(link(libc::RTM_DELLINK, 0, 10, 0));
        let expected = [
            NetEvent::Link { index: 7, up: true },
            NetEvent::Link { index: 9, up: false },
            NetEvent::LinkDeleted { index: 10 },
        ];
        assert_eq!(read(&octets), expected);
    }

    #[test]
    fn reads_address_and_route_messages() {
        let v6: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let head = |family: c_int| [family as u8, 24, 0, 0];
        let old = [libc::AF_INET6 as u8, 64, libc::IFA_F_DEPRECATED as u8, 0];
        let index = 5u32.to_ne_bytes();
        let far = attribute(libc::IFA_ADDRESS, &[192, 0, 2, 9]);
        let near = attribute(libc::IFA_LOCAL, &[192, 0, 2, 1]);
        let only = attribute(libc::IFA_ADDRESS, &v6.octets());
        let route = attribute(libc::RTA_DST, &[198, 51, 100, 0]);
        let octets = [
            message(libc::RTM_NEWADDR, &[&head(libc::AF_INET)[..], &index, &far, &near].concat()),
            message(libc::RTM_NEWADDR, &[&old[..], &index, &only].concat()),
            message(libc::RTM_DELADDR, &[&old[..], &index, &only].concat()),
            message(libc::RTM_NEWROUTE, &[&head(libc::AF_INET)[..], &[0; 8], &route].concat()),
            message(libc::RTM_DELROUTE, &[&[libc::AF_INET6 as u8, 0, 0, 0][..], &[0; 8]].concat()),
            message(libc::RTM_DELRULE, &[0; 12]),
        ];
        let expected = [
            NetEvent::Address { index: 5, address: [192, 0, 2, 1].into(), deprecated: false },
            NetEvent::Address { index: 5, address: v6.into(), deprecated: true },
            NetEvent::Address { index: 5, address: v6.into(), deprecated: false },
            NetEvent::Route { network: [198, 51, 100, 0].into(), bits: 24 },
            NetEvent::Route { network: Ipv6Addr::UNSPECIFIED.into(), bits: 0 },
            NetEvent::Rule,
        ];
        assert_eq!(read(&octets.concat()), expected);
    }
}
