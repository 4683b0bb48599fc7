//! struct l2tp_req and the requests of l2tp(4) (net/if_l2tp.h, since NetBSD 8). Pure, and checked on every system.

use std::mem::{offset_of, size_of};

use super::super::bsd::ioctl::{both, write, NAME};
use crate::sys::kinds::NewSession;
use crate::wire::Cookie;

/// struct l2tp_req. `my` is what received messages have, `peer` what sent ones get.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::sys) struct L2tpRequest {
    state: i32,
    my_cookie_length: u32,
    peer_cookie_length: u32,
    my_session: u32,
    peer_session: u32,
    my_cookie: u64,
    peer_cookie: u64,
}

// The codes tell the size of struct l2tp_req, but what is handed over is a struct ifreq that points to one.
const SIZE: usize = size_of::<L2tpRequest>();
pub(in crate::sys) const SIOCSL2TPSESSION: u32 = write(b'i', 151, SIZE);
pub(in crate::sys) const SIOCDL2TPSESSION: u32 = write(b'i', 152, SIZE);
pub(in crate::sys) const SIOCSL2TPCOOKIE: u32 = write(b'i', 153, SIZE);
pub(in crate::sys) const SIOCDL2TPCOOKIE: u32 = write(b'i', 154, SIZE);
pub(in crate::sys) const SIOCSL2TPSTATE: u32 = write(b'i', 155, SIZE);
// sys/sockio.h
pub(in crate::sys) const SIOCSLIFPHYADDR: u32 = write(b'i', 74, size_of::<TunnelRequest>());
pub(in crate::sys) const SIOCGIFDATA: u32 = both(b'i', 133, size_of::<DataRequest>());

/// struct if_laddrreq: the two ends of a tunnel, as struct sockaddr_storage.
#[repr(C, align(8))]
pub(in crate::sys) struct TunnelRequest {
    pub(in crate::sys) name: [u8; NAME],
    pub(in crate::sys) flags: u32,
    pub(in crate::sys) prefix: u32,
    pub(in crate::sys) local: [u8; 128],
    pub(in crate::sys) remote: [u8; 128],
}

/// struct ifdatareq with struct if_data: what an interface has counted.
#[repr(C)]
pub(in crate::sys) struct DataRequest {
    pub(in crate::sys) name: [u8; NAME],
    pub(in crate::sys) kind: [u8; 4],
    pub(in crate::sys) link_state: i32,
    /// MTU, metric, rate.
    pub(in crate::sys) settings: [u64; 3],
    pub(in crate::sys) packets_in: u64,
    pub(in crate::sys) errors_in: u64,
    pub(in crate::sys) packets_out: u64,
    pub(in crate::sys) errors_out: u64,
    pub(in crate::sys) collisions: u64,
    pub(in crate::sys) octets_in: u64,
    pub(in crate::sys) octets_out: u64,
    /// Multicasts in and out, dropped on input, for no known protocol.
    pub(in crate::sys) others: [u64; 4],
    pub(in crate::sys) last_change: libc::timespec,
}

#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(SIZE == 40 && offset_of!(L2tpRequest, my_session) == 12);
    assert!(offset_of!(L2tpRequest, my_cookie) == 24 && offset_of!(L2tpRequest, peer_cookie) == 32);
    assert!(SIOCSL2TPSESSION == 0x8028_6997 && SIOCDL2TPSESSION == 0x8028_6998);
    assert!(SIOCSL2TPCOOKIE == 0x8028_6999 && SIOCDL2TPCOOKIE == 0x8028_699a);
    assert!(SIOCSL2TPSTATE == 0x8028_699b);
    assert!(SIOCSLIFPHYADDR == 0x8118_694a && offset_of!(TunnelRequest, remote) == 152);
    assert!(
        SIOCGIFDATA == 0xc098_6985
            && size_of::<DataRequest>() == 152
            && offset_of!(DataRequest, packets_in) == 16 + 32
    );
};

/// What keeps l2tp(4) from carrying a session.
pub(in crate::sys) fn hindrance(session: &NewSession<'_>) -> Option<&'static str> {
    let (expected, sent) = (session.cookie_expected.as_slice(), session.cookie_to_send.as_slice());
    let zero = |cookie: &[u8]| !cookie.is_empty() && cookie.iter().all(|octet| *octet == 0);
    match () {
        () if session.sublayer => Some("l2tp(4) has no l2-sublayer: set l2-sublayer none at both ends"),
        () if session.sequence_send || session.sequence_receive => {
            Some("l2tp(4) numbers no frames: set sequencing off")
        }
        () if expected.is_empty() != sent.is_empty() => {
            Some("l2tp(4) has cookies in both directions or in none: set them alike at both ends")
        }
        () if zero(expected) || zero(sent) => Some("l2tp(4) takes no cookie of zeros"),
        () => None,
    }
}

impl L2tpRequest {
    /// The ids and cookies of a session.
    pub(in crate::sys) fn new(session: &NewSession<'_>) -> L2tpRequest {
        let length = |cookie: &Cookie| cookie.as_slice().len() as u32;
        L2tpRequest {
            state: 0,
            my_cookie_length: length(&session.cookie_expected),
            peer_cookie_length: length(&session.cookie_to_send),
            my_session: session.local.0,
            peer_session: session.remote.0,
            my_cookie: number(&session.cookie_expected),
            peer_cookie: number(&session.cookie_to_send),
        }
    }

    /// L2TP_STATE_UP, or L2TP_STATE_DOWN.
    pub(in crate::sys) fn state(up: bool) -> L2tpRequest {
        L2tpRequest { state: i32::from(up), ..L2tpRequest::default() }
    }

    /// There is a cookie.
    pub(in crate::sys) fn has_cookies(&self) -> bool {
        self.my_cookie_length != 0
    }
}

/// A cookie as the kernel keeps it: the number whose octets, the most significant first, are sent.
fn number(cookie: &Cookie) -> u64 {
    cookie.as_slice().iter().fold(0, |number, octet| number << 8 | u64::from(*octet))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::SessionId;

    fn session(expected: &[u8], to_send: &[u8]) -> NewSession<'static> {
        NewSession {
            tunnel: 1,
            local: SessionId(7),
            remote: SessionId(8),
            interface: "l2tp0",
            cookie_expected: Cookie::new(expected).unwrap(),
            cookie_to_send: Cookie::new(to_send).unwrap(),
            sublayer: false,
            sequence_send: false,
            sequence_receive: false,
        }
    }

    #[test]
    fn what_is_expected_is_mine_and_what_is_sent_the_peer_s() {
        let request = L2tpRequest::new(&session(&[1, 2, 3, 4], &[1, 2, 3, 4, 5, 6, 7, 8]));
        assert_eq!((request.my_session, request.peer_session), (7, 8));
        assert_eq!((request.my_cookie_length, request.my_cookie), (4, 0x0102_0304));
        assert_eq!((request.peer_cookie_length, request.peer_cookie), (8, 0x0102_0304_0506_0708));
        assert!(request.has_cookies() && !L2tpRequest::new(&session(&[], &[])).has_cookies());
        assert_eq!((L2tpRequest::state(true).state, L2tpRequest::state(false).state), (1, 0));
    }

    #[test]
    fn what_l2tp4_lacks_is_told() {
        let plain = session(&[], &[]);
        assert_eq!(hindrance(&plain), None);
        assert_eq!(hindrance(&session(&[1; 4], &[1; 8])), None);
        for lacking in [
            NewSession { sublayer: true, ..plain.clone() },
            NewSession { sequence_send: true, ..plain.clone() },
            NewSession { sequence_receive: true, ..plain.clone() },
            session(&[1; 4], &[]),
            session(&[0; 4], &[1; 4]),
        ] {
            assert!(hindrance(&lacking).is_some(), "{lacking:?}");
        }
    }
}
