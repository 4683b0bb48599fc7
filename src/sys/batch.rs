//! Many datagrams with one system call: recvmmsg and sendmmsg, and UDP GSO, which makes
//! equally long datagrams out of one message. The buffers belong to the daemon, not to a session; what is never used is never
//! touched, so that it costs address space only.

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::os::fd::AsRawFd;

use libc::{c_int, c_long, socklen_t};

use super::cmsg::{append, control_messages, Aligned};
use super::sockaddr::{decode, encode, name_capacity, zeroed_name};
use super::socket::Socket;

/// Messages in one system call.
pub const SLOTS: usize = 64;
/// The fewest slots that are offered to a receiving call.
const MIN_WIDTH: usize = 4;
/// Octets of a slot: the longest datagram, or as many as the kernel merges (UDP GRO).
const SLOT_OCTETS: usize = 65_536;
/// Octets from slot to slot. Were it a power of two, the starts of all slots would compete for the same few places
/// of the processor's caches.
const SLOT_STRIDE: usize = SLOT_OCTETS + 1600;
/// Room for the control messages of one datagram.
const CONTROL_OCTETS: usize = 128;
/// The most segments that one message of UDP GSO may hold with all kernels.
const MAX_SEGMENTS: usize = 64;
/// The most octets that one message of UDP GSO may hold.
const MAX_GSO_OCTETS: usize = 65_000;

/// A received datagram.
#[derive(Debug, Clone)]
pub struct Datagram {
    /// Where it lies in the receiver's buffer. Over raw IPv4 the IP header comes first.
    pub range: Range<usize>,
    /// The sender.
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
        let (headers, count) = (self.headers.as_mut_ptr(), self.headers.len() as u32);
        let none = std::ptr::null_mut();
        // SAFETY: `headers` points to `count` mmsghdr whose pointers `prepare` has just set to live buffers.
        let got =
            unsafe { libc::recvmmsg(socket.as_raw_fd(), headers, count, libc::MSG_DONTWAIT as _, none) };
        let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
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

fn zeroed_header() -> libc::mmsghdr {
    // SAFETY: mmsghdr is plain data for which all zeros is a valid value.
    unsafe { mem::zeroed() }
}

/// Notes what a control message says about a datagram.
fn note(datagram: &mut Datagram, level: c_int, kind: c_int, data: &[u8]) {
    match (level, kind) {
        // ipi_addr is the destination in the IP header, ipi_spec_dst an address for replies.
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
            let address = data.get(mem::offset_of!(libc::in_pktinfo, ipi_addr)..);
            datagram.local = address.and_then(|a| a.first_chunk::<4>()).map(|a| Ipv4Addr::from(*a).into());
        }
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            let address = data.get(mem::offset_of!(libc::in6_pktinfo, ipi6_addr)..);
            datagram.local = address.and_then(|a| a.first_chunk::<16>()).map(|a| Ipv6Addr::from(*a).into());
        }
        (libc::SOL_UDP, libc::UDP_GRO) => {
            let length = data.first_chunk::<4>().map(|l| i32::from_ne_bytes(*l));
            datagram.gso_size = length.and_then(|l| usize::try_from(l).ok()).filter(|l| *l > 0);
        }
        _ => {}
    }
}

/// Where the messages of a batch go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    /// The peer.
    pub remote: SocketAddr,
    /// Our address that they leave from; unspecified: the system chooses.
    pub local: IpAddr,
    /// Time to live, or hop limit.
    pub ttl: u8,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Sent {
    /// Datagrams sent.
    pub datagrams: u64,
    /// Octets of them.
    pub octets: u64,
    /// Datagrams too long for the path.
    pub too_long: u64,
    /// Datagrams that the system had no space for.
    pub no_space: u64,
    /// Datagrams that failed for other reasons.
    pub failed: u64,
    /// The last error of those.
    pub error: Option<io::Error>,
    /// The kernel did not take several datagrams as one message (UDP GSO); they were sent one by one.
    pub gso_refused: bool,
    /// An error was reported that may belong to an earlier datagram: the error queue should be read.
    pub look_at_errors: bool,
}

/// One datagram: pieces of the arena.
#[derive(Debug, Clone)]
struct Part {
    pieces: Range<usize>,
    length: usize,
    tos: u8,
}

/// A batch of datagrams for one destination. They are built in place in `arena`, then added piece by piece.
pub struct Sender {
    /// Where the octets of the datagrams lie.
    pub arena: Vec<u8>,
    iovecs: Vec<libc::iovec>,
    pieces: Vec<Range<usize>>,
    parts: Vec<Part>,
    /// The parts of each message; several with UDP GSO.
    messages: Vec<Range<usize>>,
    controls: Vec<(Aligned<CONTROL_OCTETS>, usize)>,
    headers: Vec<libc::mmsghdr>,
    usual_tos: u8,
}

impl Sender {
    /// A batch whose arena has `octets` octets.
    pub fn new(octets: usize) -> Sender {
        Sender {
            arena: vec![0; octets],
            iovecs: Vec::new(),
            pieces: Vec::new(),
            parts: Vec::new(),
            messages: Vec::new(),
            controls: Vec::new(),
            headers: Vec::new(),
            usual_tos: 0,
        }
    }

    /// Adds a datagram that consists of these pieces of the arena. With `gso`, datagrams of equal length that
    /// follow each other become one message.
    pub fn push(&mut self, pieces: &[Range<usize>], tos: u8, gso: bool) {
        let first = self.pieces.len();
        self.pieces.extend_from_slice(pieces);
        let length = pieces.iter().map(|p| p.len()).sum();
        let part = Part { pieces: first..self.pieces.len(), length, tos };
        let at = self.parts.len();
        let fits = gso && self.messages.last().is_some_and(|message| self.fits(message, &part));
        self.parts.push(part);
        match self.messages.last_mut() {
            Some(message) if fits => message.end = at + 1,
            _ => self.messages.push(at..at + 1),
        }
    }

    /// Whether a datagram can be the next segment of a message: all but the last are equally long.
    fn fits(&self, message: &Range<usize>, next: &Part) -> bool {
        let (Some(first), Some(last)) = (self.parts.get(message.start), self.parts.get(message.end - 1))
        else {
            return false;
        };
        message.len() < MAX_SEGMENTS
            && last.length == first.length
            && next.length <= first.length
            && next.tos == first.tos
            && (message.len() + 1) * first.length <= MAX_GSO_OCTETS
    }

    /// Messages waiting.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Sends everything, without waiting: what the system does not take now is dropped, and counted.
    pub fn flush(&mut self, socket: &mut Socket, to: &Destination) -> Sent {
        let mut sent = Sent::default();
        // Most batches have one TOS. What differs from it carries its own, which costs the kernel an allocation.
        self.usual_tos = self.parts.first().map_or(0, |p| p.tos);
        // Without these options the messages go out all the same.
        let _ = socket.set_ttl_and_tos(to.ttl, self.usual_tos);
        let name = encode(to.remote);
        let messages = mem::take(&mut self.messages);
        let mut next = 0;
        while let Some(rest) = messages.get(next..).filter(|rest| !rest.is_empty()) {
            next += self.send_some(socket, to, &name, rest, &mut sent);
        }
        self.messages = messages;
        self.messages.clear();
        self.parts.clear();
        self.pieces.clear();
        sent
    }

    /// Sends messages until the first that fails; how many were dealt with (at least one).
    fn send_some(
        &mut self,
        socket: &Socket,
        to: &Destination,
        name: &(libc::sockaddr_storage, socklen_t),
        messages: &[Range<usize>],
        sent: &mut Sent,
    ) -> usize {
        let Some(first) = messages.first() else { return 1 };
        let mut result = self.call(socket, to, name, messages);
        if result.as_ref().is_err_and(|e| !is_no_space(e)) {
            // The error may be that of an earlier datagram (ICMP): asking took it away.
            sent.look_at_errors = true;
            result = self.call(socket, to, name, messages);
        }
        match result {
            Ok(count) => {
                for part in
                    messages.iter().take(count).flat_map(|message| self.parts.get(message.clone())).flatten()
                {
                    sent.datagrams += 1;
                    sent.octets += part.length as u64;
                }
                count.max(1)
            }
            Err(error) => {
                let count = first.len() as u64;
                match error.raw_os_error() {
                    _ if is_no_space(&error) => sent.no_space += count,
                    Some(libc::EMSGSIZE | libc::EINVAL | libc::EIO) if first.len() > 1 => {
                        let before = sent.datagrams;
                        for at in first.clone() {
                            self.send_some(socket, to, name, std::slice::from_ref(&(at..at + 1)), sent);
                        }
                        // Where only a short one got through, the others are too long, with GSO or without.
                        sent.gso_refused |= sent.datagrams == before + count;
                    }
                    Some(libc::EMSGSIZE) => sent.too_long += count,
                    _ => {
                        sent.failed += count;
                        sent.error = Some(error);
                    }
                }
                1
            }
        }
    }

    fn call(
        &mut self,
        socket: &Socket,
        to: &Destination,
        name: &(libc::sockaddr_storage, socklen_t),
        messages: &[Range<usize>],
    ) -> io::Result<usize> {
        self.prepare(socket.local().ip(), to, name, messages);
        let (headers, count) = (self.headers.as_mut_ptr(), self.headers.len() as c_long);
        let (fd, flags) =
            (c_long::from(socket.output()), c_long::from(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL));
        // The function of musl makes one system call for each message.
        // SAFETY: `headers` points to `count` mmsghdr whose pointers `prepare` has just set to live buffers, which
        // nothing has changed since. libc's structures are those of the kernel: what some C libraries declare
        // narrower has padding beside it, which is zero.
        let done = unsafe { libc::syscall(libc::SYS_sendmmsg, fd, headers, count, flags) };
        usize::try_from(done).map_err(|_| io::Error::last_os_error())
    }

    fn prepare(
        &mut self,
        bound: IpAddr,
        to: &Destination,
        name: &(libc::sockaddr_storage, socklen_t),
        messages: &[Range<usize>],
    ) {
        self.iovecs.clear();
        self.controls.clear();
        self.headers.clear();
        let messages = messages.get(..messages.len().min(SLOTS)).unwrap_or_default();
        // What a bound socket sends leaves from its address anyway.
        let local = Some(to.local).filter(|local| !local.is_unspecified() && *local != bound);
        for message in messages {
            let parts = self.parts.get(message.clone()).unwrap_or_default();
            for piece in parts.iter().filter_map(|p| self.pieces.get(p.pieces.clone())).flatten() {
                let octets = self.arena.get(piece.clone()).unwrap_or_default();
                let iov_base = octets.as_ptr().cast_mut().cast();
                self.iovecs.push(libc::iovec { iov_base, iov_len: octets.len() });
            }
            let tos = parts.first().map(|p| p.tos).filter(|tos| *tos != self.usual_tos);
            let gso_size = parts.first().filter(|_| parts.len() > 1).map(|p| p.length as u16);
            self.controls.push(control(to, local, tos, gso_size));
        }
        // Only now do iovecs and controls stay where they are.
        let mut iovec = 0;
        for (message, (control, control_length)) in messages.iter().zip(&mut self.controls) {
            let parts = self.parts.get(message.clone()).unwrap_or_default();
            let count = parts.iter().map(|p| p.pieces.len()).sum::<usize>();
            let Some(iovecs) = self.iovecs.get_mut(iovec..iovec + count) else { return };
            iovec += count;
            let mut header = zeroed_header();
            header.msg_hdr.msg_name = std::ptr::from_ref(&name.0).cast_mut().cast();
            header.msg_hdr.msg_namelen = name.1;
            header.msg_hdr.msg_iov = iovecs.as_mut_ptr();
            header.msg_hdr.msg_iovlen = count as _;
            header.msg_hdr.msg_control = control.as_mut_ptr();
            header.msg_hdr.msg_controllen = *control_length as _;
            self.headers.push(header);
        }
    }
}

fn is_no_space(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM))
}

/// The control messages of one sent message, and their length.
fn control(
    to: &Destination,
    local: Option<IpAddr>,
    tos: Option<u8>,
    gso_size: Option<u16>,
) -> (Aligned<CONTROL_OCTETS>, usize) {
    let mut buffer = Aligned::new();
    let mut at = 0;
    if let Some(tos) = tos {
        let (level, kind) = match to.remote.ip() {
            IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_TOS),
            IpAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
        };
        append(&mut buffer, &mut at, level, kind, c_int::from(tos));
    }
    match local {
        Some(IpAddr::V4(local)) => {
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(local.octets()) },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            append(&mut buffer, &mut at, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
        }
        Some(IpAddr::V6(local)) => {
            let info =
                libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: local.octets() }, ipi6_ifindex: 0 };
            append(&mut buffer, &mut at, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
        }
        None => {}
    }
    if let Some(gso_size) = gso_size {
        append(&mut buffer, &mut at, libc::SOL_UDP, libc::UDP_SEGMENT, gso_size);
    }
    (buffer, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appended_control_messages_are_walked_as_they_should() {
        let local: IpAddr = "fd00::7".parse().unwrap();
        let to = Destination { remote: "[fd00::1]:1701".parse().unwrap(), local, ttl: 33 };
        let (mut buffer, length) = control(&to, Some(local), Some(0x2e), Some(1446));
        let mut message = zeroed_header().msg_hdr;
        message.msg_control = buffer.as_mut_ptr();
        message.msg_controllen = length as _;
        let mut found = Vec::new();
        control_messages(&message, |level, kind, data| found.push((level, kind, data.to_vec())));
        assert_eq!(found.len(), 3);
        assert_eq!(found[0], (libc::IPPROTO_IPV6, libc::IPV6_TCLASS, 0x2ei32.to_ne_bytes().to_vec()));
        assert_eq!((found[1].1, &found[1].2[14..16]), (libc::IPV6_PKTINFO, &[0u8, 7][..]));
        assert_eq!(found[2], (libc::SOL_UDP, libc::UDP_SEGMENT, 1446u16.to_ne_bytes().to_vec()));
    }

    #[test]
    fn equal_neighbours_become_one_message() {
        let mut sender = Sender::new(100_000);
        for (length, tos) in
            [(100, 0), (100, 0), (80, 0), (80, 0), (90, 0), (90, 1), (50_000, 1), (20_000, 1)]
        {
            sender.push(&[0..10, 10..length], tos, true);
        }
        assert_eq!(sender.messages, [0..3, 3..4, 4..5, 5..6, 6..7, 7..8]);
        sender.push(&[0..1, 1..20_000], 1, false);
        assert_eq!(sender.messages.len(), 7);
    }
}
