//! What another program is told of the data plane when it goes on with it. The descriptors travel beside, in the same
//! order; what the configuration says of an interface is not part of it.

use std::collections::VecDeque;
use std::os::fd::{OwnedFd, RawFd};
use std::time::Instant;

use super::bridge::Membership;
use super::device::KernelSession;
use super::event::{Failure, Unmatched};
use super::gates::Gates;
use super::link_local::Forwarding;
use super::socket_key::SocketKey;
use crate::bpf::values::Counts;
use crate::counters::Counters;
use crate::frame::fragments::Reassembly;
use crate::proto::{Attachment, Path};
use crate::saved::saved;
use crate::sys::socket::SocketState;
use crate::sys::tap::TapState;
use crate::sys::veth::Pairs;
use crate::wire::data::ReceiveSequence;
use crate::wire::SessionId;

/// Descriptors that are passed on, in their order.
pub type SentFds = Vec<RawFd>;
/// The same where they come in.
pub type ReceivedFds = VecDeque<OwnedFd>;

/// What another program is told of the data plane; descriptors go beside it.
pub struct PlaneState {
    pub(super) sockets: Vec<OpenState>,
    pub(super) ports: Vec<PortState>,
    pub(super) sessions: Vec<SessionState>,
    pub(super) forwarding: Forwarding,
    pub(super) unmatched: Unmatched,
    pub(super) kernel: Option<KernelState>,
    pub(super) shortcut: Option<ShortcutState>,
}
saved!(PlaneState { sockets, ports, sessions, forwarding, unmatched } added { kernel, shortcut });

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

/// What there is in the kernel's L2TP.
pub(super) struct KernelState {
    pub(super) tunnels: Vec<TunnelState>,
}
saved!(KernelState { tunnels });

/// A tunnel of the kernel.
pub(super) struct TunnelState {
    pub(super) id: u32,
    pub(super) path: Path,
    /// Over UDP, its socket; over IP there is nothing to be known of it but its descriptor.
    pub(super) socket: Option<OpenState>,
    pub(super) sessions: usize,
}
saved!(TunnelState { id, path, socket, sessions });

/// The programs in the kernel that carry frames. Their descriptors: three maps, two programs, those of the `pairs`,
/// then a link for each of the `underlays`.
pub(super) struct ShortcutState {
    /// What the programs were made of: another version may have others.
    pub(super) code: Vec<u8>,
    /// The indexes of the interfaces for GRO and GSO.
    pub(super) pairs: Option<Vec<i32>>,
    /// The indexes of interfaces that lead to peers, and how many sessions use them.
    pub(super) underlays: Vec<(i32, usize)>,
    pub(super) carried: Vec<CarriedState>,
}
saved!(ShortcutState { code, underlays, carried } added { pairs });

impl ShortcutState {
    /// How many descriptors it has.
    pub(super) fn descriptors(&self) -> usize {
        5 + self.pairs.as_ref().map_or(0, |_| Pairs::DESCRIPTORS) + self.underlays.len()
    }
}

/// What the programs know of a session.
pub(super) struct CarriedState {
    /// The name of its interface in the configuration.
    pub(super) name: String,
    pub(super) session: SessionId,
    /// Where they carry its frames: the indexes of the interface that leads to the peer, and of its own.
    pub(super) ways: Option<(i32, i32)>,
    /// Why they do not.
    pub(super) why_not: Option<String>,
    pub(super) zero: Counts,
    /// What they have counted since.
    pub(super) counted: Counters,
}
saved!(CarriedState { name, session, ways, why_not, zero, counted });

saved! {
    /// What it is told of a port.
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
    } added {
        /// The kernel's session, where it has no TAP.
        pub(super) kernel: Option<KernelSession>,
        pub(super) isolated: bool,
    }
}

saved! {
    /// What it is told of an attached session.
    pub(super) struct SessionState {
        pub(super) attachment: Attachment,
        pub(super) path: Path,
        pub(super) next_sequence: u32,
        pub(super) receive_sequence: ReceiveSequence,
        pub(super) reassembly: Reassembly,
        pub(super) established: bool,
        pub(super) gates: Gates,
        pub(super) heard: Option<Instant>,
        pub(super) gso: bool,
        pub(super) send_error: Option<i32>,
        pub(super) elsewhere: Option<Instant>,
        /// What probes have shown of its path.
        pub(super) path_carries: Option<usize>,
    }
}
