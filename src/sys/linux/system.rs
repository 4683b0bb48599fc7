//! Small things that systems do differently.

use std::fs::Metadata;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::SocketAddr;
use std::path::PathBuf;

use libc::{c_int, c_long};

/// The clock that goes on while the machine sleeps.
pub(in crate::sys) const CLOCK: libc::clockid_t = libc::CLOCK_BOOTTIME;
/// The socket of syslog.
pub(in crate::sys) const SYSLOG: &str = "/dev/log";
/// The files that hold the machine id (machine-id(5)), in the order in which they are asked.
pub(in crate::sys) const MACHINE_IDS: &[&str] = &["/etc/machine-id", "/var/lib/dbus/machine-id"];

/// The file that tells this start of the machine from others.
pub(in crate::sys) const BOOT_ID: Option<&str> = Some("/proc/sys/kernel/random/boot_id");

/// A path by which this program can be started again, whatever has become of its file.
pub fn own_program() -> io::Result<PathBuf> {
    Ok(PathBuf::from("/proc/self/exe"))
}

/// Where `errno` is.
pub(in crate::sys) fn errno_location() -> *mut c_int {
    // SAFETY: the call takes nothing, and cannot fail.
    unsafe { libc::__errno_location() }
}

/// Whether this is the null device.
pub(in crate::sys) fn is_null_device(found: &Metadata) -> bool {
    found.file_type().is_char_device() && found.rdev() == libc::makedev(1, 3)
}

/// The address of an abstract socket.
pub(in crate::sys) fn abstract_address(name: &[u8]) -> Option<SocketAddr> {
    SocketAddr::from_abstract_name(name).ok()
}

/// The descriptors that are open, that of the list itself among them; `None` where the system does not tell.
pub(in crate::sys) fn open_descriptors() -> Option<Vec<RawFd>> {
    let entries = std::fs::read_dir("/proc/self/fd").ok()?;
    // All of them first: one belongs to the directory that is being read, and is gone afterwards.
    Some(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// Closes these descriptors, whoever owns them: nothing of them is used any more in this process.
pub(in crate::sys) fn close_range(first: RawFd, last: RawFd) {
    if first > last {
        return;
    }
    // SAFETY: no pointers; nobody uses the descriptors, by what is said above.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if closed != 0 {
        // An older kernel.
        for fd in first..=last.min(0xffff) {
            // SAFETY: as above.
            unsafe { libc::close(fd) };
        }
    }
}

/// The Ethernet address of the interface that comes first by name, of those with a device behind them; as text.
pub(in crate::sys) fn first_hardware() -> Option<Vec<u8>> {
    let entries = std::fs::read_dir("/sys/class/net").ok()?.flatten().map(|entry| entry.path());
    let first = entries.filter(|path| path.join("device").exists()).min()?;
    Some(std::fs::read(first.join("address")).ok()?.trim_ascii().to_vec())
}

/// The process at the other end of a Unix socket: its id, its effective user, its groups.
pub(in crate::sys) fn peer(socket: BorrowedFd<'_>) -> io::Result<(i32, u32, Vec<u32>)> {
    let mut credentials = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let size = std::mem::size_of::<libc::ucred>();
    // SAFETY: the pointer is valid for `size` octets.
    unsafe { get_option(socket, libc::SO_PEERCRED, (&raw mut credentials).cast(), size)? };
    let mut groups = vec![credentials.gid];
    groups.extend(supplementary_groups(socket).unwrap_or_default());
    Ok((credentials.pid, credentials.uid, groups))
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

/// Tells the scheduler that this program need not interrupt another one the moment it has something to do; `false`
/// where the administrator has chosen a policy, or the system has none of this kind.
pub(in crate::sys) fn prefer_batches() -> bool {
    // The functions of musl refuse; so the system calls.
    // SAFETY: no pointers; 0 is the calling process.
    let policy = unsafe { libc::syscall(libc::SYS_sched_getscheduler, 0 as c_long) };
    policy == c_long::from(libc::SCHED_OTHER) && set_policy(libc::SCHED_BATCH)
}

/// The opposite. Between fork and exec it may be called: it makes one system call.
pub(in crate::sys) fn prefer_answers() {
    set_policy(libc::SCHED_OTHER);
}

/// Gives the calling process another scheduling policy, of those without priorities; whether it could be done.
fn set_policy(policy: c_int) -> bool {
    // SAFETY: all zeros is a valid sched_param: static priority 0, the only one of these policies.
    let parameter: libc::sched_param = unsafe { std::mem::zeroed() };
    // SAFETY: `parameter` lives through the call; 0 is the calling process.
    let result = unsafe {
        libc::syscall(libc::SYS_sched_setscheduler, 0 as c_long, c_long::from(policy), &raw const parameter)
    };
    result == 0
}
