//! `l2tpctl log` and `log-level`, `log-buffer`.

use crate::coverage;
use crate::daemon::Daemon;
use crate::net::Net;
use crate::pair::{host, need_python, pair_of, python};
use crate::peer::*;
use crate::tests;

tests!(log_in_memory, log_is_trimmed, log_level_changes,);

/// M-047: the buffer keeps the newest, and says that there were older ones.
fn log_in_memory() {
    let net = Net::new();
    let text = format!("log-buffer 5\n{}", config("  role passive\n", SESSION));
    let mut daemon = Daemon::start(&net, &net.a, &text);
    daemon.expect("debug l2tpd start");
    let mut peer = Peer::new(&net);
    peer.connect();
    let output = daemon.ctl_ok(&["log"]);
    let first = output.lines().next().unwrap_or_default();
    assert_eq!(first, "== OLDER \"l2tp\" LOG MESSAGES WERE TRIMMED ==", "{output}");
    coverage::saw("info", first);
    assert_eq!(output.lines().count(), 6, "{output}");
    assert!(
        output.contains("receive SCCCN, state --> ESTABLISHED") || output.contains("send ACK"),
        "{output}"
    );
}

/// `log-buffer`: what was dropped is told in the first line.
fn log_is_trimmed() {
    need_python();
    let net = Net::new();
    let small = host(1, "log-buffer 20\n", "", "");
    let (mut a, mut b) = pair_of(&net, &small, &host(2, "", "", ""));
    let trimmed = "== OLDER \"l2tp\" LOG MESSAGES WERE TRIMMED ==";
    let text = a.ctl_ok(&["log"]);
    assert_eq!(text.lines().next(), Some(trimmed), "{text}");
    let json = a.ctl_ok(&["log", "--json"]);
    assert_eq!(python(&json, "v[0]['remark'], len(v)"), format!("{trimmed} 21"));
    let whole = b.ctl_ok(&["log"]);
    assert!(!whole.contains("TRIMMED"), "{whole}");
    a.stop();
    b.stop();
}

fn log_level_changes() {
    let (_net, mut daemon, mut peer) = established("", "");
    daemon.ctl_ok(&["log-level", "error"]);
    daemon.skip_log();
    peer.send(&Out::new(HELLO));
    peer.expect_ack();
    daemon.ctl_ok(&["log-level", "debug"]);
    peer.send(&Out::new(HELLO));
    peer.expect_ack();
    daemon.expect("debug [*] receive HELLO, send ZLB ACK");
    assert_eq!(
        daemon.count("debug [*] receive HELLO, send ZLB ACK"),
        1,
        "the first one was not to be logged"
    );
    assert_eq!(daemon.ctl(&["log-level", "loud"]).status.code(), Some(2));
}
