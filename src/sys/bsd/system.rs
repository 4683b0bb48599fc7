//! Small things that systems do differently.

use std::fs::Metadata;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::SocketAddr;
use std::path::PathBuf;

use libc::c_int;

use super::netif;
use crate::sys::cvt;

/// No clock goes on while the machine sleeps.
pub(in crate::sys) const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC;
/// The socket of syslog (_PATH_LOG).
pub(in crate::sys) const SYSLOG: &str = "/var/run/log";
/// The files that hold the id of this machine: hostid of FreeBSD, that of D-Bus, of systemd's kind.
pub(in crate::sys) const MACHINE_IDS: &[&str] =
    &["/etc/hostid", "/etc/machine-id", "/var/lib/dbus/machine-id"];

/// There is no file that tells this start of the machine from others.
pub(in crate::sys) const BOOT_ID: Option<&str> = None;

/// A path by which this program can be started again.
pub fn own_program() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// Where `errno` is.
pub(in crate::sys) fn errno_location() -> *mut c_int {
    // SAFETY: the calls take nothing, and cannot fail.
    #[cfg(target_os = "freebsd")]
    unsafe {
        libc::__error()
    }
    // SAFETY: as above.
    #[cfg(target_os = "netbsd")]
    unsafe {
        libc::__errno()
    }
}

/// Whether this may be the null device, whose number is no fixed one.
pub(in crate::sys) fn is_null_device(found: &Metadata) -> bool {
    found.file_type().is_char_device()
}

/// There are no abstract sockets.
pub(in crate::sys) fn abstract_address(_name: &[u8]) -> Option<SocketAddr> {
    None
}

/// The descriptors that are open: each of the first that there may be is asked.
pub(in crate::sys) fn open_descriptors() -> Option<Vec<RawFd>> {
    // SAFETY: no pointers; a number that is not open is an error.
    let is_open = |fd: &RawFd| cvt(unsafe { libc::fcntl(*fd, libc::F_GETFD) }).is_ok();
    Some((0..1024).filter(is_open).collect())
}

/// Closes these descriptors, whoever owns them: nothing of them is used any more in this process.
pub(in crate::sys) fn close_range(first: RawFd, last: RawFd) {
    for fd in first..=last.min(0xffff) {
        // SAFETY: no pointers; nobody uses the descriptors, by what is said above.
        unsafe { libc::close(fd) };
    }
}

/// The Ethernet address of the interface that comes first by name, as octets.
pub(in crate::sys) fn first_hardware() -> Option<Vec<u8>> {
    let first = netif::hardware().into_iter().filter(|(_, address)| *address != [0; 6]).min();
    first.map(|(_, address)| address.to_vec())
}

/// The process at the other end of a Unix socket: its id (0 where it is not told), its effective user, its groups.
#[cfg(target_os = "netbsd")]
pub(in crate::sys) fn peer(socket: BorrowedFd<'_>) -> io::Result<(i32, u32, Vec<u32>)> {
    let mut peer = libc::unpcbid { unp_pid: 0, unp_euid: 0, unp_egid: 0 };
    let mut length = size_of::<libc::unpcbid>() as libc::socklen_t;
    let pointer = std::ptr::from_mut(&mut peer).cast();
    // unix(4): LOCAL_PEEREID of level 0.
    // SAFETY: `pointer` points to an unpcbid, and `length` says so.
    cvt(unsafe { libc::getsockopt(socket.as_raw_fd(), 0, libc::LOCAL_PEEREID, pointer, &mut length) })?;
    Ok((peer.unp_pid, peer.unp_euid, vec![peer.unp_egid]))
}

/// The process at the other end of a Unix socket: its id (0: it is not told), its effective user, its groups.
#[cfg(target_os = "freebsd")]
pub(in crate::sys) fn peer(socket: BorrowedFd<'_>) -> io::Result<(i32, u32, Vec<u32>)> {
    // SAFETY: xucred is plain data for which all zeros is a valid value.
    let mut peer: libc::xucred = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::xucred>() as libc::socklen_t;
    let pointer = std::ptr::from_mut(&mut peer).cast();
    // unix(4): LOCAL_PEERCRED of level 0 (SOL_LOCAL).
    // SAFETY: `pointer` points to an xucred, and `length` says so.
    cvt(unsafe { libc::getsockopt(socket.as_raw_fd(), 0, libc::LOCAL_PEERCRED, pointer, &mut length) })?;
    let count = usize::try_from(peer.cr_ngroups).unwrap_or(0);
    Ok((0, peer.cr_uid, peer.cr_groups.get(..count).unwrap_or_default().to_vec()))
}

/// No scheduling policy is of this kind.
pub(in crate::sys) fn prefer_batches() -> bool {
    false
}

/// Nothing: see [`prefer_batches`].
pub(in crate::sys) fn prefer_answers() {}
