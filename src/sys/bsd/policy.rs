//! What decides about packets beside routes is asked for on Linux only, where programs could pass it by.

use std::io;
use std::net::IpAddr;

/// All there is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policies {
    /// A packet filter has rules.
    pub filter: bool,
}

impl Policies {
    /// Whether an IPsec policy may be about packets to or from this address.
    pub fn concern(&self, _remote: IpAddr) -> bool {
        true
    }
}

/// Where the policies are read.
#[derive(Debug)]
pub struct PolicySource(());

impl PolicySource {
    /// Nothing is told.
    pub fn open() -> PolicySource {
        PolicySource(())
    }

    /// Nothing is to be watched.
    pub fn descriptors(&self) -> impl Iterator<Item = libc::c_int> + '_ {
        std::iter::empty()
    }

    /// Always `Unsupported`.
    pub fn read(&self) -> io::Result<Policies> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
