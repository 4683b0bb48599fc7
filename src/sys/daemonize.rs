//! Into the background, as daemon(3) does it, but with an answer: the parent waits until the child tells whether
//! its start succeeded and ends with that status.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

use super::{cvt, system};

/// The two processes after [`detach`].
#[derive(Debug)]
pub enum Side {
    /// The one that was started: to end at once, with this status.
    Parent(i32),
    /// The one that goes on.
    Child(Detached),
}

/// A process in the background whose parent still waits.
#[derive(Debug)]
pub struct Detached {
    null: File,
    parent: File,
}

/// The null device.
pub const NULL: &str = "/dev/null";

/// Opens the null device; ENODEV when something else stands in its place (daemon(3) looks as well).
pub fn null_device() -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(NULL)?;
    if !system::is_null_device(&file.metadata()?) {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    Ok(file)
}

/// Forks; the child leads a session of its own and works in `/`. Must be called while there is one thread. `null`
/// becomes its standard descriptors.
pub fn detach(null: File) -> io::Result<Side> {
    let mut ends: [RawFd; 2] = [-1; 2];
    // SAFETY: `ends` has room for the two descriptors.
    cvt(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: both descriptors are new and ours.
    let (mut read, write) = unsafe { (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1])) };
    // SAFETY: there is one thread, so the child finds every lock of the library free.
    if cvt(unsafe { libc::fork() })? > 0 {
        drop(write);
        let mut status = [1u8];
        // A child that dies without a word has failed.
        let told = read.read(&mut status).unwrap_or(0) == 1;
        return Ok(Side::Parent(if told { i32::from(status[0]) } else { 1 }));
    }
    drop(read);
    // SAFETY: no pointers.
    cvt(unsafe { libc::setsid() })?;
    std::env::set_current_dir("/")?;
    Ok(Side::Child(Detached { null, parent: write }))
}

/// Forks. The child keeps one descriptor, and its standard ones (where `standard` does not keep them) lead nowhere (the null device stays free to be taken
/// away); it leads a session of its own, so that signals from the terminal do not reach it. `true` in the parent. Must be called while there is
/// one thread.
pub fn fork_keeping(descriptor: RawFd, standard: bool) -> io::Result<bool> {
    // SAFETY: there is one thread, so the child finds every lock of the library free.
    if cvt(unsafe { libc::fork() })? > 0 {
        return Ok(true);
    }
    let mut ends: [RawFd; 2] = [-1; 2];
    // SAFETY: `ends` has room for the two descriptors.
    cvt(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
    let kept = [descriptor, ends[0], ends[1]];
    for fd in system::open_descriptors().unwrap_or_else(|| (0..1024).collect()) {
        let stays = kept.contains(&fd) || (standard && fd <= 2);
        if !stays {
            // SAFETY: no pointers. What owned it in this process is never used again.
            unsafe { libc::close(fd) };
        }
    }
    for (fd, end) in [(0, ends[0]), (1, ends[1]), (2, ends[1])].into_iter().filter(|_| !standard) {
        // SAFETY: no pointers; the standard descriptors belong to nobody.
        cvt(unsafe { libc::dup2(end, fd) })?;
    }
    for end in ends.into_iter().filter(|end| *end > 2) {
        // SAFETY: no pointers; these are ours.
        unsafe { libc::close(end) };
    }
    // SAFETY: no pointers.
    let _ = cvt(unsafe { libc::setsid() });
    Ok(false)
}

/// Ends a process that [`fork_keeping`] has made, without what the parent does at its end.
pub fn end_fork(status: i32) -> ! {
    // SAFETY: it takes a number, and does not return.
    unsafe { libc::_exit(status) }
}

impl Detached {
    /// The start succeeded: lets go of the terminal, and the parent end with status 0.
    pub fn ready(mut self) -> io::Result<()> {
        for fd in 0..=2 {
            // SAFETY: no pointers; the standard descriptors belong to nobody in this program.
            cvt(unsafe { libc::dup2(self.null.as_raw_fd(), fd) })?;
        }
        self.parent.write_all(&[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_null_device_is_the_null_device() {
        assert!(null_device().is_ok());
    }
}
