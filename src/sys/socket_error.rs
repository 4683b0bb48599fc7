//! What became of datagrams that were sent earlier: errors that ICMP has told.

use std::io;
use std::net::SocketAddr;

/// An entry of the error queue: what became of a datagram sent earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketError {
    /// The system's error number (`ECONNREFUSED`, `EMSGSIZE` ...).
    pub errno: i32,
    /// Where the datagram was sent to.
    pub remote: Option<SocketAddr>,
    /// The path's MTU, with `EMSGSIZE`.
    pub mtu: Option<usize>,
}

impl SocketError {
    /// Whether the host that the datagram reached has no such port or protocol.
    pub fn is_refusal(&self) -> bool {
        matches!(self.errno, libc::ECONNREFUSED | libc::ENOPROTOOPT | libc::EPROTO)
    }
}

/// Whether a socket's error is one that ICMP errors of earlier datagrams leave on it, beside their entry in the error
/// queue: icmp(7), and what the kernel makes of the types and codes of ICMP and ICMPv6.
pub fn is_icmp_error(error: &io::Error) -> bool {
    let known = [
        libc::ECONNREFUSED,
        libc::ENOPROTOOPT,
        libc::EHOSTUNREACH,
        libc::ENETUNREACH,
        libc::EHOSTDOWN,
        #[cfg(target_os = "linux")]
        libc::ENONET,
        libc::EACCES,
        libc::EPROTO,
        libc::EOPNOTSUPP,
        libc::EMSGSIZE,
    ];
    error.raw_os_error().is_some_and(|errno| known.contains(&errno))
}
