//! Netlink: sockets and messages. Numbers are in host byte order, attributes begin at multiples of 4.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};

use libc::c_int;

use crate::sys::cvt;
use crate::sys::socket_call::{open_family, receive, send};

/// Octets of struct nlmsghdr: length (4), type (2), flags (2), sequence (4), pid (4).
pub(super) const HEADER: usize = mem::size_of::<libc::nlmsghdr>();
const _: () = assert!(HEADER == 16);

/// Bits of an attribute's type that are flags.
const TYPE_FLAGS: u16 = (libc::NLA_F_NESTED | libc::NLA_F_NET_BYTEORDER) as u16;

/// A socket of this protocol that gets the events of these groups.
pub(super) fn open(protocol: c_int, groups: u32) -> io::Result<OwnedFd> {
    let fd = open_family(libc::AF_NETLINK, libc::SOCK_RAW, protocol)?;
    // SAFETY: sockaddr_nl is plain data for which all zeros is a valid value.
    let mut name: libc::sockaddr_nl = unsafe { mem::zeroed() };
    name.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    name.nl_groups = groups;
    let length = mem::size_of::<libc::sockaddr_nl>() as libc::socklen_t;
    // SAFETY: `name` is a sockaddr_nl of `length` octets.
    cvt(unsafe { libc::bind(fd.as_raw_fd(), std::ptr::from_ref(&name).cast(), length) })?;
    Ok(fd)
}

/// A request; `body` is what follows struct nlmsghdr.
pub(super) fn request(kind: u16, flags: c_int, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut octets = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
    octets.extend(kind.to_ne_bytes());
    octets.extend(((libc::NLM_F_REQUEST | flags) as u16).to_ne_bytes());
    octets.extend(sequence.to_ne_bytes());
    octets.extend([0; 4]);
    octets.extend(body);
    octets
}

/// An attribute, struct nlattr: length without filling (2), type (2); then the value, filled up to a multiple of 4.
pub(super) fn field(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut octets = (4 + value.len() as u16).to_ne_bytes().to_vec();
    octets.extend(kind.to_ne_bytes());
    octets.extend(value);
    octets.resize(octets.len().next_multiple_of(4), 0);
    octets
}

/// What a message of the kind NLMSG_ERROR says: an error, or an acknowledgement.
pub(super) fn outcome(message: &[u8]) -> Option<io::Result<()>> {
    Some(match number(message, HEADER)? as i32 {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error.saturating_neg())),
    })
}

/// Asks for a change, and returns what the kernel says of it.
pub(super) fn change(fd: &OwnedFd, kind: u16, flags: c_int, body: &[u8]) -> io::Result<()> {
    send(fd, &request(kind, flags | libc::NLM_F_ACK, 0, body))?;
    // The kernel has answered when the call that sends returns.
    let mut buffer = [0; 4096];
    outcome(receive(fd, &mut buffer)?).unwrap_or(Err(io::ErrorKind::InvalidData.into()))
}

/// An attribute that consists of attributes.
pub(super) fn nested(kind: u16, fields: &[u8]) -> Vec<u8> {
    field(kind | libc::NLA_F_NESTED as u16, fields)
}

/// A number of a message.
pub(super) fn number(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..)?.first_chunk::<4>().map(|n| u32::from_ne_bytes(*n))
}

/// The messages in what was received, each as long as its header says.
pub(super) fn messages(mut octets: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = number(octets, 0)? as usize;
        let message = octets.get(..length).filter(|_| length >= HEADER)?;
        let kind = message.get(4..)?.first_chunk::<2>().map(|k| u16::from_ne_bytes(*k))?;
        octets = octets.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, message))
    })
}

/// The value of the first attribute of a kind.
pub(super) fn attribute(mut attributes: &[u8], kind: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(*attributes.first_chunk::<2>()?));
        let found = u16::from_ne_bytes(*attributes.get(2..)?.first_chunk::<2>()?) & !TYPE_FLAGS;
        let value = attributes.get(4..length)?;
        if found == kind {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

/// An attribute's value as an address.
pub(super) fn address(value: &[u8]) -> Option<std::net::IpAddr> {
    match value.len() {
        4 => value.first_chunk::<4>().map(|a| (*a).into()),
        16 => value.first_chunk::<16>().map(|a| (*a).into()),
        _ => None,
    }
}
