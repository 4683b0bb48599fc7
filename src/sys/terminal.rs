//! A terminal: its size, its keys one by one, and output that never waits.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

use super::{cvt, cvt_size};

/// Columns and lines; `None` if it has no size or is no terminal.
pub fn size(terminal: &impl AsFd) -> Option<(usize, usize)> {
    // SAFETY: all zeros is a valid winsize.
    let mut size: libc::winsize = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open while it is borrowed, and `size` has room for the answer.
    cvt(unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) }).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col.into(), size.ws_row.into()))
}

/// The same terminal once more, for output that never waits. What is changed of a file that the shell has open too would
/// still be changed when we are gone.
pub fn open_again(terminal: &impl AsFd) -> io::Result<File> {
    let path = format!("/proc/self/fd/{}", terminal.as_fd().as_raw_fd());
    OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

/// Forgets output that the terminal has not shown yet, and lets it show what comes now: somebody may have stopped it
/// with Ctrl-S.
pub fn discard_output(terminal: &impl AsFd) {
    let fd = terminal.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open while it is borrowed.
    unsafe { libc::tcflush(fd, libc::TCOFLUSH) };
    let Ok(before) = modes(fd) else { return };
    // Linux lets go of what Ctrl-S stopped when it is told that there is no such key.
    let mut changed = before;
    changed.c_iflag &= !libc::IXON;
    for modes in [&changed, &before] {
        // SAFETY: the modes are initialised; a terminal that is gone needs none.
        unsafe { libc::tcsetattr(fd, libc::TCSANOW, modes) };
    }
}

fn modes(fd: RawFd) -> io::Result<libc::termios> {
    // SAFETY: all zeros is a valid termios.
    let mut modes: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: `modes` has room for the answer.
    cvt(unsafe { libc::tcgetattr(fd, &raw mut modes) })?;
    Ok(modes)
}

/// The standard input, a terminal: keys come as they are pressed, and are not shown. Signals still come from its keys.
/// Dropped, the terminal is as it was.
#[derive(Debug)]
pub struct Keys {
    terminal: RawFd,
    before: libc::termios,
}

impl Keys {
    /// Takes the keys over; an error if the standard input is no terminal.
    pub fn take_over() -> io::Result<Keys> {
        let terminal = libc::STDIN_FILENO;
        let keys = Keys { terminal, before: modes(terminal)? };
        keys.again()?;
        Ok(keys)
    }

    /// Takes them over after [`give_back`](Keys::give_back).
    pub fn again(&self) -> io::Result<()> {
        let mut changed = self.before;
        changed.c_lflag &= !(libc::ICANON | libc::ECHO);
        // Reading does not wait.
        changed.c_cc[libc::VMIN] = 0;
        changed.c_cc[libc::VTIME] = 0;
        // SAFETY: `changed` is initialised.
        cvt(unsafe { libc::tcsetattr(self.terminal, libc::TCSANOW, &raw const changed) }).map(|_| ())
    }

    /// The terminal is as it was.
    pub fn give_back(&self) {
        // SAFETY: `before` is initialised.
        unsafe { libc::tcsetattr(self.terminal, libc::TCSANOW, &raw const self.before) };
    }

    /// A key that was pressed, if there is one. An error: the terminal is gone.
    pub fn take(&self) -> io::Result<Option<u8>> {
        let mut octet = 0u8;
        // SAFETY: there is room for one octet.
        let read = cvt_size(unsafe { libc::read(self.terminal, (&raw mut octet).cast(), 1) })?;
        Ok((read == 1).then_some(octet))
    }
}

impl AsRawFd for Keys {
    fn as_raw_fd(&self) -> RawFd {
        self.terminal
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_terminal_has_neither_size_nor_keys() {
        let file = File::open("/dev/null").unwrap();
        assert_eq!(size(&file), None);
        discard_output(&file);
        assert!(open_again(&OpenOptions::new().write(true).open("/dev/null").unwrap()).is_ok());
    }
}
