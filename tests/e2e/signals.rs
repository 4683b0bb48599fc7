//! Signals to the daemon.

use crate::daemon::Daemon;
use crate::net::Net;
use crate::pair::{need_python, pair, python};
use crate::tests;
use crate::wait::{wait_for, wait_until, PATIENCE};

tests!(signals, signals_for_the_status_and_the_debug_log,);

fn signals() {
    need_python();
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "", "");
    let level = |daemon: &Daemon| python(&daemon.ctl_ok(&["--json", "status"]), "v['log_level']");
    a.ctl_ok(&["log-level", "info"]);
    a.signal(libc::SIGUSR2);
    a.expect("info Received 12 signal");
    wait_for("debug", || (level(&a) == "debug").then_some(()));
    a.signal(libc::SIGUSR2);
    wait_for("info again", || (level(&a) == "info").then_some(()));
    a.signal(libc::SIGUSR1);
    a.expect("info Received 10 signal");
    let log = wait_for("the status in the log", || {
        let log = a.ctl_ok(&["log", "info"]);
        log.contains("Local Session ID").then_some(log)
    });
    let shown = a.ctl_ok(&["status"]);
    for line in shown
        .lines()
        .filter(|line| line.contains("Tunnel ID") || line.contains("Cookie") || line.contains("Host Name"))
    {
        assert!(log.contains(&format!(" info   {line}\n")), "`{line}` is not in the log:\n{log}");
    }
    a.signal(libc::SIGPIPE);
    a.ctl_ok(&["status"]);
    assert_eq!(a.count("*Received 13 signal"), 0);
    a.ctl_ok(&["status"]);
    // INT ends it as TERM does: the peer is told.
    a.signal(libc::SIGINT);
    assert_eq!(a.wait_exit().code(), Some(0));
    a.expect("* Received 2 signal");
    b.expect("info receive StopCCN, state --> IDLE");
    b.stop();
}

fn signals_for_the_status_and_the_debug_log() {
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "", "");
    a.skip_log();
    a.signal(libc::SIGUSR1);
    a.expect("info Received 10 signal");
    assert!(a.sees("info   *stablished*", PATIENCE), "the status:\n{}", a.tail(20));
    a.signal(libc::SIGUSR2);
    a.expect("info Received 12 signal");
    a.ctl_ok(&["health"]); // what was to be written before is written
    let before = a.count("debug *");
    let messages = || {
        let all = a.ctl_ok(&["counters"]);
        let line = all.lines().find(|line| line.contains("tx_messages")).expect("the counter").to_owned();
        line.split_whitespace().find_map(|word| word.parse::<u64>().ok()).expect("number")
    };
    let sent = messages();
    wait_until(|| messages() >= sent + 4, || "no HELLOs come and go".to_owned());
    assert_eq!(a.count("debug *"), before, "debug messages after they were switched off:\n{}", a.tail(10));
    a.signal(libc::SIGUSR2);
    a.expect("info Received 12 signal");
    a.expect("debug *");
    a.signal(libc::SIGPIPE);
    a.ctl_ok(&["status"]);
    a.stop();
    b.stop();
}
