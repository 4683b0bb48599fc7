//! Configuration files as the program itself judges them: `-n`, usage, start-up with a bad file.

use std::process::{Command, Output};

use crate::daemon::{program, Daemon};
use crate::net::Net;
use crate::peer;
use crate::runner::skip;
use crate::tests;

tests!(
    check_reports_every_error,
    good_file_passes,
    usage,
    bad_file_at_start,
    settings_are_logged,
    no_kernel_plane
);

fn check(text: &str) -> Output {
    let net = crate::net::work_dir().join(format!("check-{:?}.conf", std::thread::current().id()));
    std::fs::write(&net, text).expect("file");
    Command::new(program()).arg("-n").arg("-c").arg(&net).output().expect("the program runs")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// M-002 M-003 M-004, and the place of each.
fn check_reports_every_error() {
    let bad =
        "hostname a\nrouter-id\ntunnel t\n  remote-address 300.1.2.3.4.5:\n  remote-router-id 1.2.3\n  \
               retry 3 4\n  retry 5\n  retry 100\n  speling 1\n  session l0\n    mtu 10\n";
    let output = check(bad);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for (place, message) in [
        (":2:", "router-id: No param"),
        (":5:", "remote-router-id: Invalid address"),
        (":6:", "retry: This param is only one"),
        (":9:", "speling: Unknown tag"),
        (":11:", "mtu: Invalid value"),
    ] {
        let line = text.lines().find(|line| line.contains(message));
        assert!(line.is_some_and(|line| line.contains(place)), "`{message}` at `{place}` in\n{text}");
    }
}

fn good_file_passes() {
    let output = check(&peer::config("  password \"a b\" # comment\n", peer::SESSION));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/l2tpd.conf.example");
    let output = Command::new(program()).args(["-n", "-c", example]).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(0), "the example: {}", text(&output));
}

fn usage() {
    for (words, status) in
        [(&["-V"][..], 0), (&["-h"], 0), (&["--nonsense"], 2), (&["-l", "loud"], 2), (&["-c"], 2)]
    {
        let output = Command::new(program()).args(words).output().expect("the program runs");
        assert_eq!(output.status.code(), Some(status), "{words:?}: {}", text(&output));
        assert!(!text(&output).is_empty(), "{words:?} says nothing");
    }
    let output =
        Command::new(crate::daemon::client()).args(["-s", "/nonexistent", "status"]).output().expect("runs");
    assert_ne!(output.status.code(), Some(0), "a client without a daemon");
    assert!(!text(&output).is_empty());
}

/// M-002 M-003 M-004 M-021: all of them, then the end.
fn bad_file_at_start() {
    let net = Net::new();
    let bad = peer::config("  ttl\n  retry 1 2\n", peer::SESSION)
        .replace("remote-router-id 10.0.0.2", "remote-router-id 10.0.0.256")
        .replace("hostname dut", "hostname");
    let mut daemon = Daemon::start(&net, &net.a, &bad);
    let status = daemon.wait_exit();
    assert_eq!(status.code(), Some(1), "{}", daemon.tail(20));
    daemon.expect_all(&[
        "error hostname: No param",
        "error ttl: No param",
        "error remote-router-id: Invalid address",
        "error retry: This param is only one",
    ]);
    assert_eq!(daemon.lines().last().map(String::as_str), Some("error l2tpd initialization failed"));
    // Two ends of different families.
    let bad =
        peer::config("", peer::SESSION).replace("remote-address 192.0.2.2", "remote-address 2001:db8::2");
    let mut daemon = Daemon::start(&net, &net.a, &bad);
    daemon.wait_exit();
    daemon.expect("error *-address: Invalid address");
}

/// M-021: a data plane that the kernel does not have ends the start, and it is told what to do. (What it does where the
/// kernel has it: `real_peers`.)
fn no_kernel_plane() {
    if std::path::Path::new("/sys/module/l2tp_netlink").exists() {
        skip("this kernel has L2TP");
    }
    let net = Net::new();
    let text = format!("data-plane kernel\n{}", peer::config("", peer::SESSION));
    let mut daemon = Daemon::start(&net, &net.a, &text);
    assert_eq!(daemon.wait_exit().code(), Some(1), "{}", daemon.tail(20));
    daemon.expect_all(&["error   data-plane kernel: *load l2tp_eth, or use data-plane tap"]);
    assert_eq!(daemon.lines().last().map(String::as_str), Some("error l2tpd initialization failed"));
}

/// M-064: C-360
fn settings_are_logged() {
    let net = Net::new();
    let mut daemon = Daemon::start(&net, &net.a, &peer::config("  password hidden\n", peer::SESSION));
    daemon.expect("debug l2tpd start");
    for line in ["debug t1: remote-address: 192.0.2.2", "debug t1: retry: 3", "debug t1: password: ****"] {
        assert_eq!(daemon.count(line), 1, "{line}\n{}", daemon.tail(40));
    }
    assert_eq!(daemon.count("*hidden*"), 0);
}
