//! Which link-local frames a bridge forwards, and between which ports it forwards none, is not told to bridge(4).

use std::io;

fn unsupported() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "the bridges of this system cannot be told to")
}

/// The mask of a bridge: always an error.
pub fn forwarded(_bridge: &str) -> io::Result<u16> {
    Err(unsupported())
}

/// Sets the mask of a bridge: always an error.
pub fn forward(_bridge: &str, _mask: u16) -> io::Result<()> {
    Err(unsupported())
}

/// Sets the mask of a port: always an error.
pub fn forward_from(_port: &str, _mask: u16) -> io::Result<()> {
    Err(unsupported())
}

/// Keeps a port from others that are isolated: always an error.
pub fn isolate(_port: &str, _on: bool) -> io::Result<()> {
    Err(unsupported())
}
