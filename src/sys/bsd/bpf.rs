//! Programs in the kernel that carry frames are Linux's.

use std::io;
use std::os::fd::OwnedFd;

use super::tap::Tap;

fn unsupported<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no such programs"))
}

/// Octets by keys: there are none.
#[derive(Debug)]
pub struct Map(std::convert::Infallible);

impl Map {
    /// Always `Unsupported`.
    pub fn new(_entries: u32, _size: usize, _each_processor: bool) -> io::Result<Map> {
        unsupported()
    }

    /// The value of a key.
    pub fn get(&self, _key: [u8; 4]) -> io::Result<Vec<u8>> {
        match self.0 {}
    }

    /// Sets the value of a key.
    pub fn set(&self, _key: [u8; 4], _value: &[u8]) -> io::Result<()> {
        match self.0 {}
    }

    /// Sets all octets of the value of a key to zero.
    pub fn clear(&self, _key: [u8; 4]) -> io::Result<()> {
        match self.0 {}
    }

    /// Removes a key.
    pub fn remove(&self, _key: [u8; 4]) -> io::Result<()> {
        match self.0 {}
    }

    /// From now on it is this one.
    pub fn adopt(&mut self, _fd: OwnedFd) {
        match self.0 {}
    }

    /// What programs name it by.
    pub fn descriptor(&self) -> i32 {
        match self.0 {}
    }
}

/// A program for packets at an interface: there are none.
#[derive(Debug)]
pub struct Program(std::convert::Infallible);

impl Program {
    /// Always `Unsupported`.
    pub fn load(_name: &str, _code: &[[u8; 8]]) -> io::Result<Program> {
        unsupported()
    }

    /// From now on it is this one.
    pub fn adopt(&mut self, _fd: OwnedFd) {
        match self.0 {}
    }

    /// What it can be handed on by.
    pub fn descriptor(&self) -> i32 {
        match self.0 {}
    }

    /// Puts it at the ingress of an interface.
    pub fn link(&self, _interface: i32) -> io::Result<OwnedFd> {
        match self.0 {}
    }

    /// Puts it at the egress of an interface.
    pub fn filter(&self, _tap: &Tap) -> io::Result<()> {
        match self.0 {}
    }
}

/// Takes a program away from the egress of an interface.
pub fn remove_filter(_interface: i32) -> io::Result<()> {
    unsupported()
}
