//! Two daemons and what happens to them: peers that end, crash and come back, links that break, reloads, signals.

use std::time::{Duration, Instant};

use crate::capture::Capture;
use crate::daemon::{write_config, Daemon};
use crate::encapsulations::up;
use crate::net::Net;
use crate::peer::{self, Peer};
use crate::tests;

tests!(
    orderly_end_and_return_of_a_peer,
    crash_and_return_of_a_peer,
    killed_peer_that_only_answers,
    link_cut_and_healed,
    both_begin_at_once,
    interface_deleted,
    bridge_made_and_joined,
    reload_touches_only_what_changed,
    reload_of_a_bad_file_changes_nothing,
    changed_password_on_reload,
    signals_for_the_status_and_the_debug_log,
    start_and_stop_by_hand,
    manual_session,
    carrier_follows_the_session,
    frames_with_a_wrong_cookie_are_dropped,
    frames_for_no_session_are_counted,
    sequence_numbers_on_the_wire,
    hidden_avps_are_understood,
    event_command_is_run,
    unprivileged_user,
    trace_can_be_read,
);

/// The configuration of host 1 or 2; the session's interface is in bridge br0.
fn host(number: u8, tunnel: &str, session: &str) -> String {
    let other = 3 - number;
    let defaults = ["  retry 3", "  retry-interval 0.1", "  hello-interval 1", "  linger 1"];
    format!(
        "hostname h{number}\nrouter-id 10.0.0.{number}\nrestart-interval 1\ntunnel t\n  \
         local-address 192.0.2.{number}\n  remote-address 192.0.2.{other}\n  remote-hostname h{other}\n  \
         remote-router-id 10.0.0.{other}\n{}  session l0\n    remote-end-id e\n{session}",
        peer::settings(&defaults, tunnel)
    )
}

/// Two hosts with a session between them that carries 10.9.9.0/24.
fn pair(tunnel: &str, session: &str) -> (Net, Daemon, Daemon) {
    let net = Net::new();
    let (a, b) = pair_in(&net, &format!("{tunnel}  role both\n"), session);
    (net, a, b)
}

fn pair_in(net: &Net, tunnel: &str, session: &str) -> (Daemon, Daemon) {
    // One begins, one waits: tshark cannot follow when two SCCRQs cross.
    let roles = match tunnel.contains("role") {
        true => ["", ""],
        false => ["  role active\n", "  role passive\n"],
    };
    let mut b = Daemon::start(net, &net.b, &host(2, &format!("{tunnel}{}", roles[1]), session));
    b.expect("debug l2tpd start");
    let mut a = Daemon::start(net, &net.a, &host(1, &format!("{tunnel}{}", roles[0]), session));
    up(&mut a, 1);
    up(&mut b, 1);
    addresses(net);
    net.ping(&net.a, "10.9.9.2", 56);
    (a, b)
}

fn addresses(net: &Net) {
    for (number, name) in [(1, &net.a), (2, &net.b)] {
        address(net, name, number);
    }
}

fn address(net: &Net, name: &str, number: u8) {
    net.batch(name, &format!("addr replace 10.9.9.{number}/24 dev l0\n"));
}

/// Waits until pings pass again.
#[track_caller]
fn passes_again(net: &Net) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !net.answers(&net.a, "10.9.9.2") {
        assert!(Instant::now() < deadline, "the pseudowire does not come back");
    }
}

fn orderly_end_and_return_of_a_peer() {
    let (net, mut a, mut b) = pair("", "");
    b.stop();
    a.expect("info receive StopCCN, state --> IDLE");
    a.expect("debug [*] delete tunnel");
    assert!(!net.answers(&net.a, "10.9.9.2"));
    a.skip_log();
    let mut b = Daemon::start(&net, &net.b, &host(2, "", ""));
    up(&mut b, 1);
    address(&net, &net.b, 2);
    passes_again(&net);
    a.stop();
    b.stop();
}

/// SIGKILL: the peer comes back with an SCCRQ while the old tunnel is still thought to be up. No time-out has to
/// pass first, and nothing of the dead daemon hinders the new one.
fn crash_and_return_of_a_peer() {
    let (net, mut a, mut b) = pair("  password x\n  hello-interval 60\n", "    cookie 8\n");
    b.kill();
    a.skip_log();
    let start = Instant::now();
    let text = host(2, "  password x\n  hello-interval 60\n", "    cookie 8\n");
    let mut b = Daemon::start(&net, &net.b, &text);
    a.expect("debug [*] we have already tunnel, remote tunnel is invalid?");
    up(&mut b, 1);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    address(&net, &net.b, 2);
    passes_again(&net);
    assert_eq!(a.count("*failed to send control message*"), 0, "it did not need a time-out");
    a.stop();
    b.stop();
}

/// SIGKILL, and the peer comes back without calling: the frames that we send it meanwhile are answered by ICMP, upon
/// which it is asked at once, and called again when it does not know us any more.
fn killed_peer_that_only_answers() {
    for encapsulation in ["ip", "udp"] {
        let timing = "  retry 10\n  retry-interval 1\n  hello-interval 60\n  restart-interval 10\n";
        let tunnel = format!("{timing}  encapsulation {encapsulation}\n");
        let net = Net::new();
        let (mut a, mut b) = pair_in(&net, &tunnel, "");
        a.skip_log();
        b.kill();
        let start = Instant::now();
        assert!(!net.answers(&net.a, "10.9.9.2"));
        a.expect("debug   what was sent to 192.0.2.2 does not arrive: *");
        a.expect("debug [*] send HELLO");
        let mut b = Daemon::start(&net, &net.b, &host(2, &format!("{tunnel}  role passive\n"), ""));
        up(&mut b, 1);
        assert!(start.elapsed() < Duration::from_secs(30), "{encapsulation}: {:?}", start.elapsed());
        address(&net, &net.b, 2);
        passes_again(&net);
        a.stop();
        b.stop();
    }
}

fn link_cut_and_healed() {
    let (net, mut a, mut b) = pair("", "");
    net.batch(&net.b, "link set wire down\n");
    a.expect("error failed to send control message. tunnel shutdown");
    b.expect("error failed to send control message. tunnel shutdown");
    std::thread::sleep(Duration::from_millis(1500)); // attempts without a link
    net.batch(&net.b, "link set wire up\naddr replace 192.0.2.2/24 dev wire\n");
    passes_again(&net);
    a.stop();
    b.stop();
}

/// Both send an SCCRQ: one connection and one session remain.
fn both_begin_at_once() {
    for _ in 0..3 {
        let net = Net::new();
        let mut a = Daemon::start(&net, &net.a, &host(1, "", ""));
        let mut b = Daemon::start(&net, &net.b, &host(2, "", ""));
        up(&mut a, 1);
        up(&mut b, 1);
        addresses(&net);
        passes_again(&net);
        std::thread::sleep(Duration::from_millis(1200)); // what is left over goes away
        net.ping(&net.a, "10.9.9.2", 56);
        for daemon in [&a, &b] {
            let status = daemon.ctl_ok(&["status"]);
            assert_eq!(status.to_lowercase().matches("established").count(), 2, "{status}");
        }
        a.stop();
        b.stop();
    }
}

/// The session's interface is deleted from outside: it is made again.
fn interface_deleted() {
    let (net, mut a, mut b) = pair("", "");
    net.batch(&net.a, "link del l0\n");
    a.expect("debug [*][*] delete session");
    a.skip_log();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !net.try_exec(&net.a, &["ip", "link", "show", "l0"]).status.success() {
        assert!(Instant::now() < deadline, "no new interface:\n{}", a.tail(20));
        std::thread::sleep(Duration::from_millis(20));
    }
    address(&net, &net.a, 1);
    passes_again(&net);
    a.stop();
    b.stop();
}

/// `bridge` makes the bridge where it is missing; `l2tpd` takes away only what it made.
fn bridge_made_and_joined() {
    let net = Net::new();
    net.batch(&net.b, "link add br7 type bridge\nlink set br7 up\naddr add 10.9.9.2/24 dev br7\n");
    let mut b = Daemon::start(&net, &net.b, &host(2, "", "    bridge br7\n"));
    let mut a =
        Daemon::start(&net, &net.a, &host(1, "", "    bridge br7\n    mac-address 02:11:22:33:44:55\n"));
    up(&mut a, 1);
    up(&mut b, 1);
    net.batch(&net.a, "link set br7 up\naddr add 10.9.9.1/24 dev br7\n");
    net.ping(&net.a, "10.9.9.2", 1400);
    let link = net.exec(&net.a, &["ip", "link", "show", "l0"]);
    assert!(link.contains("master br7") && link.contains("02:11:22:33:44:55"), "{link}");
    a.stop();
    b.stop();
    assert!(!net.try_exec(&net.a, &["ip", "link", "show", "l0"]).status.success(), "the interface stays");
    assert!(net.try_exec(&net.b, &["ip", "link", "show", "br7"]).status.success(), "not our bridge");
}

fn reload_touches_only_what_changed() {
    let (net, mut a, mut b) = pair("", "");
    let other = "tunnel u\n  remote-address 192.0.2.77\n  remote-hostname any\n  remote-router-id any\n";
    write_config(&a.config, &(host(1, "", "") + other));
    a.signal(libc::SIGHUP);
    a.expect("info Received 1 signal");
    a.expect("info [*] begin new tunnel [u] peer:192.0.2.77");
    net.ping(&net.a, "10.9.9.2", 56);
    // A second session of the tunnel that is up: the first one is not touched.
    let sessions = "  session l1\n    remote-end-id f\n";
    write_config(&b.config, &(host(2, "", "") + sessions));
    b.ctl_ok(&["reload"]);
    write_config(&a.config, &(host(1, "", "") + sessions));
    a.ctl_ok(&["reload"]);
    up(&mut a, 2);
    a.expect("debug [*] cleanup tunnel: u");
    net.ping(&net.a, "10.9.9.2", 56);
    assert_eq!(a.count("*cleanup session: l0"), 0, "the session that did not change");
    // And away with it.
    write_config(&a.config, &(host(1, "", "")));
    a.ctl_ok(&["reload"]);
    a.expect("debug [*][*] delete session");
    assert_eq!(a.count("*cleanup session: l0") + b.count("*cleanup session: l0"), 0);
    a.stop();
    b.stop();
}

fn reload_of_a_bad_file_changes_nothing() {
    let (net, mut a, mut b) = pair("", "");
    write_config(&a.config, &(host(1, "", "").replace("retry 3", "retry none") + "nonsense 1\n"));
    a.signal(libc::SIGHUP);
    a.expect_all(&["error retry: Invalid value", "error nonsense: Unknown tag"]);
    let output = a.ctl(&["reload", "--check"]);
    assert_ne!(output.status.code(), Some(0), "reload --check of a bad file");
    net.ping(&net.a, "10.9.9.2", 56);
    assert_eq!(a.count("*cleanup session*"), 0);
    write_config(&a.config, &(host(1, "", "")));
    a.ctl_ok(&["reload", "--check"]);
    a.stop();
    b.stop();
}

/// `password-old` while passwords are changed: the new one is sent, either is taken.
fn changed_password_on_reload() {
    let (net, mut a, mut b) = pair("  password one\n", "");
    for (number, daemon) in [(1, &mut a), (2, &mut b)] {
        let text = host(number, "  password two\n  password-old one\n", "");
        write_config(&daemon.config, &(text));
        daemon.ctl_ok(&["reload"]);
    }
    passes_again(&net);
    b.kill();
    let mut b = Daemon::start(&net, &net.b, &host(2, "  password two\n", ""));
    up(&mut b, 1);
    address(&net, &net.b, 2);
    passes_again(&net);
    for daemon in [&a, &b] {
        assert_eq!(daemon.count("*two*") + daemon.count("*: one*"), 0, "a password in the log");
    }
    a.stop();
    b.stop();
}

fn signals_for_the_status_and_the_debug_log() {
    let (_net, mut a, mut b) = pair("", "");
    a.skip_log();
    a.signal(libc::SIGUSR1);
    a.expect("info Received 10 signal");
    assert!(a.sees("info   *stablished*", Duration::from_secs(3)), "the status:\n{}", a.tail(20));
    a.signal(libc::SIGUSR2);
    a.expect("info Received 12 signal");
    std::thread::sleep(Duration::from_millis(100));
    let before = a.count("debug *");
    std::thread::sleep(Duration::from_millis(2500)); // HELLOs come and go
    assert_eq!(a.count("debug *"), before, "debug messages after they were switched off:\n{}", a.tail(10));
    a.signal(libc::SIGUSR2);
    a.expect("info Received 12 signal");
    a.expect("debug *");
    a.signal(libc::SIGPIPE);
    a.ctl_ok(&["status"]);
    a.stop();
    b.stop();
}

fn start_and_stop_by_hand() {
    let (net, mut a, mut b) = pair("", "");
    a.ctl_ok(&["stop", "t"]);
    b.expect("info receive StopCCN, state --> IDLE");
    std::thread::sleep(Duration::from_millis(2500));
    assert!(
        !net.answers(&net.a, "10.9.9.2"),
        "a stopped tunnel must not come back by itself, nor by the peer's wish"
    );
    a.ctl_ok(&["start", "t"]);
    let deadline = Instant::now() + Duration::from_secs(10);
    while !net.try_exec(&net.a, &["ip", "link", "show", "l0", "up"]).status.success() {
        assert!(Instant::now() < deadline, "the tunnel does not start");
    }
    addresses(&net);
    passes_again(&net);
    assert_eq!(a.ctl(&["stop", "nothing"]).status.code(), Some(1));
    a.stop();
    b.stop();
}

/// A session without control protocol.
fn manual_session() {
    let net = Net::new();
    let text = |number: u8, ids: &str, own: &str, others: &str| {
        format!(
            "hostname h{number}\nrouter-id 10.0.0.{number}\ntunnel t\n  local-address 192.0.2.{number}\n  \
             remote-address 192.0.2.{}\n  session l0\n    manual {ids}\n    local-cookie {own}\n    \
             remote-cookie {others}\n",
            3 - number
        )
    };
    let mut a = Daemon::start(&net, &net.a, &text(1, "1001 2002", "0011223344556677", "8899aabbccddeeff"));
    let mut b = Daemon::start(&net, &net.b, &text(2, "2002 1001", "8899aabbccddeeff", "0011223344556677"));
    let deadline = Instant::now() + Duration::from_secs(5);
    for name in [&net.a, &net.b] {
        while !net.try_exec(name, &["ip", "link", "show", "l0"]).status.success() {
            assert!(Instant::now() < deadline, "no interface:\n{}", a.tail(20));
        }
    }
    addresses(&net);
    net.ping(&net.a, "10.9.9.2", 56);
    assert_eq!(a.count("*SCCRQ*"), 0, "nothing is negotiated");
    a.stop();
    b.stop();
}

/// `link-state follow`: no carrier while the session is down.
fn carrier_follows_the_session() {
    let (net, mut a, mut b) = pair("", "");
    let carrier = || net.try_exec(&net.a, &["cat", "/sys/class/net/l0/carrier"]);
    assert_eq!(carrier().stdout, b"1\n");
    b.stop();
    a.expect("debug [*] delete tunnel");
    let output = carrier();
    assert!(output.stdout != b"1\n", "carrier without a session");
    a.stop();
}

fn frames_with_a_wrong_cookie_are_dropped() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let text = peer::config("  role passive\n", "  session l0\n    remote-end-id end1\n    cookie 8\n");
    let mut daemon = Daemon::start(&net, &net.a, &text);
    daemon.expect("debug l2tpd start");
    peer.connect();
    let icrq = peer.icrq("end1").with(peer::avp(65, &[7; 8]));
    let call = peer.call_with(&icrq);
    daemon.expect("info receive ICCN, state --> ESTABLISHED");
    let ear = crate::sys::in_netns(&net.a, || crate::sys::FrameSocket::open("l0"));
    let frame = |mark: u8| {
        let mut frame = vec![0xff; 6];
        frame.extend([2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
        frame.resize(60, mark);
        frame
    };
    peer.send_frame(&peer::Call { cookie: vec![9; 8], ..call.clone() }, &frame(1));
    peer.send_frame(&peer::Call { cookie: Vec::new(), ..call.clone() }, &frame(2));
    peer.send_frame(&call, &frame(3));
    let deadline = Instant::now() + Duration::from_secs(3);
    let got = loop {
        let got = ear.receive(deadline).expect("the frame with the right cookie");
        if got.len() == 60 && got[12..14] == [0x88, 0xb5] {
            break got;
        }
    };
    assert_eq!(got, frame(3), "only the frame with the right cookie");
    let counters = daemon.ctl_ok(&["counters"]);
    assert!(counters.to_lowercase().contains("cookie"), "{counters}");
    // And what the daemon sends carries our cookie.
    let mouth = crate::sys::in_netns(&net.a, || crate::sys::FrameSocket::open("l0"));
    mouth.send(&frame(4));
    let deadline = Instant::now() + Duration::from_secs(3);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if let peer::Packet::Data(packet) = peer.receive(left).expect("a frame of the daemon") {
            assert_eq!(packet[..4], call.local.to_be_bytes());
            assert_eq!(packet[4..12], [7; 8], "the cookie that the peer assigned");
            if packet[12..] == frame(4) {
                break;
            }
        }
    }
}

fn frames_for_no_session_are_counted() {
    let (_net, mut daemon, peer) = crate::avps::established("", "");
    for _ in 0..5 {
        let call = peer::Call { local: 1, remote: 0x0102_0304, cookie: Vec::new() };
        peer.send_frame(&call, &[0xff; 60]);
    }
    std::thread::sleep(Duration::from_millis(200));
    let metrics = daemon.ctl_ok(&["metrics"]);
    assert!(metrics.trim_end().ends_with("# EOF"), "OpenMetrics ends so: {metrics}");
    let counters = daemon.ctl_ok(&["counters"]);
    let line = counters.lines().find(|line| line.to_lowercase().contains("session") && line.contains('5'));
    assert!(line.is_some(), "no drop counted for an unknown session:\n{counters}");
    daemon.stop();
}

fn sequence_numbers_on_the_wire() {
    let net = Net::new();
    let capture = Capture::start(&net, "sequence", "ip proto 115");
    let (mut a, mut b) = pair_in(&net, "", "    l2-sublayer default\n    sequencing both\n");
    let capture = capture.finish();
    let seen = capture.fields("", "icmp", &["ip.src", "l2tp.l2_spec_s", "l2tp.l2_spec_sequence"]);
    let mine: Vec<u32> = seen
        .iter()
        .filter(|line| line.starts_with("192.0.2.1"))
        .map(|line| {
            let fields: Vec<&str> = line.split('|').collect();
            assert_eq!(fields[1], "1", "the S bit of {line}");
            fields[2].parse().expect("number")
        })
        .collect();
    assert!(mine.len() >= 3 && mine.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
    a.stop();
    b.stop();
}

/// Nothing but ids is readable where AVPs are hidden, and the other end reads it all.
fn hidden_avps_are_understood() {
    let net = Net::new();
    let capture = Capture::start(&net, "hidden", "ip proto 115");
    let (mut a, mut b) = pair_in(&net, "  password x\n  hidden on\n", "    cookie 8\n");
    let capture = capture.finish();
    let hidden = capture.fields("x", "l2tp.avp.hidden == 1", &["frame.number"]);
    assert!(!hidden.is_empty(), "no hidden AVP on the wire");
    let bare = capture.fields("x", "l2tp.avp.assigned_cookie", &["frame.number"]);
    assert!(bare.is_empty(), "a cookie in the clear");
    a.stop();
    b.stop();
}

fn event_command_is_run() {
    let net = Net::new();
    let script = net.dir.join("event.sh");
    let output = net.dir.join("events");
    let text = format!(
        "#!/bin/sh\nenv | grep -i l2tp | sort | tr '\\n' ' ' >> {0}\necho >> {0}\n",
        output.display()
    );
    std::fs::write(&script, text).expect("script");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, mode).expect("mode");
    let tunnel = format!("  on-event {}\n", script.display());
    let (mut a, mut b) = pair_in(&net, &tunnel, "");
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let text = std::fs::read_to_string(&output).unwrap_or_default();
        if text.contains("tunnel-up") && text.contains("session-up") {
            break;
        }
        assert!(Instant::now() < deadline, "events: {text}");
        std::thread::sleep(Duration::from_millis(20));
    }
    a.stop();
    b.stop();
    let text = std::fs::read_to_string(&output).unwrap_or_default();
    let heard = text.split_whitespace().filter_map(|word| word.strip_prefix("L2TPD_EVENT="));
    let idle = |event: &&str| !["tunnel-up", "session-up", "session-down", "tunnel-down"].contains(event);
    assert_eq!(heard.filter(idle).collect::<Vec<_>>(), Vec::<&str>::new(), "changes that matter, alone");
}

/// `user`: after start-up only the capabilities that are needed, and the tunnel can still be taken down and up.
fn unprivileged_user() {
    let net = Net::new();
    let text = |number| format!("user nobody\n{}", host(number, "", "    bridge br0\n"));
    let mut b = Daemon::start(&net, &net.b, &text(2));
    let mut a = Daemon::start(&net, &net.a, &text(1));
    up(&mut a, 1);
    up(&mut b, 1);
    let status = std::fs::read_to_string(format!("/proc/{}/status", a.pid())).expect("status");
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).unwrap_or_default().to_owned()
    };
    assert_ne!(field("Uid:"), "0", "still root");
    let capabilities = u64::from_str_radix(&field("CapPrm:"), 16).expect("hex");
    let needed = 1 << 12 | 1 << 13 | 1 << 10; // NET_ADMIN, NET_RAW, NET_BIND_SERVICE
    assert_eq!(capabilities & !needed, 0, "capabilities {capabilities:x}");
    a.ctl_ok(&["clear", "all"]);
    a.expect("debug [*] delete tunnel");
    up(&mut a, 2);
    a.stop();
    b.stop();
}

/// `l2tpctl trace`: a pcapng file that tshark reads.
fn trace_can_be_read() {
    let (net, mut a, mut b) = pair("", "");
    let file = net.dir.join("trace.pcapng");
    let mut ctl = std::process::Command::new(crate::daemon::client())
        .arg("-s")
        .arg(&a.socket)
        .args(["trace", "t"])
        .arg(&file)
        .spawn()
        .expect("l2tpctl");
    std::thread::sleep(Duration::from_millis(500));
    a.ctl_ok(&["clear", "session", "l0"]); // a CDN, and an acknowledgement of it
    b.expect("info receive CDN, state --> IDLE");
    std::thread::sleep(Duration::from_millis(500));
    crate::sys::kill(ctl.id(), libc::SIGINT);
    let _ = ctl.wait();
    let size = std::fs::metadata(&file).map(|data| data.len()).unwrap_or_default();
    assert!(size > 100, "the trace has {size} octets");
    if crate::net::have("tshark") {
        let text = crate::net::run(&["tshark", "-n", "-r", file.to_str().expect("path"), "-Y", "l2tp"]);
        assert!(text.lines().count() >= 2 && !text.contains("Malformed"), "{text}");
    }
    a.stop();
    b.stop();
}
