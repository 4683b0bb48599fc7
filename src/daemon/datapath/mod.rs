//! The data plane: sockets to the peers, TAP interfaces to the system, and the sessions that join them. Frames
//! never leave this room; control messages are handed over as they come.
//!
//! `plane.rs` owns all tables. A turn gives each ready descriptor one batch, so that none starves the others. Buffers
//! belong to the data plane and are made when the first batch comes.

mod bridge;
mod closing;
mod device;
mod event;
mod interface;
mod kernel;
mod link_local;
mod paths;
mod plane;
mod port;
mod ports;
mod ready;
mod receive;
mod session;
mod slab;
mod sockets;
#[cfg(test)]
mod tests;
mod transmit;
mod waiting;

pub use bridge::BridgeState;
pub use event::{DataPlaneEvent, Failure, Unmatched};
pub use interface::{Interface, InterfaceState};
pub use plane::{Attached, DataPlane};
pub use ready::FIRST_TOKEN;
pub use sockets::SocketKey;
