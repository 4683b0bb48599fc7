//! The kernel's own L2TPv3: l2tp(4). Each session is an interface `l2tpN` with the two addresses of its tunnel. The order
//! of the requests is that of ifconfig(8). An interface that is there already is taken over, and left there.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use super::l2tp_request::{
    hindrance, DataRequest, L2tpRequest, TunnelRequest, SIOCDL2TPCOOKIE, SIOCDL2TPSESSION, SIOCGIFDATA,
    SIOCSL2TPCOOKIE, SIOCSL2TPSESSION, SIOCSL2TPSTATE, SIOCSLIFPHYADDR,
};
use crate::sys::bsd::ioctl::name_octets;
use crate::sys::bsd::netif::{self, call};
pub use crate::sys::kinds::{NewSession, Statistics};
use crate::sys::sockaddr::{decode, encode, name_capacity, zeroed_name};
use crate::sys::socket_call::{name_call, open};
use crate::sys::{cvt, outer};
use crate::wire::{Encapsulation, SessionId};

/// The way to the kernel's L2TP, and what we have there.
#[derive(Debug, Default)]
pub struct L2tp {
    /// The two ends of each tunnel.
    tunnels: RefCell<BTreeMap<u32, (SocketAddr, SocketAddr)>>,
    sessions: RefCell<BTreeMap<u32, Made>>,
}

/// The interface of a session.
#[derive(Debug)]
struct Made {
    interface: String,
    /// We have made it.
    made: bool,
}

impl L2tp {
    /// Nothing is asked: the kernel loads its module with the first interface.
    pub fn open() -> io::Result<L2tp> {
        Ok(L2tp::default())
    }

    /// Takes note of a tunnel: the two ends of the socket `fd`, which is connected to the peer. `Unsupported` over UDP.
    pub fn create_tunnel(&self, id: u32, encapsulation: Encapsulation, fd: RawFd) -> io::Result<()> {
        if encapsulation == Encapsulation::Udp {
            return Err(unsupported("l2tp(4) carries frames over IP only: set encapsulation ip"));
        }
        let ends = (end(fd, libc::getsockname)?, end(fd, libc::getpeername)?);
        self.tunnels.borrow_mut().insert(id, ends);
        Ok(())
    }

    /// Makes a session of an interface, which is down.
    pub fn create_session(&self, session: &NewSession<'_>) -> io::Result<()> {
        let ends = self.tunnels.borrow().get(&session.tunnel).copied();
        let ends = ends.ok_or(io::ErrorKind::NotFound)?;
        hindrance(session).map_or(Ok(()), |why| Err(unsupported(why)))?;
        let interface = session.interface;
        let is_its = |name: &str| name.strip_prefix("l2tp").is_some_and(|n| n.parse::<u16>().is_ok());
        if !is_its(interface) {
            return Err(unsupported("interfaces of l2tp(4) are called l2tp0, l2tp1 ..."));
        }
        let made = match netif::create(interface) {
            Ok(_) => true,
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => false,
            Err(error) => return Err(error),
        };
        let result = set_up(session, ends);
        let made = Made { interface: interface.to_owned(), made };
        match result {
            Ok(()) => _ = self.sessions.borrow_mut().insert(session.local.0, made),
            Err(_) => made.remove(),
        }
        result
    }

    /// Removes a session, and its interface if we have made it.
    pub fn delete_session(&self, _tunnel: u32, session: SessionId) -> io::Result<()> {
        let made = self.sessions.borrow_mut().remove(&session.0);
        made.ok_or(io::ErrorKind::NotFound)?.remove();
        Ok(())
    }

    /// What the interface of a session has counted; why a received frame was dropped is not told.
    pub fn statistics(&self, _tunnel: u32, session: SessionId) -> io::Result<Statistics> {
        let sessions = self.sessions.borrow();
        let made = sessions.get(&session.0).ok_or(io::ErrorKind::NotFound)?;
        // SAFETY: ifdatareq is plain data for which all zeros is a valid value.
        let mut request: DataRequest = unsafe { std::mem::zeroed() };
        request.name = name_octets(&made.interface).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: the request takes an ifdatareq, and has no pointers.
        unsafe { call(libc::AF_INET, SIOCGIFDATA, &mut request)? };
        Ok(Statistics {
            tx_frames: request.packets_out,
            tx_octets: request.octets_out,
            tx_errors: request.errors_out,
            rx_frames: request.packets_in,
            rx_octets: request.octets_in,
            rx_errors: request.errors_in,
            ..Statistics::default()
        })
    }
}

impl Made {
    fn remove(self) {
        // What is gone already needs nothing.
        if self.made {
            let _ = netif::destroy(&self.interface);
            return;
        }
        // Frames are sent in whatever state, so the session has to go as well.
        let _ = ask(&self.interface, SIOCSL2TPSTATE, &L2tpRequest::state(false));
        let _ = ask(&self.interface, SIOCDL2TPSESSION, &L2tpRequest::default());
        let _ = ask(&self.interface, SIOCDL2TPCOOKIE, &L2tpRequest::default());
    }
}

fn unsupported(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, why)
}

/// Addresses, ids, cookies, state: in this order.
fn set_up(session: &NewSession<'_>, (local, remote): (SocketAddr, SocketAddr)) -> io::Result<()> {
    let name = name_octets(session.interface).ok_or(io::ErrorKind::InvalidInput)?;
    let mut tunnel =
        TunnelRequest { name, flags: 0, prefix: 0, local: storage(local), remote: storage(remote) };
    // SAFETY: the request takes an if_laddrreq, and has no pointers.
    unsafe { call(libc::AF_INET, SIOCSLIFPHYADDR, &mut tunnel)? };
    let request = L2tpRequest::new(session);
    ask(session.interface, SIOCSL2TPSESSION, &request)?;
    match request.has_cookies() {
        true => ask(session.interface, SIOCSL2TPCOOKIE, &request)?,
        false => ask(session.interface, SIOCDL2TPCOOKIE, &request)?,
    }
    ask(session.interface, SIOCSL2TPSTATE, &L2tpRequest::state(true))
}

/// An address without its port, as struct sockaddr_storage.
fn storage(mut address: SocketAddr) -> [u8; 128] {
    address.set_port(0);
    let (name, length) = encode(address);
    let mut octets = [0; 128];
    // SAFETY: `name` is a sockaddr_storage, of which `length` octets are the address.
    let from = unsafe { std::slice::from_raw_parts(std::ptr::from_ref(&name).cast::<u8>(), length as usize) };
    octets.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    octets
}

/// A request of l2tp(4): an ifreq that points to struct l2tp_req.
fn ask(interface: &str, number: u32, request: &L2tpRequest) -> io::Result<()> {
    let pointer: *const L2tpRequest = request;
    let mut by_name = netif::request(interface)?.with(&pointer.expose_provenance().to_ne_bytes());
    // SAFETY: the request takes an ifreq that points to an l2tp_req, which lives through the call.
    unsafe { call(libc::AF_INET, number, &mut by_name) }
}

/// getsockname(2) or getpeername(2).
fn end(
    fd: RawFd,
    call: unsafe extern "C" fn(RawFd, *mut libc::sockaddr, *mut libc::socklen_t) -> libc::c_int,
) -> io::Result<SocketAddr> {
    let (mut name, mut length) = (zeroed_name(), name_capacity());
    // SAFETY: the pointer is to a sockaddr_storage, and `length` says how long it is.
    cvt(unsafe { call(fd, std::ptr::from_mut(&mut name).cast(), &mut length) })?;
    decode(&name).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Whether an error means that l2tp(4) is missing: no interface of this kind can be made.
pub fn is_missing(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EINVAL)
}

/// Opens what stands for a tunnel: a socket whose two ends are the tunnel's. Nothing is sent through it.
pub fn open_ip_socket(
    local: IpAddr,
    remote: SocketAddr,
    _id: u32,
    (device, mark): (Option<&str>, u32),
) -> io::Result<OwnedFd> {
    let fd = open(local, libc::SOCK_DGRAM, 0)?;
    device.map_or(Ok(()), |name| outer::bind_device(&fd, name))?;
    if mark != 0 {
        outer::set_mark(fd.as_raw_fd(), mark)?;
    }
    name_call(&fd, SocketAddr::new(local, 0), libc::bind)?;
    // The port means nothing: the socket only knows its ends by it.
    name_call(&fd, SocketAddr::new(remote.ip(), 9), libc::connect)?;
    Ok(fd)
}
