//! Memory that is handed on like a file: these systems have none that is sealed.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use crate::wiped::Wiped;

fn unsupported() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "this system has no sealed memory")
}

/// Memory with these octets that nobody can change: always an error.
pub fn sealed(_octets: &[u8]) -> io::Result<File> {
    Err(unsupported())
}

/// What is in such memory: always an error.
pub fn read_sealed(_fd: OwnedFd) -> io::Result<Wiped> {
    Err(unsupported())
}
