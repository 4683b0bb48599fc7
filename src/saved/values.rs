//! How the values of the standard library are written and read.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::time::{Duration, Instant};

use super::{Reader, Saved, Writer};
use crate::wiped::Wiped;

/// This value, or zero if it is none.
fn or_zero<T: Default, E>(value: Result<T, E>, from: &mut Reader<'_>) -> T {
    value.unwrap_or_else(|_| {
        from.damaged();
        T::default()
    })
}

macro_rules! numbers {
    ($($type:ident)*) => {
        $(impl Saved for $type {
            fn save(&self, to: &mut Writer) {
                to.put(&self.to_be_bytes());
            }

            fn restore(from: &mut Reader<'_>) -> Self {
                $type::from_be_bytes(from.array())
            }
        })*
    };
}

numbers! { u8 u16 u32 u64 u128 i32 i64 }

impl Saved for usize {
    fn save(&self, to: &mut Writer) {
        (*self as u64).save(to);
    }

    fn restore(from: &mut Reader<'_>) -> Self {
        or_zero(usize::try_from(u64::restore(from)), from)
    }
}

impl Saved for bool {
    fn save(&self, to: &mut Writer) {
        u8::from(*self).save(to);
    }

    fn restore(from: &mut Reader<'_>) -> Self {
        let octet = u8::restore(from);
        if octet > 1 {
            from.damaged();
        }
        octet == 1
    }
}

impl<const N: usize> Saved for [u8; N] {
    fn save(&self, to: &mut Writer) {
        to.put(self);
    }

    fn restore(from: &mut Reader<'_>) -> Self {
        from.array()
    }
}

impl Saved for String {
    fn save(&self, to: &mut Writer) {
        self.len().save(to);
        to.put(self.as_bytes());
    }

    fn restore(from: &mut Reader<'_>) -> Self {
        let length = usize::restore(from);
        or_zero(String::from_utf8(from.take(length).to_vec()), from)
    }
}

impl Saved for Wiped {
    fn save(&self, to: &mut Writer) {
        self.len().save(to);
        to.put(self);
    }

    fn restore(from: &mut Reader<'_>) -> Self {
        let length = usize::restore(from);
        from.take(length).into()
    }
}

impl<T: Saved> Saved for Option<T> {
    fn save(&self, to: &mut Writer) {
        self.is_some().save(to);
        self.iter().for_each(|value| value.save(to));
    }

    fn restore(from: &mut Reader<'_>) -> Self {
        bool::restore(from).then(|| T::restore(from))
    }
}

impl<T: Saved, E: Saved> Saved for Result<T, E> {
    fn save(&self, to: &mut Writer) {
        self.is_ok().save(to);
        match self {
            Ok(value) => value.save(to),
            Err(error) => error.save(to),
        }
    }

    fn restore(from: &mut Reader<'_>) -> Self {
        match bool::restore(from) {
            true => Ok(T::restore(from)),
            false => Err(E::restore(from)),
        }
    }
}

impl<T: Saved> Saved for Box<T> {
    fn save(&self, to: &mut Writer) {
        (**self).save(to);
    }

    fn restore(from: &mut Reader<'_>) -> Self {
        Box::new(T::restore(from))
    }
}

impl<T: Saved> Saved for Vec<T> {
    fn save(&self, to: &mut Writer) {
        self.len().save(to);
        self.iter().for_each(|value| value.save(to));
    }

    fn restore(from: &mut Reader<'_>) -> Self {
        from.parts(|all: &mut Vec<T>, value| all.push(value))
    }
}

impl<T: Saved> Saved for VecDeque<T> {
    fn save(&self, to: &mut Writer) {
        self.len().save(to);
        self.iter().for_each(|value| value.save(to));
    }

    fn restore(from: &mut Reader<'_>) -> Self {
        from.parts(|all: &mut VecDeque<T>, value| all.push_back(value))
    }
}

impl<T: Saved + Ord> Saved for BTreeSet<T> {
    fn save(&self, to: &mut Writer) {
        self.len().save(to);
        self.iter().for_each(|value| value.save(to));
    }

    fn restore(from: &mut Reader<'_>) -> Self {
        from.parts(|all: &mut BTreeSet<T>, value| _ = all.insert(value))
    }
}

impl<K: Saved + Ord, V: Saved> Saved for BTreeMap<K, V> {
    fn save(&self, to: &mut Writer) {
        self.len().save(to);
        for (key, value) in self {
            key.save(to);
            value.save(to);
        }
    }

    fn restore(from: &mut Reader<'_>) -> Self {
        from.parts(|all: &mut BTreeMap<K, V>, (key, value): (K, V)| _ = all.insert(key, value))
    }
}

impl<A: Saved, B: Saved> Saved for (A, B) {
    fn save(&self, to: &mut Writer) {
        self.0.save(to);
        self.1.save(to);
    }

    fn restore(from: &mut Reader<'_>) -> Self {
        (A::restore(from), B::restore(from))
    }
}

impl<A: Saved, B: Saved, C: Saved> Saved for (A, B, C) {
    fn save(&self, to: &mut Writer) {
        self.0.save(to);
        self.1.save(to);
        self.2.save(to);
    }

    fn restore(from: &mut Reader<'_>) -> Self {
        (A::restore(from), B::restore(from), C::restore(from))
    }
}

impl Saved for Duration {
    fn save(&self, to: &mut Writer) {
        self.as_secs().save(to);
        self.subsec_nanos().save(to);
    }

    fn restore(from: &mut Reader<'_>) -> Self {
        let (seconds, nanoseconds) = (u64::restore(from), u32::restore(from));
        // More of them would be carried over into the seconds, which may have no room.
        or_zero((nanoseconds < 1_000_000_000).then(|| Duration::new(seconds, nanoseconds)).ok_or(()), from)
    }
}

impl Saved for Instant {
    fn save(&self, to: &mut Writer) {
        (*self >= to.moment).save(to);
        self.saturating_duration_since(to.moment).max(to.moment.saturating_duration_since(*self)).save(to);
    }

    fn restore(from: &mut Reader<'_>) -> Self {
        let (later, distance) = (bool::restore(from), Duration::restore(from));
        let at = match later {
            true => from.moment.checked_add(distance),
            // The clock of a machine that has just started does not reach as far back.
            false => Some(from.moment.checked_sub(distance).unwrap_or(from.moment)),
        };
        at.unwrap_or_else(|| {
            from.damaged();
            from.moment
        })
    }
}

impl Saved for IpAddr {
    fn save(&self, to: &mut Writer) {
        match self {
            IpAddr::V4(address) => {
                4u8.save(to);
                address.to_bits().save(to);
            }
            IpAddr::V6(address) => {
                6u8.save(to);
                address.to_bits().save(to);
            }
        }
    }

    fn restore(from: &mut Reader<'_>) -> Self {
        match u8::restore(from) {
            6 => return Ipv6Addr::from_bits(u128::restore(from)).into(),
            4 => {}
            _ => from.damaged(),
        }
        Ipv4Addr::from_bits(u32::restore(from)).into()
    }
}

impl Saved for SocketAddr {
    fn save(&self, to: &mut Writer) {
        self.ip().save(to);
        self.port().save(to);
        if let SocketAddr::V6(address) = self {
            address.flowinfo().save(to);
            address.scope_id().save(to);
        }
    }

    fn restore(from: &mut Reader<'_>) -> Self {
        let (address, port) = (IpAddr::restore(from), u16::restore(from));
        match address {
            IpAddr::V4(address) => SocketAddrV4::new(address, port).into(),
            IpAddr::V6(address) => {
                let (flow, scope) = (u32::restore(from), u32::restore(from));
                SocketAddrV6::new(address, port, flow, scope).into()
            }
        }
    }
}
