//! The operating system. The only room with `unsafe` and `libc`: small wrappers that turn C calls into values with
//! an owner and `io::Result`. What a call is for is decided elsewhere.

#![allow(unsafe_code)]

pub mod address;
pub mod admin_socket;
pub mod batch;
#[cfg(any(test, not(target_os = "linux")))]
#[cfg_attr(target_os = "linux", allow(dead_code))] // here its layouts and messages are tested
mod bsd;
pub mod clock;
mod cmsg;
pub mod daemonize;
pub mod file;
mod fragmentation;
#[cfg(target_os = "freebsd")]
mod freebsd;
mod kinds;
pub mod link;
#[cfg(target_os = "linux")]
mod linux;
pub mod machine;
#[cfg(any(test, target_os = "netbsd"))]
#[cfg_attr(not(target_os = "netbsd"), allow(dead_code))] // as `bsd`
mod netbsd;
pub mod notify;
pub mod passing;
pub mod pidfile;
pub mod process;
pub mod random;
pub mod receiver;
pub mod signal;
mod sockaddr;
pub mod socket;
mod socket_call;
mod socket_error;
pub mod state_file;
pub mod stderr;
pub mod stream;
pub mod syslog;
pub mod terminal;
pub mod trust;
mod user;
mod wait;

#[cfg(not(target_os = "linux"))]
pub use bsd::{
    bpf, bridge, fdb, landlock, netif, policy, privilege, route, seccomp, socket_filter, tap, tap_removal,
    veth,
};
#[cfg(not(target_os = "linux"))]
pub(crate) use bsd::{events, memory, outer, own_addresses, system};
#[cfg(target_os = "freebsd")]
pub use freebsd::{device, l2tp};
#[cfg(target_os = "linux")]
pub use linux::{
    bpf, bridge, fdb, l2tp, landlock, netif, policy, privilege, route, seccomp, socket_filter, tap,
    tap_removal, veth,
};
#[cfg(target_os = "linux")]
pub(crate) use linux::{events, memory, outer, own_addresses, system};
#[cfg(target_os = "netbsd")]
pub use netbsd::{device, l2tp};

use std::ffi::CStr;
use std::io;

/// Gives memory that is not used any more back to the system, where the C library keeps it by itself: reading a
/// configuration takes several times what is made of it.
pub fn trim_memory() {
    // SAFETY: no pointers are passed.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// The result of a C call that returns -1 and sets `errno` when it fails.
pub fn cvt(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

/// The result of a C call that returns a count of octets, or -1 and sets `errno`.
pub fn cvt_size(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// What the system says about an error, in the words of strerror(3): the log's `<error>`.
pub fn error_text(error: &io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(code) => text.trim_end_matches(&format!(" (os error {code})")).to_string(),
        None => text,
    }
}

/// The system's host name: the default of `hostname`.
pub fn host_name() -> Vec<u8> {
    let mut buffer = [0u8; 256];
    // SAFETY: the last octet is kept for the NUL.
    let result = unsafe { libc::gethostname(buffer.as_mut_ptr().cast(), buffer.len() - 1) };
    match CStr::from_bytes_until_nul(&buffer) {
        Ok(name) if result == 0 && !name.is_empty() => name.to_bytes().to_vec(),
        _ => b"localhost".to_vec(),
    }
}

#[cfg(test)]
fn make_fifo(path: &std::path::Path) {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: `path` is a terminated string that outlives the call.
    cvt(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }).unwrap();
}

/// Says that a test is skipped; what the macros print of a test that passes is not shown.
#[cfg(test)]
pub(crate) fn skipped(why: &str) {
    use std::io::Write;
    let _ = writeln!(io::stdout(), "\nSKIPPED: {why}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_in_the_system_s_words() {
        let error = io::Error::from_raw_os_error(libc::ENOENT);
        assert_eq!(error_text(&error), "No such file or directory");
        assert_eq!(error_text(&io::Error::other("own words")), "own words");
    }

    #[test]
    fn the_host_has_a_name() {
        let system = std::fs::read("/proc/sys/kernel/hostname").unwrap();
        assert_eq!(host_name(), system.trim_ascii_end());
    }
}
