//! What another program is told of the data plane when it goes on with it. The descriptors travel beside, in the same
//! order; what the configuration says of an interface is not part of it.

use std::collections::VecDeque;
use std::os::fd::{OwnedFd, RawFd};
use std::time::Instant;

use super::bridge::Membership;
use super::event::{Failure, Unmatched};
use super::gates::Gates;
use super::link_local::Forwarding;
use super::socket_key::SocketKey;
use crate::counters::Counters;
use crate::proto::{Attachment, Path};
use crate::saved::saved;
use crate::sys::socket::SocketState;
use crate::sys::tap::TapState;
use crate::wire::data::ReceiveSequence;

/// Descriptors that are passed on, in their order.
pub type Passed = Vec<RawFd>;
/// The same where they come in.
pub type Come = VecDeque<OwnedFd>;

/// The data plane.
pub struct PlaneState {
    pub(super) sockets: Vec<OpenState>,
    pub(super) ports: Vec<PortState>,
    pub(super) sessions: Vec<SessionState>,
    pub(super) forwarding: Forwarding,
    pub(super) unmatched: Unmatched,
}
saved!(PlaneState { sockets, ports, sessions, forwarding, unmatched });

impl PlaneState {
    /// The names of the interfaces.
    pub fn interfaces(&self) -> impl Iterator<Item = &str> {
        self.ports.iter().map(|port| port.name.as_str())
    }
}

/// An open socket.
pub(super) struct OpenState {
    pub(super) key: SocketKey,
    pub(super) inner: SocketState,
    pub(super) data: Option<SocketState>,
}
saved!(OpenState { key, inner, data });

/// A port.
pub(super) struct PortState {
    /// The name of its interface in the configuration.
    pub(super) name: String,
    pub(super) tap: Option<TapState>,
    pub(super) counters: Counters,
    pub(super) mtu: Option<usize>,
    pub(super) longest: Option<usize>,
    pub(super) up: bool,
    pub(super) carrier: Option<bool>,
    pub(super) membership: Option<Membership>,
    pub(super) forwarding: Option<String>,
    pub(super) complete: bool,
    pub(super) warned: bool,
    pub(super) failure: Option<Failure>,
}
saved!(PortState {
    name,
    tap,
    counters,
    mtu,
    longest,
    up,
    carrier,
    membership,
    forwarding,
    complete,
    warned,
    failure,
});

/// A session.
pub(super) struct SessionState {
    pub(super) attachment: Attachment,
    pub(super) path: Path,
    pub(super) next_sequence: u32,
    pub(super) receive_sequence: ReceiveSequence,
    pub(super) established: bool,
    pub(super) gates: Gates,
    pub(super) heard: Option<Instant>,
    pub(super) gso: bool,
    pub(super) send_error: Option<i32>,
    pub(super) elsewhere: Option<Instant>,
    /// What probes have shown of its path.
    pub(super) path_carries: Option<usize>,
}
saved!(SessionState {
    attachment,
    path,
    next_sequence,
    receive_sequence,
    established,
    gates,
    heard,
    gso,
    send_error,
    elsewhere,
    path_carries,
});
