//! Giving up what is not needed. There are no capabilities: whoever opens raw sockets and makes interfaces is root, so
//! the daemon stays root, and what it has run by its helper becomes another user for good.

use std::io;

use crate::sys::cvt;
pub use crate::sys::user::{group, user, User};

/// Whether root's rights can be kept one by one.
pub const CAPABILITIES: bool = false;
/// Bind to ports below 1024.
pub const NET_BIND_SERVICE: u32 = 10;
/// Make and configure interfaces.
pub const NET_ADMIN: u32 = 12;
/// Open raw sockets.
pub const NET_RAW: u32 = 13;

/// Becomes `user` for good. `Unsupported` if anything is to be kept.
pub fn drop_to(user: User, capabilities: &[u32]) -> io::Result<()> {
    if !capabilities.is_empty() {
        let why = "this system has no capabilities, only root can do it: set user root";
        return Err(io::Error::new(io::ErrorKind::Unsupported, why));
    }
    // setuid(2) of root sets the real, effective and saved user.
    // SAFETY: the list has as many entries as the call says; the others take numbers.
    unsafe {
        cvt(libc::setgroups(1, &user.gid))?;
        cvt(libc::setgid(user.gid))?;
        cvt(libc::setuid(user.uid))?;
    }
    no_new_privileges()
}

/// Stays root, with all that root may do.
pub fn limit_to(_capabilities: &[u32]) -> io::Result<()> {
    no_new_privileges()
}

/// From now on no program gives this process or its children more rights than they have (procctl(2), where it knows
/// this).
pub fn no_new_privileges() -> io::Result<()> {
    #[cfg(target_os = "freebsd")]
    control(libc::PROC_NO_NEW_PRIVS_CTL, libc::PROC_NO_NEW_PRIVS_ENABLE);
    Ok(())
}

/// Keeps the secrets out of core files, and on FreeBSD away from debuggers of the same user.
pub fn no_dumps() -> io::Result<()> {
    #[cfg(target_os = "freebsd")]
    control(libc::PROC_TRACE_CTL, libc::PROC_TRACE_CTL_DISABLE);
    let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` lives through the call.
    cvt(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &limit) }).map(|_| ())
}

/// A setting of this process that older kernels do not know.
#[cfg(target_os = "freebsd")]
fn control(command: libc::c_int, mut value: libc::c_int) {
    let value = std::ptr::from_mut(&mut value).cast();
    // SAFETY: these commands take a pointer to an int, which lives through the call; 0 is this process.
    unsafe { libc::procctl(libc::P_PID, 0, command, value) };
}
