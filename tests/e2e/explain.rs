//! `explain tunnel` for every cause that keeps a tunnel or session down, at both ends: the check that failed, the
//! values expected and received, since when, and when the next attempt is made. `explain` of a message.

use std::process::Command;

use crate::daemon::{client, write_config, Daemon};
use crate::net::{stderr, Net};
use crate::pair::{host, need_python};
use crate::peer::*;
use crate::schema::schema;
use crate::tests;
use crate::wait::wait_until;

tests!(
    hostname_wrong_at_the_initiator,
    hostname_wrong_at_the_responder,
    router_id_wrong_at_the_initiator,
    router_id_wrong_at_the_responder,
    different_passwords,
    password_at_the_initiator_only,
    password_at_the_responder_only,
    cookie_at_the_initiator_only,
    cookie_at_the_responder_only,
    unknown_remote_end_id,
    other_pseudowire_type,
    nobody_answers,
    stranger,
    local_address_missing,
    name_that_cannot_be_found,
    interface_name_taken,
    disabled_and_stopped,
    everything_is_up,
    explain_a_line_without_daemon,
    explanation_names_expected_and_received,
    every_message_is_explained,
);

/// Tunnel and session lines of one end.
type End<'a> = (&'a str, &'a str);

/// Starts both ends, the first as initiator.
fn start(net: &Net, one: End, two: End) -> (Daemon, Daemon) {
    let mut b = Daemon::start(net, &net.b, &host(2, "", &format!("  role passive\n{}", two.0), two.1));
    b.expect("debug l2tpd start");
    let mut a = Daemon::start(net, &net.a, &host(1, "", &format!("  role active\n{}", one.0), one.1));
    a.expect("debug l2tpd start");
    (a, b)
}

/// Waits until `explain tunnel t` says all of this, once more than once: the attempts go on.
#[track_caller]
fn says(daemon: &Daemon, words: &[&str]) -> String {
    let explain = || daemon.ctl_ok(&["explain", "tunnel", "t"]);
    let mut text = String::new();
    wait_until(
        || {
            text = explain();
            words.iter().all(|word| text.contains(word))
        },
        || format!("not all of {words:?} in:\n{}\n{}", explain(), daemon.tail(20)),
    );
    text
}

/// What both ends say of two configurations that do not fit.
#[track_caller]
fn check(one: End, two: End, says_one: &[&str], says_two: &[&str]) {
    let net = Net::new();
    let (mut a, mut b) = start(&net, one, two);
    says(&a, says_one);
    says(&b, says_two);
    // The initiator goes on trying, and tells when.
    says(&a, &["next try", ": in 00:00:0"]);
    a.stop();
    b.stop();
}

const WHEN: &str = "when         : 00:00:0";

fn hostname_wrong_at_the_initiator() {
    check(
        ("  remote-hostname tokyo\n", ""),
        ("", ""),
        &[
            "failed check : remote-hostname\n",
            "expected     : \"tokyo\"",
            "received     : \"h2\"",
            WHEN,
            "M-039",
        ],
        &["the peer closed it: result 4", "remote-hostname does not match"],
    );
}

fn hostname_wrong_at_the_responder() {
    check(
        ("", ""),
        ("  remote-hostname tokyo\n", ""),
        &["the peer closed it: result 4", "remote-hostname does not match"],
        &["failed check : remote-hostname\n", "expected     : \"tokyo\"", "received     : \"h1\"", WHEN],
    );
}

fn router_id_wrong_at_the_initiator() {
    check(
        ("  remote-router-id 10.0.0.9\n", ""),
        ("", ""),
        &[
            "failed check : remote-router-id",
            "expected     : 10.0.0.9",
            "received     : 10.0.0.2",
            WHEN,
            "M-046",
        ],
        &["the peer closed it: result 4", "remote-router-id does not match"],
    );
}

fn router_id_wrong_at_the_responder() {
    check(
        ("", ""),
        ("  remote-router-id 10.0.0.9\n", ""),
        &["the peer closed it: result 4", "remote-router-id does not match"],
        &["failed check : remote-router-id", "expected     : 10.0.0.9", "received     : 10.0.0.1", WHEN],
    );
}

/// Neither end may answer what it cannot believe, so the initiator can only guess - and says so.
fn different_passwords() {
    check(
        ("  password one\n  retry 3\n", ""),
        ("  password two\n", ""),
        &["the peer does not answer", "the same password"],
        &["no valid digest", "passwords", WHEN, "M-040"],
    );
}

fn password_at_the_initiator_only() {
    check(("  password one\n  retry 3\n", ""), ("", ""), &["password", WHEN], &["password"]);
}

fn password_at_the_responder_only() {
    check(
        ("  retry 3\n", ""),
        ("  password two\n", ""),
        &["the peer does not answer", "the same password"],
        &["no valid digest", "passwords", WHEN, "M-040"],
    );
}

fn cookie_at_the_initiator_only() {
    check(
        ("", "    cookie 4\n"),
        ("", ""),
        &["session l0", "the peer closed it: result 2", "cookie: expected none, received a cookie"],
        &["session l0", "failed check : cookie", "expected     : none", "received     : a cookie", "M-035"],
    );
}

fn cookie_at_the_responder_only() {
    check(
        ("", ""),
        ("", "    cookie 4\n"),
        &["session l0", "the peer closed it: result 2", "cookie: expected a cookie, received none"],
        &["session l0", "failed check : cookie", "expected     : a cookie", "received     : none", "M-033"],
    );
}

fn unknown_remote_end_id() {
    check(
        ("", "    remote-end-id east\n"),
        ("", "    remote-end-id west\n"),
        &["session l0", "the peer closed it: result", "no session with this Remote End ID"],
        &["failed check : remote-end-id", "expected     : \"west\"", "received     : \"east\"", "M-043"],
    );
}

fn other_pseudowire_type() {
    check(
        ("", "    pseudowire vlan\n"),
        ("", ""),
        &["session l0", "the peer closed it: result", "pseudowire type: expected 5, received 4"],
        &["failed check : pseudowire type", "expected     : 5", "received     : 4", WHEN],
    );
}

fn nobody_answers() {
    let net = Net::new();
    let mut a = Daemon::start(&net, &net.a, &host(1, "", "  retry 3\n", ""));
    a.expect("debug l2tpd start");
    says(&a, &["failed check : the peer does not answer", WHEN, "M-015", "next try"]);
    // Also while an attempt goes on.
    says(&a, &["wait-ctl-reply", "protocol 115", "next try     : in 00:00:0"]);
    a.stop();
}

/// The peer calls, and this end has it under another address and name: only this end can tell.
fn stranger() {
    let net = Net::new();
    let tunnel = "  role passive\n  remote-address 192.0.2.99\n";
    let mut b = Daemon::start(&net, &net.b, &host(2, "", tunnel, ""));
    b.expect("debug l2tpd start");
    let mut a = Daemon::start(&net, &net.a, &host(1, "", "  retry 2\n", ""));
    let why = "an SCCRQ of \"h1\", router-id 10.0.0.1: no tunnel has this remote-address";
    b.expect(&format!("info   from 192.0.2.1 dropped: {why}"));
    let text = b.ctl_ok(&["explain"]);
    assert!(text.contains(&format!("\ndropped from 192.0.2.1: {why} (")), "{text}");
    // It goes on; a minute has not passed.
    a.expect("info [*] begin new tunnel [t] peer:192.0.2.2");
    a.expect("info [*] begin new tunnel [t] peer:192.0.2.2");
    a.expect("info [*] begin new tunnel [t] peer:192.0.2.2");
    let lines = b.lines();
    assert_eq!(lines.iter().filter(|line| line.contains(" dropped: ")).count(), 1, "{lines:#?}");
    assert!(!b.ctl_ok(&["explain"]).contains("(once"));
    assert!(!b.ctl_ok(&["explain", "tunnel", "t"]).contains("dropped from"));
    a.stop();
    b.stop();
}

fn local_address_missing() {
    let net = Net::new();
    let mut a = Daemon::start(&net, &net.a, &host(1, "", "  local-address 192.0.2.88\n", ""));
    a.expect("debug l2tpd start");
    says(&a, &["IP protocol 115 on 192.0.2.88", "Cannot assign requested address", WHEN, "next try"]);
    // As soon as it is there, the tunnel is tried.
    net.batch(&net.a, "addr add 192.0.2.88/24 dev wire\n");
    a.expect("info [*] begin new tunnel [t] peer:192.0.2.2");
    a.stop();
}

fn name_that_cannot_be_found() {
    let net = Net::new();
    let tunnel = "  local-address auto\n  remote-address nowhere.invalid\n";
    let mut a = Daemon::start(&net, &net.a, &host(1, "", tunnel, ""));
    a.expect("debug l2tpd start");
    says(&a, &["failed check : the name nowhere.invalid cannot be looked up: ", WHEN, "next try"]);
    a.stop();
}

/// The interface exists already and is no TAP interface of ours.
fn interface_name_taken() {
    let net = Net::new();
    net.batch(&net.a, "link add l0 type bridge\n");
    let (mut a, mut b) = start(&net, ("", ""), ("", ""));
    says(&a, &["session l0", "failed check : ", "l0", WHEN, "next try"]);
    says(&b, &["session l0", "the peer closed it"]);
    net.batch(&net.a, "link del l0\n");
    crate::pair::up(&mut b, 1);
    a.stop();
    b.stop();
}

fn disabled_and_stopped() {
    let net = Net::new();
    let mut a = Daemon::start(&net, &net.a, &host(1, "", "  disable\n", ""));
    a.expect("debug l2tpd start");
    says(&a, &["tunnel t: disabled", "`disable` in the configuration"]);
    write_config(&a.config, &host(1, "", "", ""));
    a.ctl_ok(&["reload"]);
    a.expect("info [*] begin new tunnel [t] peer:192.0.2.2");
    a.ctl_ok(&["stop", "t"]);
    says(&a, &["tunnel t: disabled", "l2tpctl stop"]);
    assert_eq!(a.ctl(&["health"]).status.code(), Some(0), "what is disabled need not be up");
    // One session alone.
    write_config(&a.config, &host(1, "", "", "    disable\n"));
    a.ctl_ok(&["reload"]);
    says(&a, &["session l0: disabled"]);
    a.stop();
}

fn everything_is_up() {
    let net = Net::new();
    let (mut a, mut b) = crate::pair::pair(&net, "", "");
    assert_eq!(a.ctl_ok(&["explain"]), "every tunnel and session is up\n");
    assert_eq!(a.ctl_ok(&["health"]), "up: 1 of 1 tunnels, 1 of 1 sessions\n");
    let codes = |daemon: &Daemon| {
        [&["explain"][..], &["status", "tunnel", "t"], &["status", "session", "l0", "--json"], &["health"]]
            .map(|words| daemon.ctl(words).status.code())
    };
    assert_eq!(codes(&a), [Some(0); 4]);
    says(&a, &["tunnel t: established", "session l0: established"]);
    b.stop();
    a.expect("debug [*] delete tunnel");
    says(&a, &["the peer closed it: result 6", "shutting down"]);
    assert_eq!(codes(&a), [Some(4); 4]);
    assert_eq!(a.ctl_ok(&["health"]), "down: 0 of 1 tunnels, 0 of 1 sessions\n");
    let json = a.ctl_ok(&["--json", "explain", "tunnel", "t"]);
    assert!(json.contains("\"last_failure\":{\"check\":\""), "{json}");
    a.stop();
}

/// A pasted line, in the language of the environment, with a socket that does not exist.
fn explain_a_line_without_daemon() {
    need_python();
    let explain = |language: &str, words: &[&str]| {
        let mut command = Command::new(client());
        command.env_clear().env("LANG", language).args(["-s", "/nonexistent"]).args(words);
        command.output().expect("l2tpctl")
    };
    let text = |output: &std::process::Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let line = "Nov 22 11:30:00 gw l2tpd[812]: [4711] message digest invalid in SCCRP";
    let english = explain("en_US.UTF-8", &["explain", line]);
    let japanese = explain("ja_JP.UTF-8", &["explain", line]);
    assert!(english.status.success() && japanese.status.success(), "{}", stderr(&english));
    let (english, japanese) = (text(&english), text(&japanese));
    assert!(english.contains("meaning: ") && english.contains("SCCRP") && english.is_ascii(), "{english}");
    assert!(japanese.contains("意味: ") && japanese.contains("対処: "), "{japanese}");
    let found = explain("C", &["--json", "explain", line]);
    schema(&text(&found), "explain");
    let unknown = explain("C", &["explain", "the cat sat on the mat"]);
    assert_eq!(unknown.status.code(), Some(1), "{}", stderr(&unknown));
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
