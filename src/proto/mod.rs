//! The protocol engine: RFC 3931's state machines for any number of tunnels, without clock, socket, file or
//! random source of its own. The caller passes time and messages in, and after each call drains
//! [`Engine::poll_action`] until it is empty.
//!
//! The engine owns the tunnels, a tunnel its connections and session blocks, a session block its session. A call goes
//! down this line: the engine finds the tunnel of a datagram, a timer or an answer once, the tunnel the connection,
//! and hands on what the connection does not settle itself. What came of it goes up as a return value
//! ([`connection::outcome::Outcome`]). An object never reaches for its owner; what all need is in the `context`.
//! Who may look up what an id stands for is checked (`cargo test --test structure`). A received ICRQ passes `engine`,
//! `receive`, `connection/receive` and `session/receive`.
//!
//! | file | what |
//! |---|---|
//! | `context` | time, timers, actions, random octets, ids in use: handed down to every object |
//! | `engine` | whose is it? |
//! | `tunnels` | the table of tunnels, and how it follows the configuration |
//! | `request` | an SCCRQ that belongs to no connection yet: whose, ties, restarts |
//! | `command` | what the administrator wants |
//! | `tunnel` | a tunnel block: attempts, which connection serves it, how connections end |
//! | `record`, `resume` | what a file keeps of a connection, and how a program that begins after a crash goes on with it |
//! | `loss` | a connection that is lost, or closed by its peer |
//! | `reconfigure` | how a tunnel follows its block of the configuration |
//! | `receive` | what messages and timers of a tunnel come to |
//! | `callers` | which tunnel an SCCRQ is for, without looking at all |
//! | `members` | the connections of a tunnel |
//! | `addresses` | the addresses of the peers, in the order of preference: whose turn is it, are names to be looked up again |
//! | `standby` | the connection that is kept up with the next of several peers |
//! | `backup`, `failover` | several peers: which one is in use and why, can a better one be reached; what is done about it |
//! | `fallback` | two encapsulations: which one an attempt uses |
//! | `history` | the last changes of a tunnel or session |
//! | `pause` | how far apart attempts are |
//! | `ids` | the ids in use, and whose they are |
//! | `peers` | the peers' addresses; hints that one has forgotten us |
//! | `connection/` | a control connection: `table` (RFC 3931 7.2), `channel` (Ns, Nr, windows), `transport` (how messages leave; `outgoing` makes them ready), `receive` (what messages and timers do to it), `auth`, `keepalive` (HELLOs, probes, a path that changes), `transport/asking` (is the peer there?) |
//! | `session/` | a session: `table` (RFC 3931 7.3), `receive` (what messages do), `setup` (from either end), `slot` (a session block: circuit, end), `slots` (the table of them) |
//! | `dropped` | who sends what is dropped before a tunnel is found |
//! | `route`, `watch` | our own addresses and the routes to the peers; who watches them |
//! | `route_change` | what becomes of tunnels when they change |
//! | `prepare` | what an attempt needs first: address and socket; names that mean another address |
//! | `obstacle` | why a tunnel is not the one that a datagram is for |
//! | `guard` | what strangers may cost |
//! | `unproven` | peers that were answered without a connection, where too many call at once |
//! | `proof` | how they are answered, and how the SCCCN makes the connection |
//! | `sccrq` | an SCCRQ that may be believed, and the connection that answers it |
//! | `action`, `snapshot`, `show` | what goes out: things to do, things to see |

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
mod pause;
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
    Action, Attachment, Fragments, Happening, Notification, Path, Pong, Purpose, SequenceLevel,
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
