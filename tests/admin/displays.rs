//! The displays: the fields of the routers' display in their order, JSON that is JSON, metrics that a scraper takes.

use std::time::Duration;

use l2tpd::admin::display::{Display, Form};
use l2tpd::admin::json;
use l2tpd::admin::request::Selection;
use l2tpd::admin::summary::{self, Filter, Standing};
use l2tpd::counters::Counters;
use l2tpd::proto::snapshot::SessionState;

use crate::support::admin_report::{self as sample, Report};
use crate::support::python::python;
use crate::support::snapshot::Snapshot;

#[test]
fn status_has_the_fields_of_the_routers_in_their_order() {
    let text = sample::report().status(&Selection::Session("l2tp0".into())).unwrap();
    let expected = [
        "interface l2tp0:",
        "Status: link up, administratively up",
        "LastChange: 2026/11/22 11:29:20",
        "Ipkts: 12, Ierrs: 3, Opkts: 0, Oerrs: 0, Colls: 0",
        "InOctets: 0, OutOctets: 86, InDrops: 0, OutDiscards: 2",
        "InUnknownProtos: 0",
        "Tunnel address: 192.168.254.122 --> 192.168.254.120",
        "L2TP Tunnel Status:",
        "State            :established",
        "Remote Host Name :center",
        "Remote Router-ID :10.0.0.120",
        "Local Tunnel ID  :8655",
        "Remote Tunnel ID :23486",
        "Ns, Nr           :4, 2",
        "L2TP Session Status:",
        "State            :established",
        "Local Session ID :15358",
        "Remote Session ID:56664",
        "Serial No        :1",
        "Local Cookie     :1680488994",
        "Remote Cookie    :1286572484",
        "Bridge           :br0 (out)",
    ];
    let mut lines = text.lines();
    for wanted in expected {
        assert!(lines.any(|line| line == wanted), "{wanted:?} is missing or out of order in\n{text}");
    }
    for wanted in ["Encapsulation", "Sublayer", "Cookie Size", "MTU", "Uptime"] {
        assert!(text.lines().any(|line| line.starts_with(wanted)), "{wanted} is missing in\n{text}");
    }
}

/// Each dropped frame is in one of the fields, for whatever reason it was dropped.
#[test]
fn status_leaves_out_no_dropped_frame() {
    let counters = Counters {
        rx_short: 1,
        rx_cookie: 1,
        rx_source: 1,
        rx_closed: 1,
        rx_sequence: 1,
        rx_sublayer: 1,
        rx_standby: 1,
        rx_incomplete: 1,
        rx_storm: 1,
        rx_interface: 1,
        tx_closed: 1,
        tx_circuit: 1,
        tx_storm: 1,
        tx_size: 1,
        tx_queue: 1,
        tx_error: 1,
        ..Counters::default()
    };
    let reasons = counters.entries().filter(|(name, _, _)| name.contains("_drop_")).count();
    assert_eq!(counters.dropped(), reasons as u64, "one of each");
    let mut report = sample::report();
    report.interfaces.get_mut("l2tp0").unwrap().counters = counters;
    let text = report.status(&Selection::Session("l2tp0".into())).unwrap();
    let shown: u64 = ["Ierrs", "Oerrs", "InDrops", "OutDiscards", "InUnknownProtos"]
        .map(|field| {
            let value =
                text.split([',', '\n']).find_map(|part| part.trim().strip_prefix(field)?.strip_prefix(": "));
            value.unwrap_or_else(|| panic!("no {field} in\n{text}")).parse::<u64>().unwrap()
        })
        .iter()
        .sum();
    assert_eq!(shown, counters.dropped(), "{text}");
}

#[test]
fn the_session_block_is_absent_until_there_is_something_to_tell() {
    let mut report = sample::report();
    let selection = Selection::Session("l2tp1".into());
    let text = report.status(&selection).unwrap();
    assert!(!text.contains("L2TP Session Status"), "{text}");
    assert!(text.contains("Status: link down, administratively down"), "{text}");
    assert!(text.contains("Last Failure     :hostname, expected \"branch\", received"), "{text}");
    assert!(text.contains("(M-039), 00:00:05 ago\nNext Try         :in 00:00:07\n"), "{text}");
    report.snapshot.tunnels[1].sessions[0].since = report.overview.uptime;
    assert!(report.status(&selection).unwrap().contains("LastChange: (Not Changed)"));
}

#[test]
fn a_summary_is_one_line_a_tunnel() {
    let mut report = sample::report();
    report.snapshot.tunnels[0].history = report.snapshot.tunnels[1].history.clone();
    report.snapshot.tunnels[0].name = "a\tb\u{1b}[2J".into();
    let text = report.all(Form::Summary);
    let (rows, totals) = summary::read(&text).expect("a summary");
    assert_eq!(rows.len(), report.snapshot.tunnels.len());
    assert!(!text.contains('\u{1b}') && rows[0].name == "a\\tb\\u{1b}[2J", "{text}");
    let one = &rows[0];
    assert_eq!((one.state.as_str(), one.standing.name(), one.peer.as_str()), {
        ("established", "up", "192.168.254.120")
    });
    assert_eq!((one.sessions_up, one.sessions, one.round_trip), (1, 1, Some(12_345)));
    assert_eq!((one.counted.rx_frames, one.counted.tx_octets, one.counted.drops > 0), (12, 86, true));
    assert_eq!(one.reason, "earlier: the \"peer\" does not answer");
    assert_eq!(rows[1].standing.name(), "down");
    assert!(!rows[1].reason.is_empty(), "{text}");
    assert_eq!((totals.tunnels_up, totals.tunnels), (1, 2));
    // What is not the whole of it is none.
    let tail = text.trim_end_matches('\n').rfind('\n').unwrap();
    for wrong in ["", "name\n", &text[1..], &text[..tail], &text.replace("\t86\t", "\tx\t")] {
        assert_eq!(summary::read(wrong), None, "{wrong}");
    }
}

#[test]
fn several_peers_are_shown_in_their_order() {
    let report = sample::report();
    let lines = [
        "1 192.168.254.121, within-reach for 00:00:20",
        "2 hub.example.net, in-use: 192.168.254.121: the \"peer\" does not answer",
        "3 192.0.2.10, idle",
    ];
    let [first, second, third] = lines;
    let text = report.all(Form::Status);
    let shown = format!("Peers            :{first}\n                 :{second}\n                 :{third}\n");
    assert!(text.contains(&shown), "{text}");
    let text = report.all(Form::Explain);
    assert!(text.contains(&format!("  peer {first}\n  peer {second}\n  peer {third}\n")), "{text}");
    let json = report.all(Form::StatusJson);
    let shown = "\"peers\":[{\"remote\":\"192.168.254.121\",\"addresses\":[\"192.168.254.121\"],\"state\":\"within-reach\",\
                 \"within_reach\":20.000},{\"remote\":\"hub.example.net\",\"addresses\":[\"192.0.2.9\",\"2001:db8::9\"],\
                 \"state\":\"in-use\",\"within_reach\":null},{\"remote\":\"192.0.2.10\",\"addresses\":[\"192.0.2.10\"],\
                 \"state\":\"idle\",\"within_reach\":null}],\"peer_reason\":\"192.168.254.121: the \\\"peer\\\" does not answer\",\
                 \"peer_changes\":3,";
    assert!(json.contains(shown), "{json}");
    assert!(json.contains("\"peers\":[],\"peer_reason\":null,\"peer_changes\":0,"), "{json}");
    let metrics = report.all(Form::Metrics);
    let tunnel = "tunnel=\"bran\\\"ch\\\\ 2\\n\"";
    let reason = "reason=\"192.168.254.121: the \\\"peer\\\" does not answer\"";
    for sample in [
        format!("l2tpd_tunnel_peer_info{{{tunnel},remote_address=\"hub.example.net\",{reason}}} 1\n"),
        format!("# TYPE l2tpd_tunnel_peer_changes counter\n# HELP l2tpd_tunnel_peer_changes how often another one of \
                 several peers was used\nl2tpd_tunnel_peer_changes_total{{{tunnel}}} 3\n"),
    ] {
        assert!(metrics.contains(&sample), "{sample}{metrics}");
    }
}

#[test]
fn a_summary_has_the_tunnels_that_are_wanted() {
    let report = longest_tunnel();
    let names = |standing: Option<Standing>, name: &str| -> Vec<String> {
        let filter = Filter { standing, name: name.into() };
        let display = Display::new(Form::Summary, &Selection::All, &report).unwrap();
        let (mut display, mut text) = (display.filtered(filter), String::new());
        while !display.is_over() {
            display.step(&report, &mut text).unwrap();
        }
        summary::read(&text).unwrap().0.into_iter().map(|row| row.name).collect()
    };
    let count = report.snapshot.tunnels.len();
    assert_eq!(names(None, "").len(), count);
    assert_eq!(names(Some(Standing::Disabled), ""), ["off"]);
    assert_eq!(names(Some(Standing::Up), "").len(), 1);
    assert_eq!(names(Some(Standing::Down), "").len(), count - 2);
    assert_eq!(names(Some(Standing::Down), "arg"), ["large"]);
    assert_eq!(names(Some(Standing::Up), "arg"), Vec::<String>::new());
    let (rows, _) = summary::read(&report.all(Form::Summary)).unwrap();
    let large = rows.iter().find(|row| row.name == "large").unwrap();
    assert_eq!(
        (large.sessions, large.sessions_up),
        (5_000, 0),
        "its sessions are gone through in several steps"
    );
}

/// With a tunnel of many sessions, and one that is disabled.
fn longest_tunnel() -> Report {
    let mut report = sample::report();
    let mut large = sample::idle_tunnel("large");
    large.sessions = (0..5_000).map(|number| sample::idle_session(&format!("s{number}"))).collect();
    let mut off = sample::idle_tunnel("off");
    off.disabled = true;
    report.snapshot.tunnels.extend([large, off]);
    report
}

#[test]
fn the_round_trip_and_the_last_changes_are_shown() {
    let report = sample::report();
    let text = report.all(Form::Status);
    assert!(text.contains("\nRound Trip       :12.345 ms\n"), "{text}");
    let changes = [
        "History          :2026/11/22 11:29:55 tunnel-failed (3 times)\n",
        "                 :2026/11/22 11:29:00 tunnel-down, the \"peer\" does not answer\n",
    ];
    assert!(text.contains(&changes.concat()), "{text}");
    let json = report.all(Form::StatusJson);
    assert!(json.contains("\"round_trip\":0.012345,"), "{json}");
    let changes = "\"history\":[{\"event\":\"tunnel-failed\",\"reason\":\"\",\"count\":3,\"ago\":5.000},\
                   {\"event\":\"tunnel-down\",\"reason\":\"the \\\"peer\\\" does not answer\",\"count\":1,\"ago\":60.000}]";
    assert!(json.contains(changes), "{json}");
    let metrics = report.all(Form::Metrics);
    let samples: Vec<&str> =
        metrics.lines().filter(|l| l.starts_with("l2tpd_tunnel_round_trip_seconds")).collect();
    assert_eq!(
        samples,
        ["l2tpd_tunnel_round_trip_seconds{tunnel=\"center\"} 0.012345"],
        "only what is known"
    );
}

#[test]
fn what_probes_have_shown_of_the_path_is_shown() {
    let report = sample::report();
    let text = report.all(Form::Status);
    assert_eq!(text.matches("\nPath MTU         :1400 (searching)\n").count(), 1, "{text}");
    let json = report.all(Form::StatusJson);
    assert_eq!(json.matches("\"path_mtu\":1400,\"path_mtu_state\":\"searching\",").count(), 1, "{json}");
    let metrics = report.all(Form::Metrics);
    assert!(metrics.contains("\nl2tpd_tunnel_path_mtu_bytes{tunnel=\"center\"} 1400\n"), "{metrics}");
}

#[test]
fn the_log_gets_no_cookies() {
    let report = sample::report();
    let text = report.whole(Display::new(Form::Status, &Selection::All, &report).unwrap().masked());
    assert!(text.contains("Local Cookie     :****\nRemote Cookie    :****\n"), "{text}");
    assert!(!text.contains("1680488994") && !text.contains("1286572484"), "{text}");
}

#[test]
fn what_is_not_there_is_no_display() {
    let report = sample::report();
    for selection in [Selection::Tunnel("x".into()), Selection::Session("x".into())] {
        assert_eq!(report.status(&selection), None);
        assert_eq!(report.explain(&selection), None);
        assert_eq!(report.json(&selection), None);
    }
}

#[test]
fn explain_says_what_was_expected_and_received() {
    let report = sample::report();
    let text = report.explain(&Selection::All).unwrap();
    let wanted = "tunnel bran\"ch\\\\ 2\\n: idle for 00:01:40\n  failed check : hostname\n  \
                  expected     : \"branch\"\n  received     : \"b\\x1branch\"\n  when         : 00:00:05 ago\n  \
                  message      : M-039\n  next try     : in 00:00:07\n";
    assert!(text.contains(wanted), "{text}");
    let mut report = report;
    report.interfaces.get_mut("l2tp0").unwrap().counters.tx_size = 0;
    let text = report.explain(&Selection::All).unwrap();
    assert!(!text.contains("tunnel center"), "a tunnel that is up needs no explanation: {text}");
}

#[test]
fn explain_has_the_cure_for_frames_that_are_too_long() {
    let mut report = sample::report();
    report.snapshot.tunnels.truncate(1);
    let text = report.explain(&Selection::All).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "every tunnel and session is up");
    assert_eq!(lines[1], "tunnel center: established for 00:00:50");
    assert_eq!(lines[2], "  session l2tp0: established for 00:00:40");
    assert!(lines[3].starts_with("    2 frames were dropped, since they were too long"), "{text}");
    for cure in ["tx_drop_size", "mtu auto", "tcp-mss", "dont-fragment off"] {
        assert!(lines[3].contains(cure), "{text}");
    }
    assert!(lines[4..].iter().all(|line| line.starts_with("dropped from ")), "{text}");
    report.interfaces.get_mut("l2tp0").unwrap().counters.tx_size = 0;
    report.snapshot.dropped_from.clear();
    report.snapshot.dropped_others = 0;
    assert_eq!(report.explain(&Selection::All).unwrap(), "every tunnel and session is up\n");
}

#[test]
fn explain_tells_what_came_for_no_tunnel() {
    let mut report = sample::report();
    let text = report.explain(&Selection::All).unwrap();
    let wanted = "dropped from 192.168.254.9: an SCCRQ of \"x\\n\", router-id 10.0.0.9: no tunnel has this \
                  remote-address (3 times, 00:00:08 ago)\ndropped from others: 2 messages\n";
    assert!(text.ends_with(wanted), "{text}");
    // Of one tunnel, only what its peer's address sends.
    let center = |report: &Report| report.explain(&Selection::Tunnel("center".into())).unwrap();
    assert!(!center(&report).contains("dropped from"), "{}", center(&report));
    report.snapshot.dropped_from[0].address = sample::REMOTE;
    assert!(center(&report).ends_with(" (3 times, 00:00:08 ago)\n"), "{}", center(&report));
}

#[test]
fn explain_names_what_is_missing_for_the_interface() {
    let mut report = sample::report();
    let problem = "/dev/net/tun is missing: No such file or directory";
    report.interfaces.get_mut("l2tp0").unwrap().problem = Some(problem.to_owned());
    let selection = Selection::Session("l2tp0".to_owned());
    let text = report.explain(&selection).unwrap();
    assert_eq!(text.lines().nth(2), Some(format!("    interface    : {problem}").as_str()), "{text}");
    let json = report.json(&selection).unwrap();
    assert!(json.contains(&format!("\"interface_problem\":\"{problem}\"")), "{json}");
}

#[test]
fn counters_say_that_what_is_zero_is_left_out() {
    let text = sample::report().all(Form::Counters);
    assert!(text.contains(" 2 tx_drop_size ") && !text.contains("tx_drop_queue"), "{text}");
    assert!(text.ends_with("\n(what is not listed is 0)\n"), "{text}");
}

#[test]
fn explain_says_what_a_passive_tunnel_waits_for() {
    let mut report = sample::report();
    let tunnel = &mut report.snapshot.tunnels[1];
    (tunnel.passive, tunnel.last_failure) = (true, None);
    let text = report.explain(&Selection::All).unwrap();
    assert!(text.contains("is it not passive too?"), "{text}");
}

#[test]
fn health_counts_what_is_enabled() {
    let is_up = |report: &Report, selection: Selection| !report.judge(Form::Status, &selection).unwrap();
    let mut report = sample::report();
    assert!(!is_up(&report, Selection::All));
    assert_eq!(report.all(Form::Health), "down: 1 of 2 tunnels, 1 of 2 sessions\n");
    report.snapshot.tunnels[1].disabled = true;
    assert!(is_up(&report, Selection::All));
    // One session alone, and one that is disabled.
    let mut session = sample::idle_session("l2tp2");
    report.snapshot.tunnels[0].sessions.push(session.clone());
    assert_eq!(report.all(Form::Health), "down: 1 of 1 tunnels, 1 of 2 sessions\n");
    assert!(is_up(&report, Selection::Session("l2tp0".into())));
    session.disabled = true;
    report.snapshot.tunnels[0].sessions[1] = session.clone();
    assert_eq!(report.all(Form::Health), "up: 1 of 1 tunnels, 1 of 1 sessions\n");
    // Manual sessions need no control connection, but have to be up themselves.
    (session.disabled, session.manual) = (false, true);
    let manual = &mut report.snapshot.tunnels[1];
    (manual.disabled, manual.manual, manual.sessions) = (false, true, vec![session]);
    assert_eq!(report.all(Form::Health), "down: 2 of 2 tunnels, 1 of 2 sessions\n");
    report.snapshot.tunnels[1].sessions[0].state = SessionState::Established;
    assert!(is_up(&report, Selection::All));
}

#[test]
fn explain_says_of_a_disabled_tunnel_that_alone() {
    let mut report = sample::report();
    report.snapshot.tunnels[1].disabled = true;
    let text = report.explain(&Selection::All).unwrap();
    assert!(text.contains("it is disabled") && !text.contains("failed check"), "{text}");
}

// The session is down, so that the tunnel is shown; why the tunnel was down earlier is over.
#[test]
fn explain_leaves_out_why_an_established_tunnel_was_down() {
    let mut report = sample::report();
    let failure = report.snapshot.tunnels[1].last_failure.clone().unwrap().0;
    let tunnel = &mut report.snapshot.tunnels[0];
    tunnel.sessions[0].state = SessionState::Idle;
    for (seconds, told) in [(1, false), (0, true)] {
        tunnel.last_failure =
            Some((failure.clone(), tunnel.since.saturating_add(Duration::from_secs(seconds))));
        let snapshot = Snapshot { tunnels: vec![tunnel.clone()], ..Snapshot::default() };
        let text = Report { snapshot, ..sample::report() }.explain(&Selection::All).unwrap();
        assert_eq!(text.contains("failed check"), told, "{text}");
    }
}

#[test]
fn no_text_of_the_peer_reaches_the_terminal_as_it_is() {
    let report = sample::report();
    let displays = [
        report.status(&Selection::All).unwrap(),
        report.explain(&Selection::All).unwrap(),
        report.all(Form::Counters),
        report.json(&Selection::All).unwrap(),
        report.all(Form::Metrics),
    ];
    for text in displays {
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(!text.contains("\nState :idle"), "{text}");
    }
}

#[test]
fn json_is_read_by_others() {
    let report = sample::report();
    let program = "import json,sys\nfor line in sys.stdin: d=json.loads(line)\n\
                   t=d['tunnels'][0]; f=d['tunnels'][1]; s=t['sessions'][0]\n\
                   print(d['uptime'], d['time'], t['remote_vendor'].encode(), t['remote_address'], s['local_cookie'])\n\
                   print(s['counters']['rx_drop_cookie'], s['mtu'], d['drops']['version'], f['name'].encode())\n\
                   print(f['last_failure']['received'], f['path'] if 'path' in f else f['local_address'], f['next_try'])";
    let Some(out) = python(program, &report.json(&Selection::All).unwrap()) else { return };
    assert_eq!(
        out,
        "93784.5 2026-11-22T11:30:00.123456Z b'evil\\x1b[2J\\nState :idle' 192.168.254.120 642a3a22\n\
         3 1462 5 b'bran\"ch\\\\ 2\\n'\n\"b\\x1branch\" None 7.0\n"
    );
    let each = "import json,sys\nfor line in sys.stdin: print(sorted(json.loads(line)))";
    let counters = python(each, &report.all(Form::CountersJson)).unwrap();
    assert!(counters.contains("'tunnels'") && counters.contains("'strays'"), "{counters}");
    let found = l2tpd::admin::explain::find("[7] hostname mismatch in SCCRP").unwrap();
    let keys = "['advice', 'advice_ja', 'id', 'level', 'meaning', 'meaning_ja', 'text', 'values']\n";
    assert_eq!(python(each, &json::explanation(&found)).unwrap(), keys);
}

#[test]
fn metrics_follow_the_rules_of_openmetrics() {
    let text = sample::report().all(Form::Metrics);
    assert!(text.ends_with("\n# EOF\n"));
    let mut family = "";
    let mut kind = "";
    let mut seen = Vec::new();
    for line in text.lines().take_while(|line| *line != "# EOF") {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            (family, kind) = rest.split_once(' ').unwrap();
            assert!(!seen.contains(&family), "{family} is in two pieces");
            seen.push(family);
        } else if let Some(rest) = line.strip_prefix("# UNIT ") {
            let (name, unit) = rest.split_once(' ').unwrap();
            assert!(name == family && name.ends_with(&format!("_{unit}")), "{line}");
        } else if !line.starts_with("# HELP ") {
            let name = line.split(['{', ' ']).next().unwrap();
            let suffix = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            assert_eq!(name, format!("{family}{suffix}"), "{line}");
            line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap();
        }
    }
    let labels = "tunnel=\"center\",interface=\"l2tp0\",reason=\"rx_drop_cookie\"";
    assert!(text.contains(&format!("\nl2tpd_session_drops_total{{{labels}}} 3\n")), "{text}");
    assert!(text.contains("{tunnel=\"bran\\\"ch\\\\ 2\\n\"}"), "{text}");
    for (name, _, _) in Counters::default().entries() {
        assert!(text.contains(&name.replace("_octets", "_bytes")), "{name} is not told");
    }
}

/// What a dashboard needs of a tunnel and of a session.
#[test]
fn metrics_tell_state_peer_and_size() {
    let text = sample::report().all(Form::Metrics);
    let tunnel = "tunnel=\"center\"";
    let session = format!("{tunnel},interface=\"l2tp0\"");
    for line in [
        format!(
            "l2tpd_tunnel_info{{{tunnel},peer=\"192.168.254.120\",encapsulation=\"ip\",\
             remote_hostname=\"center\",remote_router_id=\"10.0.0.120\"}} 1"
        ),
        format!("l2tpd_tunnel_up{{{tunnel}}} 1"),
        format!("l2tpd_tunnel_state{{{tunnel},l2tpd_tunnel_state=\"established\"}} 1"),
        format!("l2tpd_tunnel_state{{{tunnel},l2tpd_tunnel_state=\"idle\"}} 0"),
        "l2tpd_tunnel_state{tunnel=\"bran\\\"ch\\\\ 2\\n\",l2tpd_tunnel_state=\"idle\"} 1".to_owned(),
        "# UNIT l2tpd_tunnel_state_age_seconds seconds".to_owned(),
        format!("l2tpd_tunnel_state_age_seconds{{{tunnel}}} 50.000"),
        format!("l2tpd_tunnel_changes_total{{{tunnel}}} 3"),
        format!(
            "l2tpd_session_info{{{session},peer=\"192.168.254.120\",encapsulation=\"ip\",\
             remote_end_id=\"lan1\",bridge=\"\",data_plane=\"tap\"}} 1"
        ),
        format!("l2tpd_session_state{{{session},l2tpd_session_state=\"established\"}} 1"),
        format!("l2tpd_session_state_age_seconds{{{session}}} 40.000"),
        format!("l2tpd_session_changes_total{{{session}}} 1"),
        format!("l2tpd_session_mtu_bytes{{{session}}} 1462"),
        format!("l2tpd_session_tx_bytes_total{{{session}}} 86"),
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    // Of each tunnel and session exactly one state is the present one.
    let present = |family: &str| text.lines().filter(|l| l.starts_with(family) && l.ends_with("} 1")).count();
    assert_eq!((present("l2tpd_tunnel_state{"), present("l2tpd_session_state{")), (2, 2));
}

/// All states that there are have a place in the state sets.
#[test]
fn every_state_has_a_sample() {
    use l2tpd::proto::connection::table::State;
    let mut report = sample::report();
    for state in [
        State::Idle,
        State::WaitCtlReply,
        State::WaitCtlConn,
        State::Established,
        State::Stopping,
        State::Linger,
    ] {
        report.snapshot.tunnels[0].state = state;
        let line = format!(
            "l2tpd_tunnel_state{{tunnel=\"center\",l2tpd_tunnel_state=\"{}\"}} 1\n",
            state.status_name()
        );
        assert!(report.all(Form::Metrics).contains(&line), "{line}");
    }
    for state in [
        SessionState::Idle,
        SessionState::WaitControlConn,
        SessionState::WaitReply,
        SessionState::WaitConnect,
        SessionState::Established,
    ] {
        report.snapshot.tunnels[0].sessions[0].state = state;
        let line = format!("l2tpd_session_state=\"{}\"}} 1\n", state.status_name());
        assert!(report.all(Form::Metrics).contains(&line), "{line}");
    }
    let tunnel = &mut report.snapshot.tunnels[0];
    (tunnel.disabled, tunnel.sessions[0].disabled) = (true, true);
    let text = report.all(Form::Metrics);
    assert!(
        text.contains("l2tpd_tunnel_state=\"disabled\"} 1\n")
            && text.contains("l2tpd_tunnel_up{tunnel=\"center\"} 0\n")
    );
    assert!(text.contains("l2tpd_session_state=\"disabled\"} 1\n"), "{text}");
    report.snapshot.tunnels[0].disabled = false;
    report.snapshot.tunnels[0].manual = true;
    let text = report.all(Form::Metrics);
    assert!(
        text.contains("l2tpd_tunnel_state=\"manual\"} 1\n")
            && text.contains("l2tpd_tunnel_up{tunnel=\"center\"} 1\n")
    );
}

#[test]
fn metrics_are_read_by_prometheus() {
    let program =
        "import sys\nfrom prometheus_client.openmetrics.parser import text_string_to_metric_families as p\n\
                   f={m.name: m for m in p(sys.stdin.read())}\n\
                   print(f['l2tpd_session_drops'].type, len(f['l2tpd_tunnel_up'].samples))\n\
                   print([s.labels['tunnel'].encode() for s in f['l2tpd_tunnel_up'].samples])";
    let Some(out) = python(program, &sample::report().all(Form::Metrics)) else { return };
    assert_eq!(out, "counter 2\n[b'center', b'bran\"ch\\\\ 2\\n']\n");
}
