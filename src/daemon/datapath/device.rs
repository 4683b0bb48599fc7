//! What an interface is made of: a TAP, whose frames this daemon carries, or a session of the kernel's own L2TP.

use std::io;

use crate::counters::Counters;
use crate::saved::saved;
use crate::sys::l2tp::Statistics;
use crate::sys::netif;
use crate::sys::tap::Tap;
use crate::wire::SessionId;

/// An interface that exists.
pub(super) enum Device {
    Tap(Tap),
    Kernel(KernelSession),
}

/// A session that the kernel carries. Its interface exists as long as it does.
#[derive(Debug, Clone, Copy)]
pub(super) struct KernelSession {
    /// The kernel's id of the tunnel.
    pub(super) tunnel: u32,
    pub(super) id: SessionId,
    /// Of the interface.
    pub(super) index: i32,
    /// The interface is up, as far as we know: it is brought up when frames may pass, for it has no carrier that could
    /// be switched.
    pub(super) raised: bool,
    /// The kernel's statistics when the counters were set to zero.
    pub(super) counted: Statistics,
}
saved!(KernelSession { tunnel, id, index, raised, counted });

impl Device {
    /// Its name at present; an error means that the interface was deleted.
    pub(super) fn name(&self) -> io::Result<String> {
        match self {
            Device::Tap(tap) => tap.name(),
            Device::Kernel(session) => netif::name(session.index),
        }
    }

    pub(super) fn index(&self) -> i32 {
        match self {
            Device::Tap(tap) => tap.index(),
            Device::Kernel(session) => session.index,
        }
    }

    pub(super) fn tap(&self) -> Option<&Tap> {
        match self {
            Device::Tap(tap) => Some(tap),
            Device::Kernel(_) => None,
        }
    }

    /// `tap` or `kernel`, as the tag `data-plane` calls it.
    pub(super) fn plane(&self) -> &'static str {
        match self {
            Device::Tap(_) => "tap",
            Device::Kernel(_) => "kernel",
        }
    }
}

/// What the kernel counted between two moments, in our terms.
pub(super) fn counters(now: &Statistics, before: &Statistics) -> Counters {
    let since = |field: fn(&Statistics) -> u64| field(now).saturating_sub(field(before));
    let (cookie, sequence) = (since(|s| s.rx_cookie), since(|s| s.rx_sequence));
    Counters {
        rx_frames: since(|s| s.rx_frames),
        rx_octets: since(|s| s.rx_octets),
        tx_frames: since(|s| s.tx_frames),
        tx_octets: since(|s| s.tx_octets),
        tx_error: since(|s| s.tx_errors),
        rx_cookie: cookie,
        rx_sequence: sequence,
        // What is left are frames that the interface did not take, and malformed ones.
        rx_interface: since(|s| s.rx_errors).saturating_sub(cookie.saturating_add(sequence)),
        ..Counters::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_statistics_become_counters() {
        let before = Statistics { tx_frames: 5, rx_errors: 4, rx_cookie: 1, ..Statistics::default() };
        let now = Statistics {
            tx_frames: 7,
            tx_octets: 90,
            rx_frames: 3,
            rx_errors: 10,
            rx_cookie: 3,
            rx_sequence: 1,
            ..Statistics::default()
        };
        let counters = counters(&now, &before);
        assert_eq!((counters.tx_frames, counters.tx_octets, counters.rx_frames), (2, 90, 3));
        assert_eq!((counters.rx_cookie, counters.rx_sequence, counters.rx_interface), (2, 1, 3));
    }
}
