//! Packets that nobody should send, in numbers. Afterwards the daemon must still be there, no larger than before,
//! and ready for the real peer.

use std::time::Duration;

use crate::daemon::Daemon;
use crate::dice::Dice;
use crate::net::Net;
use crate::pair::wait_for;
use crate::peer::*;
use crate::tests;
use crate::wait::wait_until;

tests!(
    mutated_messages,
    mutated_messages_over_udp,
    mutated_messages_to_an_established_tunnel,
    many_half_open
);

/// Changes a few octets, cuts, appends, or repeats a part.
fn mutate(dice: &mut Dice, good: &[u8]) -> Vec<u8> {
    let mut octets = good.to_vec();
    for _ in 0..1 + dice.below(4) {
        let at = dice.below(octets.len().max(1));
        match dice.below(6) {
            0 | 1 if !octets.is_empty() => octets[at] ^= 1 << dice.below(8),
            2 if !octets.is_empty() => octets[at] = [0, 0xff, 0x80, 5, 6, 7][dice.below(6)],
            3 => octets.truncate(at),
            4 => octets.extend((0..dice.below(40)).map(|n| n as u8)),
            _ => {
                let part = octets[at.min(octets.len())..].to_vec();
                octets.extend(part);
            }
        }
    }
    // Mostly with a Length that fits, so that the AVPs are looked at.
    if octets.len() >= 4 && dice.below(4) != 0 {
        let length = (octets.len() as u16).to_be_bytes();
        octets[2..4].copy_from_slice(&length);
    }
    octets
}

/// Resident memory in kB.
fn memory(daemon: &Daemon) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|size| size.parse().ok()).expect("kB")
}

fn assault(peer: &mut Peer, daemon: &mut Daemon, goods: &[Vec<u8>], seed: u64) {
    let mut dice = Dice(seed);
    let before = memory(daemon);
    for round in 0..4000 {
        let good = &goods[round % goods.len()];
        let octets = mutate(&mut dice, good);
        match dice.below(8) {
            0 => peer.send_packet(&octets), // as data, or as whatever it looks like
            _ => peer.send_control_raw(&octets),
        }
        if round % 64 == 0 {
            // Answers pile up otherwise; and the daemon's receive buffer must not be what drops them all.
            while peer.receive_anything(Duration::from_millis(1)) {}
        }
    }
    while peer.receive_anything(Duration::from_millis(100)) {}
    daemon.ctl_ok(&["status"]);
    let after = memory(daemon);
    assert!(after < before + 20_000, "memory went from {before} to {after} kB");
}

/// Messages of every type, as the peer would send them.
fn messages(peer: &mut Peer) -> Vec<Vec<u8>> {
    let call = Call { local: 0x0a0b_0c0d, remote: 77, cookie: Vec::new() };
    let mut outs = vec![peer.set_up(SCCRQ), peer.set_up(SCCRP), peer.icrq("end1")];
    outs.push(Out::new(SCCCN));
    outs.push(Out::new(HELLO));
    outs.push(Out::new(STOPCCN).with(avp(1, &[0, 2, 0, 6, b'x'])).with(avp(61, &peer.ccid.to_be_bytes())));
    outs.push(peer.session_message(ICRP, &call).with(avp(71, &[0, 3])).with(avp(65, &[1; 8])));
    outs.push(peer.session_message(CDN, &call).with(avp(1, &[0, 3])));
    outs.push(peer.session_message(OCRQ, &call));
    outs.iter().map(|out| peer.build(out)).collect()
}

fn mutated_messages() {
    assault_idle(false, 1);
}

fn mutated_messages_over_udp() {
    assault_idle(true, 5);
}

/// Waits until nothing that was half open is left. One connection may have come up by chance.
fn all_over(daemon: &Daemon) {
    // Of a flood the log leaves lines out, on either side.
    let (created, deleted) = ("debug tunnel create suceeded*", "debug [*] delete tunnel");
    let open = || daemon.count(created).saturating_sub(daemon.count(deleted));
    let up = usize::from(daemon.count("info receive SCCCN, state --> ESTABLISHED") > 0);
    wait_until(|| open() <= up, || format!("{} connections stay", open()));
}

fn assault_idle(udp: bool, seed: u64) {
    let mut net = Net::new();
    // The judge knows connections by the id that an SCCRQ assigns; the mutated ones share ids.
    net.unrecorded();
    let tunnel = format!(
        "  role passive\n  setup-timeout 3\n  retry 3\n  encapsulation {}\n",
        if udp { "udp" } else { "ip" }
    );
    let mut daemon = Daemon::start(&net, &net.a, &config(&tunnel, SESSION));
    daemon.expect("debug l2tpd start");
    let mut peer = Peer::open(&net, udp, false);
    let goods = messages(&mut peer);
    assault(&mut peer, &mut daemon, &goods, seed);
    all_over(&daemon);
    while peer.receive_anything(Duration::from_millis(10)) {}
    peer.restart(0x1234_5678);
    peer.connect();
    peer.call("end1");
    daemon.stop();
}

/// With a password: whatever a third party sends, the tunnel stays, and there is no answer.
fn mutated_messages_to_an_established_tunnel() {
    let (_net, mut daemon, mut peer) = crate::peer::established("  password secret\n", SESSION);
    peer.call("end1");
    daemon.expect("info receive ICCN, state --> ESTABLISHED");
    let goods = messages(&mut peer);
    assault(&mut peer, &mut daemon, &goods, 3);
    peer.send(&Out::new(HELLO));
    peer.expect_ack();
    assert_eq!(daemon.count("*cleanup*"), 0, "the tunnel or the session went down");
    daemon.signal(libc::SIGTERM);
    peer.expect(STOPCCN);
    daemon.wait_exit();
}

/// Half-open connections are few, however many SCCRQs come: memory for strangers has a bound.
fn many_half_open() {
    let net = Net::new();
    let tunnel = "  role passive\n  setup-timeout 3\n  retry 3\n";
    let text = config(tunnel, SESSION).replace("remote-address 192.0.2.2", "remote-address any");
    let mut daemon = Daemon::start(&net, &net.a, &text);
    daemon.expect("debug l2tpd start");
    let mut peer = Peer::new(&net);
    let before = memory(&daemon);
    let flood = |peer: &mut Peer, ccids: std::ops::Range<u32>| {
        for ccid in ccids {
            peer.restart(ccid);
            peer.send(&peer.set_up(SCCRQ));
            while peer.receive_anything(Duration::ZERO) {}
        }
    };
    // So many that the log still tells of each; what is more than may be half open is answered without a connection.
    flood(&mut peer, 1..22);
    wait_for("the last connection", || {
        (daemon.count("*send SCCRP, state --> WAIT-CTL-CONN") >= 16).then_some(())
    });
    let (mut open, mut most) = (0_usize, 0);
    for line in daemon.lines() {
        open += usize::from(line == "info send SCCRP, state --> WAIT-CTL-CONN");
        open -= usize::from(line.ends_with("] delete tunnel"));
        most = most.max(open);
    }
    assert!((1..=16).contains(&most), "{most} half-open connections at once");
    flood(&mut peer, 22..3000);
    assert!(memory(&daemon) < before + 10_000);
    all_over(&daemon);
    while peer.receive_anything(Duration::from_millis(10)) {}
    peer.restart(0x1234_5678);
    peer.connect();
    daemon.stop();
}
