//! `l2tpctl ping`: HELLOs over the control connection of a tunnel.

use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::net::{stderr, Net};
use crate::pair::{need_python, pair, python};
use crate::schema::schema;
use crate::tests;

tests!(answers_are_timed, what_is_lost_is_told, a_tunnel_that_is_not_up,);

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
    let (a, _b) = pair(&net, "  hello-interval 60\n", "");
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
