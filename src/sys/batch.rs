//! Many datagrams with one system call: sendmmsg, and UDP GSO, which makes equally long datagrams out of one message. See
//! [`receiver`](super::receiver) for the other direction.

use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use libc::socklen_t;

use super::cmsg::{append, Aligned};
use super::outer;
use super::sockaddr::encode;
use super::socket::Socket;

/// Messages in one system call.
pub const SLOTS: usize = 64;
/// Room for the control messages of one datagram.
pub(super) const CONTROL_OCTETS: usize = 128;
/// The most segments that one message of UDP GSO may hold with all kernels.
const MAX_SEGMENTS: usize = 64;
/// The most octets that one message of UDP GSO may hold.
const MAX_GSO_OCTETS: usize = 65_000;

/// A header for which everything is still to be set.
pub(super) fn zeroed_header() -> libc::mmsghdr {
    // SAFETY: mmsghdr is plain data for which all zeros is a valid value.
    unsafe { mem::zeroed() }
}

/// Where a datagram goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    /// Where it is sent to.
    pub remote: SocketAddr,
    /// Our address that they leave from; unspecified: the system chooses.
    pub local: IpAddr,
    /// Time to live, or hop limit.
    pub ttl: u8,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
    /// The number of the last error of those.
    pub errno: Option<i32>,
    /// The kernel did not take several datagrams as one message (UDP GSO); they were sent one by one.
    pub gso_refused: bool,
    /// An error was reported that may belong to an earlier datagram: the error queue should be read.
    pub look_at_errors: bool,
}

/// How a datagram is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendOptions {
    /// TOS, or traffic class.
    pub tos: u8,
    /// It may become one message with others of equal length that follow it (UDP GSO).
    pub gso: bool,
    /// Whose it is: [`Sender::flush`] tells what became of the datagrams of each owner.
    pub owner: usize,
}

/// One datagram: pieces of the arena.
#[derive(Debug, Clone)]
struct Part {
    pieces: Range<usize>,
    length: usize,
    tos: u8,
    owner: usize,
    /// The place of its destination.
    to: usize,
}

/// A batch of datagrams that leave through one socket. They are built in place in `arena`, then added piece by piece.
pub struct Sender {
    /// Where the octets of the datagrams lie.
    pub arena: Vec<u8>,
    iovecs: Vec<libc::iovec>,
    pieces: Vec<Range<usize>>,
    parts: Vec<Part>,
    destinations: Vec<(Destination, (libc::sockaddr_storage, socklen_t))>,
    /// The parts of each message; several with UDP GSO.
    messages: Vec<Range<usize>>,
    controls: Vec<(Aligned<CONTROL_OCTETS>, usize)>,
    headers: Vec<libc::mmsghdr>,
    usual_tos: u8,
    usual_ttl: u8,
    /// What became of the datagrams of each owner.
    sent: Vec<(usize, Sent)>,
}

impl Sender {
    /// A batch whose arena has `octets` octets.
    pub fn new(octets: usize) -> Sender {
        Sender {
            arena: vec![0; octets],
            iovecs: Vec::new(),
            pieces: Vec::new(),
            parts: Vec::new(),
            destinations: Vec::new(),
            messages: Vec::new(),
            controls: Vec::new(),
            headers: Vec::new(),
            usual_tos: 0,
            usual_ttl: 0,
            sent: Vec::new(),
        }
    }

    /// Adds a datagram that consists of these pieces of the arena.
    pub fn push(&mut self, pieces: &[Range<usize>], to: &Destination, options: SendOptions) {
        let first = self.pieces.len();
        self.pieces.extend_from_slice(pieces);
        let length = pieces.iter().map(|p| p.len()).sum();
        if self.destinations.last().is_none_or(|(last, _)| last != to) {
            self.destinations.push((*to, encode(to.remote)));
        }
        let to = self.destinations.len() - 1;
        let part =
            Part { pieces: first..self.pieces.len(), length, tos: options.tos, owner: options.owner, to };
        let at = self.parts.len();
        let fits = options.gso && self.messages.last().is_some_and(|message| self.fits(message, &part));
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
            && (next.tos, next.to) == (first.tos, first.to)
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

    /// Sends everything, without waiting: what the system does not take now is dropped, and counted. `report` is told
    /// what became of the datagrams of each owner, one time or several.
    pub fn flush(&mut self, socket: &mut Socket, report: &mut dyn FnMut(usize, &Sent)) {
        let messages = mem::take(&mut self.messages);
        let mut next = 0;
        self.settle(socket, &messages);
        while let Some(rest) = messages.get(next..).filter(|rest| !rest.is_empty()) {
            next += match outer::TOS_AND_TTL_BESIDE {
                true => self.send_some(socket, rest),
                false => {
                    self.settle(socket, rest);
                    self.send_some(socket, rest.get(..self.alike(rest)).unwrap_or_default())
                }
            };
        }
        self.messages = messages;
        self.messages.clear();
        self.parts.clear();
        self.pieces.clear();
        self.destinations.clear();
        self.sent.drain(..).for_each(|(owner, sent)| report(owner, &sent));
    }

    /// Sets the socket to the TOS and TTL of the first message. Most batches have one TOS and TTL. What differs carries
    /// its own, which costs the kernel an allocation.
    fn settle(&mut self, socket: &mut Socket, messages: &[Range<usize>]) {
        let first = messages.first().and_then(|message| self.tos_and_ttl(message));
        (self.usual_tos, self.usual_ttl) = first.unwrap_or((0, 0));
        // Without these options the messages go out all the same.
        let _ = socket.set_ttl_and_tos(self.usual_ttl, self.usual_tos);
    }

    fn tos_and_ttl(&self, message: &Range<usize>) -> Option<(u8, u8)> {
        let part = self.parts.get(message.start)?;
        Some((part.tos, self.destinations.get(part.to)?.0.ttl))
    }

    /// How many messages have the TOS and TTL of the first.
    fn alike(&self, messages: &[Range<usize>]) -> usize {
        let first = messages.first().and_then(|message| self.tos_and_ttl(message));
        messages.iter().take_while(|message| self.tos_and_ttl(message) == first).count().max(1)
    }

    /// What became of the datagrams of an owner; those of one stand together.
    fn sent_of(&mut self, owner: usize) -> &mut Sent {
        let at = self.sent.iter().rposition(|(other, _)| *other == owner).unwrap_or_else(|| {
            self.sent.push((owner, Sent::default()));
            self.sent.len() - 1
        });
        &mut self.sent[at].1
    }

    /// Notes something of each part of a message.
    fn note_parts(&mut self, message: &Range<usize>, note: &dyn Fn(&mut Sent, usize)) {
        for at in message.clone() {
            let Some((owner, length)) = self.parts.get(at).map(|part| (part.owner, part.length)) else {
                return;
            };
            note(self.sent_of(owner), length);
        }
    }

    /// Sends messages until the first that fails; how many were dealt with (at least one).
    fn send_some(&mut self, socket: &Socket, messages: &[Range<usize>]) -> usize {
        let Some(first) = messages.first() else { return 1 };
        let mut result = self.call(socket, messages);
        if result.as_ref().is_err_and(|e| !is_no_space(e)) {
            // The error may be that of an earlier datagram (ICMP): asking took it away.
            self.note_parts(first, &|sent, _| sent.look_at_errors = true);
            result = self.call(socket, messages);
        }
        match result {
            Ok(count) => {
                for message in messages.iter().take(count) {
                    self.note_parts(message, &|sent, length| {
                        sent.datagrams += 1;
                        sent.octets += length as u64;
                    });
                }
                count.max(1)
            }
            Err(error) => {
                self.not_sent(socket, first, &error);
                1
            }
        }
    }

    /// The system did not take a message.
    fn not_sent(&mut self, socket: &Socket, message: &Range<usize>, error: &io::Error) {
        match error.raw_os_error() {
            _ if is_no_space(error) => self.note_parts(message, &|sent, _| sent.no_space += 1),
            Some(libc::EMSGSIZE | libc::EINVAL | libc::EIO) if message.len() > 1 => {
                let all = |sender: &Sender| sender.sent.iter().map(|(_, sent)| sent.datagrams).sum::<u64>();
                let before = all(self);
                for at in message.clone() {
                    self.send_some(socket, std::slice::from_ref(&(at..at + 1)));
                }
                // Where only a short one got through, the others are too long, with GSO or without.
                if all(self) == before + message.len() as u64 {
                    self.note_parts(message, &|sent, _| sent.gso_refused = true);
                }
            }
            Some(libc::EMSGSIZE) => self.note_parts(message, &|sent, _| sent.too_long += 1),
            errno => self.note_parts(message, &|sent, _| {
                sent.failed += 1;
                sent.errno = Some(errno.unwrap_or(0));
            }),
        }
    }

    fn call(&mut self, socket: &Socket, messages: &[Range<usize>]) -> io::Result<usize> {
        self.prepare(socket.local().ip(), messages);
        // SAFETY: `prepare` has just set the pointers of `headers` to live buffers, which nothing has changed since.
        unsafe { outer::send(socket.output(), &mut self.headers) }
    }

    fn prepare(&mut self, bound: IpAddr, messages: &[Range<usize>]) {
        self.iovecs.clear();
        self.controls.clear();
        self.headers.clear();
        let messages = messages.get(..messages.len().min(SLOTS)).unwrap_or_default();
        for message in messages {
            let parts = self.parts.get(message.clone()).unwrap_or_default();
            let Some((to, _)) = parts.first().and_then(|part| self.destinations.get(part.to)) else { return };
            // What a bound socket sends leaves from its address anyway.
            let local = Some(to.local).filter(|local| !local.is_unspecified() && *local != bound);
            for piece in parts.iter().filter_map(|p| self.pieces.get(p.pieces.clone())).flatten() {
                let octets = self.arena.get(piece.clone()).unwrap_or_default();
                let iov_base = octets.as_ptr().cast_mut().cast();
                self.iovecs.push(libc::iovec { iov_base, iov_len: octets.len() });
            }
            let tos = parts.first().map(|p| p.tos).filter(|tos| *tos != self.usual_tos);
            let gso_size = parts.first().filter(|_| parts.len() > 1).map(|p| p.length as u16);
            let ttl = Some(to.ttl).filter(|ttl| *ttl != self.usual_ttl);
            self.controls.push(control(to, local, (tos, ttl), gso_size));
        }
        // Only now do iovecs and controls stay where they are.
        let mut iovec = 0;
        for (message, (control, control_length)) in messages.iter().zip(&mut self.controls) {
            let parts = self.parts.get(message.clone()).unwrap_or_default();
            let count = parts.iter().map(|p| p.pieces.len()).sum::<usize>();
            let Some(iovecs) = self.iovecs.get_mut(iovec..iovec + count) else { return };
            let to = parts.first().and_then(|part| self.destinations.get(part.to));
            let Some((_, name)) = to else { return };
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
    (tos, ttl): (Option<u8>, Option<u8>),
    gso_size: Option<u16>,
) -> (Aligned<CONTROL_OCTETS>, usize) {
    let mut buffer = Aligned::new();
    let mut at = 0;
    outer::append_tos_and_ttl(&mut buffer, &mut at, to.remote.is_ipv4(), tos, ttl);
    match local {
        Some(IpAddr::V4(local)) => outer::append_source(&mut buffer, &mut at, local),
        Some(IpAddr::V6(local)) => {
            let info =
                libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: local.octets() }, ipi6_ifindex: 0 };
            append(&mut buffer, &mut at, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
        }
        None => {}
    }
    if let Some(gso_size) = gso_size {
        outer::append_gso_size(&mut buffer, &mut at, gso_size);
    }
    (buffer, at)
}

#[cfg(test)]
mod tests {
    use super::super::cmsg::control_messages;
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn appended_control_messages_are_walked_as_they_should() {
        let local: IpAddr = "fd00::7".parse().unwrap();
        let to = Destination { remote: "[fd00::1]:1701".parse().unwrap(), local, ttl: 33 };
        let (mut buffer, length) = control(&to, Some(local), (Some(0x2e), Some(33)), Some(1446));
        let mut message = zeroed_header().msg_hdr;
        message.msg_control = buffer.as_mut_ptr();
        message.msg_controllen = length as _;
        let mut found = Vec::new();
        control_messages(&message, |level, kind, data| found.push((level, kind, data.to_vec())));
        assert_eq!(found.len(), 4);
        assert_eq!(found[0], (libc::IPPROTO_IPV6, libc::IPV6_TCLASS, 0x2ei32.to_ne_bytes().to_vec()));
        assert_eq!(found[1], (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT, 33i32.to_ne_bytes().to_vec()));
        assert_eq!((found[2].1, &found[2].2[14..16]), (libc::IPV6_PKTINFO, &[0u8, 7][..]));
        assert_eq!(found[3], (libc::SOL_UDP, libc::UDP_SEGMENT, 1446u16.to_ne_bytes().to_vec()));
    }

    #[test]
    fn equal_neighbours_become_one_message() {
        let mut sender = Sender::new(100_000);
        let [to, other] = [1, 2].map(|last| Destination {
            remote: ([192, 0, 2, last], 1701).into(),
            local: Ipv4Addr::UNSPECIFIED.into(),
            ttl: 64,
        });
        for (length, tos) in
            [(100, 0), (100, 0), (80, 0), (80, 0), (90, 0), (90, 1), (50_000, 1), (20_000, 1)]
        {
            sender.push(&[0..10, 10..length], &to, SendOptions { tos, gso: true, owner: 0 });
        }
        assert_eq!(sender.messages, [0..3, 3..4, 4..5, 5..6, 6..7, 7..8]);
        sender.push(&[0..1, 1..20_000], &to, SendOptions { tos: 1, gso: false, owner: 0 });
        assert_eq!(sender.messages.len(), 7);
        // Frames of several sessions with one peer, and with another.
        for (owner, to) in [(1, &to), (2, &to), (3, &other), (4, &other)] {
            sender.push(&[0..50, 50..100], to, SendOptions { tos: 2, gso: true, owner });
        }
        assert_eq!(sender.messages[7..], [9..11, 11..13]);
    }

    #[test]
    fn messages_of_one_tos_and_ttl_stand_together() {
        let mut sender = Sender::new(1000);
        let to = |ttl| Destination {
            remote: "192.0.2.1:1701".parse().unwrap(),
            local: Ipv4Addr::UNSPECIFIED.into(),
            ttl,
        };
        for (tos, ttl) in [(0, 64), (0, 64), (8, 64), (8, 255), (8, 255), (8, 255)] {
            sender.push(std::slice::from_ref(&(0..10)), &to(ttl), SendOptions { tos, gso: false, owner: 0 });
        }
        let runs = [0, 2, 3].map(|at| sender.alike(&sender.messages[at..]));
        assert_eq!((runs, sender.alike(&[])), ([2, 1, 3], 1));
    }
}
