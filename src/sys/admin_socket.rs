//! What the admin socket needs of the system beyond what the standard library has: a listener that never stands
//! open to others, not even for a moment, and who is at the other end.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use super::system;

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

/// Holds the directory of `path` until the result is dropped: a daemon that starts at the same moment must not find a
/// socket dead that another one is about to replace, and take that one's new socket away. Anybody who may look into a
/// directory can hold it, so this waits for a second at most; `None`: it goes without.
pub fn hold_directory(path: &Path) -> Option<File> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = File::open(parent.unwrap_or(Path::new("."))).ok()?;
    for _ in 0..100 {
        // SAFETY: flock(2) takes no pointers; the descriptor is open.
        if unsafe { libc::flock(directory.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
            return Some(directory);
        }
        // SAFETY: no descriptors, so the pointer is not used; this waits for 10 ms.
        unsafe { libc::poll(std::ptr::null_mut(), 0, 10) };
    }
    None
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
    let (pid, uid, groups) = system::peer(socket)?;
    Ok(Credentials { pid, uid, groups })
}

/// Whether `path` is too long for a socket's name.
pub fn too_long(path: &Path) -> bool {
    let room = size_of::<libc::sockaddr_un>() - std::mem::offset_of!(libc::sockaddr_un, sun_path);
    path.as_os_str().as_bytes().len() >= room
}
