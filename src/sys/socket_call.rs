//! The system's calls for sockets.

use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use libc::{c_int, c_void};

use super::sockaddr::encode;
use super::{cvt, cvt_size};

/// A new socket of the family of `local`: non-blocking, closed on exec.
pub(super) fn open(local: IpAddr, kind: c_int, protocol: c_int) -> io::Result<OwnedFd> {
    let family = if local.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    open_family(family, kind, protocol)
}

/// A new socket of any family: non-blocking, closed on exec.
pub(super) fn open_family(family: c_int, kind: c_int, protocol: c_int) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers are passed.
    let fd = cvt(unsafe { libc::socket(family, kind | flags, protocol) })?;
    // SAFETY: `fd` was just opened and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Calls bind(2) or connect(2) with an address.
pub(super) fn name_call(
    fd: &OwnedFd,
    address: SocketAddr,
    call: unsafe extern "C" fn(c_int, *const libc::sockaddr, libc::socklen_t) -> c_int,
) -> io::Result<()> {
    let (name, length) = encode(address);
    let name = std::ptr::from_ref(&name).cast::<libc::sockaddr>();
    // SAFETY: `name` points to a sockaddr_storage of which `length` octets are the address.
    cvt(unsafe { call(fd.as_raw_fd(), name, length) }).map(|_| ())
}

/// Sets an option whose value is a number.
pub(super) fn set_option(fd: RawFd, level: c_int, option: c_int, value: c_int) -> io::Result<()> {
    let length = mem::size_of::<c_int>() as libc::socklen_t;
    let pointer = std::ptr::from_ref(&value).cast::<c_void>();
    // SAFETY: `pointer` points to an int that lives through the call.
    cvt(unsafe { libc::setsockopt(fd, level, option, pointer, length) })?;
    Ok(())
}

/// Sends one message.
pub(super) fn send(fd: &OwnedFd, octets: &[u8]) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of `octets`.
    cvt_size(unsafe { libc::send(fd.as_raw_fd(), octets.as_ptr().cast(), octets.len(), 0) }).map(|_| ())
}

/// Receives one message, without waiting.
pub(super) fn receive<'a>(fd: &OwnedFd, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let (pointer, length) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: `pointer` points to `length` writable octets.
    let got = cvt_size(unsafe { libc::recv(fd.as_raw_fd(), pointer, length, libc::MSG_DONTWAIT) })?;
    Ok(buffer.get(..got).unwrap_or_default())
}
