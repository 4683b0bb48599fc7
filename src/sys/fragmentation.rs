//! The Don't Fragment rule of a socket.

use crate::saved::saved;

/// What becomes of packets that are longer than the path's MTU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fragmentation {
    /// Fragments are made, here or on the way.
    Allowed,
    /// They are refused with `EMSGSIZE`.
    Refused,
    /// They are sent as long as the interface takes them, whatever is known of the path, and must not be fragmented.
    Probe,
}
saved!(
    enum Fragmentation {
        Allowed,
        Refused,
        Probe,
    }
);
