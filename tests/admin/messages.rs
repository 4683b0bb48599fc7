//! The explanations: complete, and found by any line that the message can make.

use l2tpd::admin::explain::{self, Language};
use l2tpd::log::catalogue::{pieces, Piece, Template, CATALOGUE};
use l2tpd::log::remark::RemarkKind;

/// Values that a variable part may have, hostile ones included.
fn samples(name: &str) -> &'static [&'static str] {
    match name {
        "tunnel_id" | "session_id" => &["0", "305419896", "4294967295"],
        "error" => &["No such file or directory", "12", "fork: a: b", "send SCCRQ, state --> IDLE"],
        "tag" => &["remote-address", "cookie", "retry", "mtu"],
        "param" => &["on", "No param", "Invalid address", "10.0.0.1 a: b", "****", "l2tpd start"],
        "tun_name" => &["center", "global", "a: b", "two words"],
        "func" => &["recv_packet", "admin_clear", "avp_handler"],
        "msg_type" => &["SCCRQ", "StopCCN", "HELLO", "99"],
        "state" => &["IDLE", "WAIT-CTL-REPLY", "ESTABLISHED"],
        "IPaddress" => &["192.0.2.1", "2001:db8::1"],
        "if_name" | "other" | "held" => &["l2tp0", "send", "a:b"],
        "name" => &["center", "session", "[7] x: y"],
        "id" => &["7", "4294967295"],
        "0xid" => &["0x7", "0xffffffff"],
        "tie" => &["none", "00000000deadbeef"],
        "AVP_name" => &["Host Name", "Assigned Cookie", "Tx Connect Speed"],
        "count" | "pid" | "uid" | "mtu" | "fitting" | "before" => &["0", "12", "4294967295"],
        "file" | "program" | "place" => &["/etc/l2tpd.conf", "a file: b", "src/main.rs:7:9"],
        "tags" => &["mtu", "user, admin-group"],
        "kind" => &["M-040", "send"],
        "text" => &["[7] message digest invalid in SCCRQ", "x (y)"],
        "level" => &["debug", "info"],
        "what" => &["seccomp", "landlock"],
        "user" => &["nobody", "l2tpd"],
        "source" => &["the first local-address of the file", "host name and machine id, without an address"],
        "plane" => &["bpf", "tap"],
        "why" => &["exit status: 3", "signal: 9 (SIGKILL)", "No such file or directory"],
        "end" => &["192.0.2.9:1701", "[2001:db8::1%2]:4711"],
        "delay" => &["0.4 ms", "27.0 ms"],
        "version" => &["0.2.0"],
        "failure" => &["pseudowire type in the peer's list: expected 5, received [4]"],
        "up_or_down" => &["up", "down"],
        "not_joined" => &["br0 is not a bridge", "cannot join br0, being a port of something else"],
        "encapsulation" => &["IP protocol 115", "UDP"],
        "bridge" => &["br0", "lan"],
        "fate" => &["are dropped", "travel as fragments"],
        "n" | "len" | "type" | "vendor_code" | "result" | "signo" | "ns" | "nr" => &["0", "15", "65535"],
        other => panic!("what does <{other}> look like?"),
    }
}

/// The message with the `round`th sample for each variable part, and these values.
fn render(template: &Template, round: usize) -> (String, Vec<(String, String)>) {
    let mut line = String::new();
    let mut values = Vec::new();
    for piece in pieces(template.text) {
        match piece {
            Piece::Text(text) => line.push_str(text),
            Piece::Placeholder(name) => {
                let all = samples(name);
                let value = all[(round + values.len()) % all.len()];
                line.push_str(value);
                values.push((name.to_owned(), value.to_owned()));
            }
        }
    }
    (line, values)
}

/// What logs put before a message.
fn prefixes(level: &str) -> Vec<String> {
    vec![
        String::new(),
        "  ".into(),
        format!("2026-11-22T11:30:00.123456Z {level} "),
        format!("{level} "),
        "Nov 22 11:30:00 router l2tpd[4711]: ".into(),
        "Nov  2 11:30:00 router l2tpd: ".into(),
        "Nov 22 11:30:00 router daemon.info l2tpd[4711]: ".into(),
        "2026-11-22T11:30:00.123456+00:00 router l2tpd[4711]: ".into(),
        "<30>1 2026-11-22T11:30:00Z router l2tpd 4711 - - ".into(),
        format!("Nov 22 11:30:00 router l2tpd[4711]: 2026-11-22T11:30:00.123456Z {level} "),
    ]
}

#[test]
fn every_message_is_found_by_every_line_it_makes() {
    for template in CATALOGUE {
        for round in 0..7 {
            let (line, values) = render(template, round);
            for prefix in prefixes(template.level.name()) {
                let text = format!("{prefix}{line}");
                let found = explain::find(&text).unwrap_or_else(|| panic!("nothing found for {text:?}"));
                assert_eq!(found.template.id, template.id, "{text:?}");
                let found: Vec<(String, String)> =
                    found.values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
                assert_eq!(found, values, "{text:?}");
            }
        }
    }
}

#[test]
fn a_line_that_is_none_is_not_taken_for_one() {
    for text in [
        "",
        "hello",
        "hostname mismatch",
        "[x] hostname mismatch in SCCRP",
        "[7] hostname mismatch in SCCRP and more",
        "eth0: link: up",
        "Nov 22 11:30:00 router sshd[1]: failed: x",
        "l2tpd startled",
        "M-089",
    ] {
        assert_eq!(explain::find(text).map(|found| found.template.id), None, "{text:?}");
    }
    let near = explain::nothing_found("why is there a hostname mismatch", Language::English);
    assert!(near.lines().nth(2).unwrap().contains("M-039"), "{near}");
}

#[test]
fn a_message_is_found_by_its_id_and_among_several_lines() {
    assert_eq!(explain::find(" m-039 ").unwrap().template.id, "M-039");
    let pasted = "$ l2tpctl log\n2026-11-22T11:30:00.123456Z warn [7] hostname mismatch in SCCRP\n  detail";
    assert_eq!(explain::find(pasted).unwrap().template.id, "M-039");
}

#[test]
fn every_message_is_explained_in_both_languages() {
    let ids: Vec<&str> = explain::all().map(|explanation| explanation.id).collect();
    let remarks = RemarkKind::ALL.iter().map(|kind| kind.template());
    let wanted: Vec<&str> = CATALOGUE.iter().chain(remarks).map(|template| template.id).collect();
    assert_eq!(ids, wanted);
    let texts = include_str!("../../src/admin/explain/texts.txt");
    assert_eq!(
        texts.lines().count(),
        ids.len() * 6 - 1,
        "five lines a message, and an empty one between them"
    );
    let is_japanese = |text: &str| text.chars().any(|c| ('\u{3040}'..='\u{30ff}').contains(&c));
    for e in explain::all() {
        for english in [e.meaning, e.advice] {
            assert!(
                english.is_ascii() && english.len() > 20 && english.ends_with(['.', ';']),
                "{} {english}",
                e.id
            );
            assert!(!english.contains("  ") && !english.contains('\n'), "{} {english:?}", e.id);
        }
        for japanese in [e.meaning_ja, e.advice_ja] {
            assert!(is_japanese(japanese) && japanese.ends_with('。'), "{} {japanese}", e.id);
            assert!(!japanese.contains("  ") && !japanese.contains('\n'), "{} {japanese:?}", e.id);
        }
        let same =
            explain::all().filter(|other| other.meaning == e.meaning || other.meaning_ja == e.meaning_ja);
        let alike = ["M-058", "M-059", "M-060"].contains(&e.id);
        assert!(alike || same.count() <= 1, "{} says the same as another", e.id);
    }
}

#[test]
fn our_own_remarks_are_explained_too() {
    for (line, id) in [
        ("retri: Unknown tag", "unknown-tag"),
        ("2026-11-22T11:30:00.123456Z error retry: Invalid value", "invalid-value"),
        ("2026-11-22T11:30:00.123456Z warn   cannot send to 192.0.2.9: Network is unreachable", "send"),
        (
            "Nov 22 11:30:00 router l2tpd[7]:   /etc/l2tpd.conf has no tunnel: there is nothing to do",
            "no-tunnel",
        ),
        ("  suppressed 12 similar messages: M-040 ([7] message digest invalid in SCCRQ)", "suppressed"),
        ("  12 messages that strangers caused were left out, one of them: [7] no handler", "strangers"),
        ("  on-event of center: too many events wait, the oldest is dropped", "hook-queue"),
        ("  on-event of center: /usr/local/bin/tell: exit status: 3", "hook"),
        ("  on-event of center: /usr/local/bin/tell: killed, it ran longer than 10 s", "hook-killed"),
        ("  l2tp0: cannot join the bridge br0: Device or resource busy", "bridge-refused"),
        ("  l2tp0: down: No such device", "up-or-down"),
        ("  tunnel tokyo session l2tp0: restarted (cookie, remote-end-id)", "session-restarted"),
        ("  tunnel tokyo: restarted (password)", "tunnel-restarted"),
        ("  [7] the peer is at 192.0.2.9:4711 now", "moved"),
        ("  tunnel tokyo: peer 192.0.2.2 is in use: 192.0.2.1: the peer does not answer", "peer-in-use"),
        ("  tunnel tokyo waits: no route to 192.0.2.2: Network is unreachable", "no-route"),
        ("  tunnel tokyo is set up anew: 192.0.2.1 is not an address of this host any more", "source"),
        (
            "  tunnel tokyo sends from another address: 192.0.2.1 is not an address of this host any more",
            "source-passive",
        ),
        ("  l2tp0: mtu 1500: only 1462 fit the path, longer frames travel as fragments", "mtu"),
        ("  admin socket: user 1000 (process 77) may not use it", "admin-user"),
        ("  bridge br0 was deleted; it gets its interfaces back when it is made again", "bridge-deleted"),
        ("  l2tp0 is not in bridge br0 any more", "bridge-left"),
    ] {
        assert_eq!(explain::find(line).map(|found| found.template.id), Some(id), "{line:?}");
    }
}

/// Two remarks have no text of their own: they are found by their names, like all others.
#[test]
fn every_remark_is_found_by_every_line_it_makes_and_by_its_name() {
    for template in RemarkKind::ALL.iter().map(|kind| kind.template()) {
        assert_eq!(explain::find(template.id).map(|found| found.template.id), Some(template.id));
        if ["status", "kernel-session"].contains(&template.id) {
            continue;
        }
        for round in 0..4 {
            let (line, _) = render(template, round);
            for prefix in prefixes(template.level.name()) {
                let text = format!("{prefix}{line}");
                let found = explain::find(&text).unwrap_or_else(|| panic!("nothing found for {text:?}"));
                assert_eq!(found.template.id, template.id, "{text:?}");
            }
        }
    }
    let names: Vec<&str> = RemarkKind::ALL.iter().map(|kind| kind.template().id).collect();
    assert!(names.iter().all(|name| names.iter().filter(|other| *other == name).count() == 1), "{names:?}");
}

#[test]
fn every_remark_is_logged_somewhere() {
    let mut source = String::new();
    let mut folders = vec![concat!(env!("CARGO_MANIFEST_DIR"), "/src").into()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir::<std::path::PathBuf>(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                source.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    for kind in RemarkKind::ALL {
        assert!(source.contains(&format!("Remark::{kind:?} {{")), "nobody logs {kind:?}");
    }
}

#[test]
fn the_language_is_that_of_the_locale() {
    for (locale, language) in [
        ("ja_JP.UTF-8", Language::Japanese),
        ("ja", Language::Japanese),
        ("ja.UTF-8", Language::Japanese),
        ("C", Language::English),
        ("", Language::English),
        ("en_GB.UTF-8", Language::English),
        ("jam_JM", Language::English),
    ] {
        assert_eq!(Language::of_locale(locale), language, "{locale}");
    }
    let found = explain::find("[7] router-id mismatch in SCCRQ").unwrap();
    let japanese = found.text(Language::Japanese);
    assert!(japanese.contains("意味: ") && japanese.contains("<msg_type> = SCCRQ"), "{japanese}");
    let english = found.text(Language::English);
    assert!(english.contains("meaning: ") && english.contains("remote-router-id"), "{english}");
}
