//! Reload by signal and by command while frames flow: what did not change is not touched, what can change live does,
//! and only what must be negotiated anew is. Promise 4.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::daemon::{write_config, Daemon, PATIENCE};
use crate::net::{stderr, Net};
use crate::pair::{address, host, need_python, pair, pair_of, passes_again, python, up, Flood};
use crate::support::packets;
use crate::sys::{in_netns, FrameSocket};
use crate::tests;
use crate::wait::wait_for;

tests!(
    nothing_that_did_not_change_is_touched,
    timers_and_limits_change_live,
    only_what_must_be_is_negotiated_anew,
    bad_file_is_reported_whole,
    check_tells_and_does_nothing,
    sockets_that_nobody_needs_are_closed,
    reload_touches_only_what_changed,
    reload_of_a_bad_file_changes_nothing,
    changed_password_on_reload,
    a_long_file_takes_its_time,
    frames_pass_while_many_interfaces_are_made,
);

/// Replaces the configuration and reloads.
pub fn reload(daemon: &Daemon, text: &str) -> String {
    write_config(&daemon.config, text);
    daemon.ctl_ok(&["reload"])
}

/// Ids, sequence numbers and counters of tunnel `t`: equal as long as no control message came or went.
fn marks(daemon: &Daemon) -> String {
    let text = daemon.ctl_ok(&["--json", "status", "tunnel", "t"]);
    python(
        &text,
        "[[t[k] for k in ('state','local_tunnel_id','remote_tunnel_id','ns','nr')] + [t['counters']] + \
         [(s['state'],s['local_session_id'],s['remote_session_id'],s['local_cookie']) for s in t['sessions']] for t in v['tunnels']]",
    )
}

/// Waits until neither end has a message that is not acknowledged.
fn quiet(a: &Daemon, b: &Daemon) {
    let queued = |daemon: &Daemon| {
        let text = daemon.ctl_ok(&["--json", "status", "tunnel", "t"]);
        python(&text, "v['tunnels'][0]['queued']")
    };
    wait_for("the last acknowledgements", || (queued(a) == "0" && queued(b) == "0").then_some(()));
}

/// The same and HELLOs: only what names the connection and its sessions.
fn ids(daemon: &Daemon) -> String {
    let text = daemon.ctl_ok(&["--json", "status", "tunnel", "t"]);
    python(
        &text,
        "[(t['local_tunnel_id'], [(s['interface'], s['local_session_id']) for s in t['sessions']]) for t in v['tunnels']]",
    )
}

const OTHER: &str =
    "tunnel u\n  remote-address 192.0.2.77\n  remote-hostname any\n  remote-router-id any\n  \
                     retry 1\n  retry-interval 0.1\n  session l5\n    remote-end-id x\n";

/// No HELLO, so that not one control message may come or go.
const QUIET: &str = "  hello-interval none\n";

fn nothing_that_did_not_change_is_touched() {
    need_python();
    let net = Net::new();
    let (mut a, mut b) = pair(&net, QUIET, "    cookie 8\n");
    quiet(&a, &b);
    let before = (marks(&a), marks(&b));
    let flood = Flood::start(&net, 4);
    let same = host(1, "", QUIET, "    cookie 8\n");
    assert_eq!(reload(&a, &same), "nothing changed\n");
    a.signal(libc::SIGHUP);
    a.expect("info Received 1 signal");
    a.ctl_ok(&["status"]); // what is answered now comes after the file was read
    assert_eq!(reload(&a, &format!("# a comment\n{same}\n\n# another\n{OTHER}")), "tunnel u: added\n");
    a.expect("info [*] begin new tunnel [u] peer:192.0.2.77");
    wait_for("the new tunnel's interface", || {
        net.try_exec(&net.a, &["ip", "link", "show", "l5"]).status.success().then_some(())
    });
    for _ in 0..20 {
        let before = a.count("info Received 1 signal");
        a.signal(libc::SIGHUP);
        wait_for("the signal", || (a.count("info Received 1 signal") > before).then_some(()));
    }
    a.ctl_ok(&["status"]);
    assert_eq!(reload(&a, &same), "tunnel u: removed\n");
    assert!(
        !net.try_exec(&net.a, &["ip", "link", "show", "l5"]).status.success(),
        "its interface goes with it"
    );
    flood.lost_nothing();
    assert_eq!((marks(&a), marks(&b)), before, "no control message, no new id");
    a.stop();
    b.stop();
}

fn timers_and_limits_change_live() {
    need_python();
    let net = Net::new();
    let (mut a, mut b) = pair(&net, QUIET, "");
    let before = (ids(&a), ids(&b));
    let flood = Flood::start(&net, 2);
    let live = "  hello-interval 1\n  retry 4\n  retry-interval 0.2\n  ttl 9\n  restart-interval 2\n";
    let text = reload(
        &a,
        &host(
            1,
            "log-level info\nmax-sessions 100\nlog-buffer 50\n",
            live,
            "    mtu 1300\n    tcp-mss auto\n",
        ),
    );
    assert!(
        text.contains("tunnel t: changed live") && text.contains("tunnel t session l0: changed live"),
        "{text}"
    );
    assert!(text.contains("global: changed") && !text.contains("restarted"), "{text}");
    flood.lost_nothing();
    // The flood is over: a HELLO after a second, in packets with the new TTL, and the new MTU at the interface.
    let seen = a.count("*send HELLO*");
    let packet = net.exec(
        &net.b,
        &["timeout", "8", "tcpdump", "-n", "-v", "-c", "1", "-i", "wire", "ip proto 115 and src 192.0.2.1"],
    );
    assert!(packet.contains("ttl 9,"), "{packet}");
    wait_for("a HELLO", || (a.count("*send HELLO*") > seen).then_some(()));
    let link = net.exec(&net.a, &["ip", "link", "show", "l0"]);
    assert!(link.contains("mtu 1300"), "{link}");
    assert_eq!((ids(&a), ids(&b)), before);
    // The size of the log's buffer as well.
    assert_eq!(
        python(&a.ctl_ok(&["log", "--json"]), "len(v) <= 51, v[0].get('remark', '')[:8]"),
        "True == OLDER"
    );
    a.stop();
    b.stop();
}

fn only_what_must_be_is_negotiated_anew() {
    need_python();
    let net = Net::new();
    let more = |cookie: &str| {
        format!("    remote-end-id e\n    cookie {cookie}\n  session l1\n    remote-end-id f\n")
    };
    let text = |n: u8, tunnel: &str, cookie: &str| host(n, "", tunnel, &more(cookie));
    let (mut a, mut b) = pair_of(&net, &text(1, QUIET, "off"), &text(2, QUIET, "off"));
    up(&mut a, 1);
    let one = "v['tunnels'][0]['local_tunnel_id'], v['tunnels'][0]['sessions'][1]['local_session_id']";
    let look = |daemon: &Daemon| python(&daemon.ctl_ok(&["--json", "status", "tunnel", "t"]), one);
    let before = look(&a);
    // The cookie of one session: this session alone.
    write_config(&b.config, &text(2, QUIET, "8"));
    let told = reload(&a, &text(1, QUIET, "8"));
    assert_eq!(told, "tunnel t session l0: restarted (cookie)\n");
    assert_eq!(b.ctl_ok(&["reload"]), told);
    let sizes =
        "v['tunnels'][0]['sessions'][0]['state'], v['tunnels'][0]['sessions'][0]['local_cookie_size']";
    wait_for("the session with its new cookie", || {
        let text = a.ctl_ok(&["--json", "status", "tunnel", "t"]);
        (python(&text, sizes) == "established 8").then_some(())
    });
    assert_eq!(look(&a), before, "connection and other session are the same");
    assert_eq!(a.count("*cleanup session: l1") + b.count("*cleanup session: l1"), 0);
    // A tag that the peer was told at set-up: the tunnel.
    let told = reload(&a, &text(1, "  hello-interval none\n  receive-window 16\n", "8"));
    assert!(told.contains("tunnel t: restarted (receive-window)"), "{told}");
    wait_for("the new connection", || {
        let text = a.ctl_ok(&["--json", "status", "tunnel", "t"]);
        let found =
            python(&text, "v['tunnels'][0]['state'], [s['state'] for s in v['tunnels'][0]['sessions']]");
        (found == "established ['established', 'established']" && look(&a) != before).then_some(())
    });
    a.stop();
    b.stop();
}

fn bad_file_is_reported_whole() {
    need_python();
    let net = Net::new();
    let (mut a, mut b) = pair(&net, QUIET, "");
    quiet(&a, &b);
    let before = (marks(&a), marks(&b));
    let flood = Flood::start(&net, 2);
    let bad = host(1, "router-id 10.0.0.300\n", "  retry\n  hello-interval 0\n", "    mtu 1 2\n")
        + "speling 1\n"
        + OTHER;
    write_config(&a.config, &bad);
    let wrong = [
        "router-id: Invalid address",
        "retry: No param",
        "hello-interval: Invalid value",
        "mtu: This param is only one",
        "speling: Unknown tag",
    ];
    a.skip_log();
    a.signal(libc::SIGHUP);
    let lines: Vec<String> = wrong.iter().map(|text| format!("error {text}")).collect();
    a.expect_all(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    for words in [&["reload"][..], &["reload", "--check"]] {
        let output = a.ctl(words);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        for wrong in wrong {
            let line = text
                .lines()
                .find(|line| line.contains(wrong))
                .unwrap_or_else(|| panic!("no {wrong}: {text}"));
            let place = line
                .trim_start_matches("l2tpctl: ")
                .split(": ")
                .next()
                .unwrap_or_default()
                .rsplit(':')
                .take(2)
                .collect::<Vec<_>>();
            assert!(place.iter().all(|number| number.parse::<u32>().is_ok()), "FILE:LINE:COLUMN in {line}");
        }
    }
    std::fs::remove_file(&a.config).expect("remove");
    let output = a.ctl(&["reload"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("Can't open config file"), "{}", stderr(&output));
    flood.lost_nothing();
    assert_eq!((marks(&a), marks(&b)), before, "nothing has changed");
    a.stop();
    b.stop();
}

fn check_tells_and_does_nothing() {
    need_python();
    let net = Net::new();
    let (mut a, mut b) = pair(&net, QUIET, "");
    quiet(&a, &b);
    let before = marks(&a);
    let new = host(1, "log-level warn\nuser daemon\n", "  hello-interval none\n  password x\n", "") + OTHER;
    write_config(&a.config, &new);
    let lines = a.lines().len();
    let check = a.ctl_ok(&["reload", "--check"]);
    for line in ["global: changed (log-level, user)", "tunnel t: restarted (password)", "tunnel u: added"] {
        assert!(check.lines().any(|found| found == line), "no `{line}` in\n{check}");
    }
    assert_eq!(marks(&a), before);
    assert_eq!(a.lines().len(), lines, "a check writes nothing to the log");
    assert!(!net.try_exec(&net.a, &["ip", "link", "show", "l5"]).status.success());
    // And it was the truth.
    assert_eq!(a.ctl_ok(&["reload"]), check);
    a.expect("warn   user: in force from the next start on");
    assert_eq!(a.ctl_ok(&["reload", "--check"]), "nothing changed\n");
    a.stop();
    b.stop();
}

/// While another tunnel stays up.
fn sockets_that_nobody_needs_are_closed() {
    let net = Net::new();
    let (mut a, mut b) = pair(&net, QUIET, "");
    let text = host(1, "", QUIET, "");
    let second = |port: u16| {
        format!("{OTHER}    mtu 1400\n")
            .replace("  retry 1\n", &format!("  retry 1\n  encapsulation udp\n  udp-port {port}\n"))
    };
    let ports = || net.exec(&net.a, &["ss", "-Hnula"]).lines().count();
    for port in 5001..5006 {
        reload(&a, &format!("{text}{}", second(port)));
        wait_for("one socket, the newest", || {
            let open = net.exec(&net.a, &["ss", "-Hnula"]);
            (open.lines().count() == 1 && open.contains(&format!(":{port} "))).then_some(())
        });
    }
    reload(&a, &text);
    wait_for("no socket", || (ports() == 0).then_some(()));
    net.ping(&net.a, "10.9.9.2", 56);
    assert_eq!(a.count("*cleanup session: l0"), 0);
    a.stop();
    b.stop();
}

fn reload_touches_only_what_changed() {
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "", "");
    let other = "tunnel u\n  remote-address 192.0.2.77\n  remote-hostname any\n  remote-router-id any\n";
    write_config(&a.config, &(host(1, "", "", "") + other));
    a.signal(libc::SIGHUP);
    a.expect("info Received 1 signal");
    a.expect("info [*] begin new tunnel [u] peer:192.0.2.77");
    net.ping(&net.a, "10.9.9.2", 56);
    // A second session of the tunnel that is up: the first one is not touched.
    let sessions = "  session l1\n    remote-end-id f\n";
    write_config(&b.config, &(host(2, "", "", "") + sessions));
    b.ctl_ok(&["reload"]);
    write_config(&a.config, &(host(1, "", "", "") + sessions));
    a.ctl_ok(&["reload"]);
    up(&mut a, 2);
    a.expect("debug [*] cleanup tunnel: u");
    net.ping(&net.a, "10.9.9.2", 56);
    assert_eq!(a.count("*cleanup session: l0"), 0, "the session that did not change");
    // And away with it.
    write_config(&a.config, &(host(1, "", "", "")));
    a.ctl_ok(&["reload"]);
    a.expect("debug [*][*] delete session");
    assert_eq!(a.count("*cleanup session: l0") + b.count("*cleanup session: l0"), 0);
    a.stop();
    b.stop();
}

fn reload_of_a_bad_file_changes_nothing() {
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "", "");
    write_config(&a.config, &(host(1, "", "", "").replace("retry 7", "retry none") + "nonsense 1\n"));
    a.signal(libc::SIGHUP);
    a.expect_all(&["error retry: Invalid value", "error nonsense: Unknown tag"]);
    let output = a.ctl(&["reload", "--check"]);
    assert_ne!(output.status.code(), Some(0), "reload --check of a bad file");
    net.ping(&net.a, "10.9.9.2", 56);
    assert_eq!(a.count("*cleanup session*"), 0);
    write_config(&a.config, &(host(1, "", "", "")));
    a.ctl_ok(&["reload", "--check"]);
    a.stop();
    b.stop();
}

/// `password-old` while passwords are changed: the new one is sent, either is taken.
fn changed_password_on_reload() {
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "  password one\n", "");
    for (number, daemon) in [(1, &mut a), (2, &mut b)] {
        let text = host(number, "", "  password two\n  password-old one\n", "");
        write_config(&daemon.config, &(text));
        daemon.ctl_ok(&["reload"]);
    }
    passes_again(&net);
    b.kill();
    let mut b = Daemon::start(&net, &net.b, &host(2, "", "  password two\n", ""));
    up(&mut b, 1);
    address(&net, &net.b, 2);
    passes_again(&net);
    for daemon in [&a, &b] {
        assert_eq!(daemon.count("*two*") + daemon.count("*: one*"), 0, "a password in the log");
    }
    a.stop();
    b.stop();
}

/// A file of 20,000 lines is read in many turns. Whoever asks is answered in the end, also who asks meanwhile; a mistake in
/// it changes nothing.
fn a_long_file_takes_its_time() {
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "", "");
    let long = (0..4000).fold(host(1, "", "", ""), |text, k| {
        text + &format!(
            "tunnel d{k}\n  disable\n  remote-address 192.0.2.77\n  remote-hostname h{k}\n  remote-router-id any\n"
        )
    });
    assert_eq!(reload(&a, &long).lines().count(), 4000);
    a.signal(libc::SIGHUP);
    assert_eq!(a.ctl_ok(&["reload"]), "nothing changed\n");
    assert_eq!(a.ctl_ok(&["reload", "--check"]), "nothing changed\n");
    write_config(&a.config, &format!("{long}nonsense 1\n"));
    for words in [&["reload"][..], &["reload", "--check"]] {
        let output = a.ctl(words);
        assert_ne!(output.status.code(), Some(0));
        assert!(stderr(&output).contains("nonsense: Unknown tag"), "{}", stderr(&output));
    }
    a.expect("error nonsense: Unknown tag");
    net.ping(&net.a, "10.9.9.2", 56);
    assert_eq!(reload(&a, &host(1, "", "", "")).lines().count(), 4000);
    net.ping(&net.a, "10.9.9.2", 56);
    assert_eq!(a.count("*cleanup session: l0"), 0);
    a.stop();
    b.stop();
}

/// Who has 10.9.9.2? The kernel of the host there answers at once.
const WHO_HAS: &str = "ffffffffffff02000000000908060001080006040001020000000009\
                       0a0909090000000000000a090902";

/// Asks for the address; `false`: question or answer was lost.
fn is_answered(socket: &FrameSocket) -> bool {
    socket.send(&packets::hex(WHO_HAS));
    let deadline = Instant::now() + PATIENCE;
    let is_answer = |frame: &[u8]| frame[12..22] == packets::hex("08060001080006040002");
    std::iter::from_fn(|| socket.receive(deadline)).any(|frame| is_answer(&frame))
}

/// Making an interface takes the kernel a good part of a millisecond. Were many made at once, no question could be asked and
/// answered between the first and the last one.
fn frames_pass_while_many_interfaces_are_made() {
    const COUNT: usize = 600;
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "", "");
    let head = host(2, "", "", "") + "tunnel m\n  remote-address 192.0.2.77\n";
    let many = (1..=COUNT).fold(head, |text, k| text + &format!("  session n{k}\n    manual {k} {k}\n"));
    write_config(&b.config, &many);
    let socket = in_netns(&net.a, || FrameSocket::open("l0"));
    b.signal(libc::SIGHUP); // l2tpctl waits until all are made
    let between = in_netns(&net.b, || {
        // No command is run for it: while one starts, the daemon may make them all.
        let made = || {
            let text = std::fs::read_to_string("/proc/thread-self/net/dev").expect("the interfaces");
            text.lines().filter(|line| line.trim_start().starts_with('n')).count()
        };
        let (mut before, mut between) = (0, BTreeSet::new());
        let deadline = Instant::now() + PATIENCE;
        while before < COUNT {
            let answered = is_answered(&socket);
            let now = made();
            between.extend((answered && before > 0 && now < COUNT).then_some(now));
            before = now;
            assert!(Instant::now() < deadline, "{now} of them are there");
        }
        between
    });
    assert!(between.len() >= 3, "{between:?}");
    a.stop();
    b.stop();
}
