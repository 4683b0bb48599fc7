//! `l2tpctl status`, and the other displays, as text and as JSON. What is printed is judged by others: Python's json.

use crate::net::{have, stderr, Net};
use crate::pair::{host, need_python, pair, pair_of, python, BESIDE};
use crate::peer::*;
use crate::runner::skip;
use crate::schema::{schema, schema_in_part};
use crate::tests;
use crate::wait::wait_for;

tests!(status_shows_both_ends, json_is_json, displays_and_their_json, status_is_that_of_the_routers,);

/// The value after a field's name in the status.
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
    // What the text shows is what the JSON shows; between the two questions a line may come.
    wait_for("as many lines in both", || {
        let info = a.ctl_ok(&["--json", "log", "info"]);
        let lines = python(&info, "sum(1 + len(e['detail']) for e in v)");
        (a.ctl_ok(&["log", "info"]).lines().count().to_string() == lines).then_some(())
    });
    for wrong in [&["status", "tunnel", "x"][..], &["status", "session", "x"], &["explain", "tunnel", "x"]] {
        let output = a.ctl(wrong);
        assert_eq!(output.status.code(), Some(1), "{wrong:?}");
        assert!(stderr(&output).contains("no such"), "{wrong:?}: {}", stderr(&output));
    }
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
