//! Random octets of the system. `/dev/urandom` is opened once, at the start, so that a daemon that has no descriptors
//! left can still set up tunnels; where it is not there the start fails, and nothing weaker takes its place. Soon after
//! the machine has started, `/dev/urandom` gives octets before the pool is initialised; so [`Urandom::new`] calls
//! getrandom(2) once, which waits until it is.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use super::{error_text, file};
use crate::proto::Random;
use crate::wiped::wipe;

/// Read at once: most draws are of one octet or a few.
const READY: usize = 64;

/// The system's random source.
pub struct Urandom {
    source: File,
    /// What was read and not drawn yet stands at the beginning.
    ready: [u8; READY],
    left: usize,
}

impl Urandom {
    /// Waits until the pool is initialised, opens the source and draws once, so that one that is missing stops the
    /// start.
    pub fn new() -> Result<Urandom, String> {
        // Waits for the pool. A kernel without this call is one whose pool cannot be waited for: the device
        // decides alone.
        let _ = getrandom::fill(&mut [0; 1]);
        Urandom::open(Path::new("/dev/urandom"))
    }

    fn open(path: &Path) -> Result<Urandom, String> {
        let opened = |path: &Path| {
            let source = file::open(path)?;
            let found = source.metadata()?.file_type();
            // The octets of a file would be the same each time.
            match found.is_char_device() {
                true => Ok(source),
                false => Err(io::Error::other(format!("{} has this name", file::kind(found)))),
            }
        };
        let mut random =
            Urandom { ready: [0; READY], left: 0, source: opened(path).map_err(|error| error_text(&error))? };
        random.fill(&mut [0; 1])?;
        Ok(random)
    }
}

impl Random for Urandom {
    fn fill(&mut self, octets: &mut [u8]) -> Result<(), String> {
        let mut read = |octets: &mut [u8]| self.source.read_exact(octets).map_err(|error| error_text(&error));
        if octets.len() > READY {
            return read(octets);
        }
        if octets.len() > self.left {
            self.left = 0;
            read(&mut self.ready)?;
            self.left = READY;
        }
        let rest = self.left - octets.len();
        // Cookies and ids are among them: no other copy stays.
        let drawn = &mut self.ready[rest..self.left];
        octets.copy_from_slice(drawn);
        wipe(drawn);
        self.left = rest;
        Ok(())
    }
}

impl Drop for Urandom {
    fn drop(&mut self) {
        wipe(&mut self.ready);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        let mut random = Urandom::new().unwrap();
        let (mut a, mut b) = ([0; 16], [0; 16]);
        random.fill(&mut a).unwrap();
        random.fill(&mut b).unwrap();
        assert_ne!(a, b);
        assert_ne!(a, [0; 16]);
    }

    #[test]
    fn octets_are_drawn_once_whatever_the_lengths() {
        let mut random = Urandom::new().unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for length in (8..=READY).chain([READY + 1, 1000]).chain(8..20) {
            let mut octets = vec![0; length];
            random.fill(&mut octets).unwrap();
            // By chance in 2 of 10^17 runs.
            octets.chunks_exact(8).for_each(|part| assert!(seen.insert(part.to_vec()), "{length}"));
            assert!(random.ready[random.left..].iter().all(|octet| *octet == 0), "{length}: a copy stays");
        }
    }

    #[test]
    fn a_missing_or_empty_source_is_an_error() {
        let error = |path: &Path| Urandom::open(path).map(|_| ()).unwrap_err();
        assert_eq!(error(Path::new("/nonexistent/urandom")), "No such file or directory");
        // Neither a FIFO, which would make us wait, nor a file, whose octets do not change.
        let place = std::env::temp_dir().join(format!("l2tpd-random-{}", std::process::id()));
        crate::sys::make_fifo(&place);
        assert_eq!(error(&place), "a FIFO has this name");
        std::fs::remove_file(&place).unwrap();
        std::fs::write(&place, "0123456789").unwrap();
        assert_eq!(error(&place), "a file has this name");
        std::fs::remove_file(&place).unwrap();
        assert!(!error(Path::new("/dev/null")).is_empty());
    }
}
