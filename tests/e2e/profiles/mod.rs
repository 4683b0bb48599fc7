//! Other implementations as they were seen on the wire, each played by a script with its quirks. The scripts build
//! their messages themselves (`crate::peer`), and every one ends with frames in both directions.

pub mod cisco;
pub mod ericsson;
pub mod freertr;
pub mod mikrotik;
pub mod seil;
pub mod statics;
pub mod xcesp;
pub mod yamaha;

use std::time::{Duration, Instant};

use crate::net::Net;
use crate::peer::{Avp, Call, Msg, Packet, Peer};
use crate::sys::{in_netns, FrameSocket};
use crate::wait::wait_until;
pub use crate::wait::PATIENCE;

/// A broadcast frame that no protocol of the host sends.
pub fn frame(mark: u8) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, mark, 0x88, 0xb5]);
    frame.resize(60, mark);
    frame
}

/// An AVP of another vendor.
pub fn vendor_avp(vendor: u16, attribute: u16, value: &[u8]) -> Avp {
    Avp { vendor, ..crate::peer::avp(attribute, value) }
}

/// The value of an AVP of another vendor.
pub fn of_vendor(message: &Msg, vendor: u16, attribute: u16) -> Option<Vec<u8>> {
    let found = message.avps.iter().find(|(_, v, a, _)| (*v, *a) == (vendor, attribute));
    found.map(|(_, _, _, value)| value.clone())
}

pub fn be32(octets: &[u8]) -> u32 {
    u32::from_be_bytes(octets.try_into().expect("four octets"))
}

/// Attribute types and M bits of the AVPs of one vendor.
pub fn attributes(message: &Msg, vendor: u16) -> Vec<(u16, bool)> {
    let mut found = Vec::new();
    let mut at = 12;
    while let Some([flags, length, v1, v2, a1, a2]) = message.raw.get(at..at + 6) {
        if u16::from_be_bytes([*v1, *v2]) == vendor {
            found.push((u16::from_be_bytes([*a1, *a2]), flags & 0x80 != 0));
        }
        at += usize::from(flags & 3) << 8 | usize::from(*length);
    }
    found
}

/// A frame from the peer comes out of `l0` as it went in, and one sent into `l0` reaches the peer after its
/// session id and `before` (the cookie that the peer assigned, the sublayer that it wants).
#[track_caller]
pub fn frames_pass(net: &Net, peer: &mut Peer, call: &Call, before: &[u8]) {
    let socket = in_netns(&net.a, || FrameSocket::open("l0"));
    from_peer(peer, call, &socket);
    // Into an interface whose carrier comes a moment later nothing can be sent.
    wait_until(|| net.carrier(&net.a, "l0"), || "no carrier at l0".to_owned());
    socket.send(&frame(2));
    let packet = data(peer, &frame(2));
    let mut head = call.local.to_be_bytes().to_vec();
    head.extend(before);
    assert_eq!(packet[..packet.len() - 60], head, "session id, cookie and sublayer before the frame");
}

#[track_caller]
fn from_peer(peer: &Peer, call: &Call, socket: &FrameSocket) {
    let deadline = Instant::now() + PATIENCE;
    // The first ones may come before the session is open for them.
    while Instant::now() < deadline {
        peer.send_frame(call, &frame(1));
        let next = Instant::now() + Duration::from_millis(200);
        while let Some(got) = socket.receive(next) {
            if got == frame(1) {
                return;
            }
        }
    }
    panic!("no frame of the peer comes out of l0");
}

/// The data packet that ends with `frame`, from its session id on. Control messages before it are acknowledged.
#[track_caller]
pub fn data(peer: &mut Peer, frame: &[u8]) -> Vec<u8> {
    let deadline = Instant::now() + PATIENCE;
    while let Some(packet) = peer.receive(deadline.saturating_duration_since(Instant::now())) {
        match packet {
            Packet::Data(octets) if octets.ends_with(frame) => return octets,
            Packet::Data(_) => {}
            Packet::Control(message) if message.kind().is_none_or(|kind| kind == crate::peer::ACK) => {}
            Packet::Control(message) => {
                if message.ns == peer.nr {
                    peer.nr = peer.nr.wrapping_add(1);
                }
                peer.send_ack();
            }
        }
    }
    panic!("the frame does not reach the peer");
}
