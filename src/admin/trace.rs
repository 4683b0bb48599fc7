//! The records of `l2tpctl trace`: one control message each, with the time and the two ends it travelled between.
//! The client makes a pcapng file of them.
//!
//! ```text
//!  0                    8           9         10      11          12        14       16
//!  | microseconds since | direction | encaps. | family | reserved | l. port | r. port | local address |
//!  | 1970-01-01T00:00Z  | 0 in 1 out| 0 ip 1 udp| 4, 6  | 0       |         |         | remote address | message
//! ```

use std::net::{IpAddr, SocketAddr};

use crate::config::model::Via;
use crate::log::WallTime;
use crate::proto::Path;
use crate::wire::Encapsulation;

/// A control message that was sent or received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When.
    pub time: WallTime,
    /// We sent it.
    pub sent: bool,
    /// Between whom.
    pub path: Path,
    /// The message, from the T bit on.
    pub message: Vec<u8>,
}

impl Record {
    /// The record as octets, the body of a piece of the stream.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(48 + self.message.len());
        out.extend_from_slice(&self.time.0.to_be_bytes());
        out.push(u8::from(self.sent));
        out.push(u8::from(self.path.encapsulation == Encapsulation::Udp));
        let both_v4 = self.path.local.is_ipv4() && self.path.remote.is_ipv4();
        out.push(if both_v4 { 4 } else { 6 });
        out.push(0);
        out.extend_from_slice(&self.path.local.port().to_be_bytes());
        out.extend_from_slice(&self.path.remote.port().to_be_bytes());
        for end in [self.path.local.ip(), self.path.remote.ip()] {
            match end {
                IpAddr::V4(address) if both_v4 => out.extend_from_slice(&address.octets()),
                IpAddr::V4(address) => out.extend_from_slice(&address.to_ipv6_mapped().octets()),
                IpAddr::V6(address) => out.extend_from_slice(&address.octets()),
            }
        }
        out.extend_from_slice(&self.message);
        out
    }

    /// Reads a record; `None` if it is none.
    pub fn decode(octets: &[u8]) -> Option<Record> {
        let (micros, rest) = octets.split_first_chunk::<8>()?;
        let ([direction, encapsulation, family, _, l1, l0, r1, r0], rest) = rest.split_first_chunk::<8>()?;
        let (local, rest) = address(*family, rest)?;
        let (remote, message) = address(*family, rest)?;
        Some(Record {
            time: WallTime(u64::from_be_bytes(*micros)),
            sent: *direction != 0,
            path: Path {
                encapsulation: if *encapsulation == 0 { Encapsulation::Ip } else { Encapsulation::Udp },
                local: SocketAddr::new(local, u16::from_be_bytes([*l1, *l0])),
                remote: SocketAddr::new(remote, u16::from_be_bytes([*r1, *r0])),
                via: Via::ANY,
            },
            message: message.to_vec(),
        })
    }
}

/// An address of this family from the front of `octets`, and what is left.
fn address(family: u8, octets: &[u8]) -> Option<(IpAddr, &[u8])> {
    match family {
        4 => octets.split_first_chunk::<4>().map(|(address, rest)| (IpAddr::from(*address), rest)),
        6 => octets.split_first_chunk::<16>().map(|(address, rest)| (IpAddr::from(*address), rest)),
        _ => None,
    }
}
