//! Every command of `l2tpctl` against the real daemon, as text and as JSON. What it prints is judged by others:
//! Python's json, the OpenMetrics parser of prometheus_client, tshark.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{channel, Receiver};

use crate::daemon::{client, Daemon, PATIENCE};
use crate::encapsulations::up;
use crate::net::{have, stderr, Net};
use crate::pair::{host, interpreter, need_python, pair, pair_of, pipe, python, source, wait_for};
use crate::peer::Peer;
use crate::runner::{note, skip};
use crate::tests;

tests!(
    displays_and_their_json,
    actions_and_their_json,
    status_is_that_of_the_routers,
    streams_follow,
    metrics_are_openmetrics,
    trace_with_digests,
    words_short_and_wrong,
    explain_a_line_without_daemon,
    log_is_trimmed,
);

/// JSON against the sections of l2tpd-admin(5).
#[track_caller]
fn schema(text: &str, section: &str) {
    compare(text, "all", section);
}

/// The same for a text that need not have every member.
#[track_caller]
fn schema_in_part(text: &str, section: &str) {
    compare(text, "some", section);
}

#[track_caller]
fn compare(text: &str, which: &str, section: &str) {
    let mut command = Command::new(interpreter());
    command.arg(source("tests/e2e/schema.py")).arg(source("man/l2tpd-admin.5")).args([which, section]);
    let output = pipe(&mut command, text);
    let found = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && found.trim().is_empty(),
        "{section}: {found}{}\n{text}",
        stderr(&output)
    );
}

/// A tunnel to nobody, and one that lacks something.
const BESIDE: &str = "tunnel beside\n  remote-address 192.0.2.77\n  remote-hostname any\n  \
                      remote-router-id any\n  retry 1\n  retry-interval 0.1\n  session l7\n    remote-end-id f\n\
                      tunnel incomplete\n  remote-address 192.0.2.78\n";

fn displays_and_their_json() {
    need_python();
    let net = Net::new();
    let one = host(1, "", "  password x\n", "    cookie 4\n") + BESIDE;
    let (mut a, mut b) = pair_of(&net, &one, &host(2, "", "  password x\n", "    cookie 4\n"));
    // Until there is a failure to be shown, and somebody who sends data of no session.
    let stray = Peer::new(&net);
    let status = wait_for("a failure", || {
        stray.send_packet(&[0, 0, 0, 9, 1, 2, 3]);
        let text = a.ctl_ok(&["--json", "status"]);
        let both = "any(t['last_failure'] for t in v['tunnels']) and len(v['dropped_from'])";
        (python(&text, both) == "1").then_some(text)
    });
    assert_eq!(python(&status, "v['dropped_from'][0]['address']"), "192.0.2.2");
    schema(&status, "status");
    let shape = "[t['name'] for t in v['tunnels']], v['tunnels'][0]['sessions'][0]['local_cookie_size']";
    assert_eq!(python(&status, shape), "['t', 'beside', 'incomplete'] 4");
    schema(&a.ctl_ok(&["--json", "explain"]), "status");
    schema_in_part(&a.ctl_ok(&["explain", "tunnel", "t", "--json"]), "status");
    for (words, sessions) in [(&["status", "tunnel", "t"][..], 1), (&["status", "session", "l0"], 1)] {
        let mut all = words.to_vec();
        all.push("--json");
        let text = a.ctl_ok(&all);
        schema_in_part(&text, "status");
        assert_eq!(
            python(&text, "len(v['tunnels']), len(v['tunnels'][0]['sessions'])"),
            format!("1 {sessions}")
        );
        assert!(a.ctl_ok(words).contains("interface l0:"));
    }
    schema(&a.ctl_ok(&["--json", "counters"]), "counters");
    let health = a.ctl_ok(&["--json", "health"]);
    schema(&health, "health");
    let parts = "v['up'], v['tunnels_up'], v['tunnels_enabled'], v['sessions_up'], v['sessions_enabled']";
    assert_eq!(python(&health, parts), "False 1 3 1 2");
    let counters = a.ctl_ok(&["counters"]);
    assert!(counters.contains("tunnel t:\n") && counters.contains(" rx_messages "), "{counters}");
    let log = a.ctl_ok(&["--json", "log"]);
    assert_eq!(python(&log, "all(e['number'] == n for n, e in enumerate(v))"), "True", "numbered from 0");
    let info = a.ctl_ok(&["--json", "log", "info"]);
    assert_eq!(python(&info, "sorted({e['level'] for e in v} - {'error', 'warn'})"), "['info']");
    // What the text shows is what the JSON shows.
    let plain = a.ctl_ok(&["log", "info"]);
    let lines = python(&info, "sum(1 + len(e['detail']) for e in v)");
    assert_eq!(plain.lines().count().to_string(), lines);
    for wrong in [&["status", "tunnel", "x"][..], &["status", "session", "x"], &["explain", "tunnel", "x"]] {
        let output = a.ctl(wrong);
        assert_eq!(output.status.code(), Some(1), "{wrong:?}");
        assert!(stderr(&output).contains("no such"), "{wrong:?}: {}", stderr(&output));
    }
    a.stop();
    b.stop();
}

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

/// The fields, words and order of the routers' display, then ours.
fn status_is_that_of_the_routers() {
    let net = Net::new();
    let settings = ("  password x\n", "    cookie 4\n    l2-sublayer default\n");
    let (mut a, mut b) = pair(&net, settings.0, settings.1);
    let text = a.ctl_ok(&["status", "session", "l0"]);
    let fields = [
        "interface l0:",
        "Status: link up, administratively up",
        "LastChange: 20*/*/* *:*:*",
        "Ipkts: *, Ierrs: 0, Opkts: *, Oerrs: 0, Colls: 0",
        "InOctets: *, OutOctets: *, InDrops: *, OutDiscards: *",
        "InUnknownProtos: 0",
        "Tunnel: t",
        "Tunnel address: 192.0.2.1 --> 192.0.2.2",
        "L2TP Tunnel Status:",
        "State            :established",
        "Remote Host Name :h2",
        "Remote Router-ID :10.0.0.2",
        "Local Tunnel ID  :*",
        "Remote Tunnel ID :*",
        "Ns, Nr           :*, *",
        "Uptime           :00:00:*",
        "Encapsulation    :ip",
        "Authentication   :on",
        "L2TP Session Status:",
        "State            :established",
        "Local Session ID :*",
        "Remote Session ID:*",
        "Serial No        :*",
        "Local Cookie     :*",
        "Remote Cookie    :*",
        "Cookie Size      :local 4, remote 4",
        "Sublayer         :both directions",
        "MTU              :*, remote *",
        "Uptime           :00:00:*",
    ];
    let mut lines = text.lines();
    for field in fields {
        let found = lines.any(|line| crate::daemon::glob(field, line));
        assert!(found, "`{field}` is not there, or not at its place:\n{text}");
    }
    // The block of the session is absent until it is negotiated; what went wrong is told in words.
    b.stop();
    a.expect("debug [*] delete tunnel");
    let text = wait_for("the failure", || {
        let text = a.ctl_ok(&["status"]);
        text.contains("Last Failure").then_some(text)
    });
    assert!(text.contains("Status: link down"), "{text}");
    assert!(text.contains("Next Try         :in 00:00:0") || text.contains("wait-ctl-reply"), "{text}");
    assert!(!text.contains("Local Session ID"), "{text}");
    a.stop();
}

/// A command that goes on, and the lines it prints.
struct Follower(Child, Receiver<String>);

impl Follower {
    fn start(daemon: &Daemon, words: &[&str]) -> Follower {
        let mut command = Command::new(client());
        command.arg("-s").arg(&daemon.socket).args(words).stdout(Stdio::piped());
        let mut child = command.spawn().expect("l2tpctl");
        let output = BufReader::new(child.stdout.take().expect("pipe"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Follower(child, lines)
    }

    /// Reads up to the first line with `word` and returns it.
    #[track_caller]
    fn until(&mut self, word: &str) -> String {
        loop {
            match self.1.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(word) => return line + "\n",
                Ok(_) => {}
                Err(error) => panic!("no `{word}`: {error}"),
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn streams_follow() {
    need_python();
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "", "");
    let mut watch = Follower::start(&a, &["watch"]);
    let mut watch_json = Follower::start(&a, &["--json", "watch"]);
    let mut log = Follower::start(&a, &["log", "-f", "debug"]);
    let mut log_json = Follower::start(&a, &["log", "-f", "--json"]);
    // A stream of the log begins with what is kept: then the others are there as well.
    log.until("l2tpd start");
    let first = log_json.until("\"number\":0,");
    assert_eq!(python(&first, "v['number']"), "0");
    std::thread::sleep(std::time::Duration::from_millis(300));
    a.ctl_ok(&["clear", "session", "l0"]);
    let down = watch.until("session-down");
    assert!(down.contains("tunnel=t session=l0 peer=192.0.2.2 local-id="), "{down}");
    assert!(watch.until("session-up").contains("session=l0"));
    let down = watch_json.until("session-down");
    let up = watch_json.until("session-up");
    schema(&(down.clone() + &up), "watch");
    assert_eq!(python(&down, "v['tunnel'], v['interface'], v['peer']"), "t l0 192.0.2.2");
    let line = log.until("cleanup call: l0");
    assert!(line.starts_with("20") && line.contains("Z "), "{line}");
    let line = log_json.until("cleanup call: l0");
    schema(&(line + "{\"remark\": \"as log_is_trimmed shows\"}\n"), "log");
    // They end when the daemon does.
    a.stop();
    assert_eq!(watch.0.wait().expect("wait").code(), Some(3));
    b.stop();
}

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

/// The kernel chooses the source; a trace has it all the same.
const AUTO: &str = "  local-address auto\n";

/// `trace` from the first SCCRQ on: tshark reads it and finds every digest right, with the right secret only.
fn trace_with_digests() {
    if !have("tshark") {
        skip("no tshark");
    }
    for (name, encapsulation) in [("ip", ""), ("udp", "  encapsulation udp\n")] {
        let net = Net::new();
        let tunnel = format!("  password sesame\n{encapsulation}");
        let mut b =
            Daemon::start(&net, &net.b, &host(2, "", &format!("{tunnel}  role passive\n"), "    cookie 8\n"));
        let mut a = Daemon::start(
            &net,
            &net.a,
            &host(1, "", &format!("{tunnel}{AUTO}  disable\n"), "    cookie 8\n"),
        );
        a.expect("debug l2tpd start");
        b.expect("debug l2tpd start");
        let file = net.dir.join(format!("{name}.pcapng"));
        let path = file.to_str().expect("path").to_owned();
        let trace = Follower::start(&a, &["trace", "t", &path]);
        wait_for("the head of the file", || {
            std::fs::metadata(&file).is_ok_and(|m| m.len() > 40).then_some(())
        });
        std::thread::sleep(std::time::Duration::from_millis(300));
        a.ctl_ok(&["start", "t"]);
        up(&mut a, 1);
        std::thread::sleep(std::time::Duration::from_millis(300));
        crate::sys::kill(trace.0.id(), libc::SIGINT);
        drop(trace);
        let show = |secret: &str, filter: &str| {
            let secret = format!("l2tp.shared_secret:{secret}");
            let words = [
                "tshark",
                "-n",
                "-r",
                &path,
                "-o",
                &secret,
                "-Y",
                filter,
                "-T",
                "fields",
                "-e",
                "l2tp.avp.message_type",
                "-e",
                "ip.src",
            ];
            crate::net::run(&words).lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let all = show("sesame", "l2tp.type == 1");
        for (kind, from) in [(1, 1), (2, 2), (3, 1), (10, 1), (11, 2), (12, 1)] {
            let line = format!("{kind}\t192.0.2.{from}");
            assert!(all.contains(&line), "{name}: no message {line:?} in {all:?}");
        }
        assert!(all.iter().all(|line| line.contains("\t192.0.2.")), "{name}: {all:?}");
        for wrong in ["l2tp.incorrect_digest", "_ws.malformed", "_ws.expert.severity >= 6291456"] {
            let found = show("sesame", wrong);
            assert!(found.is_empty(), "{name}: {wrong}: {found:?}");
        }
        assert!(show("another", "l2tp.incorrect_digest").len() >= 6, "tshark looks at the digests");
        a.stop();
        b.stop();
    }
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
        (&["nonsense"], &["unknown", "status", "metrics", "explain"]),
        (&["clear", "everything"], &["unknown", "tunnel, peer, session, all"]),
        (&["clear", "tunnel"], &["incomplete", "NAME"]),
        (&["clear", "peer", "tokyo"], &["an IP address expected"]),
        (&["clear", "all", "result-code", "x"], &["a number from 1 to 65535 expected"]),
        (&["log-level", "loud"], &["error, warn, info, debug"]),
        (&["status", "tunnel", "t", "t"], &["nothing may follow"]),
        (&["trace", "t"], &["FILE"]),
        (&["--json", "metrics"], &["no form as JSON", "--json counters"]),
        (&["metrics", "--json"], &["no form as JSON", "--json counters"]),
        (&["--json", "trace", "t", "-"], &["no form as JSON", "pcapng"]),
        (&[], &["incomplete", "status, clear", "explain"]),
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
