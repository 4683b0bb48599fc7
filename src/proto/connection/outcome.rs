//! What a message or timer of a connection came to.

use crate::proto::action::Path;
use crate::proto::result::Objection;
use crate::proto::snapshot::Failure;
use crate::wire::message::Refusal;
use crate::wire::Message;

/// What a received message is, as far as the connection alone can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// Nothing of it is used.
    Dropped,
    /// A bare acknowledgement (ZLB, ACK): it has no Ns of its own.
    Acknowledgement,
    /// Received before, or ahead of its turn.
    OutOfTurn,
    /// The expected one: to be processed.
    InTurn,
}

/// What became of the oldest message in flight when its acknowledgement was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retransmission {
    /// It was sent again, or nothing is in flight any more.
    Goes,
    /// It was sent as often as `retry` allows.
    UsedUp,
}

/// Where the peer is, as far as a message tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Where it was known to be.
    Known,
    /// At the other end of this path from now on.
    At(Path),
    /// Perhaps there: to be asked.
    Perhaps(Path),
}

/// What a message in its turn is about.
#[derive(Debug)]
pub enum Processed {
    /// The connection: what came of it.
    Connection(Outcome),
    /// Sessions.
    Session(Message),
    /// A session, and it cannot be accepted.
    BadSession(Refusal, Failure),
}

/// What came of a message or timer, for the tunnel.
#[derive(Debug)]
pub enum Outcome {
    /// The connection goes on as it is.
    Keep,
    /// It is established: it serves its tunnel from now on.
    Established {
        /// It was set up to ask whether its peer would serve the tunnel.
        asked: bool,
    },
    /// Its peer answers, which is all that it is for so far.
    Answered,
    /// The peer closed it with a StopCCN.
    Stopped {
        /// Why, in words.
        reason: String,
        /// Our SCCRQ or SCCRP lost a tie: the peer's own attempt goes on.
        lost_tie: bool,
    },
    /// It cannot go on: close it with this code.
    Close(Objection),
    /// It cannot go on, and the peer cannot be told.
    Lost(Failure),
    /// The same, found out early (after a hint that the peer has forgotten it, or by a short `hello-interval`): it is
    /// set up again at once.
    Forgotten(Failure),
    /// Nothing more is to be said or heard.
    Done,
}
