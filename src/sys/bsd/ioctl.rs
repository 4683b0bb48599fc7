//! Request codes and structures of ioctl(2) for interfaces (sys/ioccom.h, sys/sockio.h, net/if.h, net/if_bridgevar.h).
//! Pure, and checked on every system that this is compiled for.

use std::mem::{offset_of, size_of};

/// Directions of what is handed over (sys/ioccom.h).
const READ: u32 = 0x4000_0000;
const WRITE: u32 = 0x8000_0000;

/// A request code: direction, octets (13 bits), group, number.
const fn code(direction: u32, group: u8, number: u8, octets: usize) -> u32 {
    direction | ((octets as u32 & 0x1fff) << 16) | ((group as u32) << 8) | number as u32
}

/// `_IOR`: the kernel hands over.
pub(in crate::sys) const fn read(group: u8, number: u8, octets: usize) -> u32 {
    code(READ, group, number, octets)
}

/// `_IOW`: the kernel takes.
pub(in crate::sys) const fn write(group: u8, number: u8, octets: usize) -> u32 {
    code(WRITE, group, number, octets)
}

/// `_IOWR`: both.
pub(in crate::sys) const fn both(group: u8, number: u8, octets: usize) -> u32 {
    code(READ | WRITE, group, number, octets)
}

/// Octets of an interface's name.
pub(in crate::sys) const NAME: usize = 16;

/// struct ifreq; the union has as many octets as the system says.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(in crate::sys) struct Request<const UNION: usize> {
    pub(in crate::sys) name: [u8; NAME],
    pub(in crate::sys) value: [u8; UNION],
}

impl<const UNION: usize> Request<UNION> {
    /// Of the interface called `name` (1 to 15 octets, no NUL), if that can be a name.
    pub(in crate::sys) fn new(name: &str) -> Option<Request<UNION>> {
        Some(Request { name: name_octets(name)?, value: [0; UNION] })
    }

    /// Puts octets at the beginning of the union.
    pub(in crate::sys) fn with(mut self, octets: &[u8]) -> Request<UNION> {
        self.value.iter_mut().zip(octets).for_each(|(to, from)| *to = *from);
        self
    }

    /// The number at the beginning of the union.
    pub(in crate::sys) fn number(&self) -> i32 {
        self.value.first_chunk().map_or(0, |octets| i32::from_ne_bytes(*octets))
    }

    /// The name, as the kernel has set it.
    pub(in crate::sys) fn name(&self) -> String {
        name_text(&self.name)
    }
}

/// An interface's name as the kernel wants it: filled up with NUL.
pub(in crate::sys) fn name_octets(name: &str) -> Option<[u8; NAME]> {
    let fits = (1..NAME).contains(&name.len()) && !name.contains('\0');
    let mut octets = [0; NAME];
    octets.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
    fits.then_some(octets)
}

/// The name in octets that a NUL ends.
pub(in crate::sys) fn name_text(octets: &[u8]) -> String {
    let end = octets.iter().position(|octet| *octet == 0).unwrap_or(octets.len());
    String::from_utf8_lossy(octets.get(..end).unwrap_or_default()).into_owned()
}

/// struct ifdrv: a request of a driver's own.
#[repr(C)]
pub(in crate::sys) struct DriverRequest {
    pub(in crate::sys) name: [u8; NAME],
    pub(in crate::sys) command: libc::c_ulong,
    pub(in crate::sys) length: usize,
    pub(in crate::sys) data: *mut libc::c_void,
}

/// struct ifbifconf: a list of a bridge's ports, structures ifbreq one after the other.
#[repr(C)]
pub(in crate::sys) struct PortList {
    pub(in crate::sys) length: u32,
    pub(in crate::sys) list: *mut libc::c_void,
}

/// The numbers are those of programs in C on 64 bits.
#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<Request<128>>() == 144 && offset_of!(Request<128>, value) == 16);
    assert!(size_of::<Request<16>>() == 32);
    assert!(size_of::<DriverRequest>() == 40 && offset_of!(DriverRequest, data) == 32);
    assert!(size_of::<PortList>() == 16 && offset_of!(PortList, list) == 8);
    // NetBSD: SIOCSIFFLAGS, SIOCGIFFLAGS, SIOCIFCREATE, SIOCSDRVSPEC, SIOCGDRVSPEC.
    assert!(write(b'i', 16, 144) == 0x8090_6910 && both(b'i', 17, 144) == 0xc090_6911);
    assert!(write(b'i', 122, 144) == 0x8090_697a);
    assert!(write(b'i', 123, 40) == 0x8028_697b && both(b'i', 123, 40) == 0xc028_697b);
    // FreeBSD: SIOCSIFFLAGS, TAPGIFNAME.
    assert!(write(b'i', 16, 32) == 0x8020_6910 && read(b't', 93, 32) == 0x4020_745d);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_carry_names_and_numbers() {
        let request = Request::<16>::new("tap0").unwrap().with(&1400i32.to_ne_bytes());
        assert_eq!((request.name(), request.number()), ("tap0".to_owned(), 1400));
        for wrong in ["", "sixteen-letters-", "a\0b"] {
            assert!(Request::<16>::new(wrong).is_none(), "{wrong:?}");
        }
        assert_eq!(name_text(b"l2tp0"), "l2tp0");
    }
}
