//! A file that is this daemon's alone, with what is to outlast a crash of it. It is opened before rights are given up, and
//! from then on only its descriptor is used.
//!
//! There is no fsync(2): it may take seconds, and what is lost without it when the power goes is a matter of seconds, too.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use super::{file, trust};
use crate::wiped::Wiped;

/// What such a file begins with. The number is raised when it takes another form.
const MAGIC: &[u8] = b"l2tpd connections 1\n";
/// Longer ones are not read.
const LONGEST: usize = 256 * 1024 * 1024;

/// A file, open for reading and writing.
#[derive(Debug)]
pub struct StateFile {
    file: File,
}

impl StateFile {
    /// Opens it, or makes it. What is no such file, or may be read or written by others, is an error and not touched.
    pub fn open(path: &Path) -> io::Result<StateFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = options.custom_flags(flags).open(path)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::other(format!("{} has this name", file::kind(found.file_type()))));
        }
        if !trust::is_trusted(found.uid()) || found.mode() & 0o077 != 0 {
            let mode = found.mode() & 0o7777;
            let text = format!("user {} and others may read or write it (mode {mode:04o})", found.uid());
            return Err(io::Error::other(text));
        }
        let mut opened = StateFile { file };
        let octets = opened.all()?;
        let begin = octets.get(..MAGIC.len()).unwrap_or(&octets);
        // NULs are what a crash of the machine may leave.
        match MAGIC.starts_with(begin) || octets.iter().all(|octet| *octet == 0) {
            true => Ok(opened),
            false => Err(io::Error::other("a file that holds something else has this name")),
        }
    }

    fn all(&mut self) -> io::Result<Wiped> {
        self.file.rewind()?;
        file::read_opened(&self.file, LONGEST, Duration::ZERO)
    }

    /// What was written to it, and when that or anything else about it was changed last: microseconds of the wall clock.
    pub fn read(&mut self) -> io::Result<(Wiped, u64)> {
        let octets = self.all()?;
        let found = self.file.metadata()?;
        let seconds = u64::try_from(found.ctime()).unwrap_or(0).saturating_mul(1_000_000);
        let changed = seconds.saturating_add(u64::try_from(found.ctime_nsec()).unwrap_or(0) / 1000);
        let content = octets.strip_prefix(MAGIC).unwrap_or_default();
        Ok((Wiped::from(content), changed))
    }

    /// Forgets what was written from this place on, without the beginning that all such files have.
    pub fn cut(&mut self, at: u64) -> io::Result<()> {
        match at {
            0 => self.file.set_len(0),
            at => self.file.set_len(at.saturating_add(MAGIC.len() as u64)),
        }
    }

    /// Writes at this place.
    pub fn write(&mut self, at: u64, octets: &[u8]) -> io::Result<()> {
        let place = match at {
            0 => {
                self.file.rewind()?;
                self.file.write_all(MAGIC)?;
                MAGIC.len() as u64
            }
            at => at.saturating_add(MAGIC.len() as u64),
        };
        self.file.seek(SeekFrom::Start(place))?;
        self.file.write_all(octets)
    }
}
