//! `l2tpctl`: commands that change something, short and wrong words.

use crate::daemon::Daemon;
use crate::net::{stderr, Net};
use crate::pair::{need_python, pair, python};
use crate::peer::*;
use crate::schema::schema;
use crate::tests;
use crate::wait::wait_for;

tests!(actions_and_their_json, words_short_and_wrong, wrong_words,);

fn actions_and_their_json() {
    need_python();
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "", "");
    let mut all = String::new();
    for (words, code, line) in [
        (&["clear", "session", "l0"][..], 3, "cleanup call: l0"),
        (&["clear", "session", "l0", "result-code", "5"], 5, "cleanup call: l0"),
        (&["clear", "peer", "192.0.2.2"], 1, "cleanup tunnel: 192.0.2.2"),
        (&["clear", "tunnel", "t", "result-code", "6"], 6, "cleanup tunnel: 192.0.2.2"),
        (&["clear", "all"], 1, "cleanup tunnel: 192.0.2.2"),
    ] {
        let mut json = vec!["--json"];
        json.extend(words);
        let text = a.ctl_ok(&json);
        assert_eq!(python(&text, "v['done']"), "True", "{words:?}: {text}");
        all += &text;
        a.expect(&format!("debug [*] admin_clear: {line}"));
        wait_for("the session", || {
            let status = b.ctl_ok(&["status"]) + &a.ctl_ok(&["status"]);
            (status.matches("State            :established").count() == 4).then_some(())
        });
        let told = format!("the peer closed it: result {code} ");
        wait_for("the code at the peer", || b.ctl_ok(&["status"]).contains(&told).then_some(()));
    }
    for words in
        [&["stop", "t"][..], &["start", "t"], &["reload"], &["reload", "--check"], &["log-level", "debug"]]
    {
        let mut json = words.to_vec();
        json.push("--json");
        all += &a.ctl_ok(&json);
        a.ctl_ok(words);
    }
    all += &a.ctl_ok(&["counters", "reset", "--json"]);
    assert_eq!(python(&all, "all(o['done'] for o in v)"), "True");
    schema(&all, "actions");
    // As the interface says: what is not there is logged and exits with 1.
    let nothing = |a: &mut Daemon, words: [&str; 3], line: &str, why: &str| {
        let output = a.ctl(&words);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert_eq!(stderr(&output), format!("l2tpctl: {line}\n  {why}\n"));
        a.expect(&format!("debug admin_clear: {line}"));
        a.expect(&format!("debug   {why}"));
    };
    let unknown = "no tunnel is configured for this address";
    nothing(&mut a, ["clear", "peer", "192.0.2.99"], "no such address peer: 192.0.2.99", unknown);
    let unknown = "no session of this name is configured; did you mean l0?";
    nothing(&mut a, ["clear", "session", "l9"], "no such if_name: l9", unknown);
    a.ctl_ok(&["stop", "t"]);
    let down = "configured, but not up at present; `l2tpctl explain tunnel t` tells why";
    nothing(&mut a, ["clear", "session", "l0"], "no such if_name: l0", &format!("it is {down}"));
    let down = down.replace("configured", "tunnel t is configured for it");
    nothing(&mut a, ["clear", "peer", "192.0.2.2"], "no such address peer: 192.0.2.2", &down);
    let zero = a.ctl(&["clear", "all", "result-code", "0"]);
    assert_eq!(zero.status.code(), Some(1), "{}", stderr(&zero));
    a.ctl_ok(&["log-level", "warn"]);
    assert_eq!(python(&a.ctl_ok(&["--json", "status"]), "v['log_level']"), "warn");
    a.stop();
    b.stop();
}

fn words_short_and_wrong() {
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "", "");
    for words in [
        &["stat"][..],
        &["stat", "t", "t"],
        &["status", "ses", "l0"],
        &["cou"],
        &["m"],
        &["rel", "--c"],
        &["log", "i"],
        &["e", "t", "t"],
        &["log"],
    ] {
        a.ctl_ok(words);
    }
    for (words, says) in [
        (&["st"][..], &["ambiguous", "status, start, stop"][..]),
        (&["nonsense"], &["unknown", "status", "metrics", "explain", "top"]),
        (&["clear", "everything"], &["unknown", "tunnel, peer, session, interface, all"]),
        (&["clear", "tunnel"], &["incomplete", "NAME"]),
        (&["clear", "peer", "tokyo"], &["an IP address expected"]),
        (&["clear", "all", "result-code", "x"], &["a number from 1 to 65535 expected"]),
        (&["log-level", "loud"], &["error, warn, info, debug"]),
        (&["status", "tunnel", "t", "t"], &["nothing may follow"]),
        (&["trace", "t"], &["FILE"]),
        (&["--json", "metrics"], &["no form as JSON", "--json counters"]),
        (&["metrics", "--json"], &["no form as JSON", "--json counters"]),
        (&["--json", "trace", "t", "-"], &["no form as JSON", "pcapng"]),
        (&["--json", "top"], &["no form as JSON", "--json summary"]),
        (&["summary", "sort", "x"], &["unknown", "name, peer, state", "round-trip"]),
        (&["summary", "tokyo"], &["unknown", "up, down, disabled, name, sort"]),
        (&["top", "-i", "0"], &["seconds from 0.1 to 3600 expected"]),
        (&[], &["incomplete", "status, summary", "explain"]),
    ] {
        let output = a.ctl(words);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {text}");
        says.iter().for_each(|word| assert!(text.contains(word), "{words:?}: no `{word}` in {text}"));
        assert!(output.stdout.is_empty(), "{words:?}");
    }
    a.stop();
    b.stop();
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
