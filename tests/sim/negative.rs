//! The messages of `tests/data/malformed.txt`, each against the engine in the state that it is meant for: what is
//! logged, what is answered, what becomes of the tunnel. C-301: a code other than 2 stands alone, 2 has its error code.

use std::time::Duration;

use l2tpd::wire::Message;

use crate::peer::{iccn, icrq, Peer};
use crate::support::packets::one;
use crate::world::World;

/// In which state the message arrives.
#[derive(Debug, Clone, Copy, PartialEq)]
enum When {
    /// Nothing was exchanged.
    Idle,
    /// The same, with a password.
    Password,
    /// Our SCCRQ is unanswered, with a password.
    WaitReply,
    /// Our SCCRP is unanswered.
    WaitConnected,
    Established,
    /// The same, with `cookie 8`.
    WithCookie,
    /// Session 100 is established too.
    WithSession,
}
use When::{Established, Idle, Password, WaitConnected, WaitReply, WithCookie, WithSession};

/// The node and its scripted peer, which have the names of the messages.
fn prepare(when: When) -> (Peer, World) {
    let tags = match when {
        Password => "password l2tpd-secret\nrole passive",
        WaitReply => "password l2tpd-secret",
        WithCookie => "cookie 8\nrole passive",
        Idle | WaitConnected | Established | WithSession => "role passive",
    };
    // The messages are those of seil-a; an SCCRP is one of seil-b.
    let (name, id) = if when == WaitReply { ("seil-b", 2) } else { ("seil-a", 1) };
    let mut world = World::new(1);
    world.add(&format!(
        "hostname here\nrouter-id 10.0.0.9\ntunnel t\nremote-address 192.0.2.2\nremote-hostname {name}\n\
         remote-router-id 10.0.0.{id}\n{tags}\nsession l2tp100\nremote-end-id 100\n"
    ));
    world.start(0);
    world.run(Duration::from_millis(5));
    let mut peer = match when {
        WaitReply => Peer::with_password("l2tpd-secret"),
        _ => Peer::new(),
    };
    (peer.host_name, peer.router_id) = (name.into(), [10, 0, 0, id]);
    match when {
        Idle | Password => {}
        WaitReply => drop(peer.take_request(&mut world)),
        WaitConnected => {
            peer.request(&mut world);
            peer.take_reply(&mut world);
        }
        Established | WithCookie | WithSession => peer.establish(&mut world),
    }
    if when == WithSession {
        peer.send(&mut world, &Message::Icrq(icrq("100")));
        peer.receive(&mut world);
        let theirs = world.tunnel(0).sessions[0].local;
        peer.send(&mut world, &iccn(theirs));
        peer.receive(&mut world);
    }
    world.forget();
    (peer, world)
}

/// Message, state, what is logged, what is answered, the tunnel's state afterwards.
type Case = (&'static str, When, &'static [&'static str], &'static str, &'static str);

const STILL: &str = "established";

#[rustfmt::skip]
const CASES: &[Case] = &[
    // C-005 C-010 C-014 C-215: the header.
    ("N-01", Idle, &["recv_packet: T bit is not set"], "", "idle"),
    ("N-02", Idle, &["recv_packet: L bit is not set"], "", "idle"),
    ("N-03", Idle, &["recv_packet: S bit is not set"], "", "idle"),
    ("N-04", Idle, &["recv_packet: support only L2TPv3"], "", "idle"),
    ("N-05", Idle, &[], "SCCRP", "wait-ctl-conn"), // C-012
    ("N-06", Idle, &["recv_packet: wrong size(103), discarding packet"], "", "idle"), // C-017
    ("N-07", Idle, &["recv_packet: wrong size(11), discarding packet"], "", "idle"),
    ("N-08", Idle, &[], "", "idle"), // C-007
    // C-191 C-193 C-194 C-196: the structure.
    ("N-09", Idle, &["first AVP is notmessage type.", "failed to processing packet in AVP handler"], "", "idle"),
    ("N-10", Idle, &["reserved bit is set. discard packet"], "", "idle"),
    ("N-11", Idle, &["wrong size(5), discarding packet"], "", "idle"),
    ("N-12", Idle, &["wrong size("], "", "idle"),
    // C-197 C-200 C-203: unknown AVPs.
    ("N-13", Idle, &["[0] no handler"], "StopCCN 2/8", "idle"),
    ("N-14", Idle, &["[0] no handler, but M bit is not set"], "SCCRP", "wait-ctl-conn"),
    ("N-15", Idle, &["<Unknown Vendor-ID, Vendor=9999, Type=1, Length=8"], "StopCCN 2/8", "idle"),
    ("N-16", Idle, &["<Unknown Vendor-ID, Vendor=9999, Type=1, Length=8"], "SCCRP", "wait-ctl-conn"),
    // C-210 C-211 C-350: unknown messages.
    ("N-17", Established, &["AVP: type=Message Type, value=unknown(99), can't hanle message"], "StopCCN 2/8", "stopping"),
    ("N-18", Established, &["AVP: type=Message Type, value=unknown(99), can't hanle message"], "ACK", STILL),
    ("N-19", Established, &["dispatch: unknown message type 21"], "ACK", STILL),
    // C-224 C-230 C-231: digests.
    ("N-20", Password, &["only support HMAC-MD5 digest type(1) in SCCRQ, Ignoreing", "message digest invalid in SCCRQ"], "", "idle"),
    ("N-21", Password, &["message digest invalid in SCCRQ"], "", "idle"),
    ("N-22", Password, &["message digest invalid in SCCRQ"], "", "idle"),
    ("N-23", WaitReply, &["Authentication Nonce was not found in SCCRP"], "", "wait-ctl-reply"),
    // C-137 C-139 C-145 C-148 C-177 C-207 C-208: ICRQs.
    ("N-24", Established, &["invalid cookie length (5)"], "CDN 2/2", STILL),
    ("N-25", WithCookie, &["Assigned Cookie AVP not found in ICRQ"], "CDN 2/6", STILL),
    ("N-26", Established, &["Cookie setting is off, but Assigned Cookie AVP found in ICRQ"], "CDN 2/6", STILL),
    ("N-27", Established, &["Serial Number AVP not found in ICRQ"], "CDN 2/6", STILL),
    ("N-28", Established, &["can't find session config (remote-end-id=999)", "remote-end-id mismatch in ICRQ"], "CDN 24", STILL),
    ("N-29", Established, &[], "CDN 14", STILL),
    ("N-30", Established, &[], "CDN 15", STILL),
    ("N-31", Established, &["AVP: Host Name: invalid in ICRQ"], "ICRP", STILL),
    // C-303: codes without meaning.
    ("N-32", Established, &["result code out of range (99,77). Ignoring", "receive StopCCN, state --> IDLE"], "ACK", "idle"),
    ("N-33", WithSession, &["result code out of range (200,0). Ignoring", "receive CDN, state --> IDLE"], "ACK", STILL),
    // C-189 C-190: outgoing calls.
    ("N-34", Established, &["recv_ocrq: not support OCRQ"], "CDN 5", STILL),
    ("N-35", Established, &["recv_ocrp: not support OCRP"], "ACK", STILL),
    ("N-36", Established, &["recv_occn: not support OCCN"], "ACK", STILL),
    // C-214: out of place.
    ("N-37", WaitConnected, &["receive ICRQ, but ignored(tunnel state=WAIT-CTL-CONN)"], "ACK", "wait-ctl-conn"),
    // C-084 C-085 C-112: not whom we wait for.
    ("N-38", Idle, &["[0] hostname mismatch in SCCRQ"], "StopCCN 4", "idle"),
    ("N-39", Idle, &["[0] router-id mismatch in SCCRQ"], "StopCCN 4", "idle"),
    // C-041 C-043: numbers.
    ("N-40", Established, &["sequence number mismatch: ctl_hdr->ns=7, tun->nr=2"], "ACK", STILL),
    ("N-41", Established, &[], "", STILL),
    ("N-42", Idle, &[], "", "idle"), // C-019
    // C-066 C-206 C-251 C-263 C-264: values.
    ("N-43", Idle, &["failed to processing packet in AVP handler"], "", "idle"),
    ("N-44", Idle, &[], "SCCRP", "wait-ctl-conn"),
    ("N-46", Established, &["we have already tunnel, remote tunnel is invalid?"], "SCCRP", STILL), // C-130
    ("N-47", Established, &["failed to processing packet in AVP handler", "receive StopCCN, state --> IDLE"], "ACK", "idle"), // C-304
    ("N-48", Idle, &["failed to processing packet in AVP handler"], "StopCCN 2/2", "idle"),
    ("N-49", Established, &["is malformed and not mandatory: ignored"], "ICRP", STILL),
    ("N-50", Idle, &["failed to processing packet in AVP handler"], "StopCCN 2/3", "idle"),
];

/// Puts live numbers into a message: CCID, Ns and Nr, and our session's id where it names one.
fn patch(label: &str, when: When, octets: &mut [u8], peer: &Peer, world: &World) {
    if matches!(when, Idle | Password) || label == "N-46" {
        return;
    }
    octets[4..8].copy_from_slice(&peer.theirs.0.to_be_bytes());
    if when == WithSession {
        octets[8..10].copy_from_slice(&peer.ns.to_be_bytes());
        octets[10..12].copy_from_slice(&peer.nr.to_be_bytes());
        let theirs = world.tunnel(0).sessions[0].local.0.to_be_bytes();
        let at = octets.windows(4).position(|w| w == [0x1a, 0x1b, 0x1c, 0x1d]).unwrap();
        octets[at..at + 4].copy_from_slice(&theirs);
    }
}

#[test]
fn malformed_messages() {
    for (label, when, texts, answer, state) in CASES {
        let (mut peer, mut world) = prepare(*when);
        let mut octets = one("malformed.txt", label);
        patch(label, *when, &mut octets, &peer, &world);
        peer.raw(&mut world, octets);
        for text in *texts {
            assert_eq!(world.logged(0, text), 1, "{label}: {text}\n{}", world.transcript(0));
        }
        if texts.is_empty() {
            let warned = world.nodes[0].texts(l2tpd::log::Level::Warn);
            assert!(warned.is_empty(), "{label}: {warned:?}");
        }
        assert_eq!(peer.answers(&mut world), *answer, "{label}\n{}", world.transcript(0));
        assert_eq!(world.tunnel(0).state.status_name(), *state, "{label}\n{}", world.transcript(0));
        if *state == STILL {
            // The tunnel serves on.
            if *label != "N-41" && *label != "N-46" && *label != "N-40" {
                peer.ns = world.tunnel(0).nr;
            }
            peer.send(&mut world, &Message::Hello);
            assert!(peer.answers(&mut world).contains("ACK"), "{label}\n{}", world.transcript(0));
        }
    }
    let tested: Vec<&str> = CASES.iter().map(|c| c.0).collect();
    for packet in crate::support::packets::load("malformed.txt") {
        let known = tested.contains(&packet.label.as_str()) || packet.label == "N-45";
        assert!(known || !packet.label.starts_with("N-"), "{} is not tested", packet.label);
    }
}

// C-092: our own tie breaker in the peer's SCCRQ: both start over with another value.
#[test]
fn c_092_our_own_tie_breaker() {
    let (mut peer, mut world) = Peer::new().and_world("role both;restart-interval 60", &[]);
    world.run(Duration::from_millis(5));
    let ours = peer.take_request(&mut world).tie_breaker;
    peer.tie = ours;
    peer.nr = 0;
    peer.request(&mut world);
    assert_eq!(world.logged(0, "control connection tie break check"), 1);
    assert_eq!(world.logged(0, "draw tie break check, state --> IDLE"), 1);
    assert_eq!(peer.answers(&mut world), "");
    world.run(Duration::from_millis(2100));
    let next = peer.take_request(&mut world);
    assert_ne!(next.tie_breaker, ours);
}

// C-210 C-125: a message that cannot be accepted costs the connection, and not the tunnel, which is tried again.
#[test]
fn c_210_tunnel_is_tried_again() {
    let (mut peer, mut world) = Peer::new().and_world("role both;restart-interval 2", &[]);
    world.run(Duration::from_millis(5));
    peer.answer(&mut world);
    peer.receive(&mut world);
    assert_eq!(world.tunnel(0).state.status_name(), "established");
    world.forget();
    peer.patched(&mut world, one("malformed.txt", "N-17"));
    assert_eq!(peer.answers(&mut world), "StopCCN 2/8", "{}", world.transcript(0));
    peer.acknowledge(&mut world);
    world.run_seconds(3);
    assert_eq!(world.logged(0, "send SCCRQ, state --> WAIT-CTL-REPLY"), 1, "{}", world.transcript(0));
}

// C-193: `reserved-bits ignore`, as RFC 3931 has it.
#[test]
fn c_193_reserved_bits_can_be_ignored() {
    let mut world = World::new(1);
    world.add(
        "hostname here\nrouter-id 10.0.0.9\ntunnel t\nremote-address 192.0.2.2\nremote-hostname seil-a\n\
         remote-router-id 10.0.0.1\nreserved-bits ignore\nrole passive\n",
    );
    world.start(0);
    let mut peer = Peer::new();
    peer.raw(&mut world, one("malformed.txt", "N-10"));
    assert_eq!(peer.answers(&mut world), "SCCRP");
    assert_eq!(world.logged(0, "reserved bit"), 0);
}

// C-007: every prefix of an SCCRQ, over IP and UDP: nothing but drops.
#[test]
fn c_007_every_prefix() {
    let (mut peer, mut world) = prepare(Idle);
    let whole = one("malformed.txt", "N-05");
    for length in 0..whole.len() {
        peer.raw(&mut world, whole[..length].to_vec());
        assert_eq!(peer.answers(&mut world), "", "{length} octets");
    }
    assert_eq!(world.logged(0, "create new tunnel"), 0);
}
