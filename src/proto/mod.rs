//! The protocol engine: RFC 3931's state machines for any number of tunnels, without clock, socket, file or
//! random source of its own. The caller passes time and messages in, and after each call drains
//! [`Engine::poll_action`] until it is empty.
//!
//! The engine owns the tunnels, a tunnel its connections and session blocks, a session block its session. A call goes
//! down this line: the engine finds the tunnel of a datagram, a timer or an answer, in it the connection and the session
//! block, and hands them down. What came of it goes up as a return value ([`connection::outcome::Outcome`]), and the
//! engine concludes what that means for the tunnel. An object never reaches for its owner, nor looks up an id; what all
//! need is in the `context`. That only `engine/` and the tables look up ids, and how often, is checked
//! (`cargo test --test structure`). A received ICRQ passes `engine`, `engine/receive`, `connection/receive` and
//! `session/receive`.
//!
//! | file | what |
//! |---|---|
//! | `context` | time, timers, actions, random octets, ids in use: handed down to every object |
//! | `engine/` | what comes in: whose is it, and what does it mean for the tunnel? |
//! | `engine/tunnels` | the table of tunnels, and how it follows the configuration |
//! | `engine/receive` | what messages and timers of a tunnel come to |
//! | `engine/request` | an SCCRQ that belongs to no connection yet: whose, ties, restarts |
//! | `engine/callers` | which tunnel an SCCRQ is for, without looking at all, and why another one is not |
//! | `engine/sccrq` | an SCCRQ that may be believed, and the connection that answers it, be it once the SCCCN is here |
//! | `engine/prepare` | what an attempt needs first: address and socket; names that mean another address |
//! | `engine/route_change` | what becomes of tunnels when our addresses or the routes to the peers change |
//! | `engine/loss` | a connection that is lost, or closed by its peer |
//! | `engine/failover` | several peers: which one is in use, can a better one be reached; the connection that is kept up with the next one |
//! | `engine/resume` | how a program that begins after a crash goes on with a connection |
//! | `engine/reconfigure` | how a tunnel follows its block of the configuration |
//! | `engine/command` | what the administrator wants |
//! | `engine/show` | what the status shows |
//! | `tunnel` | a tunnel block: attempts, which connection serves it, how connections end |
//! | `members` | the connections of a tunnel |
//! | `addresses` | the addresses of the peers, in the order of preference: whose turn is it, are names to be looked up again |
//! | `backup` | what is known of the order of several peers |
//! | `fallback` | two encapsulations: which one an attempt uses |
//! | `attempt` | what is tried again and again, and how far apart attempts are |
//! | `history` | the last changes of a tunnel or session |
//! | `record` | what a file keeps of a connection |
//! | `ids` | the ids in use, and whose they are |
//! | `peers` | the peers' addresses; hints that one has forgotten us |
//! | `connection/` | a control connection: `table` (RFC 3931 7.2), `channel` (Ns, Nr, windows), `transport` (how messages leave; `outgoing` makes them ready), `receive` (what messages and timers do to it), `auth`, `keepalive` (HELLOs, probes, a path that changes), `transport/asking` (is the peer there?) |
//! | `session/` | a session: `table` (RFC 3931 7.3), `receive` (what messages do), `setup` (from either end), `slot` (a session block: circuit, end), `slots` (the table of them) |
//! | `dropped` | who sends what is dropped before a tunnel is found |
//! | `route`, `watch` | our own addresses and the routes to the peers; who watches them |
//! | `guard` | what strangers may cost |
//! | `unproven` | peers that were answered without a connection, where too many call at once |
//! | `result`, `notes` | Result Codes; what the log says of a message that is not as it should be |
//! | `action`, `snapshot` | what goes out: things to do, things to see |

#![warn(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

pub mod action;
mod addresses;
mod attempt;
mod backup;
pub mod connection;
mod context;
pub mod dropped;
mod engine;
mod fallback;
pub mod guard;
pub mod history;
mod ids;
mod members;
mod notes;
mod peers;
pub mod record;
mod result;
mod route;
pub mod session;
pub mod snapshot;
mod tunnel;
mod unproven;
mod watch;

pub use action::{
    Action, Attachment, Fragments, Notification, Path, Pong, Purpose, SequenceLevel, TunnelEvent,
};
pub use context::Random;
pub use engine::{Command, CommandError, Engine, TunnelRecord};
pub use route::{NextHop, Route, RouteKey};

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Instant;

    /// A moment to begin with. Tests count on from it; nothing depends on which moment it is.
    pub(crate) fn start() -> Instant {
        crate::sys::clock::now()
    }
}
