//! `l2tpctl counters` and `metrics`.

use std::process::Command;

use crate::net::{stderr, Net};
use crate::pair::{host, interpreter, pair_of, pipe, BESIDE};
use crate::peer;
use crate::peer::*;
use crate::runner::{note, skip};
use crate::tests;
use crate::wait::wait_until;

tests!(metrics_are_openmetrics, counters_are_reset, frames_for_no_session_are_counted,);

fn metrics_are_openmetrics() {
    let net = Net::new();
    let one = host(1, "", "", "") + BESIDE;
    let (mut a, mut b) = pair_of(&net, &one, &host(2, "", "", ""));
    let text = a.ctl_ok(&["metrics"]);
    assert!(text.ends_with("# EOF\n"), "{text}");
    let has =
        Command::new(interpreter()).args(["-c", "import prometheus_client.openmetrics.parser"]).output();
    if !has.expect("python").status.success() {
        a.stop();
        b.stop();
        skip("no prometheus_client");
    }
    let program = "import sys\nfrom prometheus_client.openmetrics.parser import text_string_to_metric_families as f\n\
                   m = {(s.name, tuple(sorted(s.labels.items()))): s.value for x in f(sys.stdin.read()) for s in x.samples}\n\
                   up = lambda t: m[('l2tpd_tunnel_up', (('tunnel', t),))]\n\
                   rx = m[('l2tpd_session_rx_frames_total', (('interface', 'l0'), ('tunnel', 't')))]\n\
                   print(int(up('t')), int(up('beside')), rx >= 3, len(m) > 50)";
    let output = pipe(Command::new(interpreter()).args(["-c", program]), &text);
    let found = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(found.trim(), "1 0 True True", "{}\n{text}", stderr(&output));
    note("real judge: the OpenMetrics parser of prometheus_client".to_owned());
    a.stop();
    b.stop();
}

fn counters_are_reset() {
    let (_net, daemon, _peer) = established("", "");
    let received = |text: &str| {
        let line = text.lines().find(|line| line.contains("rx_messages")).expect("the counter").to_owned();
        line.split_whitespace().find_map(|word| word.parse::<u64>().ok()).expect("number")
    };
    assert!(received(&daemon.ctl_ok(&["counters"])) >= 1);
    daemon.ctl_ok(&["counters", "reset"]);
    let after = daemon.ctl_ok(&["counters"]);
    let left = after.lines().find(|line| line.contains("rx_messages"));
    assert!(left.is_none() || received(&after) == 0, "{after}");
}

fn frames_for_no_session_are_counted() {
    let (_net, mut daemon, peer) = crate::peer::established("", "");
    for _ in 0..5 {
        let call = peer::Call { local: 1, remote: 0x0102_0304, cookie: Vec::new() };
        peer.send_frame(&call, &[0xff; 60]);
    }
    let counters = || daemon.ctl_ok(&["counters"]);
    let counted = |line: &str| line.to_lowercase().contains("session") && line.contains('5');
    wait_until(
        || counters().lines().any(counted),
        || format!("no drop counted for an unknown session:\n{}", counters()),
    );
    let metrics = daemon.ctl_ok(&["metrics"]);
    assert!(metrics.trim_end().ends_with("# EOF"), "OpenMetrics ends so: {metrics}");
    daemon.stop();
}
