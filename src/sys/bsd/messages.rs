//! Messages of routing sockets (route(4)): how they are read and written. Pure; the layouts are those of NetBSD 8 and
//! newer, and of FreeBSD on 64 bits (net/route.h, net/if.h of both).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libc::c_int;

use crate::sys::kinds::{KernelRoute, NetEvent};

const RTM_ADD: u8 = 1;
const RTM_DELETE: u8 = 2;
const RTM_CHANGE: u8 = 3;
const RTM_GET: u8 = 4;
const RTF_REJECT: u32 = 0x8;
const RTF_BLACKHOLE: u32 = 0x1000;
const RTF_GATEWAY: u32 = 0x2;
const IFF_UP: u32 = 1;
/// Of the addresses after a message: their places (RTAX_*).
const DESTINATION: usize = 0;
const GATEWAY: usize = 1;
const NETMASK: usize = 2;
const INTERFACE: usize = 4;
const ADDRESS: usize = 5;
const AF_INET: u8 = 2;
const AF_LINK: u8 = 18;
// The same in struct rt_msghdr of both systems.
const INDEX: usize = 4;
const FLAGS: usize = 8;
const ADDRS: usize = 12;
const PID: usize = 16;
const SEQUENCE: usize = 20;
const ERROR: usize = 24;
const MTU: usize = 48;

/// What differs.
#[derive(Debug, Clone, Copy)]
pub(in crate::sys) struct Layout {
    /// RTM_VERSION.
    version: u8,
    /// Octets of struct rt_msghdr.
    route: usize,
    /// Octets of struct ifa_msghdr, and where the index and the mask of addresses are in it.
    address: usize,
    address_index: usize,
    address_addrs: usize,
    /// RTM_NEWADDR and its like, RTM_DELADDR, RTM_IFINFO, RTM_IFANNOUNCE.
    new_address: &'static [u8],
    old_address: u8,
    interface: u8,
    announce: u8,
    /// Octets of struct sockaddr_dl.
    link: u8,
    af_inet6: u8,
}

#[cfg(any(test, target_os = "netbsd"))]
pub(in crate::sys) const NETBSD: Layout = Layout {
    version: 4,
    route: 120,
    address: 32,
    address_index: 4,
    address_addrs: 12,
    new_address: &[0x16, 0x18],
    old_address: 0x17,
    interface: 0x14,
    announce: 0x10,
    link: 32,
    af_inet6: 24,
};

#[cfg(any(test, target_os = "freebsd"))]
pub(in crate::sys) const FREEBSD: Layout = Layout {
    version: 5,
    route: 152,
    address: 20,
    address_index: 12,
    address_addrs: 4,
    new_address: &[0xc],
    old_address: 0xd,
    interface: 0xe,
    announce: 0x11,
    link: 54,
    af_inet6: 28,
};

/// Addresses begin at multiples of this.
const ALIGNMENT: usize = 8;

fn word(message: &[u8], at: usize) -> Option<u32> {
    message.get(at..)?.first_chunk().map(|octets| u32::from_ne_bytes(*octets))
}

fn half(message: &[u8], at: usize) -> Option<u16> {
    message.get(at..)?.first_chunk().map(|octets| u16::from_ne_bytes(*octets))
}

/// The socket address in the place `wanted` after a header; `mask` says which ones there are.
fn address_at(mut octets: &[u8], mask: u32, wanted: usize) -> Option<&[u8]> {
    for place in (0..=wanted).filter(|place| mask & 1 << place != 0) {
        let length = usize::from(*octets.first()?);
        if place == wanted {
            return octets.get(..length);
        }
        octets = octets.get(length.max(1).next_multiple_of(ALIGNMENT)..)?;
    }
    None
}

impl Layout {
    /// Octets before the address itself, and of it, of a socket address of this family.
    fn place(&self, family: u8) -> Option<(usize, usize)> {
        match family {
            AF_INET => Some((4, 4)),
            family if family == self.af_inet6 => Some((8, 16)),
            _ => None,
        }
    }

    fn ip(&self, name: &[u8]) -> Option<IpAddr> {
        let (start, length) = self.place(*name.get(1)?)?;
        let octets = name.get(start..start + length)?;
        if let Some(octets) = octets.first_chunk::<16>() {
            let mut octets = *octets;
            // The kernel keeps the interface of a link-local address in it.
            if octets[0] == 0xfe && octets[1] & 0xc0 == 0x80 {
                [octets[2], octets[3]] = [0, 0];
            }
            return Some(Ipv6Addr::from(octets).into());
        }
        octets.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets).into())
    }

    /// Bits of a network: those of the mask, which ends where only zeros follow; without one it is a host's route.
    fn bits(&self, network: IpAddr, mask: Option<&[u8]>) -> u8 {
        let start = if network.is_ipv4() { 4 } else { 8 };
        let longest = if network.is_ipv4() { 32 } else { 128 };
        let Some(mask) = mask else { return longest };
        let ones = mask.iter().skip(start).take(usize::from(longest / 8)).map(|octet| octet.count_ones());
        ones.sum::<u32>() as u8
    }

    /// What happened: of everything that was read at a time.
    pub(in crate::sys) fn events(&self, mut octets: &[u8], report: &mut dyn FnMut(NetEvent)) {
        while let Some(length) = half(octets, 0).map(usize::from).filter(|length| *length >= 4) {
            let Some(message) = octets.get(..length) else { return };
            self.event(message).into_iter().for_each(&mut *report);
            octets = octets.get(length..).unwrap_or_default();
        }
    }

    fn event(&self, message: &[u8]) -> Option<NetEvent> {
        match *message.get(3)? {
            RTM_ADD | RTM_DELETE | RTM_CHANGE => {
                let (mask, names) = (word(message, ADDRS)?, message.get(self.route..)?);
                let network = self.ip(address_at(names, mask, DESTINATION)?)?;
                let bits = self.bits(network, address_at(names, mask, NETMASK));
                Some(NetEvent::Route { network, bits })
            }
            kind if kind == self.interface => {
                // struct if_msghdr: length (2), version (1), type (1), addresses (4), flags (4), index (2).
                let (flags, index) = (word(message, 8)?, half(message, 12)?);
                Some(NetEvent::Link { index: c_int::from(index), up: flags & IFF_UP != 0 })
            }
            kind if kind == self.announce => {
                // struct if_announcemsghdr: ..., index (2), name (16), what (2): 1 is departure.
                let index = c_int::from(half(message, 4)?);
                (half(message, 22)? == 1).then_some(NetEvent::LinkDeleted { index })
            }
            kind if kind == self.old_address || self.new_address.contains(&kind) => {
                let index = c_int::from(half(message, self.address_index)?);
                let mask = word(message, self.address_addrs)?;
                let address = self.ip(address_at(message.get(self.address..)?, mask, ADDRESS)?)?;
                Some(NetEvent::Address { index, address, deprecated: false })
            }
            _ => None,
        }
    }

    /// The question for the route to `remote`.
    pub(in crate::sys) fn question(&self, remote: IpAddr, sequence: u32) -> Vec<u8> {
        let mut name = match remote {
            IpAddr::V4(v4) => [&[16, AF_INET, 0, 0][..], &v4.octets(), &[0; 8]].concat(),
            IpAddr::V6(v6) => [&[28, self.af_inet6, 0, 0, 0, 0, 0, 0][..], &v6.octets(), &[0; 4]].concat(),
        };
        name.resize(name.len().next_multiple_of(ALIGNMENT), 0);
        // An empty address of an interface: asks for it.
        let mut link = vec![self.link, AF_LINK];
        link.resize(usize::from(self.link).next_multiple_of(ALIGNMENT), 0);
        let length = self.route + name.len() + link.len();
        let mut message = (length as u16).to_ne_bytes().to_vec();
        message.extend([self.version, RTM_GET]);
        message.resize(ADDRS, 0);
        message.extend((1u32 << DESTINATION | 1 << INTERFACE).to_ne_bytes());
        message.resize(SEQUENCE, 0);
        message.extend(sequence.to_ne_bytes());
        message.resize(self.route, 0);
        message.extend(name);
        message.extend(link);
        message
    }

    /// The answer to a question of process `pid` with this number, and the route's own MTU (0: that of its interface);
    /// `None`: this is something else.
    pub(in crate::sys) fn answer(
        &self,
        message: &[u8],
        (pid, sequence): (u32, u32),
    ) -> Option<io::Result<(KernelRoute, usize)>> {
        let ours = word(message, PID)? == pid && word(message, SEQUENCE)? == sequence;
        if !ours || *message.get(3)? != RTM_GET {
            return None;
        }
        let (flags, mask) = (word(message, FLAGS)?, word(message, ADDRS)?);
        let error = match word(message, ERROR)? as c_int {
            0 if flags & RTF_BLACKHOLE != 0 => libc::ENETUNREACH,
            0 if flags & RTF_REJECT != 0 => libc::EHOSTUNREACH,
            error => error,
        };
        if error != 0 {
            return Some(Err(io::Error::from_raw_os_error(error)));
        }
        let names = message.get(self.route..)?;
        let at = |place| address_at(names, mask, place).and_then(|name| self.ip(name));
        let source = at(ADDRESS);
        let route = KernelRoute {
            device: c_int::from(half(message, INDEX)?),
            gateway: at(GATEWAY).filter(|_| flags & RTF_GATEWAY != 0),
            source,
            local: source.is_some() && source == at(DESTINATION),
        };
        let mtu = word(message, MTU + if cfg!(target_endian = "big") { 4 } else { 0 })? as usize;
        Some(Ok((route, mtu)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(address: [u8; 4]) -> Vec<u8> {
        [&[16, AF_INET, 0, 0][..], &address, &[0; 8]].concat()
    }

    /// A message: its type, numbers by their places, and what stands after the header.
    fn message(kind: u8, header: usize, words: &[(usize, u32)], after: &[&[u8]]) -> Vec<u8> {
        let mut octets = vec![0; header];
        octets[3] = kind;
        for (at, number) in words {
            octets[*at..*at + 4].copy_from_slice(&number.to_ne_bytes());
        }
        for name in after {
            octets.extend(*name);
            octets.resize(octets.len() + name.len().next_multiple_of(8) - name.len(), 0);
        }
        let length = octets.len() as u16;
        octets[..2].copy_from_slice(&length.to_ne_bytes());
        octets
    }

    fn halves(octets: &mut [u8], values: &[(usize, u16)]) {
        for (at, value) in values {
            octets[*at..*at + 2].copy_from_slice(&value.to_ne_bytes());
        }
    }

    #[test]
    fn reads_events_of_both_systems() {
        for layout in [NETBSD, FREEBSD] {
            let short_mask = [7, 0, 0, 0, 255, 255, 255];
            let network = [&v4([192, 0, 2, 0])[..], &v4([10, 0, 0, 1]), &short_mask];
            let mut octets = message(RTM_ADD, layout.route, &[(ADDRS, 7)], &network);
            octets.extend(message(RTM_DELETE, layout.route, &[(ADDRS, 1)], &[&v4([192, 0, 2, 9])]));
            let mut up = message(layout.interface, 152, &[(8, 0x8843)], &[]);
            halves(&mut up, &[(12, 7)]);
            let mut gone = message(layout.announce, 24, &[], &[]);
            halves(&mut gone, &[(4, 8), (22, 1)]);
            let link_local =
                [&[28, layout.af_inet6, 0, 0, 0, 0, 0, 0][..], &[0xfe, 0x80, 0, 3], &[0; 16]].concat();
            let names: [&[u8]; 2] = [&[0], &link_local];
            let mask = 1 << NETMASK | 1 << ADDRESS;
            let mut came =
                message(layout.new_address[0], layout.address, &[(layout.address_addrs, mask)], &names);
            halves(&mut came, &[(layout.address_index, 9)]);
            octets.extend([up, gone, came].concat());
            let mut events = Vec::new();
            layout.events(&octets, &mut |event| events.push(event));
            let expected = [
                NetEvent::Route { network: [192, 0, 2, 0].into(), bits: 24 },
                NetEvent::Route { network: [192, 0, 2, 9].into(), bits: 32 },
                NetEvent::Link { index: 7, up: true },
                NetEvent::LinkDeleted { index: 8 },
                NetEvent::Address { index: 9, address: "fe80::".parse().unwrap(), deprecated: false },
            ];
            assert_eq!(events, expected);
            for cut in 0..octets.len() {
                layout.events(&octets[..cut], &mut |_| {});
                layout.events(&octets[cut..], &mut |_| {});
            }
        }
    }

    #[test]
    fn routes_are_asked_for_and_told() {
        for layout in [NETBSD, FREEBSD] {
            let question = layout.question([198, 51, 100, 1].into(), 5);
            assert_eq!(half(&question, 0), Some(question.len() as u16));
            assert_eq!(
                (question[2], question[3], word(&question, SEQUENCE)),
                (layout.version, RTM_GET, Some(5))
            );
            assert_eq!(address_at(&question[layout.route..], 0x11, INTERFACE).unwrap()[1], AF_LINK);
            let names = [v4([0; 4]), v4([10, 0, 0, 1]), vec![0], vec![20, AF_LINK, 3, 0], v4([10, 0, 0, 9])];
            let mut names = names.each_ref().map(Vec::as_slice);
            let link = [&[20, AF_LINK][..], &[0; 18]].concat();
            names[3] = &link;
            let words =
                [(FLAGS, 0x803), (ADDRS, 0x37), (PID, 77), (SEQUENCE, 5), (MTU, 1400u32), (MTU + 4, 0)];
            let mut answer = message(RTM_GET, layout.route, &words, &names);
            if cfg!(target_endian = "big") {
                answer[MTU..MTU + 8].copy_from_slice(&1400u64.to_ne_bytes());
            }
            halves(&mut answer, &[(INDEX, 3)]);
            let (route, mtu) = layout.answer(&answer, (77, 5)).unwrap().unwrap();
            let expected = KernelRoute {
                device: 3,
                gateway: Some([10, 0, 0, 1].into()),
                source: Some([10, 0, 0, 9].into()),
                local: false,
            };
            assert_eq!((route, mtu), (expected, 1400));
            assert!(layout.answer(&answer, (77, 6)).is_none() && layout.answer(&answer, (78, 5)).is_none());
            answer[FLAGS..FLAGS + 4].copy_from_slice(&(0x803 | RTF_REJECT).to_ne_bytes());
            let error = layout.answer(&answer, (77, 5)).unwrap().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::HostUnreachable);
            for cut in 0..answer.len() {
                let _ = layout.answer(&answer[..cut], (77, 5));
            }
        }
    }
}
