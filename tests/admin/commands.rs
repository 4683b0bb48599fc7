//! The table of commands: shortened words, ambiguous ones, wrong ones, and the way over the socket.

use l2tpd::admin::command::{by_number, usage, COMMANDS, LOCAL};
use l2tpd::admin::envelope;
use l2tpd::admin::request::{decode, parse, AdminRequest, Selection, Target, UsageError};
use l2tpd::admin::summary::{Column, Filter, Standing};
use l2tpd::log::Level;
use std::time::Duration;

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

fn request(line: &str) -> AdminRequest {
    parse(&words(line)).unwrap().request
}

#[test]
fn words_may_be_shortened_while_they_are_unambiguous() {
    assert_eq!(request("stat"), AdminRequest::Status(Selection::All));
    assert_eq!(request("stat t center"), AdminRequest::Status(Selection::Tunnel("center".into())));
    assert_eq!(request("stat s l2tp0"), AdminRequest::Status(Selection::Session("l2tp0".into())));
    assert_eq!(
        request("cl p 2001:db8::1 r 6"),
        AdminRequest::Clear { target: Target::Peer("2001:db8::1".parse().unwrap()), result: Some(6) }
    );
    assert_eq!(request("cl a"), AdminRequest::Clear { target: Target::All, result: None });
    assert_eq!(request("rel --c"), AdminRequest::Reload { check: true });
    assert_eq!(request("log w"), AdminRequest::Log { follow: false, level: Level::Warn });
    assert_eq!(request("log -f e"), AdminRequest::Log { follow: true, level: Level::Error });
    assert_eq!(request("log-l d"), AdminRequest::LogLevel(Level::Debug));
    assert_eq!(request("co r"), AdminRequest::Counters { reset: true });
    assert_eq!(request("m"), AdminRequest::Metrics);
}

#[test]
fn a_word_spelled_out_wins_over_longer_ones() {
    assert_eq!(request("log"), AdminRequest::Log { follow: false, level: Level::Debug });
    assert_eq!(request("stop a"), AdminRequest::Stop("a".into()));
    assert_eq!(request("failover a"), AdminRequest::FailOver("a".into()));
}

#[test]
fn names_are_not_mistaken_for_words() {
    assert_eq!(request("status tunnel session"), AdminRequest::Status(Selection::Tunnel("session".into())));
    assert_eq!(request("start tunnel"), AdminRequest::Start("tunnel".into()));
    assert_eq!(
        request("clear tunnel all result-code 3"),
        AdminRequest::Clear { target: Target::Tunnel("all".into()), result: Some(3) }
    );
    assert_eq!(request("clear session result-code"), {
        AdminRequest::Clear { target: Target::Session("result-code".into()), result: None }
    });
}

#[test]
fn wrong_words_are_told_with_what_is_possible() {
    let error = |line: &str| parse(&words(line)).unwrap_err();
    assert_eq!(error("sta"), UsageError::Ambiguous("sta".into(), vec!["status", "start"]));
    assert_eq!(error("st"), UsageError::Ambiguous("st".into(), vec!["status", "start", "stop"]));
    let all: Vec<&str> = COMMANDS.iter().map(|command| command.word).collect();
    assert_eq!(error("nonsense"), UsageError::Unknown("nonsense".into(), all.clone()));
    assert_eq!(error(""), UsageError::Incomplete(all));
    assert_eq!(error("status x"), UsageError::Unknown("x".into(), vec!["tunnel", "session"]));
    assert_eq!(error("status tunnel"), UsageError::Incomplete(vec!["NAME"]));
    assert_eq!(error("status tunnel a b"), UsageError::Unknown("b".into(), vec![]));
    assert_eq!(error("clear"), UsageError::Incomplete(vec!["tunnel", "peer", "session", "interface", "all"]));
    assert_eq!(error("top -i 1 -i 2"), {
        UsageError::Unknown("-i".into(), vec!["up", "down", "disabled", "name", "sort"])
    });
    assert!(matches!(error("top -i inf"), UsageError::Value(word, _) if word == "inf"));
    assert_eq!(error("clear all x"), UsageError::Unknown("x".into(), vec!["result-code"]));
    assert_eq!(error("clear all result-code"), UsageError::Incomplete(vec!["N"]));
    assert!(matches!(error("clear all result-code 65536"), UsageError::Value(word, _) if word == "65536"));
    assert!(matches!(error("clear peer center"), UsageError::Value(word, _) if word == "center"));
    assert_eq!(
        error("log loud"),
        UsageError::Unknown("loud".into(), vec!["error", "warn", "info", "debug", "-f"])
    );
    assert_eq!(error("log-level"), UsageError::Incomplete(vec!["error", "warn", "info", "debug"]));
    assert!(matches!(error("ping a -c 0"), UsageError::Value(word, _) if word == "0"));
    assert!(matches!(error("ping a -c 2 -i inf"), UsageError::Value(word, _) if word == "inf"));
    assert_eq!(error("ping a -c 2 -c 3"), UsageError::Unknown("-c".into(), vec!["-i"]));
    assert_eq!(error("ping a -i"), UsageError::Incomplete(vec!["SECONDS"]));
    assert_eq!(error("watch x"), UsageError::Unknown("x".into(), vec![]));
    assert!(error("sta\u{1b}[2J").to_string().contains("\\u{1b}"), "the terminal is safe");
}

#[test]
fn options_stand_in_any_order() {
    let filter = Filter { standing: Some(Standing::Down), name: "sort".into() };
    let wanted = AdminRequest::Top { filter, sort: Column::Drops, interval: Duration::from_millis(500) };
    for line in [
        "top down name sort sort drops -i 0.5",
        "to -i 0.5 s dr name sort dow",
        "top n sort do -i 0.5 sort dr",
    ] {
        assert_eq!(request(line), wanted, "{line}");
    }
    assert_eq!(request("log w -f"), request("log -f warn"));
    assert_eq!(request("clear interface l2tp0"), request("clear session l2tp0"));
    for name in Column::NAMES {
        assert_eq!(Column::from_name(name).map(Column::name), Some(*name));
    }
    // The daemon is asked for a summary; the order and the time are the client's.
    let (number, body) = parse(&words("top name x sort state")).unwrap().encode();
    let filter = Filter { standing: None, name: "x".into() };
    let request = AdminRequest::Summary { filter, sort: Column::Name };
    assert_eq!(decode(number, &body).map(|order| (order.json, order.request)), Ok((false, request)));
    assert_eq!(decode(LOCAL, b""), Err(UsageError::Number(LOCAL)));
}

#[test]
fn json_may_stand_anywhere() {
    let json = |line: &str| parse(&words(line)).map(|order| (order.json, order.request)).unwrap();
    let order = (true, AdminRequest::Status(Selection::Tunnel("a".into())));
    assert_eq!(json("--json status tunnel a"), order);
    assert_eq!(json("status --json tunnel a"), order);
    assert_eq!(json("status tunnel a --json"), order);
}

#[test]
fn what_has_no_form_as_json_says_so() {
    for line in ["metrics --json", "--json metrics", "m --json"] {
        let error = parse(&words(line)).unwrap_err().to_string();
        assert_eq!(error, "metrics has no form as JSON; `l2tpctl --json counters` has one", "{line}");
    }
    let error = parse(&words("trace --json a /tmp/x")).unwrap_err().to_string();
    assert_eq!(error, "trace has no form as JSON; it writes pcapng");
    // Whoever wrote the client.
    let number = |word| COMMANDS.iter().find(|command| command.word == word).unwrap().number;
    assert!(matches!(decode(number("metrics"), b"--json\0"), Err(UsageError::NoJson(..))));
    assert!(matches!(decode(number("trace"), b"a\0--json\0"), Err(UsageError::NoJson(..))));
}

#[test]
fn explain_takes_a_pasted_line_as_it_is() {
    assert_eq!(request("explain"), AdminRequest::Explain(Selection::All));
    assert_eq!(request("explain tunnel center"), AdminRequest::Explain(Selection::Tunnel("center".into())));
    assert_eq!(request("exp t center"), AdminRequest::Explain(Selection::Tunnel("center".into())));
    let text = "tunnel create suceeded: my connection ID = 7(0x7)";
    assert_eq!(request(&format!("explain {text}")), AdminRequest::ExplainText(text.into()));
    assert_eq!(request("explain l2tpd start"), AdminRequest::ExplainText("l2tpd start".into()));
    assert_eq!(request("explain M-039"), AdminRequest::ExplainText("M-039".into()));
    assert!(matches!(parse(&words("explain tunnel")), Err(UsageError::Incomplete(_))));
}

#[test]
fn every_command_is_the_same_on_both_sides_of_the_socket() {
    let lines = [
        "status",
        "status tunnel a",
        "status session l2tp0 --json",
        "summary",
        "summary down",
        "summary name up disabled",
        "clear tunnel a",
        "clear tunnel a result-code 6",
        "clear peer 192.0.2.1",
        "clear peer 2001:db8::1 result-code 1",
        "clear session l2tp0",
        "clear session l2tp0 result-code 3",
        "clear all",
        "clear all result-code 65535",
        "start a",
        "stop a",
        "reload",
        "reload --check",
        "log",
        "log warn",
        "log -f",
        "log -f error",
        "log-level info",
        "watch --json",
        "counters",
        "counters reset",
        "metrics",
        "explain",
        "explain tunnel a",
        "ping a",
        "ping a -c 3",
        "ping a --json -i 0.2",
        "ping a -i 60 -c 100000",
    ];
    for line in lines {
        let order = parse(&words(line)).unwrap();
        let (number, body) = order.encode();
        assert_eq!(decode(number, &body), Ok(order), "{line}");
    }
    let (number, body) = parse(&words("trace a /tmp/x")).unwrap().encode();
    let request = AdminRequest::Trace { tunnel: "a".into(), file: None };
    let found = decode(number, &body).map(|order| (order.json, order.request));
    assert_eq!(found, Ok((false, request)), "the file's name stays at home");
}

#[test]
fn names_with_blanks_survive_and_zero_octets_do_not() {
    let order = parse(&["start".into(), "a b\0c".into()]).unwrap();
    let (number, body) = order.encode();
    assert_eq!(decode(number, &body).unwrap().request, AdminRequest::Start("a bc".into()));
    assert_eq!(envelope::body_to_words(b"a"), None);
    assert_eq!(envelope::body_to_words(b"\xff\0"), None);
    assert_eq!(envelope::body_to_words(b"a\0\0"), Some(vec!["a".into(), "".into()]));
}

#[test]
fn numbers_are_unique_and_the_usage_names_every_command() {
    let usage = usage();
    for command in COMMANDS {
        assert!(command.number == LOCAL || by_number(command.number).is_some_and(|c| c.word == command.word));
        assert_eq!(COMMANDS.iter().filter(|other| other.number == command.number).count(), 1);
        assert!(usage.contains(&format!("\n  {}", command.word)), "{}", command.word);
        assert!(usage.contains(command.about));
    }
}

#[test]
fn frames_are_judged_octet_by_octet() {
    let octets = envelope::encode(7, b"abc");
    for length in 0..octets.len() {
        let mut buffer = octets[..length].to_vec();
        assert_eq!(envelope::take(&mut buffer, 100), Ok(None), "{length}");
        assert_eq!(buffer.len(), length);
    }
    let mut buffer = [octets, vec![9]].concat();
    let taken = envelope::take(&mut buffer, 3).unwrap().unwrap();
    assert_eq!(
        (taken.command, taken.body.as_slice(), buffer.as_slice()),
        (7, b"abc".as_slice(), [9].as_slice())
    );
    assert_eq!(envelope::header(b"L2AE", 9), Err(envelope::EnvelopeError::Magic));
    assert_eq!(envelope::header(b"X", 9), Err(envelope::EnvelopeError::Magic));
}
