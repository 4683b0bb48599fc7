//! Configuration files as the program itself judges them: `-n`, usage, start-up with a bad file.

use std::process::{Command, Output};
use std::time::Duration;

use crate::daemon::{program, write_config, Daemon};
use crate::net::Net;
use crate::peer;
use crate::peer::*;
use crate::runner::skip;
use crate::tests;

tests!(
    check_reports_every_error,
    good_file_passes,
    narrow_interfaces_are_warned_of,
    usage,
    bad_file_at_start,
    settings_are_logged,
    no_kernel_plane,
    warnings_are_no_errors,
    unusable_blocks,
);

fn check(text: &str) -> Output {
    let net = crate::net::work_dir().join(format!("check-{:?}.conf", std::thread::current().id()));
    write_config(&net, text);
    Command::new(program()).arg("-n").arg("-c").arg(&net).output().expect("the program runs")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What will be in the way later: told before, by the program as it is installed.
fn warnings_are_no_errors() {
    let net = Net::new();
    let file = net.dir.join("warnings.conf");
    let warnings = |mode: u32, config: &str| {
        std::fs::write(&file, config).expect("file");
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&file, permissions).expect("mode");
        let name = file.to_str().expect("path");
        let output = net.try_exec(&net.b, &[program(), "-n", "-c", name]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        text(&output).replace(&file.display().to_string(), "FILE")
    };
    let config = format!("user nobody\n{}", peer::config("", peer::SESSION));
    assert_eq!(warnings(0o644, &config), "");
    let unreadable =
        "FILE:1:1: warning: Permission denied: chgrp 65534 FILE && chmod 640 FILE: it cannot be read again by user nobody, a reload will fail\n";
    assert_eq!(warnings(0o600, &config), unreadable);
    assert_eq!(
        warnings(0o600, "log-level info\n"),
        "FILE:1:1: warning: has no tunnel: there is nothing to do\n"
    );
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
    // The source may belong to another user than root.
    let example = include_str!("../../l2tpd.conf.example");
    let output = check(example);
    assert_eq!(output.status.code(), Some(0), "the example: {}", text(&output));
}

/// Ports of a bridge whose frames are longer than the session's interface takes, as far as it can be known.
fn narrow_interfaces_are_warned_of() {
    let net = Net::new();
    net.batch(
        &net.a,
        "link add br7 type bridge\nlink add lan0 type veth peer name lan1\nlink set lan0 master br7\n\
         link add l0 type veth peer name other\nlink set l0 mtu 9000 master br7\n",
    );
    let file = net.dir.join("check-a.conf");
    let warned = |tunnel: &str, session: &str| {
        let settings = peer::config(tunnel, &format!("{}{session}", peer::SESSION));
        write_config(&file, &settings);
        let name = file.to_str().expect("path");
        let output = net.try_exec(&net.a, &[program(), "-n", "-c", name]);
        assert_eq!(output.status.code(), Some(0), "a warning is no error: {}", text(&output));
        let said = text(&output);
        let block = settings.lines().position(|line| line == "  session l0").expect("the block") + 1;
        let place = format!("{name}:{block}:1: warning: tunnel t1, session l0: ");
        let message = said.lines().next().and_then(|line| line.strip_prefix(&place));
        assert!(said.is_empty() || message.is_some(), "{said}");
        message.unwrap_or_default().to_owned()
    };
    let udp = "  encapsulation udp\n";
    let bridge = "    bridge br7\n";
    // 20 for IP, 12 for UDP, 4 for the session, 14 for Ethernet; a tag.
    assert_eq!(warned(udp, bridge), "mtu auto, 1450, but lan0 in bridge br7 has 1500");
    let unfragmented = "  encapsulation udp\n  dont-fragment on\n  cookie 8\n";
    assert_eq!(warned(unfragmented, bridge), "mtu auto, 1438, but lan0 in bridge br7 has 1500");
    assert_eq!(warned("", "    bridge br7\n    mtu 1499\n"), "mtu 1499, but lan0 in bridge br7 has 1500");
    assert_eq!(warned("", "    bridge br7\n    mtu 1500\n"), "");
    assert_eq!(warned("", ""), "", "without a bridge nothing is known of the LAN");
    assert_eq!(warned("", "    bridge br8\n"), "", "it is not there yet");
    net.batch(&net.a, "link set lan0 mtu 9000\n");
    assert_eq!(warned("", "    bridge br7\n    mtu 1500\n"), "mtu 1500, but lan0 in bridge br7 has 9000");
    assert_eq!(warned("", "    bridge br7\n    disable\n"), "");
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
    for line in ["debug t1: remote-address: 192.0.2.2", "debug t1: retry: 7", "debug t1: password: ****"] {
        assert_eq!(daemon.count(line), 1, "{line}\n{}", daemon.tail(40));
    }
    assert_eq!(daemon.count("*hidden*"), 0);
}

/// M-018 M-019: what is not complete is not started; the rest is. C-138 C-283
fn unusable_blocks() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let sessions = format!("{SESSION}  session l1\n    cookie 4\n");
    let second = "tunnel t2\n  remote-address 192.0.2.77\n  remote-router-id any\n";
    let text = format!("{}{second}", config("", &sessions));
    let mut daemon = Daemon::start(&net, &net.a, &text);
    daemon.expect_all(&["error get session configuration failed", "error get tunnel configuration failed"]);
    peer.accept();
    peer.answer();
    assert!(
        peer.sees(ICRQ, Duration::from_millis(300)).is_none(),
        "a session without remote-end-id was started"
    );
}
