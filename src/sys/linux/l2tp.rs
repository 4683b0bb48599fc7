//! The kernel's own L2TPv3 (the modules l2tp_netlink, l2tp_eth and l2tp_ip): tunnels and sessions are made by messages
//! of generic netlink, of the family `l2tp`. A tunnel is bound to a socket of ours; when that is closed, however it
//! comes, the kernel removes the tunnel, its sessions and their interfaces.

use std::cell::Cell;
use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use libc::c_int;

use super::netlink::{self, attribute, messages, number, HEADER};
use super::outer;
use crate::sys::cvt;
pub use crate::sys::kinds::{NewSession, Statistics};
use crate::sys::socket::IPPROTO_L2TP;
use crate::sys::socket_call::{open, receive, send};
use crate::wire::{Encapsulation, SessionId};

const GENL_ID_CTRL: u16 = libc::GENL_ID_CTRL as u16;
const CTRL_CMD_GETFAMILY: u8 = libc::CTRL_CMD_GETFAMILY as u8;
const CTRL_ATTR_FAMILY_ID: u16 = libc::CTRL_ATTR_FAMILY_ID as u16;
const CTRL_ATTR_FAMILY_NAME: u16 = libc::CTRL_ATTR_FAMILY_NAME as u16;

// The rest of the numbers are those of linux/l2tp.h (L2TP_CMD_*, L2TP_ATTR_*), which libc lacks.

const TUNNEL_CREATE: u8 = 1;
const SESSION_CREATE: u8 = 5;
const SESSION_DELETE: u8 = 6;
const SESSION_GET: u8 = 8;

const PW_TYPE: u16 = 1;
const ENCAP_TYPE: u16 = 2;
const L2SPEC_TYPE: u16 = 5;
const PROTO_VERSION: u16 = 7;
const IFNAME: u16 = 8;
const CONN_ID: u16 = 9;
const PEER_CONN_ID: u16 = 10;
const SESSION_ID: u16 = 11;
const PEER_SESSION_ID: u16 = 12;
const COOKIE: u16 = 15;
const PEER_COOKIE: u16 = 16;
const RECV_SEQ: u16 = 18;
const SEND_SEQ: u16 = 19;
const FD: u16 = 23;
const STATS: u16 = 30;

/// The pseudowire type that makes an Ethernet interface; the kernel has no other for frames with tags.
const PW_TYPE_ETHERNET: u16 = 5;
/// Octets of the struct genlmsghdr that follows struct nlmsghdr.
const GENERIC_HEADER: usize = mem::size_of::<libc::genlmsghdr>();

/// The layout that [`Request`] and [`read_reply`] are written for.
const _: () = {
    assert!(mem::offset_of!(libc::nlmsghdr, nlmsg_type) == 4);
    assert!(mem::offset_of!(libc::nlmsghdr, nlmsg_flags) == 6);
    assert!(mem::offset_of!(libc::nlmsghdr, nlmsg_seq) == 8);
    assert!(GENERIC_HEADER == 4);
    assert!(mem::offset_of!(libc::nlmsgerr, error) == 0);
    assert!(mem::offset_of!(libc::nlattr, nla_type) == 2 && mem::size_of::<libc::nlattr>() == 4);
};

/// The way to the kernel's L2TP.
#[derive(Debug)]
pub struct L2tp {
    fd: OwnedFd,
    family: u16,
    sequence: Cell<u32>,
}

impl L2tp {
    /// Asks for the family; the kernel loads its module where it can. `NotFound`: it has none.
    pub fn open() -> io::Result<L2tp> {
        let fd = netlink::open(libc::NETLINK_GENERIC, 0)?;
        let mut l2tp = L2tp { fd, family: GENL_ID_CTRL, sequence: Cell::new(0) };
        let request = Request::new(CTRL_CMD_GETFAMILY).octets(CTRL_ATTR_FAMILY_NAME, b"l2tp\0");
        let reply = l2tp.call(request)?;
        let id = attribute(&reply, CTRL_ATTR_FAMILY_ID).and_then(|id| id.first_chunk::<2>());
        l2tp.family = u16::from_ne_bytes(*id.ok_or(io::ErrorKind::NotFound)?);
        Ok(l2tp)
    }

    /// Makes a tunnel of the socket `fd`, which is connected to the peer. `AlreadyExists`: another one has this id.
    pub fn create_tunnel(&self, id: u32, encapsulation: Encapsulation, fd: RawFd) -> io::Result<()> {
        let encapsulation: u16 = match encapsulation {
            Encapsulation::Udp => 0,
            Encapsulation::Ip => 1,
        };
        let request = Request::new(TUNNEL_CREATE)
            .word(CONN_ID, id)
            // Data messages do not carry it.
            .word(PEER_CONN_ID, id)
            .octets(PROTO_VERSION, &[3])
            .octets(ENCAP_TYPE, &encapsulation.to_ne_bytes())
            .octets(FD, &fd.to_ne_bytes());
        self.call(request).map(|_| ())
    }

    /// Makes a session and its interface, which is down. `AlreadyExists`: its id or name is in use; newer kernels remove a
    /// session's interface some time after the session.
    pub fn create_session(&self, session: &NewSession<'_>) -> io::Result<()> {
        let mut name = session.interface.as_bytes().to_vec();
        name.push(0);
        let request = Request::new(SESSION_CREATE)
            .word(CONN_ID, session.tunnel)
            .word(SESSION_ID, session.local.0)
            .word(PEER_SESSION_ID, session.remote.0)
            .octets(PW_TYPE, &PW_TYPE_ETHERNET.to_ne_bytes())
            .octets(IFNAME, &name)
            .octets(L2SPEC_TYPE, &[u8::from(session.sublayer)])
            .octets(COOKIE, session.cookie_to_send.as_slice())
            .octets(PEER_COOKIE, session.cookie_expected.as_slice())
            .octets(SEND_SEQ, &[u8::from(session.sequence_send)])
            .octets(RECV_SEQ, &[u8::from(session.sequence_receive)]);
        self.call(request).map(|_| ())
    }

    /// Removes a session and its interface.
    pub fn delete_session(&self, tunnel: u32, session: SessionId) -> io::Result<()> {
        let request = Request::new(SESSION_DELETE).word(CONN_ID, tunnel).word(SESSION_ID, session.0);
        self.call(request).map(|_| ())
    }

    /// What the kernel counted for a session.
    pub fn statistics(&self, tunnel: u32, session: SessionId) -> io::Result<Statistics> {
        let request = Request::new(SESSION_GET).word(CONN_ID, tunnel).word(SESSION_ID, session.0);
        let reply = self.call(request)?;
        let stats = attribute(&reply, STATS).unwrap_or_default();
        let number = |kind| {
            let octets = attribute(stats, kind).and_then(|n| n.first_chunk::<8>());
            octets.map_or(0, |n| u64::from_ne_bytes(*n))
        };
        Ok(Statistics {
            tx_frames: number(1),
            tx_octets: number(2),
            tx_errors: number(3),
            rx_frames: number(4),
            rx_octets: number(5),
            rx_sequence: number(6),
            rx_errors: number(8),
            rx_cookie: number(10),
        })
    }

    /// Sends a request and returns the attributes of its reply; empty where there is only an acknowledgement. The
    /// kernel has answered when the call that sends returns.
    fn call(&self, request: Request) -> io::Result<Vec<u8>> {
        self.sequence.set(self.sequence.get().wrapping_add(1));
        send(&self.fd, &request.finish(self.family, self.sequence.get()))?;
        let mut reply = Vec::new();
        let mut buffer = [0u8; 8192];
        loop {
            let got = receive(&self.fd, &mut buffer)?;
            if let Some(result) = read_reply(got, self.sequence.get(), &mut reply) {
                return result.map(|()| reply);
            }
        }
    }
}

/// A request that is being written: struct genlmsghdr (command (1), version (1), zero (2)), attributes.
struct Request(Vec<u8>);

impl Request {
    fn new(command: u8) -> Request {
        Request(vec![command, 1, 0, 0])
    }

    fn octets(mut self, kind: u16, value: &[u8]) -> Request {
        self.0.extend(netlink::field(kind, value));
        self
    }

    fn word(self, kind: u16, value: u32) -> Request {
        self.octets(kind, &value.to_ne_bytes())
    }

    fn finish(self, family: u16, sequence: u32) -> Vec<u8> {
        netlink::request(family, libc::NLM_F_ACK, sequence, &self.0)
    }
}

/// Reads what was received for a request: its attributes go to `reply`. `Some`: the kernel has finished.
fn read_reply(octets: &[u8], sequence: u32, reply: &mut Vec<u8>) -> Option<io::Result<()>> {
    for (kind, message) in messages(octets).filter(|(_, message)| number(message, 8) == Some(sequence)) {
        if c_int::from(kind) == libc::NLMSG_ERROR {
            return netlink::outcome(message);
        }
        reply.extend(message.get(HEADER + GENERIC_HEADER..).unwrap_or_default());
    }
    None
}

/// Whether an error means that a module of the kernel's L2TP is missing.
pub fn is_missing(error: &io::Error) -> bool {
    let missing = [libc::EPROTONOSUPPORT, libc::ESOCKTNOSUPPORT, libc::EAFNOSUPPORT];
    error.raw_os_error().is_some_and(|code| missing.contains(&code))
}

/// struct sockaddr_l2tpip of linux/l2tp.h
#[repr(C)]
struct AddressV4 {
    family: libc::sa_family_t,
    unused: u16,
    address: libc::in_addr,
    connection: u32,
    zero: [u8; 4],
}

/// struct sockaddr_l2tpip6 of linux/l2tp.h
#[repr(C)]
struct AddressV6 {
    family: libc::sa_family_t,
    unused: u16,
    flow: u32,
    address: libc::in6_addr,
    scope: u32,
    connection: u32,
}

/// Opens a socket of the kernel's L2TP over IP, from `local` (may be unspecified) to `remote`: all that a tunnel of the
/// kernel needs. Control messages for the connection `id` would be queued in it; nobody reads them.
pub fn open_ip_socket(
    local: IpAddr,
    remote: SocketAddr,
    id: u32,
    (device, mark): (Option<&str>, u32),
) -> io::Result<OwnedFd> {
    let fd = open(local, libc::SOCK_DGRAM, IPPROTO_L2TP)?;
    device.map_or(Ok(()), |name| outer::bind_device(&fd, name))?;
    if mark != 0 {
        outer::set_mark(fd.as_raw_fd(), mark)?;
    }
    name_call(&fd, SocketAddr::new(local, 0), id, libc::bind)?;
    name_call(&fd, remote, id, libc::connect)?;
    Ok(fd)
}

/// Calls bind(2) or connect(2) with an address and a connection id.
fn name_call(
    fd: &OwnedFd,
    address: SocketAddr,
    connection: u32,
    call: unsafe extern "C" fn(c_int, *const libc::sockaddr, libc::socklen_t) -> c_int,
) -> io::Result<()> {
    let result = match address {
        SocketAddr::V4(v4) => {
            let name = AddressV4 {
                family: libc::AF_INET as libc::sa_family_t,
                unused: 0,
                address: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                connection,
                zero: [0; 4],
            };
            // SAFETY: the pointer and the length are those of `name`, which lives through the call.
            unsafe { call(fd.as_raw_fd(), std::ptr::from_ref(&name).cast(), mem::size_of_val(&name) as u32) }
        }
        SocketAddr::V6(v6) => {
            let name = AddressV6 {
                family: libc::AF_INET6 as libc::sa_family_t,
                unused: 0,
                flow: 0,
                address: libc::in6_addr { s6_addr: v6.ip().octets() },
                scope: v6.scope_id(),
                connection,
            };
            // SAFETY: as above.
            unsafe { call(fd.as_raw_fd(), std::ptr::from_ref(&name).cast(), mem::size_of_val(&name) as u32) }
        }
    };
    cvt(result).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of the kernel: header, generic header, attributes.
    fn message(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let mut octets = (HEADER as u32 + body.len() as u32).to_ne_bytes().to_vec();
        octets.extend(kind.to_ne_bytes());
        octets.extend([0; 2]);
        octets.extend(sequence.to_ne_bytes());
        octets.extend([0; 4]);
        octets.extend(body);
        octets.resize(octets.len().next_multiple_of(4), 0);
        octets
    }

    #[test]
    fn requests_have_their_headers_and_filled_attributes() {
        let octets = Request::new(TUNNEL_CREATE).octets(PROTO_VERSION, &[3]).word(CONN_ID, 7).finish(30, 9);
        assert_eq!(octets.len(), 16 + 4 + 8 + 8);
        assert_eq!(number(&octets, 0), Some(36));
        assert_eq!(octets[4..6], 30u16.to_ne_bytes());
        assert_eq!(number(&octets, 8), Some(9));
        assert_eq!(octets[16..20], [TUNNEL_CREATE, 1, 0, 0]);
        let attributes = &octets[20..];
        assert_eq!(attribute(attributes, PROTO_VERSION), Some(&[3][..]));
        assert_eq!(attribute(attributes, CONN_ID), Some(&7u32.to_ne_bytes()[..]));
        assert_eq!(attribute(attributes, FD), None);
    }

    #[test]
    fn replies_are_read_up_to_the_acknowledgement() {
        let attributes = Request::new(0).word(SESSION_ID, 5).0;
        let other = message(libc::NLMSG_ERROR as u16, 3, &(-libc::EPERM).to_ne_bytes());
        let mut octets = [other, message(30, 4, &attributes)].concat();
        let mut reply = Vec::new();
        assert!(read_reply(&octets, 4, &mut reply).is_none(), "the acknowledgement is missing");
        assert_eq!(attribute(&reply, SESSION_ID), Some(&5u32.to_ne_bytes()[..]));
        octets.extend(message(libc::NLMSG_ERROR as u16, 4, &0i32.to_ne_bytes()));
        assert!(read_reply(&octets, 4, &mut reply).unwrap().is_ok());
        let refused = message(libc::NLMSG_ERROR as u16, 4, &(-libc::EEXIST).to_ne_bytes());
        let error = read_reply(&refused, 4, &mut reply).unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn cut_replies_end_nothing() {
        let octets = message(30, 1, &[9; 37]);
        for cut in 0..octets.len() {
            let mut reply = Vec::new();
            let _ = read_reply(&octets[..cut], 1, &mut reply);
            for kind in 0..4 {
                let _ = attribute(&octets[cut..], kind);
            }
        }
    }

    /// Where the kernel has no L2TP this is told as such.
    #[test]
    fn a_kernel_without_l2tp_says_so() {
        match L2tp::open() {
            Ok(l2tp) => assert_ne!(l2tp.family, GENL_ID_CTRL),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound),
        }
    }
}
