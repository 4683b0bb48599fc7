//! `standby hot` with a peer that does not know RFC 5641: the standby bit is nothing to it, and it sends what its LAN floods
//! through a session that stands by, as through any other.

use std::time::Instant;

use crate::daemon::Daemon;
use crate::message::Msg;
use crate::net::Net;
use crate::pair::wait_for;
use crate::peer::{avp, Call, Packet, Peer, ICCN, ICRP, ICRQ};
use crate::sys::{in_netns, FrameSocket};
use crate::tests;
use crate::wait::PATIENCE;

tests!(frames_of_a_peer_that_ignores_the_standby_bit,);

const SLI: u16 = 16;
/// Circuit Status: the A bit of RFC 3931, the N bit, and the S bit of RFC 5641.
const A: u16 = 1;
const N: u16 = 2;
const S: u16 = 0x40;

/// A frame to all, of nobody's protocol.
fn frame(mark: u8) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, mark, 0x88, 0xb5]);
    frame.resize(60, mark);
    frame
}

fn status(message: &Msg) -> u16 {
    u16::from_be_bytes(message.avp(71).expect("Circuit Status").try_into().expect("two octets"))
}

/// The next of our frames that comes out of an interface.
#[track_caller]
fn next(ear: &FrameSocket) -> u8 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let got = ear.receive(deadline).expect("a frame");
        if got.len() == 60 && got[12..14] == [0x88, 0xb5] {
            return got[14];
        }
    }
}

/// The marks of our frames that the peer gets, up to this one.
fn gets(peer: &Peer, call: &Call, until: u8) -> Vec<u8> {
    let deadline = Instant::now() + PATIENCE;
    let mut marks = Vec::new();
    while marks.last() != Some(&until) {
        let left = deadline.saturating_duration_since(Instant::now());
        let Packet::Data(packet) = peer.receive(left).expect("frames of the daemon") else { continue };
        assert_eq!(packet[..4], call.local.to_be_bytes());
        if packet.len() == 64 && packet[16..18] == [0x88, 0xb5] {
            marks.push(packet[18]);
        }
    }
    marks
}

fn frames_of_a_peer_that_ignores_the_standby_bit() {
    let (first, second) = (Net::new(), Net::new());
    let cable = format!("link add wire2 type veth peer name wire2 netns {}\n", second.b);
    first.batch(&first.a, &format!("{cable}link set wire2 up\naddr add 198.51.100.1/24 dev wire2\n"));
    second.batch(&second.b, "link set wire2 up\naddr add 198.51.100.2/24 dev wire2\n");
    let hub =
        "hostname hub\nrouter-id 10.0.0.3\ntunnel t\n  remote-address any\n  remote-hostname branch\n  \
               remote-router-id 10.0.0.1\n  linger 1\n  session l0\n    remote-end-id e\n";
    let mut hub = Daemon::start(&second, &second.b, hub);
    hub.expect("debug l2tpd start");
    let mut peer = Peer::new(&first);
    let branch = "hostname branch\nrouter-id 10.0.0.1\ntunnel t\n  remote-address 198.51.100.2\n  \
                  remote-address 192.0.2.2\n  remote-hostname any\n  remote-router-id any\n  standby hot\n  \
                  retry-interval 1\n  linger 1\n  session l0\n    remote-end-id e\n    link-state up\n";
    let branch = Daemon::start(&first, &first.a, branch);
    peer.accept();
    let icrq = peer.expect(ICRQ);
    assert_eq!(status(&icrq) & (A | N | S), A | N | S, "active, new, and on standby");
    let call = Call { local: peer.new_session_id(), remote: icrq.u32(63), cookie: Vec::new() };
    peer.send(&peer.session_message(ICRP, &call).with(avp(71, &(A | N).to_be_bytes())));
    peer.expect(ICCN);
    peer.send_ack();
    let in_use = |line: &'static str| {
        wait_for(line, || branch.ctl_ok(&["status"]).contains(line).then_some(()));
    };
    in_use("2 192.0.2.2, standby");
    in_use("1 198.51.100.2, in-use");
    wait_for("the session in use", || branch.ctl(&["health"]).status.success().then_some(()));

    // What it sends does not come out, and it is sent nothing.
    let (ours, theirs) =
        (in_netns(&first.a, || FrameSocket::open("l0")), in_netns(&second.b, || FrameSocket::open("l0")));
    peer.send_frame(&call, &frame(1));
    let dropped = || branch.ctl_ok(&["counters"]).contains("1 rx_drop_standby");
    wait_for("the frame is dropped", || dropped().then_some(()));
    theirs.send(&frame(2));
    assert_eq!(next(&ours), 2, "the first frame that comes out is the other hub's");
    ours.send(&frame(3));
    assert_eq!(next(&theirs), 3);

    // It takes over, and both directions are open, though its own status never changed.
    branch.ctl_ok(&["failover", "t"]);
    let sli = peer.expect(SLI);
    assert_eq!(status(&sli) & (A | S), A, "on standby no more");
    in_use("2 192.0.2.2, in-use");
    peer.send_frame(&call, &frame(4));
    assert_eq!(next(&ours), 4);
    ours.send(&frame(5));
    assert_eq!(gets(&peer, &call, 5), [5], "nothing of before");
}
