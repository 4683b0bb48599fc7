//! FreeBSD's kernel has no L2TPv3 (ng_l2tp(4) is of version 2).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{OwnedFd, RawFd};

pub use crate::sys::kinds::{NewSession, Statistics};
use crate::wire::{Encapsulation, SessionId};

/// The way to the kernel's L2TP: there is none.
#[derive(Debug)]
pub struct L2tp(std::convert::Infallible);

impl L2tp {
    /// Always `NotFound`.
    pub fn open() -> io::Result<L2tp> {
        Err(io::Error::new(io::ErrorKind::NotFound, "FreeBSD has none"))
    }

    /// Makes a tunnel.
    pub fn create_tunnel(&self, _id: u32, _encapsulation: Encapsulation, _fd: RawFd) -> io::Result<()> {
        match self.0 {}
    }

    /// Makes a session.
    pub fn create_session(&self, _session: &NewSession<'_>) -> io::Result<()> {
        match self.0 {}
    }

    /// Removes a session.
    pub fn delete_session(&self, _tunnel: u32, _session: SessionId) -> io::Result<()> {
        match self.0 {}
    }

    /// What the kernel counted for a session.
    pub fn statistics(&self, _tunnel: u32, _session: SessionId) -> io::Result<Statistics> {
        match self.0 {}
    }
}

/// Whether an error means that a module of the kernel's L2TP is missing.
pub fn is_missing(_error: &io::Error) -> bool {
    false
}

/// Opens a socket of the kernel's L2TP over IP: always `Unsupported`.
pub fn open_ip_socket(
    _local: IpAddr,
    _remote: SocketAddr,
    _id: u32,
    _by: (Option<&str>, u32),
) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}
