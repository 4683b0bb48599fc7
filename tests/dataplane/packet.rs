//! Whole frames in and out of an interface, with the virtio network header that says what the system still has to
//! do with them: cut them (super-frames), or fill in a checksum.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Instant;

use crate::sys::wait_readable;

/// What stands before a frame: octets as in `struct virtio_net_hdr`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vnet {
    /// The checksum from `start` on has to be filled in `offset` octets after it.
    pub checksum: Option<(usize, usize)>,
    /// `TCP4`, `TCP6` or `UDP`, or 0: not to be cut.
    pub kind: u8,
    /// Octets of payload in each frame.
    pub size: usize,
    /// Octets of all headers.
    pub headers: usize,
}

pub const TCP4: u8 = 1;
pub const TCP6: u8 = 4;
pub const UDP: u8 = 5;

impl Vnet {
    fn to_octets(self) -> [u8; 10] {
        let number = |n: usize| (n as u16).to_ne_bytes();
        let (start, offset) = self.checksum.unwrap_or_default();
        let mut octets = [0; 10];
        octets[0] = u8::from(self.checksum.is_some());
        octets[1] = self.kind;
        for (at, value) in [(2, self.headers), (4, self.size), (6, start), (8, offset)] {
            octets[at..at + 2].copy_from_slice(&number(value));
        }
        octets
    }

    fn from_octets(octets: &[u8]) -> Vnet {
        let number = |at: usize| usize::from(u16::from_ne_bytes([octets[at], octets[at + 1]]));
        let checksum = (octets[0] & 1 != 0).then(|| (number(6), number(8)));
        Vnet { checksum, kind: octets[1] & 0x7f, size: number(4), headers: number(2) }
    }
}

/// A packet socket on one interface that sends and receives frames with their `Vnet`.
pub struct PacketSocket(OwnedFd);

/// As the kernel's `struct tpacket_auxdata`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Auxiliary {
    status: u32,
    length: u32,
    snapped: u32,
    mac: u16,
    net: u16,
    vlan_tag: u16,
    vlan_kind: u16,
}

const PACKET_AUXDATA: i32 = 8;
const PACKET_VNET_HDR: i32 = 15;
const VLAN_VALID: u32 = 1 << 4;

impl PacketSocket {
    /// Opens it; the interface must be in the calling thread's namespace.
    pub fn open(interface: &str) -> PacketSocket {
        let protocol = (libc::ETH_P_ALL as u16).to_be();
        // SAFETY: socket(2) takes no pointers.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        assert!(fd >= 0, "packet socket: {}", std::io::Error::last_os_error());
        // SAFETY: the descriptor is new and nobody else owns it.
        let socket = PacketSocket(unsafe { OwnedFd::from_raw_fd(fd) });
        socket.option(libc::SOL_PACKET, PACKET_VNET_HDR, 1);
        socket.option(libc::SOL_PACKET, PACKET_AUXDATA, 1);
        socket.option(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, 256 << 20);
        socket.option(libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, 64 << 20);
        let name = std::ffi::CString::new(interface).expect("name");
        // SAFETY: all-zero is a valid sockaddr_ll.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = protocol;
        // SAFETY: `name` is a terminated string that outlives the call.
        address.sll_ifindex = unsafe { libc::if_nametoindex(name.as_ptr()) } as i32;
        let length = std::mem::size_of_val(&address) as u32;
        // SAFETY: the pointer and the length describe `address`.
        let result = unsafe { libc::bind(fd, (&raw const address).cast(), length) };
        assert_eq!(result, 0, "{interface}: {}", std::io::Error::last_os_error());
        socket
    }

    fn option(&self, level: i32, name: i32, value: i32) {
        // SAFETY: the pointer and the length describe `value`.
        let result =
            unsafe { libc::setsockopt(self.0.as_raw_fd(), level, name, (&raw const value).cast(), 4) };
        assert_eq!(result, 0, "socket option {name}: {}", std::io::Error::last_os_error());
    }

    /// Sends one frame or super-frame.
    pub fn send(&self, vnet: Vnet, frame: &[u8]) {
        let message = [&vnet.to_octets()[..], frame].concat();
        // SAFETY: the pointer and the length describe `message`.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) };
        let error = std::io::Error::last_os_error();
        assert_eq!(sent, message.len() as isize, "send of {} octets, {vnet:?}: {error}", frame.len());
    }

    /// The next frame that came in, or `None` at `deadline`. A tag that the kernel took out is put back.
    pub fn receive(&self, deadline: Instant) -> Option<(Vnet, Vec<u8>)> {
        let mut buffer = vec![0_u8; 80_000];
        loop {
            if !wait_readable(self.0.as_raw_fd(), deadline) {
                return None;
            }
            let Some((length, outgoing, auxiliary)) = self.message(&mut buffer) else { continue };
            if outgoing {
                continue;
            }
            let mut vnet = Vnet::from_octets(&buffer);
            let mut frame = buffer[10..length].to_vec();
            if auxiliary.status & VLAN_VALID != 0 {
                let tag = [auxiliary.vlan_kind.to_be_bytes(), auxiliary.vlan_tag.to_be_bytes()].concat();
                frame.splice(12..12, tag);
                vnet.checksum = vnet.checksum.map(|(start, offset)| (start + 4, offset));
            }
            return Some((vnet, frame));
        }
    }

    /// Receives one message: its length, whether it was sent from here, and what the kernel says about it.
    fn message(&self, buffer: &mut [u8]) -> Option<(usize, bool, Auxiliary)> {
        let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        let mut control = [0_u64; 16];
        // SAFETY: all-zero is valid for both structures.
        let (mut from, mut message): (libc::sockaddr_ll, libc::msghdr) = unsafe { std::mem::zeroed() };
        message.msg_name = (&raw mut from).cast();
        message.msg_namelen = std::mem::size_of_val(&from) as u32;
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = std::mem::size_of_val(&control);
        // SAFETY: all pointers of the message describe buffers that live through the call.
        let length = unsafe { libc::recvmsg(self.0.as_raw_fd(), &raw mut message, 0) };
        if length < 10 {
            return None;
        }
        // SAFETY: the kernel has filled in the control buffer that the message describes.
        let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
        assert!(!header.is_null(), "the kernel says nothing about the frame");
        // SAFETY: the first message is PACKET_AUXDATA, the only kind asked for; it may be unaligned.
        let auxiliary = unsafe { libc::CMSG_DATA(header).cast::<Auxiliary>().read_unaligned() };
        Some((length as usize, from.sll_pkttype == libc::PACKET_OUTGOING, auxiliary))
    }
}
