//! Removing TAP interfaces: one by one, for there is no request for many.

use std::io;

use super::tap::Tap;

/// A process that removes interfaces: there is none.
#[derive(Debug)]
pub struct Removal(std::convert::Infallible);

/// Removes all, and returns when they are gone.
pub fn remove(taps: Vec<Tap>) {
    taps.into_iter().for_each(Tap::remove);
}

/// The same; the error says that they are gone already.
pub fn remove_in_background(taps: Vec<Tap>) -> io::Result<Removal> {
    remove(taps);
    Err(io::ErrorKind::Unsupported.into())
}

impl Removal {
    /// Whether the process has ended.
    pub fn has_ended(&self) -> bool {
        match self.0 {}
    }

    /// Waits until it has ended.
    pub fn wait(self) {
        match self.0 {}
    }
}
