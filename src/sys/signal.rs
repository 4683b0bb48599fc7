//! Signals as octets in a pipe: the handler does nothing but write the signal's number, the loop reads it when it
//! has time. A full pipe loses nothing that matters: the same signals are waiting in it already.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

use super::{cvt, cvt_size, system};

/// Signals that the daemon's loop is told of.
const OF_DAEMON: [libc::c_int; 6] =
    [libc::SIGHUP, libc::SIGTERM, libc::SIGINT, libc::SIGUSR1, libc::SIGUSR2, libc::SIGCHLD];
/// Signals that a program is told of which has the terminal's screen to itself.
const OF_SCREEN: [libc::c_int; 6] =
    [libc::SIGHUP, libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGTSTP, libc::SIGWINCH];

/// The end of the pipe that the handler writes to; -1 until there is one.
static PIPE: AtomicI32 = AtomicI32::new(-1);

extern "C" fn handler(signal: libc::c_int) {
    let fd = PIPE.load(Ordering::Relaxed);
    let errno = system::errno_location();
    // SAFETY: errno's location is valid in every thread; it is saved because the handler may interrupt any code.
    let saved = unsafe { *errno };
    let octet = signal as u8; // the handled signals are below 32
                              // SAFETY: write(2) is async-signal-safe, and the octet lives on this stack.
    unsafe { libc::write(fd, (&raw const octet).cast(), 1) };
    // SAFETY: as above.
    unsafe { *errno = saved };
}

/// The reading end of the signals' pipe.
#[derive(Debug)]
pub struct Signals {
    read: OwnedFd,
    _write: OwnedFd,
}

/// A pipe, closed on exec, neither end of which blocks.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends: [RawFd; 2] = [-1; 2];
    // SAFETY: `ends` has room for the two descriptors.
    cvt(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
    // SAFETY: both descriptors are new and ours.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// Sets what becomes of a signal.
fn set_action(signal: libc::c_int, action: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: all zeros is a valid sigaction (empty mask, no flags).
    let mut request: libc::sigaction = unsafe { std::mem::zeroed() };
    request.sa_sigaction = action;
    request.sa_flags = libc::SA_RESTART;
    // SAFETY: `request` is initialised and the handler is async-signal-safe.
    cvt(unsafe { libc::sigaction(signal, &request, std::ptr::null_mut()) }).map(|_| ())
}

/// Children inherit what is ignored, and so did we: a shell ignores INT and QUIT for what it starts by `&`, nohup HUP. Those
/// of real time, from 32 on, are the C library's affair.
fn ignore_none() {
    for signal in 1..32 {
        // SAFETY: all zeros is a valid sigaction.
        let mut present: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: a null pointer: nothing is set; there is room for what is.
        let known = cvt(unsafe { libc::sigaction(signal, std::ptr::null(), &mut present) }).is_ok();
        if known && present.sa_sigaction == libc::SIG_IGN {
            let _ = set_action(signal, libc::SIG_DFL);
        }
    }
}

impl Signals {
    /// Takes over the signals HUP, TERM, INT, USR1, USR2 and CHLD; PIPE is ignored.
    pub fn install() -> io::Result<Signals> {
        ignore_none();
        Signals::take_over(&OF_DAEMON)
    }

    /// Takes over the signals HUP, TERM, INT, QUIT, TSTP and WINCH; PIPE is ignored.
    pub fn of_screen() -> io::Result<Signals> {
        Signals::take_over(&OF_SCREEN)
    }

    fn take_over(signals: &[libc::c_int]) -> io::Result<Signals> {
        let (read, write) = pipe()?;
        PIPE.store(write.as_raw_fd(), Ordering::Relaxed);
        for &signal in signals {
            set_action(signal, handler as extern "C" fn(libc::c_int) as libc::sighandler_t)?;
        }
        set_action(libc::SIGPIPE, libc::SIG_IGN)?;
        Ok(Signals { read, _write: write })
    }

    /// The descriptor that the handler writes to.
    pub fn handler_end(&self) -> RawFd {
        self._write.as_raw_fd()
    }

    /// The next signal that came, if one did.
    pub fn take(&mut self) -> Option<i32> {
        let mut octet = 0u8;
        // SAFETY: there is room for one octet.
        let read = unsafe { libc::read(self.read.as_raw_fd(), (&raw mut octet).cast(), 1) };
        matches!(cvt_size(read), Ok(1)).then_some(i32::from(octet))
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.read.as_raw_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        PIPE.store(-1, Ordering::Relaxed);
    }
}

/// Stops this process, as Ctrl-Z does, until it is told to go on.
pub fn stop() {
    // SAFETY: raise(3) takes no pointers; this signal cannot be handled.
    unsafe { libc::raise(libc::SIGSTOP) };
}

pub use libc::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGWINCH};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_arrives_as_its_number() {
        let mut signals = Signals::install().unwrap();
        // SAFETY: the process handles this signal.
        unsafe { libc::raise(libc::SIGUSR1) };
        // Other tests start and reap children meanwhile: their SIGCHLD may come first.
        let seen = std::iter::from_fn(|| signals.take()).find(|&s| s == SIGUSR1);
        assert_eq!(seen, Some(SIGUSR1));
        assert_eq!(signals.take().filter(|&s| s != SIGCHLD), None);
    }
}
