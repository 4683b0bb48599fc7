//! Many datagrams with one system call: recvmmsg. The buffers belong to the daemon, not to a session; what is never used
//! is never touched, so that it costs address space only.

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::os::fd::AsRawFd;

use libc::c_int;

use super::batch::{zeroed_header, CONTROL_OCTETS, SLOTS};
use super::cmsg::{control_messages, Aligned};
use super::outer;
use super::sockaddr::{decode, name_capacity, zeroed_name};
use super::socket::Socket;

/// The fewest slots that are offered to a receiving call.
const MIN_WIDTH: usize = 4;
/// Octets of a slot: the longest datagram, or as many as the kernel merges (UDP GRO).
const SLOT_OCTETS: usize = 65_536;
/// Octets from slot to slot. Were it a power of two, the starts of all slots would compete for the same few places
/// of the processor's caches.
const SLOT_STRIDE: usize = SLOT_OCTETS + 1600;

/// A received datagram.
#[derive(Debug, Clone)]
pub struct Datagram {
    /// Where it lies in the receiver's buffer. Over raw IPv4 the IP header comes first.
    pub range: Range<usize>,
    /// Where it came from; the port is 0 over IP.
    pub remote: SocketAddr,
    /// To which address of ours.
    pub local: Option<IpAddr>,
    /// UDP GRO: the kernel merged datagrams of this length (the last may be shorter).
    pub gso_size: Option<usize>,
}

/// Buffers for receiving.
pub struct Receiver {
    buffer: Vec<u8>,
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<Aligned<CONTROL_OCTETS>>,
    iovecs: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    datagrams: Vec<Datagram>,
    truncated: u64,
    /// Slots offered to the next call: about as many as are used, for each costs time even if it stays empty.
    width: usize,
}

impl Default for Receiver {
    fn default() -> Receiver {
        Receiver {
            buffer: vec![0; SLOTS * SLOT_STRIDE],
            names: vec![zeroed_name(); SLOTS],
            controls: vec![Aligned::new(); SLOTS],
            iovecs: Vec::with_capacity(SLOTS),
            headers: Vec::with_capacity(SLOTS),
            datagrams: Vec::with_capacity(SLOTS),
            truncated: 0,
            width: MIN_WIDTH,
        }
    }
}

impl Receiver {
    /// Receives up to [`SLOTS`] datagrams without waiting. `Ok(true)`: there may be more.
    pub fn receive(&mut self, socket: &Socket) -> io::Result<bool> {
        self.datagrams.clear();
        self.prepare();
        // SAFETY: `prepare` has just set the pointers of `headers` to live buffers.
        let got = unsafe { outer::receive(socket.as_raw_fd(), &mut self.headers) }?;
        for (slot, header) in self.headers.iter().take(got).enumerate() {
            let Some(remote) = self.names.get(slot).and_then(decode) else { continue };
            if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
                self.truncated += 1;
                continue;
            }
            let start = slot * SLOT_STRIDE;
            let range = start..start + header.msg_len as usize;
            let mut datagram = Datagram { range, remote, local: None, gso_size: None };
            control_messages(&header.msg_hdr, |level, kind, data| note(&mut datagram, level, kind, data));
            self.datagrams.push(datagram);
        }
        let full = got == self.width;
        if full {
            self.width = (self.width * 4).min(SLOTS);
        } else if got < self.width / 4 {
            self.width = (self.width / 2).max(MIN_WIDTH);
        }
        Ok(full)
    }

    /// The kernel changes lengths and flags: everything is set anew.
    fn prepare(&mut self) {
        self.iovecs.clear();
        self.headers.clear();
        let slots = self.buffer.chunks_exact_mut(SLOT_STRIDE).take(self.width);
        self.iovecs.extend(
            slots.map(|s| libc::iovec { iov_base: s.as_mut_ptr().cast(), iov_len: SLOT_OCTETS.min(s.len()) }),
        );
        for ((iovec, name), control) in self.iovecs.iter_mut().zip(&mut self.names).zip(&mut self.controls) {
            let mut header = zeroed_header();
            header.msg_hdr.msg_name = std::ptr::from_mut(name).cast();
            header.msg_hdr.msg_namelen = name_capacity();
            header.msg_hdr.msg_iov = iovec;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.as_mut_ptr();
            header.msg_hdr.msg_controllen = control.len() as _;
            self.headers.push(header);
        }
    }

    /// What the last [`receive`](Receiver::receive) got, and the buffer that it lies in.
    pub fn datagrams(&mut self) -> (&[Datagram], &mut [u8]) {
        (&self.datagrams, &mut self.buffer)
    }

    /// Datagrams dropped until now because they were longer than a slot.
    pub fn truncated(&self) -> u64 {
        self.truncated
    }
}

/// Notes what a control message says about a datagram.
fn note(datagram: &mut Datagram, level: c_int, kind: c_int, data: &[u8]) {
    if let Some(local) = outer::destination(level, kind, data) {
        datagram.local = Some(local.into());
    } else if let Some(length) = outer::gso_size(level, kind, data) {
        datagram.gso_size = Some(length);
    } else if (level, kind) == (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) {
        let address = data.get(mem::offset_of!(libc::in6_pktinfo, ipi6_addr)..);
        datagram.local = address.and_then(|a| a.first_chunk::<16>()).map(|a| Ipv6Addr::from(*a).into());
    }
}
