//! What the programs and the kernel agree about: maps, fields, helpers and flags of linux/bpf.h, and numbers of
//! protocols.

/// The maps that the programs look into, by their descriptors.
#[derive(Debug, Clone, Copy)]
pub struct Maps {
    /// [`super::values::Ingress`] by our Session ID, in network order.
    pub ingress: i32,
    /// [`super::values::Egress`] by the index of the session's interface.
    pub egress: i32,
    /// [`super::values::Counts`] by our Session ID, in network order; one for each processor.
    pub counts: i32,
}

/// A program as the kernel takes it; `None`: it jumps to nowhere.
pub type Code = Option<Vec<[u8; 8]>>;

/// Fields of `struct __sk_buff` that the programs read (linux/bpf.h).
pub(super) mod context {
    pub const LENGTH: i16 = 0;
    pub const PACKET_TYPE: i16 = 4;
    pub const PROTOCOL: i16 = 16;
    pub const VLAN_PRESENT: i16 = 20;
    pub const VLAN_TCI: i16 = 24;
    pub const IFINDEX: i16 = 40;
    pub const GSO_SIZE: i16 = 176;
}

/// Helpers that the programs call (linux/bpf.h).
pub(super) mod helper {
    pub const MAP_LOOKUP: i32 = 1;
    pub const RANDOM: i32 = 7;
    pub const STORE_BYTES: i32 = 9;
    pub const VLAN_PUSH: i32 = 18;
    pub const VLAN_POP: i32 = 19;
    pub const REDIRECT: i32 = 23;
    pub const LOAD_BYTES: i32 = 26;
    pub const CHECKSUM: i32 = 28;
    pub const ADJUST_ROOM: i32 = 50;
    pub const REDIRECT_NEIGHBOUR: i32 = 152;
    pub const REDIRECT_PEER: i32 = 155;
    pub const COARSE_TIME: i32 = 160;
}

/// `bpf_skb_adjust_room`: room right after the Ethernet header.
pub(super) const AFTER_MAC: i32 = 1;
/// Its flag: the size of a super-frame's segments stays.
pub(super) const FIXED_GSO: u64 = 1;
/// `bpf_redirect`: as if it came in there.
pub(super) const AS_INGRESS: i32 = 1;
/// What a program returns for a packet that it leaves to others: the next program, or the system.
pub(super) const TCX_NEXT: i32 = -1;
/// What it returns for one that is lost.
pub(super) const TCX_DROP: i32 = 2;

/// Octets of an Ethernet header.
pub(super) const MAC: i32 = 14;
pub(super) const IPV4: i32 = net16(0x0800);
pub(super) const IPV6: i32 = net16(0x86dd);
pub(super) const UDP: i32 = 17;
pub(super) const TCP: i32 = 6;
pub(super) const L2TP: i32 = 115;

/// The Ethertype of a tag.
pub(super) const TAG: i32 = net16(0x8100);

/// A number of 16 bits as one finds it loaded from octets in network order.
pub(super) const fn net16(number: u16) -> i32 {
    number.to_be() as i32
}
