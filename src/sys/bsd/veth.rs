//! Interfaces that give back what is sent into them are Linux's.

use std::io;

use super::bpf::Program;
pub use crate::sys::kinds::Pairs;

/// Makes such interfaces: always an error.
pub fn pairs(_back: &Program, _ours: [&Program; 2]) -> io::Result<Pairs> {
    Err(io::ErrorKind::Unsupported.into())
}
