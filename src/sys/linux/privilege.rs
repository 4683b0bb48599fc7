//! Giving up what is not needed: the daemon runs as `user` and keeps only the capabilities that tunnels need; root
//! keeps only these as well. The order of the calls is what makes it work: the bounding set can only be cut by root, and the
//! capabilities survive the change of the user only with `PR_SET_KEEPCAPS`.

use std::io;

use crate::sys::cvt;
pub use crate::sys::user::{group, user, User};

// The numbers and structures of linux/capability.h, which libc lacks.

/// Whether root's rights can be kept one by one.
pub const CAPABILITIES: bool = true;
/// Bind to ports below 1024 (CAP_NET_BIND_SERVICE).
pub const NET_BIND_SERVICE: u32 = 10;
/// Make and configure interfaces (CAP_NET_ADMIN).
pub const NET_ADMIN: u32 = 12;
/// Open raw sockets (CAP_NET_RAW).
pub const NET_RAW: u32 = 13;

/// Cut the bounding set (CAP_SETPCAP).
const SETPCAP: u32 = 8;

/// The version of capset(2)'s structures that has 64 capabilities (_LINUX_CAPABILITY_VERSION_3).
const VERSION: u32 = 0x2008_0522;
/// No kernel knows as many capabilities.
const HIGHEST: u32 = 63;

#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Becomes `user` for good, keeping `capabilities` alone. Whatever the daemon executes afterwards has none of
/// them, and cannot gain rights through set-user-id programs either (`PR_SET_NO_NEW_PRIVS`).
pub fn drop_to(user: User, capabilities: &[u32]) -> io::Result<()> {
    drop_others(capabilities)?;
    prctl(libc::PR_SET_KEEPCAPS, 1)?;
    // SAFETY: an empty list needs no pointer; the other calls take none.
    unsafe {
        cvt(libc::setgroups(0, std::ptr::null()))?;
        cvt(libc::setresgid(user.gid, user.gid, user.gid))?;
        cvt(libc::setresuid(user.uid, user.uid, user.uid))?;
    }
    keep(capabilities)?;
    no_new_privileges()
}

/// Stays root, with those of these capabilities alone that it has, for good.
pub fn limit_to(capabilities: &[u32]) -> io::Result<()> {
    let permitted = permitted()?;
    let kept: Vec<u32> = capabilities.iter().copied().filter(|c| permitted & 1 << c != 0).collect();
    // Who may not cut the bounding set got a small one already.
    if permitted & 1 << SETPCAP != 0 {
        drop_others(&kept)?;
    }
    keep(&kept)?;
    no_new_privileges()
}

/// The first 32 capabilities that this process may use.
fn permitted() -> io::Result<u32> {
    let mut header = Header { version: VERSION, pid: 0 };
    let mut data = [Data::default(); 2];
    // SAFETY: the structures have the layout that this version of the call expects, and live through it.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) };
    match result {
        0 => Ok(data.iter().map(|words| words.permitted).next().unwrap_or(0)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// From now on no program gives this process or its children more rights than they have.
pub fn no_new_privileges() -> io::Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1)
}

/// Takes all other capabilities out of the bounding set.
fn drop_others(capabilities: &[u32]) -> io::Result<()> {
    for capability in (0..=HIGHEST).filter(|c| !capabilities.contains(c)) {
        match prctl(libc::PR_CAPBSET_DROP, capability.into()) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break, // this kernel knows no more
            other => other?,
        }
    }
    Ok(())
}

/// Sets the permitted and effective capabilities.
fn keep(capabilities: &[u32]) -> io::Result<()> {
    let header = Header { version: VERSION, pid: 0 };
    let bits = capabilities.iter().fold(0u32, |bits, &capability| bits | 1 << (capability % 32));
    let data = [Data { effective: bits, permitted: bits, inheritable: 0 }, Data::default()];
    // SAFETY: the structures have the layout that this version of the call expects.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Keeps the secrets out of core files and away from debuggers of the same user.
pub fn no_dumps() -> io::Result<()> {
    prctl(libc::PR_SET_DUMPABLE, 0)
}

fn prctl(option: libc::c_int, value: libc::c_ulong) -> io::Result<()> {
    let zero: libc::c_ulong = 0;
    // SAFETY: these options take numbers alone.
    cvt(unsafe { libc::prctl(option, value, zero, zero, zero) }).map(|_| ())
}
