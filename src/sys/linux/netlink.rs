//! Reading netlink messages: numbers are in host byte order, attributes begin at multiples of 4.

/// Octets of struct nlmsghdr: length (4), type (2), flags (2), sequence (4), pid (4).
pub(super) const HEADER: usize = std::mem::size_of::<libc::nlmsghdr>();

/// Bits of an attribute's type that are flags.
const TYPE_FLAGS: u16 = (libc::NLA_F_NESTED | libc::NLA_F_NET_BYTEORDER) as u16;

/// A number of a message.
pub(super) fn number(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..)?.first_chunk::<4>().map(|n| u32::from_ne_bytes(*n))
}

/// The messages in what was received, each as long as its header says.
pub(super) fn messages(mut octets: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = number(octets, 0)? as usize;
        let message = octets.get(..length).filter(|_| length >= HEADER)?;
        let kind = message.get(4..)?.first_chunk::<2>().map(|k| u16::from_ne_bytes(*k))?;
        octets = octets.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, message))
    })
}

/// The value of the first attribute of a kind.
pub(super) fn attribute(mut attributes: &[u8], kind: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(*attributes.first_chunk::<2>()?));
        let found = u16::from_ne_bytes(*attributes.get(2..)?.first_chunk::<2>()?) & !TYPE_FLAGS;
        let value = attributes.get(4..length)?;
        if found == kind {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

/// An attribute's value as an address.
pub(super) fn address(value: &[u8]) -> Option<std::net::IpAddr> {
    match value.len() {
        4 => value.first_chunk::<4>().map(|a| (*a).into()),
        16 => value.first_chunk::<16>().map(|a| (*a).into()),
        _ => None,
    }
}
