//! The log of good runs, line by line, and what the daemon says when connections meet, end or get lost. Each test
//! names the messages of the catalogue (M-...) that it causes.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::avps::established;
use crate::daemon::Daemon;
use crate::net::{have, Net};
use crate::peer::*;
use crate::runner::skip;
use crate::tests;

tests!(
    good_run_as_initiator,
    good_run_as_responder,
    the_log_does_not_depend_on_the_password,
    tie_break_lost,
    tie_break_won,
    tie_break_drawn,
    session_tie_break,
    second_sccrq_replaces_the_tunnel_only_with_proof,
    silent_peer_as_initiator,
    silent_peer_when_established,
    cdn_of_the_peer,
    stopccn_of_the_peer,
    peer_that_is_not_there_yet,
    socket_that_cannot_receive,
    unacknowledged_stopccn_at_the_end,
);

/// The lines of a run without settings, remarks and acknowledgements (whose places depend on who is faster); the
/// tunnel's id is replaced by T.
fn normalized(daemon: &Daemon) -> Vec<String> {
    let mut lines = daemon.lines();
    lines.retain(|line| !is_setting(line) && !is_remark(line));
    lines.retain(|line| !line.ends_with("] send ACK") && !line.ends_with("] receive Explicit ACK"));
    let id = lines
        .iter()
        .find_map(|line| line.strip_prefix("debug tunnel create suceeded: my connection ID = "))
        .and_then(|rest| rest.split('(').next())
        .map(str::to_owned)
        .unwrap_or_default();
    let hex = id.parse::<u32>().map(|id| format!("{id:#x}")).unwrap_or_default();
    let replace = |line: &String| line.replace(&hex, "0xT").replace(&id, "T");
    lines.iter().map(replace).collect()
}

/// A further line: two blanks behind the level.
fn is_remark(line: &str) -> bool {
    line.split_once(' ').is_some_and(|(_, message)| message.starts_with("  "))
}

/// `debug NAME: TAG: VALUE`, once for each line of the configuration.
fn is_setting(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("debug ") else { return false };
    let words: Vec<&str> = rest.splitn(3, ": ").collect();
    words.len() == 3 && !words[0].contains(['[', ' ']) && !words[1].contains(' ')
}

/// M-049 M-050 M-051 M-056 M-057 M-080 M-081 M-086 M-087: C-110 C-115 C-166 C-167
fn good_run_as_initiator() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let mut daemon = Daemon::start(&net, &net.a, &config("", SESSION));
    peer.accept();
    let call = peer.answer();
    daemon.expect("debug [*] send control packet(1): ICCN");
    let ccid = peer.remote;
    let created = format!("debug tunnel create suceeded: my connection ID = {ccid}({ccid:#x})");
    assert_eq!(daemon.count(&created), 1, "the id of the log is that of the SCCRQ");
    assert_eq!(
        normalized(&daemon),
        [
            "debug l2tpd start",
            "info [T] create new tunnel, state --> IDLE",
            "debug tunnel create suceeded: my connection ID = T(0xT)",
            "info [T] begin new tunnel [t1] peer:192.0.2.2",
            "info send SCCRQ, state --> WAIT-CTL-REPLY",
            "debug [T] send control packet(1): SCCRQ",
            "info receive SCCRP, state --> ESTABLISHED",
            "info send SCCCN, state --> ESTABLISHED",
            "debug [T] send control packet(1): SCCCN",
            "info [T] begin new session",
            "info send ICRQ, state --> WAIT-REPLY",
            "debug [T] send control packet(1): ICRQ",
            "info receive ICRP, state --> ESTABLISHED",
            "info send ICCN, state --> ESTABLISHED",
            "debug [T] send control packet(1): ICCN",
        ]
    );
    assert!(call.remote != 0);
}

/// M-049 M-051 M-056 M-057 M-071 M-087, then M-048 M-054 M-055 M-072 M-074 M-084 M-085: C-102 C-176 C-180 C-183
fn good_run_as_responder() {
    let (_net, mut daemon, mut peer) = established("", SESSION);
    let call = peer.call("end1");
    daemon.expect("info receive ICCN, state --> ESTABLISHED");
    let up = normalized(&daemon);
    let acks_aside: Vec<&str> =
        up.iter().map(String::as_str).filter(|line| !line.ends_with("send ACK")).collect();
    assert_eq!(
        acks_aside,
        [
            "debug l2tpd start",
            "info [T] create new tunnel, state --> IDLE",
            "debug tunnel create suceeded: my connection ID = T(0xT)",
            "info receive SCCRQ, state --> IDLE",
            "info send SCCRP, state --> WAIT-CTL-CONN",
            "debug [T] send control packet(1): SCCRP",
            "info receive SCCCN, state --> ESTABLISHED",
            "debug [T] can't find session, create new session",
            "info [T] begin new session",
            "info receive ICRQ, state --> IDLE",
            "info send ICRP, state --> WAIT-CONNECT",
            "debug [T] send control packet(1): ICRP",
            "info receive ICCN, state --> ESTABLISHED",
        ]
    );
    daemon.expect("debug [*] send ACK");
    daemon.signal(libc::SIGTERM);
    let stop = peer.expect(STOPCCN);
    assert_eq!(stop.result().0, 6, "being shut down");
    let status = daemon.wait_exit();
    assert_eq!(status.code(), Some(0));
    let all = normalized(&daemon);
    let from = all.iter().position(|line| line == "info Received 15 signal").expect("the signal is logged");
    let session = call.remote;
    assert_eq!(
        all[from..],
        [
            "info Received 15 signal".to_owned(),
            "info cleanup resources...".to_owned(),
            format!("debug [T][{session}] cleanup session: l0"),
            format!("debug [T][{session}] delete session"),
            "info send StopCCN, state --> IDLE".to_owned(),
            "debug [T] send control packet(1): StopCCN".to_owned(),
            "debug [T] cleanup tunnel: t1".to_owned(),
            "debug [T] delete tunnel".to_owned(),
            "info l2tpd exit.".to_owned(),
        ]
    );
    assert!(!daemon.pid_file.exists() && !daemon.socket.exists(), "pid file and socket are gone");
}

/// Signed messages make the same lines.
fn the_log_does_not_depend_on_the_password() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    peer.secret = Some(b"secret".to_vec());
    let mut daemon = Daemon::start(&net, &net.a, &config("  password secret\n", SESSION));
    peer.accept();
    peer.answer();
    daemon.expect_all(&["info send ICCN, state --> ESTABLISHED", "debug [*] receive Explicit ACK"]);
    assert_eq!(daemon.count("*secret*"), 0, "the password in the log");
    assert_eq!(daemon.count("debug t1: password: ****"), 1);
}

/// M-052 M-073: C-089 C-094 C-117
fn tie_break_lost() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let mut daemon = Daemon::start(&net, &net.a, &config("", SESSION));
    peer.acknowledge = false;
    let theirs = peer.expect(SCCRQ);
    let tie = theirs.avp(5).expect("a tie breaker in every SCCRQ");
    let tie = u64::from_be_bytes(tie.try_into().expect("8 octets"));
    let old = peer.remote;
    peer.restart(0x1111_2222);
    peer.tie = Some([0; 8]);
    peer.send(&peer.set_up(SCCRQ));
    daemon.expect(&format!(
        "debug [*] control connection tie break check: local={tie:016x}, remote=0000000000000000"
    ));
    daemon.expect("info [*] lose tie brek check, state --> IDLE");
    daemon.expect("info receive SCCRQ, state --> *");
    peer.expect(SCCRP);
    assert_ne!(peer.remote, old, "the answer comes from a new connection");
    peer.send(&Out::new(SCCCN));
    daemon.expect("info receive SCCCN, state --> ESTABLISHED");
}

/// M-053 M-073: C-090 C-091 C-119
fn tie_break_won() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let mut daemon = Daemon::start(&net, &net.a, &config("", SESSION));
    peer.acknowledge = false;
    peer.expect(SCCRQ);
    let winner = peer.remote;
    let mut loser = peer.set_up(SCCRQ).replace(61, &[0x11, 0x22, 0x33, 0x44]);
    loser.ccid = Some(0);
    loser.ns = Some(0);
    peer.send(&loser);
    daemon.expect("debug [*] control connection tie break check: local=*, remote=ffffffffffffffff");
    daemon.expect("info [*] win tie break check");
    let deadline = Instant::now() + Duration::from_secs(3);
    let stop = loop {
        let message = peer.receive_control(deadline - Instant::now()).expect("a StopCCN for the loser");
        if message.kind() == Some(STOPCCN) {
            break message;
        }
    };
    assert_eq!((stop.ccid, stop.result().0), (0x1122_3344, 3), "for the connection that lost");
    peer.remote = winner;
    peer.nr = 1;
    peer.send(&peer.set_up(SCCRP));
    daemon.expect("info receive SCCRP, state --> ESTABLISHED");
}

/// M-073 M-075: C-092 C-093
fn tie_break_drawn() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let mut daemon = Daemon::start(&net, &net.a, &config("", SESSION));
    peer.acknowledge = false;
    let first = peer.expect(SCCRQ);
    let tie: [u8; 8] = first.avp(5).expect("tie").try_into().expect("8 octets");
    peer.restart(0x1111_2222);
    peer.tie = Some(tie);
    peer.send(&peer.set_up(SCCRQ));
    daemon.expect("debug [*] draw tie break check, state --> IDLE");
    assert_eq!(daemon.count("*send SCCRP*"), 0, "nobody wins");
    // It begins again, with another value.
    peer.restart(0x3333_4444);
    let deadline = Instant::now() + Duration::from_secs(6);
    loop {
        let again = peer.receive_control(deadline - Instant::now()).expect("another SCCRQ");
        if again.kind() == Some(SCCRQ) && again.u32(61) != first.u32(61) {
            assert_ne!(again.avp(5), first.avp(5), "a new tie breaker");
            break;
        }
    }
}

/// M-088: C-156 C-157 C-159 C-160
fn session_tie_break() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let sessions = "  session l0\n    remote-end-id one\n  session l1\n    remote-end-id two\n";
    let mut daemon = Daemon::start(&net, &net.a, &config("", sessions));
    peer.accept();
    // The peer's value is lower for the one: the daemon becomes the recipient.
    let mut theirs = std::collections::BTreeMap::new();
    for _ in 0..2 {
        let icrq = peer.expect(ICRQ);
        theirs.insert(icrq.avp(66).expect("end id").to_vec(), icrq.u32(63));
    }
    let icrq = peer.icrq("one").replace(5, &[0; 8]);
    let local = icrq.avps[0].value.clone();
    peer.send(&icrq);
    daemon.expect("debug [*] session tie break check: my=*, peer=0000000000000000");
    let icrp = peer.expect(ICRP);
    assert_eq!(icrp.avp(64), Some(&local[..]));
    assert_ne!(Some(&icrp.u32(63)), theirs.get(&b"one"[..]), "a new id for the recipient");
    let call = Call { local: icrp.u32(64), remote: icrp.u32(63), cookie: Vec::new() };
    peer.send(&peer.session_message(ICCN, &call));
    daemon.expect("info receive ICCN, state --> ESTABLISHED");
    // It is higher for the other: the peer's session loses.
    let icrq = peer.icrq("two").replace(5, &[0xff; 8]);
    peer.send(&icrq);
    daemon.expect("debug [*] session tie break check: my=*, peer=ffffffffffffffff");
    assert_eq!(peer.expect(CDN).result().0, 13, "lost the tie");
    let remote = theirs[&b"two"[..]];
    let call = Call { local: peer.new_session_id(), remote, cookie: Vec::new() };
    peer.send(&peer.session_message(ICRP, &call).with(avp(71, &[0, 3])));
    peer.expect(ICCN);
}

/// M-083: C-130 C-362. A forged or replayed SCCRQ must not hurt the tunnel that is there; the peer that really
/// began anew replaces it.
fn second_sccrq_replaces_the_tunnel_only_with_proof() {
    let (_net, mut daemon, mut peer) = established("", SESSION);
    let call = peer.call("end1");
    daemon.expect("info receive ICCN, state --> ESTABLISHED");
    let (old_remote, old_ns, old_nr, old_ccid) = (peer.remote, peer.ns, peer.nr, peer.ccid);
    peer.restart(0x2233_4455);
    peer.acknowledge = false;
    peer.send(&peer.set_up(SCCRQ));
    daemon.expect("debug [*] we have already tunnel, remote tunnel is invalid?");
    peer.expect(SCCRP);
    let (new_remote, new_ns, new_nr) = (peer.remote, peer.ns, peer.nr);
    // No SCCCN yet: the old one lives.
    (peer.remote, peer.ns, peer.nr) = (old_remote, old_ns, old_nr);
    assert_eq!(peer.ccid, 0x2233_4455);
    peer.ccid = old_ccid;
    peer.send(&Out::new(HELLO));
    let deadline = Instant::now() + Duration::from_secs(3);
    while peer.receive_control(deadline - Instant::now()).expect("an acknowledgement on the old").nr
        != old_ns + 1
    {}
    assert_eq!(daemon.count("*cleanup session*"), 0);
    // With the SCCCN the new one replaces it.
    (peer.remote, peer.ns, peer.nr, peer.ccid) = (new_remote, new_ns, new_nr, 0x2233_4455);
    peer.acknowledge = true;
    peer.send(&Out::new(SCCCN));
    daemon.expect_all(&[
        &format!("debug [{old_remote}][{}] cleanup session: l0", call.remote),
        "info receive SCCCN, state --> ESTABLISHED",
        &format!("debug [{old_remote}] cleanup tunnel: t1"),
    ]);
    peer.call("end1");
}

/// M-081 M-076 M-015 M-072 M-074 as initiator: C-053 C-055 C-057
fn silent_peer_as_initiator() {
    let net = Net::new();
    let peer = Peer::new(&net);
    let mut daemon = Daemon::start(&net, &net.a, &config("", SESSION));
    let start = Instant::now();
    for number in 1..=4 {
        daemon.expect(&format!("debug [*] send control packet({number}): SCCRQ"));
    }
    daemon.expect("debug [*] failed to send control message. tunnel shutown.");
    // 0.1, 0.2, 0.4 and 0.8 s: the gap doubles, the last one has to pass as well.
    let took = start.elapsed().as_secs_f32();
    assert!((1.3..2.2).contains(&took), "four transmissions took {took} s");
    daemon.expect("error failed to send control message. tunnel shutdown");
    daemon.expect("debug [*] cleanup tunnel: t1");
    daemon.expect("debug [*] delete tunnel");
    daemon.expect("info [*] create new tunnel, state --> IDLE");
    let sent: Vec<_> = std::iter::from_fn(|| peer.receive_control(Duration::from_millis(10))).collect();
    assert!(sent.len() >= 4 && sent[..4].iter().all(|m| m.raw == sent[0].raw), "repeated octet by octet");
    assert!(
        sent.iter().all(|message| message.kind() == Some(SCCRQ)),
        "no StopCCN to one who does not answer"
    );
}

/// M-080 M-081 M-076 M-015 in the order of the manual: a HELLO that nobody answers.
fn silent_peer_when_established() {
    let (_net, mut daemon, mut peer) = established("  hello-interval 1\n", SESSION);
    let call = peer.call("end1");
    let session = call.remote;
    let tunnel = peer.remote;
    daemon.expect(&format!("debug [{tunnel}] send HELLO"));
    for number in 1..=4 {
        daemon.expect(&format!("debug [{tunnel}] send control packet({number}): HELLO"));
    }
    daemon.expect(&format!("debug [{tunnel}] failed to send control message. tunnel shutown."));
    daemon.expect("error failed to send control message. tunnel shutdown");
    daemon.expect(&format!("debug [{tunnel}][{session}] cleanup session: l0"));
    daemon.expect(&format!("debug [{tunnel}][{session}] delete session"));
    daemon.expect(&format!("debug [{tunnel}] cleanup tunnel: t1"));
    daemon.expect(&format!("debug [{tunnel}] delete tunnel"));
    // It is passive: the peer may come back at any time.
    peer.restart(0x7777_0001);
    while peer.receive_control(Duration::from_millis(20)).is_some() {}
    peer.connect();
    peer.call("end1");
}

/// M-084 M-085: C-153 C-173. The session is taken up again after the restart interval.
fn cdn_of_the_peer() {
    let (_net, mut daemon, mut peer) = established("", SESSION);
    let call = peer.call("end1");
    daemon.expect("info receive ICCN, state --> ESTABLISHED");
    peer.send(&peer.session_message(CDN, &call).with(avp(1, &[0, 3])));
    daemon.expect_all(&[
        "info receive CDN, state --> IDLE",
        &format!("debug [*][{}] cleanup session: l0", call.remote),
        &format!("debug [*][{}] delete session", call.remote),
    ]);
    peer.expect_ack();
    peer.answer();
    daemon.expect("info send ICCN, state --> ESTABLISHED");
    assert_eq!(daemon.count("*StopCCN*"), 0);
}

/// M-056 M-072 M-074: C-127
fn stopccn_of_the_peer() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let mut daemon = Daemon::start(&net, &net.a, &config("", SESSION));
    peer.accept();
    peer.answer();
    daemon.expect("info send ICCN, state --> ESTABLISHED");
    let own = peer.ccid.to_be_bytes();
    peer.send(&Out::new(STOPCCN).with(avp(1, &[0, 6])).with(avp(61, &own)));
    daemon.expect("info receive StopCCN, state --> IDLE");
    peer.expect_ack();
    daemon.expect_all(&["debug [*][*] cleanup session: l0", "debug [*][*] delete session"]);
    daemon.expect_all(&["debug [*] cleanup tunnel: t1", "debug [*] delete tunnel"]);
    peer.restart(0x7777_0002);
    peer.accept(); // after the restart interval it tries again
    peer.answer();
}

/// C-057. A peer that is not there yet, of which ICMP tells, is no error of ours and no reason for a warning: it is
/// a detail of the attempt.
fn peer_that_is_not_there_yet() {
    for udp in [false, true] {
        for ipv6 in [false, true] {
            let net = Net::new();
            let mut tunnel = "  retry 10\n".to_owned();
            tunnel += if udp { "  encapsulation udp\n" } else { "" };
            let ends = "  local-address 2001:db8::1\n  remote-address 2001:db8::2\n";
            tunnel += if ipv6 { ends } else { "" };
            let mut daemon = Daemon::start(&net, &net.a, &config(&tunnel, SESSION));
            let error = match (udp, ipv6) {
                (true, _) => "Connection refused",
                (false, false) => "Protocol not available",
                (false, true) => "Protocol error",
            };
            daemon.expect(&format!("debug   what was sent to *2 does not arrive: {error}*"));
            let explained = daemon.ctl_ok(&["explain", "tunnel", "t1"]);
            assert!(explained.contains(error), "{explained}");
            let mut peer = Peer::open(&net, udp, ipv6);
            peer.accept();
            daemon.expect("info receive SCCRP, state --> ESTABLISHED");
            assert_eq!((daemon.count("error *"), daemon.count("warn *")), (0, 0), "{}", daemon.tail(30));
        }
    }
}

/// M-014: strace makes one receive call fail as on a system without memory. The tunnel goes on.
fn socket_that_cannot_receive() {
    if !have("strace") {
        skip("strace is not installed");
    }
    let (_net, mut daemon, mut peer) = established("", SESSION);
    let pid = daemon.pid().to_string();
    let mut strace = Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "-e", "trace=recvmmsg"])
        .args(["-e", "inject=recvmmsg:error=ENOMEM:when=1", "-p", &pid])
        .spawn()
        .expect("strace");
    let deadline = Instant::now() + Duration::from_secs(10);
    while daemon.count("error failed to recvfrom: *") == 0 {
        assert!(Instant::now() < deadline, "{}", daemon.tail(10));
        peer.send(&Out::new(HELLO));
        peer.expect_ack();
    }
    let _ = strace.kill();
    let _ = strace.wait();
    daemon.expect("error failed to recvfrom: Cannot allocate memory*");
    daemon.expect("error   IP protocol 115 on 192.0.2.1");
    assert_eq!(daemon.count("*failed to send control*"), 0, "the tunnel goes on");
}

/// M-054 M-055: with a peer that is gone the end comes all the same, within the time of the retransmissions.
fn unacknowledged_stopccn_at_the_end() {
    let (_net, mut daemon, peer) = established("", SESSION);
    let start = Instant::now();
    daemon.signal(libc::SIGINT);
    let status = daemon.wait_exit();
    assert_eq!(status.code(), Some(0));
    daemon.expect("info Received 2 signal");
    daemon.expect("info cleanup resources...");
    daemon.expect("debug [*] send control packet(2): StopCCN");
    daemon.expect("info l2tpd exit.");
    assert!(start.elapsed() < Duration::from_secs(6), "the end took {:?}", start.elapsed());
    drop(peer);
}
