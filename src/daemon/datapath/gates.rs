//! Which directions of a session are open.

use crate::saved::saved;

/// What may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Gates {
    /// Frames of the peer.
    pub(super) receive: bool,
    /// Frames to the peer.
    pub(super) send: bool,
    /// The interface shows a carrier.
    pub(super) carrier: bool,
}
saved!(Gates { receive, send, carrier });
