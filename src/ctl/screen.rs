//! The terminal's screen, had for ourselves for a while. Nothing waits for the terminal: while it has not taken what was
//! written, nothing new is written, so that a slow line shows fewer pictures and not old ones.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};

use crate::sys::{stream, terminal};

/// The other screen where there is one, empty, and no cursor.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[2J";
/// Back to how it was.
const LEAVE: &[u8] = b"\x1b[0m\x1b[H\x1b[J\x1b[?25h\x1b[?1049l";

/// See [the module](self).
#[derive(Debug)]
pub(super) struct Screen {
    terminal: File,
    unsent: Vec<u8>,
    /// The lines that it shows.
    shown: Vec<String>,
}

impl Screen {
    /// Takes over the standard output's screen.
    pub fn enter() -> io::Result<Screen> {
        // Where it cannot be opened again, output may wait.
        let terminal = terminal::open_again(&io::stdout())
            .or_else(|_| io::stdout().as_fd().try_clone_to_owned().map(File::from))?;
        let mut screen = Screen { terminal, unsent: ENTER.to_vec(), shown: Vec::new() };
        screen.flush()?;
        Ok(screen)
    }

    /// Columns and lines, where it does not say 80 and 24.
    pub fn size(&self) -> (usize, usize) {
        terminal::size(&self.terminal).unwrap_or((80, 24))
    }

    /// What it shows is not known any more.
    pub fn clear(&mut self) {
        self.shown.clear();
        self.unsent.extend_from_slice(b"\x1b[0m\x1b[2J");
    }

    /// Whether all that was written has been taken.
    pub fn is_idle(&self) -> bool {
        self.unsent.is_empty()
    }

    /// Shows these lines: those that are others than before are written.
    pub fn show(&mut self, lines: Vec<String>) -> io::Result<()> {
        for (at, line) in lines.iter().enumerate() {
            if self.shown.get(at) != Some(line) {
                write!(self.unsent, "\x1b[{};1H{line}\x1b[K", at + 1)?;
            }
        }
        if lines.len() < self.shown.len() {
            write!(self.unsent, "\x1b[{};1H\x1b[J", lines.len() + 1)?;
        }
        self.shown = lines;
        self.flush()
    }

    /// Writes what the terminal takes.
    pub fn flush(&mut self) -> io::Result<()> {
        stream::send(&mut self.terminal, &mut self.unsent)
    }

    /// Gives it back.
    pub fn leave(&mut self) {
        if !self.unsent.is_empty() {
            terminal::discard_output(&self.terminal);
        }
        self.unsent = LEAVE.to_vec();
        let _ = self.flush(); // the terminal may be gone
        self.unsent.clear();
    }

    /// Takes it over again.
    pub fn again(&mut self) -> io::Result<()> {
        self.shown.clear();
        self.unsent = ENTER.to_vec();
        self.flush()
    }
}

impl AsRawFd for Screen {
    fn as_raw_fd(&self) -> RawFd {
        self.terminal.as_raw_fd()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.leave();
    }
}
