//! Messages and data that come from elsewhere than from the peer's known address: has the peer moved, or a NAT before
//! it? The peer is asked where it seems to be and where it was; the answer tells.

use std::time::Duration;

use super::auth::Mode;
use super::outcome::Outcome;
use super::table::State;
use super::Connection;
use crate::proto::action::Path;
use crate::proto::context::Context;

/// After the peer was looked for, further signs of it are passed over for so long: what data can claim is easily forged.
const LOOK_PAUSE: Duration = Duration::from_secs(5);

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

impl Connection {
    /// Where a message on this path comes from.
    pub(super) fn origin(&self, path: Path) -> Origin {
        let known = self.transport.path;
        if known.encapsulation != path.encapsulation {
            return Origin::Stranger;
        }
        if same_end(known, path) {
            return Origin::Peer;
        }
        let signed = self.transport.auth.mode == Mode::On;
        let same_host = known.remote.ip() == path.remote.ip();
        match self.state {
            // RFC 3931 4.1.1.2: a peer may answer our SCCRQ from another port.
            State::WaitCtlReply if same_host => Origin::Peer,
            State::WaitCtlReply => Origin::Stranger,
            State::Established if signed || self.transport.candidate.is_some_and(|c| same_end(c, path)) => {
                Origin::Elsewhere
            }
            State::Established => Origin::Stranger,
            State::Idle | State::WaitCtlConn | State::Stopping | State::Linger => match same_host && signed {
                true => Origin::Peer,
                false => Origin::Stranger,
            },
        }
    }

    /// There is a sign that the peer is at the other end of `path` now: it is asked there, too, at once.
    pub fn look_for(&mut self, cx: &mut Context, path: Path) -> Outcome {
        let known = self.transport.path;
        let new = known.encapsulation == path.encapsulation && !same_end(known, path);
        let recently = |at| cx.now.saturating_duration_since(at) < LOOK_PAUSE;
        if self.state != State::Established || !new || self.looked.is_some_and(recently) {
            return Outcome::Keep;
        }
        self.looked = Some(cx.now);
        self.transport.candidate = Some(path);
        if self.transport.is_pressed() {
            self.transport.repeat_oldest(cx);
            return Outcome::Keep;
        }
        self.probe(cx)
    }
}

/// Whether both paths lead to the same address and port; the scope of a link-local one does not matter.
fn same_end(a: Path, b: Path) -> bool {
    a.remote.ip() == b.remote.ip() && a.remote.port() == b.remote.port()
}
