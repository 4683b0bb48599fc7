//! Random octets of the system. Each draw opens `/dev/urandom` anew: a source that is gone is noticed by the
//! operation that needs it and never replaced by something weaker. Soon after the machine has started,
//! `/dev/urandom` gives octets before the pool is initialised; so [`Urandom::new`] calls getrandom(2) once, which
//! waits until it is.

use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

use super::{error_text, file};
use crate::proto::Random;

/// The system's random source.
#[derive(Debug)]
pub struct Urandom {
    path: PathBuf,
}

impl Urandom {
    /// Waits until the pool is initialised and draws once, so that a missing source stops the start.
    pub fn new() -> Result<Urandom, String> {
        // Waits for the pool. A kernel without this call is one whose pool cannot be waited for: the device
        // decides alone.
        let _ = getrandom::fill(&mut [0; 1]);
        let mut random = Urandom { path: PathBuf::from("/dev/urandom") };
        random.fill(&mut [0; 1])?;
        Ok(random)
    }

    fn read(&self, octets: &mut [u8]) -> io::Result<()> {
        let mut source = file::open(&self.path)?;
        let found = source.metadata()?.file_type();
        // The octets of a file would be the same each time.
        if !found.is_char_device() {
            return Err(io::Error::other(format!("{} has this name", file::kind(found))));
        }
        source.read_exact(octets)
    }
}

impl Random for Urandom {
    fn fill(&mut self, octets: &mut [u8]) -> Result<(), String> {
        self.read(octets).map_err(|error| error_text(&error))
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
    fn a_missing_or_empty_source_is_an_error() {
        let mut missing = Urandom { path: "/nonexistent/urandom".into() };
        assert_eq!(missing.fill(&mut [0; 4]), Err("No such file or directory".to_string()));
        // Neither a FIFO, which would make us wait, nor a file, whose octets do not change.
        let place = std::env::temp_dir().join(format!("l2tpd-random-{}", std::process::id()));
        crate::sys::make_fifo(&place);
        assert_eq!(
            Urandom { path: place.clone() }.fill(&mut [0; 4]),
            Err("a FIFO has this name".to_string())
        );
        std::fs::remove_file(&place).unwrap();
        std::fs::write(&place, "0123456789").unwrap();
        assert_eq!(
            Urandom { path: place.clone() }.fill(&mut [0; 4]),
            Err("a file has this name".to_string())
        );
        std::fs::remove_file(&place).unwrap();
        let mut empty = Urandom { path: "/dev/null".into() };
        assert!(empty.fill(&mut [0; 4]).is_err());
    }
}
