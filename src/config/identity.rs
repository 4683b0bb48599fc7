//! Who we are where the file does not say it. The Router ID of tunnels that are given none has to be the same after each
//! start, and another one than the peer's.

use crate::saved::saved;
use std::fmt;

/// What the system contributes where the file is silent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Defaults {
    /// The system's host name.
    pub hostname: Vec<u8>,
    /// What the system has to offer as Router ID, or the one that was derived before.
    pub router_id: DerivedId,
}
saved!(Defaults { hostname, router_id });

/// A Router ID that the file does not give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DerivedId {
    /// Four octets, written like an IPv4 address.
    pub id: [u8; 4],
    /// Where it comes from.
    pub source: Source,
    /// Tunnels use it already, and go on with it: no other one is derived before the next start.
    pub kept: bool,
}
saved!(DerivedId { id, source, kept });

/// Where a derived Router ID comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Source {
    /// The first `local-address` of the file that is an IPv4 address.
    LocalAddress,
    /// The system's first IPv4 address.
    #[default]
    FirstAddress,
    /// Host name and machine id, for want of an IPv4 address.
    Machine,
}
saved!(
    enum Source {
        LocalAddress,
        FirstAddress,
        Machine,
    }
);

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::LocalAddress => "the first local-address of the file",
            Source::FirstAddress => "the system's first IPv4 address at the start",
            Source::Machine => "host name and machine id, without an IPv4 address at the start",
        })
    }
}

impl DerivedId {
    /// From the system's first IPv4 address.
    pub fn of_address(id: [u8; 4]) -> DerivedId {
        DerivedId { id, source: Source::FirstAddress, kept: false }
    }

    /// From what tells one machine from another: an address of 240.0.0.0/4, which no interface can have (RFC 1112 4).
    pub fn of_machine(hostname: &[u8], machine_id: &[u8]) -> DerivedId {
        // FNV-1a, 32 bits; a zero octet between the parts.
        let octets = hostname.iter().chain(&[0]).chain(machine_id);
        let hash =
            octets.fold(0x811c_9dc5_u32, |hash, octet| (hash ^ u32::from(*octet)).wrapping_mul(0x0100_0193));
        // The broadcast address is not one machine's.
        let id = (hash | 0xf000_0000).min(0xffff_fffe).to_be_bytes();
        DerivedId { id, source: Source::Machine, kept: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_an_id_of_its_own_that_no_interface_can_have() {
        let of = |host: &str, machine: &str| DerivedId::of_machine(host.as_bytes(), machine.as_bytes()).id;
        let ids = [of("left", "5e"), of("right", "5e"), of("left", "5f"), of("left5e", ""), of("", "")];
        assert_eq!(ids[0], of("left", "5e"));
        for (at, id) in ids.iter().enumerate() {
            assert!(id[0] >= 240 && *id != [255; 4], "{id:?}");
            assert!(!ids[..at].contains(id), "{id:?}");
        }
    }
}
