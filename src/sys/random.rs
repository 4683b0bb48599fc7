//! Random octets of the system. Each draw opens `/dev/urandom` anew: a source that is gone is noticed by the
//! operation that needs it and never replaced by something weaker. Soon after the machine has started,
//! `/dev/urandom` gives octets before the pool is initialised; so [`Urandom::new`] calls getrandom(2) once, which
//! waits until it is.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use super::error_text;
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
        File::open(&self.path)?.read_exact(octets)
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
        let mut empty = Urandom { path: "/dev/null".into() };
        assert!(empty.fill(&mut [0; 4]).is_err());
    }
}
