//! Seccomp is Linux's; neither system has a filter of system calls that fits a daemon which opens sockets and devices all
//! its life (capsicum(4) takes that away).

use std::io;

pub use crate::sys::kinds::{Filter, Otherwise};

/// Always `Unsupported`.
pub fn install(_filter: Filter, _otherwise: Otherwise) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no filter of system calls"))
}
