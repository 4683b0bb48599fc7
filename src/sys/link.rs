//! News about interfaces from the kernel (NETLINK_ROUTE): brought up, brought down, deleted.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use libc::c_int;

use super::cvt;

/// What happened to an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkNews {
    /// Its flags as they are now; other things than the flags may have changed.
    State {
        /// Interface index.
        index: c_int,
        /// The administrator has it up.
        up: bool,
    },
    /// It is gone.
    Deleted {
        /// Interface index.
        index: c_int,
    },
    /// The kernel could not tell everything: look at all interfaces.
    Lost,
}

/// The socket that news come from.
#[derive(Debug)]
pub struct LinkMonitor {
    fd: OwnedFd,
}

impl LinkMonitor {
    /// Subscribes.
    pub fn open() -> io::Result<LinkMonitor> {
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: no pointers are passed.
        let fd = cvt(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) })?;
        // SAFETY: `fd` was just opened and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: sockaddr_nl is plain data for which all zeros is a valid value.
        let mut name: libc::sockaddr_nl = unsafe { mem::zeroed() };
        name.nl_family = libc::AF_NETLINK as libc::sa_family_t;
        name.nl_groups = libc::RTMGRP_LINK as u32;
        let length = mem::size_of::<libc::sockaddr_nl>() as libc::socklen_t;
        // SAFETY: `name` is a sockaddr_nl of `length` octets.
        cvt(unsafe { libc::bind(fd.as_raw_fd(), std::ptr::from_ref(&name).cast(), length) })?;
        Ok(LinkMonitor { fd })
    }

    /// Hands what there is to `tell`; returns when nothing is left.
    pub fn drain(&self, tell: &mut dyn FnMut(LinkNews)) {
        let mut buffer = [0u8; 16384];
        loop {
            let (pointer, length) = (buffer.as_mut_ptr().cast(), buffer.len());
            // SAFETY: `pointer` points to `length` writable octets.
            let got = unsafe { libc::recv(self.fd.as_raw_fd(), pointer, length, libc::MSG_DONTWAIT) };
            match usize::try_from(got) {
                Ok(got) => parse(buffer.get(..got).unwrap_or_default(), tell),
                Err(_) => match io::Error::last_os_error().raw_os_error() {
                    Some(libc::ENOBUFS) => tell(LinkNews::Lost),
                    Some(libc::EINTR) => {}
                    _ => return,
                },
            }
        }
    }
}

impl AsRawFd for LinkMonitor {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// struct nlmsghdr: length (4), type (2), flags (2), sequence (4), pid (4); then struct ifinfomsg: family (1),
/// padding (1), type (2), index (4), flags (4), change (4); host byte order, messages begin at multiples of 4.
fn parse(mut messages: &[u8], tell: &mut dyn FnMut(LinkNews)) {
    while let Some(length) = number(messages, 0) {
        let length = length as usize;
        let Some(message) = messages.get(..length).filter(|_| length >= 16) else { return };
        let kind = message.get(4..6).and_then(|k| k.first_chunk::<2>()).map(|k| u16::from_ne_bytes(*k));
        if let (Some(kind), Some(index), Some(flags)) = (kind, number(message, 20), number(message, 24)) {
            let index = index as c_int;
            match kind {
                libc::RTM_NEWLINK => {
                    tell(LinkNews::State { index, up: flags & libc::IFF_UP as u32 != 0 });
                }
                // A port that leaves a bridge is "deleted" from it too, in the family AF_BRIDGE.
                libc::RTM_DELLINK if message.get(16) == Some(&0) => tell(LinkNews::Deleted { index }),
                _ => {}
            }
        }
        messages = messages.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
}

/// A number of a netlink message.
pub(super) fn number(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..)?.first_chunk::<4>().map(|n| u32::from_ne_bytes(*n))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, family: u8, index: u32, flags: u32) -> Vec<u8> {
        let mut octets = 32u32.to_ne_bytes().to_vec();
        octets.extend(kind.to_ne_bytes());
        octets.extend([0; 10]);
        octets.extend([family, 0, 1, 0]);
        octets.extend(index.to_ne_bytes());
        octets.extend(flags.to_ne_bytes());
        octets.extend([0; 4]);
        octets
    }

    #[test]
    fn reads_link_messages() {
        let mut octets = message(libc::RTM_NEWLINK, 0, 7, libc::IFF_UP as u32);
        octets.extend(message(libc::RTM_DELLINK, libc::AF_BRIDGE as u8, 8, 0));
        octets.extend(message(libc::RTM_NEWLINK, 0, 9, 0));
        octets.extend(message(libc::RTM_DELLINK, 0, 10, 0));
        let mut news = Vec::new();
        parse(&octets, &mut |n| news.push(n));
        assert_eq!(
            news,
            [
                LinkNews::State { index: 7, up: true },
                LinkNews::State { index: 9, up: false },
                LinkNews::Deleted { index: 10 }
            ]
        );
        for cut in 0..octets.len() {
            parse(&octets[..cut], &mut |_| {});
        }
    }
}
