//! What the modules that each system has of its own are given, and give: the same on all.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use libc::c_int;

use crate::saved::saved;
use crate::wire::{Cookie, SessionId};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetEvent {
    /// An interface: its flags as they are now; other things than the flags may have changed.
    Link {
        /// Interface index.
        index: c_int,
        /// The administrator has it up.
        up: bool,
    },
    /// An interface is gone.
    LinkDeleted {
        /// Interface index.
        index: c_int,
    },
    /// An address of this host came, went, or is valid for another time.
    Address {
        /// Index of its interface.
        index: c_int,
        /// The address.
        address: IpAddr,
        /// It is there, but nothing new is to use it.
        deprecated: bool,
    },
    /// A route to this network came, went or changed.
    Route {
        /// The network's first address.
        network: IpAddr,
        /// Bits of the address that are the network's.
        bits: u8,
    },
    /// A rule that chooses between tables of routes.
    Rule,
    /// The kernel could not report everything: look at all.
    Lost,
}

/// A route that the kernel chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelRoute {
    /// Index of the interface that packets leave through.
    pub device: c_int,
    /// The router that they go to first.
    pub gateway: Option<IpAddr>,
    /// The source address that they get where none is wanted.
    pub source: Option<IpAddr>,
    /// The destination is this host.
    pub local: bool,
}

/// Why there is no interface.
#[derive(Debug)]
pub struct NotOpened {
    /// The system's error.
    pub error: io::Error,
    /// What it means; empty where the system's own text says it.
    pub about: &'static str,
}

/// A session for the kernel.
#[derive(Debug, Clone)]
pub struct NewSession<'a> {
    /// The kernel's id of the tunnel.
    pub tunnel: u32,
    /// Received frames carry it.
    pub local: SessionId,
    /// Sent frames carry it.
    pub remote: SessionId,
    /// Name of the interface that is made.
    pub interface: &'a str,
    /// What received frames must carry.
    pub cookie_expected: Cookie,
    /// What sent frames carry.
    pub cookie_to_send: Cookie,
    /// Both directions have the default sublayer.
    pub sublayer: bool,
    /// Sent frames are numbered.
    pub sequence_send: bool,
    /// Received frames must be numbered, and in order.
    pub sequence_receive: bool,
}

saved! {
    /// What the kernel counted for a session.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct Statistics {
        /// Frames sent.
        pub tx_frames: u64,
        /// Octets of them.
        pub tx_octets: u64,
        /// Frames that could not be sent.
        pub tx_errors: u64,
        /// Frames received and delivered.
        pub rx_frames: u64,
        /// Octets of them.
        pub rx_octets: u64,
        /// Received frames that were dropped, for whatever reason.
        pub rx_errors: u64,
        /// Of these: out of order, or not numbered.
        pub rx_sequence: u64,
        /// Of these: with a wrong cookie.
        pub rx_cookie: u64,
    }
}

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Control messages over IP.
    IpControl,
    /// Data messages over IP.
    IpData,
    /// All messages over UDP.
    Udp,
}

/// What a socket receives of its kind. Of what nobody needs it is one message in so many (a power of two).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needed<'a> {
    /// Of control messages that belong to no control connection yet, one in so many.
    pub strangers: u32,
    /// The ids of control connections, in order.
    pub connections: &'a [u32],
    /// Of control messages with another id than these, one in so many.
    pub other_connections: u32,
    /// The ids of sessions, in order.
    pub sessions: &'a [u32],
    /// Of data messages with another id than these, one in so many.
    pub other_sessions: u32,
}

impl Needed<'_> {
    /// Ids that a filter has room for: where there are more, all that comes is received.
    pub const MOST_IDS: usize = 2000;

    /// Everything.
    pub const ALL: Needed<'static> =
        Needed { strangers: 1, connections: &[], other_connections: 1, sessions: &[], other_sessions: 1 };
}

/// What another socket gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherSocket {
    /// The interface that it comes by, or the VRF.
    pub index: c_int,
    /// It comes to this address; `None`: to any.
    pub local: Option<IpAddr>,
}

/// Interfaces that give back what is sent into them, as long as this is there.
#[derive(Debug)]
pub struct Pairs {
    /// The index of the one for GRO, then that of the one for GSO, which segments super-frames and finishes
    /// checksums.
    pub indexes: Vec<c_int>,
    /// What keeps them: [`DESCRIPTORS`](Pairs::DESCRIPTORS) of them.
    pub descriptors: Vec<OwnedFd>,
}

impl Pairs {
    /// A namespace, and the links of four programs.
    pub const DESCRIPTORS: usize = 5;
}

/// What may be done with a file, or with all that is below a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read it.
    Read,
    /// Read and write it, and make settings of a device.
    Use,
    /// Remove files from it.
    Remove,
}

/// Which calls are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// Those of the daemon that runs.
    Daemon,
    /// The same, with programs in the kernel that carry frames.
    DaemonWithBpf,
    /// Those of a child that looks up a name.
    LookUp,
}

/// What becomes of a call that is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise {
    /// It fails with `EPERM`.
    Refuse,
    /// It is made, and told in the kernel's log.
    Log,
}
