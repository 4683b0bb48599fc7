//! l2tpctl against a running daemon, as an administrator or a script uses it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::avps::established;
use crate::daemon::{client, Daemon};
use crate::net::{have, Net};
use crate::peer::*;
use crate::runner::skip;
use crate::tests;

tests!(
    status_shows_both_ends,
    json_is_json,
    events_are_shown_as_they_happen,
    log_is_followed,
    log_level_changes,
    counters_are_reset,
    explanation_names_expected_and_received,
    every_message_is_explained,
    wrong_words,
);

/// A command of the client that goes on until it is stopped; its lines come through a channel.
struct Following {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Following {
    fn start(daemon: &Daemon, words: &[&str]) -> Following {
        let mut command = Command::new(client());
        command.arg("-s").arg(&daemon.socket).args(words).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("l2tpctl");
        let stdout = BufReader::new(child.stdout.take().expect("output"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Following { child, lines }
    }

    #[track_caller]
    fn expect(&self, text: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(6);
        let mut all = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if line.contains(text) {
                return line;
            }
            all.push(line);
        }
        panic!("no `{text}` in {all:#?}");
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The value behind a field's name in the status.
fn field(status: &str, name: &str) -> String {
    let line = status.lines().find(|line| line.trim_start().starts_with(name));
    let line = line.unwrap_or_else(|| panic!("no `{name}` in\n{status}"));
    line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
}

fn status_shows_both_ends() {
    let sessions = "  session l0\n    remote-end-id end1\n    cookie 4\n";
    let (_net, mut daemon, mut peer) = established("", sessions);
    let icrq = peer.icrq("end1").with(avp(65, &[0, 0, 1, 2]));
    let call = peer.call_with(&icrq);
    daemon.expect("info receive ICCN, state --> ESTABLISHED");
    let status = daemon.ctl_ok(&["status"]);
    for (name, value) in [
        ("Remote Host Name", "peer".to_owned()),
        ("Remote Router-ID", "10.0.0.2".to_owned()),
        ("Local Tunnel ID", peer.remote.to_string()),
        ("Remote Tunnel ID", peer.ccid.to_string()),
        ("Ns, Nr", format!("{}, {}", peer.nr, peer.ns)),
        ("Local Session ID", call.remote.to_string()),
        ("Remote Session ID", call.local.to_string()),
        ("Serial No", "7".to_owned()),
        ("Remote Cookie", "258".to_owned()),
    ] {
        assert_eq!(field(&status, name), value, "{name} in\n{status}");
    }
    let cookie = u32::from_be_bytes(call.cookie[..].try_into().expect("4 octets"));
    assert_eq!(field(&status, "Local Cookie"), cookie.to_string());
    assert_eq!(status.matches(":established").count(), 2, "{status}");
    let one = daemon.ctl_ok(&["status", "tunnel", "t1"]);
    assert!(one.contains("10.0.0.2"));
    assert_eq!(daemon.ctl(&["status", "tunnel", "t9"]).status.code(), Some(1));
    assert_eq!(daemon.ctl(&["status", "session", "l9"]).status.code(), Some(1));
}

fn json_is_json() {
    if !have("python3") {
        skip("python3 is not installed");
    }
    let (_net, mut daemon, mut peer) = established("", SESSION);
    peer.call("end1");
    daemon.expect("info receive ICCN, state --> ESTABLISHED");
    for words in [&["--json", "status"][..], &["--json", "counters"], &["--json", "log"]] {
        let text = daemon.ctl_ok(words);
        let script = "import json, sys\nfor line in sys.argv[1].splitlines() if sys.argv[2] == 'log' else [sys.argv[1]]: \
                      json.loads(line)";
        let script = if words[1] == "log" { script } else { "import json, sys\njson.loads(sys.argv[1])" };
        crate::net::run(&["python3", "-c", script, &text, words[1]]);
    }
}

fn events_are_shown_as_they_happen() {
    let (_net, daemon, mut peer) = established("", SESSION);
    let watch = Following::start(&daemon, &["watch"]);
    std::thread::sleep(Duration::from_millis(300));
    let call = peer.call("end1");
    watch.expect("session-up");
    peer.send(&peer.session_message(CDN, &call).with(avp(1, &[0, 3])));
    watch.expect("session-down");
    peer.expect_ack();
    let own = peer.ccid.to_be_bytes();
    peer.send(&Out::new(STOPCCN).with(avp(1, &[0, 6])).with(avp(61, &own)));
    watch.expect("tunnel-down");
}

fn log_is_followed() {
    let (_net, daemon, mut peer) = established("", SESSION);
    let log = Following::start(&daemon, &["log", "-f", "info"]);
    log.expect("receive SCCCN, state --> ESTABLISHED"); // what was there before
    peer.call("end1");
    log.expect("receive ICCN, state --> ESTABLISHED");
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

/// Why a tunnel is not up: the check, what was expected, what came.
fn explanation_names_expected_and_received() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let mut daemon = Daemon::start(&net, &net.a, &config("  role passive\n", SESSION));
    daemon.expect("debug l2tpd start");
    peer.send(&peer.set_up(SCCRQ).replace(7, b"intruder\x1b[2J"));
    daemon.expect("warn [*] hostname mismatch in SCCRQ");
    let text = daemon.ctl_ok(&["explain", "tunnel", "t1"]);
    assert!(text.contains("peer") && text.contains("intruder"), "{text}");
    assert!(!text.contains('\x1b'), "the peer's text reaches the terminal unescaped: {text:?}");
}

/// `explain` needs no daemon and knows every line that the daemons of these tests wrote so far.
fn every_message_is_explained() {
    for (language, word) in [("C", "password"), ("ja_JP.UTF-8", "password")] {
        let output = Command::new(client())
            .env("LANG", language)
            .env_remove("LC_ALL")
            .env_remove("LC_MESSAGES")
            .args(["explain", "[7] message digest invalid in SCCRQ"])
            .output()
            .expect("l2tpctl");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains("M-040") || text.contains("digest"), "{text}");
        let japanese = text.chars().any(|c| ('\u{3040}'..'\u{9fff}').contains(&c));
        assert_eq!(japanese, language.starts_with("ja"), "{language}: {text} ({word})");
    }
    let output =
        Command::new(client()).args(["explain", "no such message at all"]).output().expect("l2tpctl");
    assert_eq!(output.status.code(), Some(1));
}

fn wrong_words() {
    let (_net, daemon, _peer) = established("", "");
    for words in
        [&["clear"][..], &["status", "nonsense"], &["frobnicate"], &["clear", "peer", "not-an-address"]]
    {
        let output = daemon.ctl(words);
        let text = crate::net::stderr(&output);
        assert!(output.status.code() != Some(0) && !text.is_empty(), "{words:?}: {text}");
    }
}
