//! Programs for the kernel (BPF) that carry frames where it need not be the daemon: [`asm`] puts them together,
//! [`ingress`] and [`egress`] are the two, [`pairs`] those of the interfaces where super-frames are made and cut, [`values`] is
//! what stands in their maps. Pure: [`crate::sys::bpf`] loads them.

pub mod asm;
pub mod egress;
pub mod ingress;
pub mod pairs;
pub mod values;

/// The maps that the programs look into, by their descriptors.
#[derive(Debug, Clone, Copy)]
pub struct Maps {
    /// [`values::Ingress`] by our Session ID, in network order.
    pub ingress: i32,
    /// [`values::Egress`] by the index of the session's interface.
    pub egress: i32,
    /// [`values::Counts`] by our Session ID, in network order; one for each processor.
    pub counts: i32,
}

/// A program as the kernel takes it; `None`: it jumps to nowhere.
pub type Code = Option<Vec<[u8; 8]>>;

/// All programs, with the names that one sees them by: that at the ingress of the interfaces that lead to peers, that at
/// the egress of the sessions' interfaces, and those of [`pairs`]: at the other ends, at our end of the one that joins, of
/// the one that cuts.
pub fn all(maps: &Maps) -> [(&'static str, Code); 5] {
    [
        ("l2tpd_ingress", ingress::program(maps)),
        ("l2tpd_egress", egress::program(maps, egress::Place::Interface)),
        ("l2tpd_back", pairs::back()),
        ("l2tpd_joined", pairs::joined()),
        ("l2tpd_cut", egress::program(maps, egress::Place::Cut)),
    ]
}

/// Fields of `struct __sk_buff` that the programs read (linux/bpf.h).
mod context {
    pub(super) const LENGTH: i16 = 0;
    pub(super) const PACKET_TYPE: i16 = 4;
    pub(super) const PROTOCOL: i16 = 16;
    pub(super) const VLAN_PRESENT: i16 = 20;
    pub(super) const VLAN_TCI: i16 = 24;
    pub(super) const IFINDEX: i16 = 40;
    pub(super) const GSO_SIZE: i16 = 176;
}

/// Helpers that the programs call (linux/bpf.h).
mod helper {
    pub(super) const MAP_LOOKUP: i32 = 1;
    pub(super) const RANDOM: i32 = 7;
    pub(super) const STORE_BYTES: i32 = 9;
    pub(super) const VLAN_PUSH: i32 = 18;
    pub(super) const VLAN_POP: i32 = 19;
    pub(super) const REDIRECT: i32 = 23;
    pub(super) const LOAD_BYTES: i32 = 26;
    pub(super) const CHECKSUM: i32 = 28;
    pub(super) const ADJUST_ROOM: i32 = 50;
    pub(super) const BOOT_TIME: i32 = 125;
    pub(super) const REDIRECT_NEIGHBOUR: i32 = 152;
    pub(super) const REDIRECT_PEER: i32 = 155;
}

/// `bpf_skb_adjust_room`: room right after the Ethernet header.
const AFTER_MAC: i32 = 1;
/// Its flag: the size of a super-frame's segments stays.
const FIXED_GSO: u64 = 1;
/// What a program returns for a packet that it leaves to others: the next program, or the system.
const TCX_NEXT: i32 = -1;
/// What it returns for one that is lost.
const TCX_DROP: i32 = 2;

/// Octets of an Ethernet header.
const MAC: i32 = 14;
const IPV4: i32 = net16(0x0800);
const IPV6: i32 = net16(0x86dd);
const UDP: i32 = 17;
const TCP: i32 = 6;
const L2TP: i32 = 115;

/// The Ethertype of a tag.
const TAG: i32 = net16(0x8100);

/// A number of 16 bits as one finds it loaded from octets in network order.
const fn net16(number: u16) -> i32 {
    number.to_be() as i32
}
