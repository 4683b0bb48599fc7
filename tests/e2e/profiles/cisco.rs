//! Cisco. IOS in its default mode speaks the dialect of the draft: what names connections and sessions stands in AVPs of
//! vendor 9 with the M bit set, beside leftovers of L2TPv2. Its eight messages carry here what a real pair was seen to
//! send, AVP for AVP: no Router ID, no cookie, no Circuit Status but in one SLI. Cable equipment sends both sets, and some
//! AVPs twice.

use super::{attributes, be32, frames_pass, of_vendor, vendor_avp, PATIENCE};
use crate::daemon::Daemon;
use crate::net::Net;
use crate::peer::*;
use crate::tests;
use crate::wait::wait_until;

tests!(
    ios_begins,
    ios_answers,
    ios_restarts_with_the_same_id,
    collision_won_by_ios,
    collision_lost_by_ios,
    hybrid_begins,
    hybrid_answers,
    hybrid_with_a_stale_connection,
    many_sessions_at_once
);

const SLI: u16 = 16;

/// An AVP of vendor 9, mandatory.
fn nine(attribute: u16, value: &[u8]) -> Avp {
    vendor_avp(9, attribute, value)
}

/// SCCRQ or SCCRP of the default mode; only the SCCRQ has the tie breaker.
fn ios_set_up(peer: &Peer, kind: u16, tie: u8) -> Out {
    let mut out = Out::new(kind).with(avp(2, &[1, 0])).with(avp(3, &[0; 4]));
    if kind == SCCRQ {
        out = out.with(avp(5, &[tie; 8]).optional());
    }
    out.with(avp(6, &[0x11, 0x30]).optional())
        .with(avp(7, b"R1"))
        .with(avp(8, b"Cisco Systems, Inc.").optional())
        .with(avp(10, &[4, 0]))
        .with(nine(1, &peer.ccid.to_be_bytes()))
        .with(nine(2, &[0, 1, 0, 2, 0, 4, 0, 5, 0, 6, 0, 7, 0, 9, 0, 11, 0, 17]))
        .with(nine(10, &[0, 1]))
}

/// The StopCCN for an SCCRQ that lost against the router's; `own` is an id that is used for it alone.
fn ios_tie_lost(to: u32, own: u32) -> Out {
    let stop = Out { ccid: Some(to), ns: Some(0), nr: Some(1), ..Out::new(STOPCCN) };
    stop.with(avp(1, b"\x00\x03\x00\x00Peer CC tie break loser")).with(nine(1, &own.to_be_bytes()))
}

/// Tunnel and session of a daemon whose peer is the router.
fn ios_config(tunnel: &str) -> String {
    let tunnel = format!("  remote-hostname R1\n  remote-router-id any\n  retry-interval 0.5\n{tunnel}");
    config(&tunnel, "  session l0\n    remote-end-id 12\n")
}

/// The next new message, acknowledged by a ZLB unless the script's own next message does.
#[track_caller]
fn take(peer: &mut Peer, kind: u16, acknowledge: bool) -> Msg {
    let deadline = std::time::Instant::now() + PATIENCE;
    while let Some(message) =
        peer.receive_control(deadline.saturating_duration_since(std::time::Instant::now()))
    {
        let Some(got) = message.kind() else { continue };
        assert_ne!(got, ACK, "there are no digests");
        if message.ns != peer.nr {
            continue;
        }
        peer.nr = peer.nr.wrapping_add(1);
        if acknowledge {
            peer.send_ack();
        }
        if got == kind {
            return message;
        }
    }
    panic!("no message of type {kind}");
}

/// Such a router knows no attribute of RFC 3931 that RFC 2661 does not have: none of them may be mandatory.
#[track_caller]
fn draft_reads(message: &Msg) {
    let news = attributes(message, 0).into_iter().filter(|(attribute, _)| *attribute > 39);
    let mandatory: Vec<_> = news.filter(|(_, mandatory)| *mandatory).collect();
    assert_eq!(mandatory, [], "mandatory and not known there: {message:?}");
}

fn ios_icrq(local: u32) -> Out {
    Out::new(ICRQ)
        .with(avp(15, &[0x0f, 0x32, 0xfd, 0xc2]))
        .with(nine(3, &local.to_be_bytes()))
        .with(nine(4, &[0; 4]))
        .with(nine(6, b"12").optional())
        .with(nine(7, &[0, 5]))
        .with(nine(9, &[0x61, 0x62, 0x8c, 0x38, 0x40, 0x39, 0x50, 0xb3]))
        .with(nine(14, &[5, 0xdc]).optional())
}

fn ios_ids(kind: Out, call: &Call) -> Out {
    kind.with(nine(3, &call.local.to_be_bytes())).with(nine(4, &call.remote.to_be_bytes()))
}

fn ios_icrp(call: &Call) -> Out {
    ios_ids(Out::new(ICRP), call).with(nine(7, &[0, 5])).with(nine(14, &[5, 0xdc]).optional())
}

fn ios_iccn(call: &Call) -> Out {
    let iccn = Out::new(ICCN).with(avp(19, &[0, 0, 0, 2])).with(avp(24, &[0, 0x98, 0x96, 0x80]));
    ios_ids(iccn, call)
}

/// The SLI after the ICCN; only one of the two ends tells its circuit's status.
fn ios_sli(call: &Call, with_status: bool) -> Out {
    let mut out = ios_ids(Out::new(SLI), call);
    if with_status {
        out = out.with(nine(8, &[0, 1]).optional());
    }
    out.with(nine(114, &[0, 0, 0, 1]))
}

/// The router sets up the connection.
#[track_caller]
fn ios_connects(peer: &mut Peer, tie: u8) {
    let sccrq = Out { ccid: Some(0), ns: Some(0), nr: Some(0), ..ios_set_up(peer, SCCRQ, tie) };
    peer.send(&sccrq);
    (peer.ns, peer.nr) = (1, 0);
    let sccrp = take(peer, SCCRP, false);
    draft_reads(&sccrp);
    peer.remote = be32(&of_vendor(&sccrp, 9, 1).expect("Assigned Connection ID of vendor 9"));
    assert!(of_vendor(&sccrp, 9, 2).expect("capabilities").chunks(2).any(|pair| pair == [0, 5]));
    assert_eq!(of_vendor(&sccrp, 9, 10), Some(vec![0, 1]));
    peer.send(&Out::new(SCCCN));
    acknowledged(peer);
}

/// The router sets up the session, and each end would tell its circuit.
#[track_caller]
fn ios_calls(peer: &mut Peer, local: u32) -> Call {
    peer.send(&ios_icrq(local));
    let icrp = take(peer, ICRP, false);
    draft_reads(&icrp);
    let remote = be32(&of_vendor(&icrp, 9, 3).expect("Local Session ID of vendor 9"));
    assert_eq!(of_vendor(&icrp, 9, 4), Some(local.to_be_bytes().to_vec()));
    let call = Call { local, remote, cookie: Vec::new() };
    peer.send(&ios_iccn(&call));
    peer.send(&ios_sli(&call, true));
    acknowledged(peer);
    call
}

/// The router answers the daemon's SCCRQ.
#[track_caller]
fn ios_accepts(peer: &mut Peer) {
    let sccrq = take(peer, SCCRQ, false);
    let copies = attributes(&sccrq, 9);
    for attribute in [1, 2, 10] {
        let there = copies.contains(&(attribute, false));
        assert!(there, "vendor 9, {attribute}, M=0 beside RFC 3931's: {copies:?}");
    }
    peer.remote = be32(&of_vendor(&sccrq, 9, 1).expect("Assigned Connection ID of vendor 9"));
    peer.send(&ios_set_up(peer, SCCRP, 0));
    take(peer, SCCCN, true);
}

/// The router answers the daemon's ICRQ.
#[track_caller]
fn ios_is_called(peer: &mut Peer, local: u32) -> Call {
    let icrq = take(peer, ICRQ, false);
    draft_reads(&icrq);
    assert_eq!(of_vendor(&icrq, 9, 6), Some(b"12".to_vec()));
    assert_eq!(of_vendor(&icrq, 9, 7), Some(vec![0, 5]));
    let remote = be32(&of_vendor(&icrq, 9, 3).expect("Local Session ID of vendor 9"));
    let call = Call { local, remote, cookie: Vec::new() };
    peer.send(&ios_icrp(&call));
    draft_reads(&take(peer, ICCN, true));
    peer.send(&ios_sli(&call, false));
    acknowledged(peer);
    call
}

/// What is normal for such a router is no reason for a warning, and nothing was refused.
#[track_caller]
fn nothing_was_wrong(daemon: &Daemon) {
    for level in ["warn", "error"] {
        assert_eq!(daemon.count(&format!("{level} *")), 0, "{}", daemon.tail(60));
    }
}

/// Waits until everything is acknowledged; only ZLBs and repeated messages may come.
#[track_caller]
fn acknowledged(peer: &mut Peer) {
    while let Some(message) = peer.receive_control(PATIENCE) {
        assert!(message.kind().is_none() || message.ns != peer.nr, "{message:?} in place of a ZLB");
        if message.kind().is_none() && message.nr == peer.ns {
            return;
        }
    }
    panic!("the daemon does not acknowledge");
}

/// IOS in its default mode calls in; `compatibility auto` answers in its words.
fn ios_begins() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let mut daemon = Daemon::start(&net, &net.a, &ios_config("  role passive\n"));
    daemon.expect("debug l2tpd start");
    // It repeats what is not answered at once.
    peer.send(&Out { ns: Some(0), ..ios_set_up(&peer, SCCRQ, 0x40) });
    ios_connects(&mut peer, 0x40);
    let call = ios_calls(&mut peer, 0xfd42_41eb);
    frames_pass(&net, &mut peer, &call, &[]);
    daemon.expect("info receive ICCN, state --> ESTABLISHED");
    nothing_was_wrong(&daemon);
    daemon.signal(libc::SIGTERM);
    draft_reads(&take(&mut peer, STOPCCN, true));
    assert_eq!(daemon.wait_exit().code(), Some(0));
}

/// We call IOS in its default mode: `compatibility cisco` sends both sets until it knows which one the peer speaks.
fn ios_answers() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let mut daemon = Daemon::start(&net, &net.a, &ios_config("  compatibility cisco\n"));
    ios_accepts(&mut peer);
    let call = ios_is_called(&mut peer, 0x81c4_7a35);
    daemon.expect("info send ICCN, state --> ESTABLISHED");
    frames_pass(&net, &mut peer, &call, &[]);
    nothing_was_wrong(&daemon);
}

/// The router reloads and happens to draw the id that it had; its tie breaker is another.
fn ios_restarts_with_the_same_id() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let mut daemon = Daemon::start(&net, &net.a, &ios_config("  role passive\n"));
    daemon.expect("debug l2tpd start");
    ios_connects(&mut peer, 0x40);
    ios_calls(&mut peer, 0xfd42_41eb);
    daemon.expect("info receive ICCN, state --> ESTABLISHED");
    let old = peer.remote;
    ios_connects(&mut peer, 0x41);
    assert_ne!(peer.remote, old);
    let call = ios_calls(&mut peer, 0xfd42_41ec);
    daemon.expect("info receive ICCN, state --> ESTABLISHED");
    frames_pass(&net, &mut peer, &call, &[]);
    nothing_was_wrong(&daemon);
}

/// SCCRQ or SCCRP as cable equipment sends them.
fn hybrid_set_up(peer: &Peer, kind: u16) -> Out {
    let id = peer.ccid.to_be_bytes();
    let mut out = Out::new(kind).with(avp(2, &[1, 0])).with(avp(3, &[0, 0, 0, 0]));
    if kind == SCCRQ {
        out = out.with(avp(5, &[0xbe; 8]).optional());
    }
    out.with(avp(6, &[0x11, 0x30]).optional())
        .with(avp(7, b"peer"))
        .with(avp(8, b"Cisco Systems, Inc.").optional())
        .with(avp(10, &[4, 0]))
        .with(avp(60, &peer.router_id).optional())
        .with(avp(61, &id).optional())
        .with(avp(62, &[0, 5, 0, 12]))
        .with(nine(1, &id))
        .with(nine(2, &[0, 5, 0, 12]))
        .with(nine(10, &[0, 1]).optional())
        .with(vendor_avp(9, 115, &[1, 1]).optional())
}

/// With repeated AVPs, and some of CableLabs with the M bit set.
fn hybrid_icrq(local: u32, serial: u8, end_id: &str) -> Out {
    let id = local.to_be_bytes();
    Out::new(ICRQ)
        .with(avp(5, &[0xfe, 0x57, 0xe0, 0x7a, 0x50, 0x1e, 0x15, serial]).optional())
        .with(avp(15, &[0x0e, 0x85, 0x14, serial]))
        .with(avp(63, &id).optional())
        .with(avp(64, &[0; 4]).optional())
        .with(avp(66, end_id.as_bytes()))
        .with(avp(68, &[0, 5]))
        .with(avp(68, &[0, 5]).optional())
        .with(avp(69, &[0, 0]).optional())
        .with(avp(70, &[0, 0]).optional())
        .with(avp(70, &[0, 0]).optional())
        .with(avp(71, &[0, 1]).optional())
        .with(nine(3, &id))
        .with(nine(4, &[0; 4]))
        .with(nine(7, &[0, 5]))
        .with(nine(9, &[0xfe, 0x57, 0xe0, 0x7a, 0x50, 0x1e, 0x15, serial]).optional())
        .with(vendor_avp(4491, 2, &[0]))
        .with(vendor_avp(4491, 4, &[5, 0xee]))
}

fn hybrid_session_message(kind: u16, call: &Call) -> Out {
    let (local, remote) = (call.local.to_be_bytes(), call.remote.to_be_bytes());
    let out = Out::new(kind).with(avp(63, &local).optional()).with(avp(64, &remote).optional());
    out.with(nine(3, &local)).with(nine(4, &remote))
}

/// It repeats the Pseudowire Type, and Data Sequencing twice.
fn hybrid_icrp(call: &Call) -> Out {
    let (local, remote) = (call.local.to_be_bytes(), call.remote.to_be_bytes());
    Out::new(ICRP)
        .with(avp(39, &[]))
        .with(avp(63, &local).optional())
        .with(avp(68, &[0, 5]).optional())
        .with(avp(64, &remote).optional())
        .with(avp(68, &[0, 5]))
        .with(avp(69, &[0, 0]).optional())
        .with(avp(70, &[0, 0]).optional())
        .with(avp(70, &[0, 0]).optional())
        .with(avp(71, &[0, 1]).optional())
        .with(nine(3, &local).optional())
        .with(nine(4, &remote).optional())
        .with(vendor_avp(4491, 6, &[0, 0]))
        .with(vendor_avp(4491, 7, &[5, 0xee]))
}

fn hybrid_begins() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let mut daemon = Daemon::start(&net, &net.a, &config("  role passive\n  retry-interval 0.5\n", SESSION));
    daemon.expect("debug l2tpd start");
    peer.send(&hybrid_set_up(&peer, SCCRQ));
    let sccrp = take(&mut peer, SCCRP, false);
    assert_eq!(of_vendor(&sccrp, 9, 1).as_deref(), sccrp.avp(61), "both sets, with the same id");
    peer.remote = sccrp.u32(61);
    peer.send(&Out::new(SCCCN));
    acknowledged(&mut peer);
    peer.send(&hybrid_icrq(0x4aa0_f134, 1, "end1"));
    let icrp = take(&mut peer, ICRP, false);
    assert_eq!(of_vendor(&icrp, 9, 3).as_deref(), icrp.avp(63));
    let call = Call { local: 0x4aa0_f134, remote: icrp.u32(63), cookie: Vec::new() };
    peer.send(&hybrid_session_message(ICCN, &call).with(avp(70, &[0, 0]).optional()));
    acknowledged(&mut peer);
    // An SLI that fills a packet, with data that only its vendor understands.
    let mut sli = hybrid_session_message(SLI, &call).with(avp(71, &[0, 1]).optional());
    for _ in 0..14 {
        sli = sli.with(vendor_avp(4491, 15, &[0; 90]));
    }
    peer.send(&sli);
    acknowledged(&mut peer);
    frames_pass(&net, &mut peer, &call, &[]);
    // HELLOs every second.
    for _ in 0..2 {
        peer.send(&Out::new(HELLO));
        acknowledged(&mut peer);
    }
}

fn hybrid_answers() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let _daemon = Daemon::start(&net, &net.a, &config("  retry-interval 0.5\n", SESSION));
    peer.remote = take(&mut peer, SCCRQ, false).u32(61);
    peer.send(&hybrid_set_up(&peer, SCCRP));
    take(&mut peer, SCCCN, true);
    let icrq = take(&mut peer, ICRQ, false);
    let call = Call { local: 0x4aa0_a856, remote: icrq.u32(63), cookie: Vec::new() };
    peer.send(&hybrid_icrp(&call));
    take(&mut peer, ICCN, true);
    frames_pass(&net, &mut peer, &call, &[]);
}

/// Both begin at once and the router's tie breaker is lower: our SCCRQ gets a StopCCN, the router's is answered.
fn collision_won_by_ios() {
    for stop_first in [true, false] {
        let net = Net::new();
        let mut peer = Peer::new(&net);
        let mut daemon = Daemon::start(&net, &net.a, &ios_config("  compatibility cisco\n"));
        let ours = be32(&of_vendor(&take(&mut peer, SCCRQ, false), 9, 1).expect("id"));
        let stop = ios_tie_lost(ours, 0x7777);
        let sccrq = Out { nr: Some(0), ns: Some(0), ..ios_set_up(&peer, SCCRQ, 0) };
        if stop_first {
            peer.send(&stop);
            peer.send(&sccrq);
        } else {
            peer.send(&sccrq);
            peer.send(&stop);
        }
        // The StopCCN is acknowledged to the id that it names; the SCCRP comes on a new connection.
        let (mut acknowledged, mut replied) = (false, None);
        while !acknowledged || replied.is_none() {
            let message = peer.receive_control(PATIENCE).expect("a ZLB for the StopCCN and an SCCRP");
            match message.kind() {
                None => acknowledged |= (message.ccid, message.nr) == (0x7777, 1),
                Some(SCCRP) => replied = Some(message),
                Some(SCCRQ) => {} // repeated before our answer was there
                Some(other) => panic!("message type {other}"),
            }
        }
        let sccrp = replied.expect("SCCRP");
        peer.remote = be32(&of_vendor(&sccrp, 9, 1).expect("id"));
        assert_ne!(peer.remote, ours);
        (peer.ns, peer.nr) = (1, 1);
        peer.send(&Out::new(SCCCN));
        let call = ios_calls(&mut peer, 0x0102_0304);
        daemon.expect("info receive ICCN, state --> ESTABLISHED");
        frames_pass(&net, &mut peer, &call, &[]);
        nothing_was_wrong(&daemon);
    }
}

/// The same with a higher one: the router's SCCRQ gets our StopCCN, which it acknowledges by a ZLB, and it answers ours.
fn collision_lost_by_ios() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let mut daemon = Daemon::start(&net, &net.a, &ios_config("  compatibility cisco\n"));
    let ours = be32(&of_vendor(&take(&mut peer, SCCRQ, false), 9, 1).expect("id"));
    peer.send(&Out { nr: Some(0), ns: Some(0), ..ios_set_up(&peer, SCCRQ, 0xff) });
    let stop = loop {
        let message = peer.receive_control(PATIENCE).expect("a StopCCN for the loser");
        match message.kind() {
            Some(STOPCCN) => break message,
            Some(SCCRQ) | None => {}
            Some(other) => panic!("message type {other}"),
        }
    };
    assert_eq!((stop.ccid, stop.result().0), (peer.ccid, 3));
    (peer.remote, peer.ccid) = (ours, 0x0946_fd1e);
    (peer.ns, peer.nr) = (0, 1);
    peer.send(&ios_set_up(&peer, SCCRP, 0));
    take(&mut peer, SCCCN, true);
    let call = ios_is_called(&mut peer, 0x81c4_7a35);
    daemon.expect("info send ICCN, state --> ESTABLISHED");
    frames_pass(&net, &mut peer, &call, &[]);
    nothing_was_wrong(&daemon);
}

/// We come back from a restart: the equipment clears what it still has with a StopCCN "Peer reset" for our old id.
fn hybrid_with_a_stale_connection() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let text = config("  retry-interval 0.5\n", SESSION);
    let serve = |peer: &mut Peer| {
        peer.remote = take(peer, SCCRQ, false).u32(61);
        peer.send(&hybrid_set_up(peer, SCCRP));
        take(peer, SCCCN, true);
        let icrq = take(peer, ICRQ, false);
        let call = Call { local: 0x0102_0304, remote: icrq.u32(63), cookie: Vec::new() };
        peer.send(&hybrid_icrp(&call));
        take(peer, ICCN, true);
        call
    };
    let mut daemon = Daemon::start(&net, &net.a, &text);
    serve(&mut peer);
    daemon.expect("info send ICCN, state --> ESTABLISHED");
    daemon.kill();
    drop(daemon);
    let old = peer.remote;
    let mut daemon = Daemon::start(&net, &net.a, &text);
    daemon.expect("info send SCCRQ, state --> WAIT-CTL-REPLY");
    let stop = Out { ccid: Some(old), ns: Some(39), nr: Some(79), ..Out::new(STOPCCN) };
    let stop = stop.with(avp(1, b"\x00\x01\x00\x00Peer reset"));
    let id = peer.ccid.to_be_bytes();
    peer.send(&stop.with(avp(61, &id).optional()).with(nine(1, &id).optional()));
    peer.restart(0x0946_fd1e);
    let call = serve(&mut peer);
    frames_pass(&net, &mut peer, &call, &[]);
    assert_eq!(daemon.count("info receive StopCCN*"), 0, "that id is nobody's");
}

/// Up to 24 ICRQs are sent at once, without waiting, and acknowledgements are cumulative.
fn many_sessions_at_once() {
    const COUNT: u8 = 8; // the receive window that we tell
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let sessions: String = (0..COUNT).map(|n| format!("  session l{n}\n    remote-end-id e{n}\n")).collect();
    let mut daemon =
        Daemon::start(&net, &net.a, &config("  role passive\n  retry-interval 0.5\n", &sessions));
    daemon.expect("debug l2tpd start");
    peer.send(&hybrid_set_up(&peer, SCCRQ));
    peer.remote = take(&mut peer, SCCRP, false).u32(61);
    peer.send(&Out::new(SCCCN));
    acknowledged(&mut peer);
    for number in 0..COUNT {
        peer.send(&hybrid_icrq(0x0a00_0000 + u32::from(number), number, &format!("e{number}")));
    }
    let mut calls = Vec::new();
    while calls.len() < usize::from(COUNT) {
        let icrp = take(&mut peer, ICRP, true);
        calls.push(Call { local: icrp.u32(64), remote: icrp.u32(63), cookie: Vec::new() });
    }
    for call in &calls {
        peer.send(&hybrid_session_message(ICCN, call));
    }
    acknowledged(&mut peer);
    let up = || daemon.count("info receive ICCN, state --> ESTABLISHED") >= usize::from(COUNT);
    wait_until(up, || daemon.tail(30));
    let first = calls.iter().find(|call| call.local == 0x0a00_0000).expect("the session l0").clone();
    frames_pass(&net, &mut peer, &first, &[]);
}
