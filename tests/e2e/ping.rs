//! `l2tpctl ping`: HELLOs over the control connection of a tunnel, and frames of our own through a session.

use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::net::{stderr, Net};
use crate::pair::{host, need_python, pair, python, up};
use crate::schema::schema;
use crate::sys::{in_netns, FrameSocket};
use crate::tests;

tests!(
    answers_are_timed,
    what_is_lost_is_told,
    a_tunnel_that_is_not_up,
    a_session_answers_and_its_bridge_hears_nothing,
    a_session_whose_peer_does_not_know_it,
);

/// The exit status, standard output and standard error of `l2tpctl`.
fn ctl(daemon: &Daemon, words: &[&str]) -> (Option<i32>, String, String) {
    let output = daemon.ctl(words);
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned(), stderr(&output))
}

fn answers_are_timed() {
    need_python();
    let net = Net::new();
    let (a, mut b) = pair(&net, "  hello-interval 60\n  password x\n", "");
    let begun = Instant::now();
    let (status, text, _) = ctl(&a, &["ping", "t", "-c", "3", "-i", "0.1"]);
    assert_eq!(status, Some(0), "{text}");
    assert!(begun.elapsed() >= Duration::from_millis(200), "the interval");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    for (number, line) in lines[..3].iter().enumerate() {
        let head = format!("HELLO {} to 192.0.2.2: ", number + 1);
        assert!(line.starts_with(&head) && line.contains(" ms"), "{text}");
    }
    assert!(lines[3].starts_with("3 HELLOs, sent ") && lines[4].starts_with("round trip: "), "{text}");
    for _ in 0..3 {
        b.expect("debug [*] receive HELLO*");
    }
    // By default five, a second apart.
    let json = a.ctl_ok(&["--json", "ping", "t", "-i", "0.05"]);
    schema(&json, "ping");
    let told = "len(v), v[0]['peer'], [m['number'] for m in v[:5]], v[5]['answered'], v[5]['least'] <= v[5]['average']";
    assert_eq!(python(&json, told), "6 192.0.2.2 [1, 2, 3, 4, 5] 5 True");
    // The routine measure is that of the same messages.
    let measured = python(&a.ctl_ok(&["--json", "status"]), "0 < v['tunnels'][0]['round_trip'] < 5");
    assert_eq!(measured, "True");
}

fn what_is_lost_is_told() {
    let net = Net::new();
    let (a, _b) = pair(&net, "  hello-interval 60\n  retry 3\n", "");
    net.batch(&net.b, "link set wire down\n");
    let (status, text, _) = ctl(&a, &["ping", "t", "-c", "9"]);
    assert_eq!(status, Some(4), "{text}");
    // `retry 3`: four transmissions, and then the tunnel is down.
    assert_eq!(
        text,
        "HELLO 1 to 192.0.2.2: no answer, sent 4 times\n1 HELLOs, sent 4 times, 0 answered: 100 % lost\n"
    );
}

fn a_tunnel_that_is_not_up() {
    let net = Net::new();
    let (a, mut b) = pair(&net, "", "");
    let (status, text, error) = ctl(&a, &["ping", "x"]);
    assert_eq!((status, text.as_str(), error.trim_end()), (Some(1), "", "l2tpctl: no such tunnel: x"));
    a.ctl_ok(&["stop", "t"]);
    b.expect("info receive StopCCN*");
    let (status, text, error) = ctl(&a, &["ping", "t"]);
    assert_eq!((status, text.as_str(), error.trim_end()), (Some(1), "", "l2tpctl: t: it is not up"));
}

/// Through headers of every kind; the LANs at both ends and the interfaces' counters see nothing of it.
fn a_session_answers_and_its_bridge_hears_nothing() {
    need_python();
    for (tunnel, session) in [
        ("  encapsulation ip\n", "    bridge br0\n"),
        (
            "  encapsulation udp\n",
            "    cookie 8\n    l2-sublayer default\n    sequencing both\n    bridge br0\n",
        ),
    ] {
        let net = Net::new();
        let mut b = Daemon::start(&net, &net.b, &host(2, "", tunnel, session));
        b.expect("debug l2tpd start");
        let mut a = Daemon::start(&net, &net.a, &host(1, "", tunnel, session));
        up(&mut a, 1);
        up(&mut b, 1);
        for netns in [&net.a, &net.b] {
            net.batch(netns, "link add lan type veth peer name host\nlink set lan up\nlink set host up\nlink set lan master br0\nlink set br0 up\n");
        }
        let lans = [&net.a, &net.b].map(|netns| in_netns(netns, || FrameSocket::open("host")));
        let (status, text, _) = ctl(&a, &["ping", "l0", "-c", "3", "-i", "0.1"]);
        assert_eq!(status, Some(0), "{text}");
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines[..3].iter().enumerate() {
            let head = format!("frame {} through l0: ", number + 1);
            assert!(line.starts_with(&head) && line.ends_with(" ms"), "{text}");
        }
        assert!(
            lines[3] == "3 frames, 3 answered: 0 % lost" && lines[4].starts_with("round trip: "),
            "{text}"
        );
        let json = b.ctl_ok(&["--json", "ping", "l0", "-i", "0.05"]);
        schema(&json, "session ping");
        let told = "len(v), [m['number'] for m in v[:5]], v[5]['answered'], v[5]['loss'], 0 < v[5]['least'] <= v[5]['most']";
        assert_eq!(python(&json, told), "6 [1, 2, 3, 4, 5] 5 0 True");
        for lan in &lans {
            while let Some(frame) = lan.receive(Instant::now() + Duration::from_millis(50)) {
                assert_ne!(frame[12..14], [0x88, 0xb5], "a LAN hears it");
            }
        }
        // More than 20 at once are not all answered: a peer must not be kept busy.
        let (status, text, _) = ctl(&a, &["ping", "l0", "-c", "100", "-i", "0.01"]);
        assert_eq!(status, Some(0), "{text}");
        let (status, _, error) = ctl(&a, &["ping", "l9"]);
        assert_eq!((status, error.trim_end()), (Some(1), "l2tpctl: no such tunnel: l9"));
        a.ctl_ok(&["stop", "t"]);
        let (status, _, error) = ctl(&a, &["ping", "l0"]);
        assert_eq!((status, error.trim_end()), (Some(1), "l2tpctl: l0: it is not up"));
        a.stop();
    }
}

/// Nobody behind the manual session of a router answers: the loss is told, and what it means.
fn a_session_whose_peer_does_not_know_it() {
    let net = Net::new();
    net.stranger.store(true, std::sync::atomic::Ordering::Relaxed);
    let config =
        "tunnel t\n  local-address 192.0.2.1\n  remote-address 192.0.2.2\n  session l0\n    manual 7 8\n";
    let mut a = Daemon::start(&net, &net.a, config);
    crate::wait::wait_until(|| net.carrier(&net.a, "l0"), || a.tail(20));
    let (status, text, _) = ctl(&a, &["ping", "l0", "-c", "1"]);
    assert_eq!(status, Some(4), "{text}");
    assert_eq!(
        text,
        "frame 1 through l0: no answer\n1 frames, 0 answered: 100 % lost\n(only another l2tpd answers such frames, \
         since 0.2.0; any peer answers `ping` of its tunnel)\n"
    );
    a.stop();
}
