//! The virtio network header (struct virtio_net_hdr) before each frame that a TAP interface hands over or takes:
//! it tells what the network interface still has to do: segment the frame (GSO), or fill in a checksum.

/// Octets of the header.
pub const VNET_HEADER: usize = 10;

const NEEDS_CHECKSUM: u8 = 1;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP: u8 = 5;
/// TCP with explicit congestion notification; CWR is handled anyway.
const GSO_ECN: u8 = 0x80;

/// What kind of super-frame it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GsoKind {
    /// One IPv4 packet with a long TCP segment.
    Tcp4,
    /// One IPv6 packet with a long TCP segment.
    Tcp6,
    /// One packet with several UDP datagrams' payload after one UDP header.
    Udp,
    /// Something that was not asked for.
    Unknown,
}

/// What stands before each frame that is read from or written to a TAP (virtio_net_hdr, without the number of buffers).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VnetHeader {
    /// Where the checksummed part starts and where in it the checksum goes; it holds the sum of the
    /// pseudo-header. `None`: the frame is complete.
    pub checksum: Option<(usize, usize)>,
    /// GSO: the frame is to be cut into segments with that much payload (`gso_size`).
    pub gso: Option<(GsoKind, usize)>,
    /// Octets of all headers; a hint only.
    pub headers: usize,
}

impl VnetHeader {
    /// Reads the header; its numbers are in host order.
    pub fn from_octets(octets: [u8; VNET_HEADER]) -> VnetHeader {
        let [flags, gso_type, h0, h1, s0, s1, c0, c1, o0, o1] = octets;
        let number = |a, b| usize::from(u16::from_ne_bytes([a, b]));
        let kind = match gso_type & !GSO_ECN {
            GSO_NONE => None,
            GSO_TCPV4 => Some(GsoKind::Tcp4),
            GSO_TCPV6 => Some(GsoKind::Tcp6),
            GSO_UDP => Some(GsoKind::Udp),
            _ => Some(GsoKind::Unknown),
        };
        VnetHeader {
            checksum: (flags & NEEDS_CHECKSUM != 0).then(|| (number(c0, c1), number(o0, o1))),
            gso: kind.map(|kind| (kind, number(s0, s1))),
            headers: number(h0, h1),
        }
    }

    /// Writes the header. Numbers beyond 65 535 do not occur: a frame is not longer.
    pub fn to_octets(self) -> [u8; VNET_HEADER] {
        let number = |n: usize| u16::try_from(n).unwrap_or(u16::MAX).to_ne_bytes();
        let gso_type = match self.gso {
            None | Some((GsoKind::Unknown, _)) => GSO_NONE,
            Some((GsoKind::Tcp4, _)) => GSO_TCPV4,
            Some((GsoKind::Tcp6, _)) => GSO_TCPV6,
            Some((GsoKind::Udp, _)) => GSO_UDP,
        };
        let flags = if self.checksum.is_some() { NEEDS_CHECKSUM } else { 0 };
        let (start, offset) = self.checksum.unwrap_or_default();
        let [h, s] = [number(self.headers), number(self.gso.map_or(0, |c| c.1))];
        let [c, o] = [number(start), number(offset)];
        [flags, gso_type, h[0], h[1], s[0], s[1], c[0], c[1], o[0], o[1]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_it_is_written() {
        for header in [
            VnetHeader::default(),
            VnetHeader { checksum: Some((34, 16)), gso: None, headers: 0 },
            VnetHeader { checksum: Some((38, 16)), gso: Some((GsoKind::Tcp4, 1448)), headers: 70 },
            VnetHeader { checksum: Some((54, 16)), gso: Some((GsoKind::Tcp6, 1428)), headers: 74 },
            VnetHeader { checksum: Some((54, 6)), gso: Some((GsoKind::Udp, 1200)), headers: 62 },
        ] {
            assert_eq!(VnetHeader::from_octets(header.to_octets()), header);
        }
        let [a, b] = 1448u16.to_ne_bytes();
        assert_eq!(
            VnetHeader::from_octets([1, 0x81, 0, 0, a, b, 0, 0, 0, 0]).gso,
            Some((GsoKind::Tcp4, 1448))
        );
    }
}
