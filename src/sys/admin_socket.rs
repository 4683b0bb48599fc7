//! What the admin socket needs of the system beyond what the standard library has: a listener that never stands
//! open to others, not even for a moment, and who is at the other end.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// The process at the other end of a Unix socket, as the kernel knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Its process id.
    pub pid: i32,
    /// Its effective user.
    pub uid: u32,
    /// Its groups: the effective one first, then the supplementary ones.
    pub groups: Vec<u32>,
}

/// Binds a Unix socket at `path` and listens on it. Without a group it is open to its owner alone (mode 0600),
/// with one to the group too (0660). The umask closes the gap between the two steps; it is the whole process's,
/// so call this while there is one thread.
pub fn listen(path: &Path, group: Option<u32>) -> io::Result<UnixListener> {
    // SAFETY: umask takes and returns a number; it cannot fail.
    let old = unsafe { libc::umask(0o177) };
    let listener = UnixListener::bind(path);
    // SAFETY: as above.
    unsafe { libc::umask(old) };
    let listener = listener?;
    if let Some(group) = group {
        let opened = std::os::unix::fs::chown(path, None, Some(group))
            .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)));
        if let Err(error) = opened {
            let _ = std::fs::remove_file(path);
            return Err(error);
        }
    }
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The effective user of this process.
pub fn own_uid() -> u32 {
    // SAFETY: geteuid takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// Who connected.
pub fn peer(socket: BorrowedFd<'_>) -> io::Result<Credentials> {
    let mut credentials = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let size = std::mem::size_of::<libc::ucred>();
    // SAFETY: the pointer is valid for `size` octets.
    unsafe { get_option(socket, libc::SO_PEERCRED, (&raw mut credentials).cast(), size)? };
    let mut groups = vec![credentials.gid];
    groups.extend(supplementary_groups(socket).unwrap_or_default());
    Ok(Credentials { pid: credentials.pid, uid: credentials.uid, groups })
}

/// The supplementary groups of who connected (Linux 4.13 and newer; older kernels do not tell).
fn supplementary_groups(socket: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut groups = vec![0_u32; 65_536]; // NGROUPS_MAX: more cannot be
    let size = std::mem::size_of_val(groups.as_slice());
    // SAFETY: the pointer is valid for `size` octets.
    let octets = unsafe { get_option(socket, libc::SO_PEERGROUPS, groups.as_mut_ptr().cast(), size)? };
    groups.truncate(octets / std::mem::size_of::<u32>());
    Ok(groups)
}

/// Reads a socket option of level SOL_SOCKET into `value`; returns the octets written.
///
/// # Safety
/// `value` must be valid for writes of `size` octets.
unsafe fn get_option(
    socket: BorrowedFd<'_>,
    option: libc::c_int,
    value: *mut libc::c_void,
    size: usize,
) -> io::Result<usize> {
    let mut length = libc::socklen_t::try_from(size).unwrap_or(libc::socklen_t::MAX);
    // SAFETY: the descriptor is open (it is borrowed), and the caller vouches for `value` and `size`.
    let status =
        unsafe { libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, value, &mut length) };
    if status == 0 {
        Ok(length as usize)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Whether `path` is too long for a socket's name.
pub fn too_long(path: &Path) -> bool {
    path.as_os_str().as_bytes().len() >= 108
}
