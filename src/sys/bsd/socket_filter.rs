//! Sockets have no filters here: data and control messages come in at one socket, and all of them.

use std::io;

pub use crate::sys::kinds::{Kind, Needed, OtherSocket};
use crate::sys::socket::Socket;

/// Whether sockets have filters.
pub const FILTERS: bool = false;

/// Does nothing: everything is received.
pub fn attach(_socket: &Socket, _kind: Kind, _needed: Needed<'_>, _others: &[OtherSocket]) -> io::Result<()> {
    Ok(())
}
