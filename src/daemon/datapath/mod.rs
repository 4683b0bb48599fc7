//! The data plane: sockets to the peers, TAP interfaces to the system, and the sessions that join them. Frames
//! never leave this room; control messages are handed over as they come.
//!
//! `pseudowires.rs` owns all tables, `plane.rs` what reads, `sending.rs` what sends. A turn gives each ready descriptor one batch, so that none starves the others. Buffers
//! belong to the data plane and are made when the first batch comes.

mod backlog;
mod bridge;
mod closing;
mod device;
mod event;
mod filter;
mod flood;
mod gates;
mod hand_over;
mod heard;
mod interface;
mod kernel;
mod known;
mod link_local;
mod links;
mod loops;
mod making;
mod newest;
mod oam;
mod obstacles;
mod paths;
mod plane;
mod port;
mod ports;
mod pseudowires;
mod ready;
mod receive;
mod senders;
mod sending;
mod session;
mod shortcut;
mod slab;
mod socket_key;
mod sockets;
mod state;
mod storm;
mod tasks;
#[cfg(test)]
mod tests;
mod transmit;
mod unfinished;
mod waiting;

pub use event::{DataPlaneEvent, Echo, Failure, Unmatched};
pub use interface::Interface;
pub use plane::DataPlane;
pub use pseudowires::Attached;
pub use ready::FIRST_TOKEN;
pub use socket_key::{unspecified, SocketKey};
pub use state::PlaneState;
