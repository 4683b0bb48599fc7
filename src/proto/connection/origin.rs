//! Where a message of a connection came from: from the peer's known address, or from elsewhere. Has the peer moved, or a
//! NAT before it? It is asked where it seems to be and where it was; the answer tells.

use super::table::State;
use crate::proto::action::Path;

/// Where a message of a connection came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The peer's address, or one that it may choose at present.
    Peer,
    /// Another one, from where a message may be believed for its digest, or as the answer to what was sent there.
    Elsewhere,
    /// Nobody that could be the peer.
    Stranger,
}

/// Where a message on `path` comes from, if the peer is at the other end of `known`, and perhaps of `candidate`.
/// `signed`: messages have digests.
pub fn origin(state: State, signed: bool, known: Path, candidate: Option<Path>, path: Path) -> Origin {
    if known.encapsulation != path.encapsulation || known.via.device != path.via.device {
        return Origin::Stranger;
    }
    if known.same_end(path) {
        return Origin::Peer;
    }
    let same_host = known.remote.ip() == path.remote.ip();
    match state {
        // RFC 3931 4.1.1.2: a peer may answer our SCCRQ from another port.
        State::WaitCtlReply if same_host => Origin::Peer,
        State::WaitCtlReply => Origin::Stranger,
        State::Established if signed || candidate.is_some_and(|c| c.same_end(path)) => Origin::Elsewhere,
        State::Established => Origin::Stranger,
        State::Idle | State::WaitCtlConn | State::Stopping | State::Linger => match same_host && signed {
            true => Origin::Peer,
            false => Origin::Stranger,
        },
    }
}
