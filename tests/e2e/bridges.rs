//! Bridges that somebody deletes and makes again, and interfaces that somebody takes out of them.

use crate::daemon::Daemon;
use crate::net::Net;
use crate::pair::{host, need_python, python, up};
use crate::tests;
use crate::wait::wait_for;

tests!(
    bridge_deleted_and_made_again,
    taken_out_stays_out,
    what_cannot_be_joined,
    interface_made_while_the_bridge_is_gone,
    news_that_were_lost,
    bridge_made_and_joined,
);

const MADE: &str = "link add br7 type bridge\nlink set br7 up\naddr add 10.9.9.1/24 dev br7\n";

const DELETED: &str = "warn   bridge br7 was deleted; it gets its interfaces back when it is made again";

const AGAIN: &str = "info   l0 is in bridge br7 again";

const OUT: &str = "info   l0 is not in bridge br7 any more";

/// Host 1 with br7, which the daemon makes, host 2 without a bridge; frames pass.
fn bridged(net: &Net, top: &str) -> (Daemon, Daemon) {
    let mut b = Daemon::start(net, &net.b, &host(2, "", "", ""));
    b.expect("debug l2tpd start");
    let mut a = Daemon::start(net, &net.a, &host(1, top, "", "    bridge br7\n"));
    up(&mut a, 1);
    up(&mut b, 1);
    net.batch(&net.a, "addr add 10.9.9.1/24 dev br7\n");
    net.batch(&net.b, "addr add 10.9.9.2/24 dev l0\n");
    net.ping(&net.a, "10.9.9.2", 56);
    (a, b)
}

fn exists(net: &Net, name: &str) -> bool {
    net.try_exec(&net.a, &["ip", "link", "show", name]).status.success()
}

fn is_in(net: &Net) -> bool {
    net.exec(&net.a, &["ip", "link", "show", "l0"]).contains("master br7")
}

/// What the status says of the bridge, as text and as JSON.
fn shown(daemon: &Daemon) -> (String, String) {
    let text = daemon.ctl_ok(&["status", "session", "l0"]);
    let line = text.lines().find_map(|line| line.strip_prefix("Bridge           :")).map(str::to_owned);
    let json = daemon.ctl_ok(&["--json", "status", "session", "l0"]);
    let members = "[v['tunnels'][0]['sessions'][0][name] for name in ('bridge', 'bridge_state')]";
    (line.unwrap_or(text), python(&json, members))
}

fn shows(bridge: &str, state: &str) -> (String, String) {
    let text = if state == "joined" { bridge.to_owned() } else { format!("{bridge} ({state})") };
    (text, format!("['{bridge}', '{state}']"))
}

/// News of other interfaces, so that the daemon looks.
fn other_news(net: &Net, daemon: &Daemon) {
    net.batch(&net.a, "link add other type veth peer name other2\nlink set other up\nlink del other\n");
    // The second answer comes from a turn that began after the news were there.
    daemon.ctl_ok(&["health"]);
    daemon.ctl_ok(&["health"]);
}

/// As root, and as a user who keeps two capabilities.
fn bridge_deleted_and_made_again() {
    need_python();
    for top in ["", "user nobody\n"] {
        let net = Net::new();
        let (mut a, mut b) = bridged(&net, top);
        assert_eq!(shown(&a), shows("br7", "joined"));
        net.batch(&net.a, "link del br7\n");
        a.expect(DELETED);
        other_news(&net, &a);
        assert!(!exists(&net, "br7"), "it is the administrator's to make");
        assert_eq!(shown(&a), shows("br7", "missing"));
        net.batch(&net.a, MADE);
        a.expect(AGAIN);
        net.ping(&net.a, "10.9.9.2", 56);
        assert_eq!(shown(&a), shows("br7", "joined"));
        assert_eq!(a.count(DELETED), 1, "told once");
        // As quickly as a restart of the network does it.
        net.batch(&net.a, &format!("link del br7\n{MADE}"));
        a.expect(DELETED);
        a.expect(AGAIN);
        net.ping(&net.a, "10.9.9.2", 56);
        // Before the daemon looks.
        a.signal(libc::SIGSTOP);
        net.batch(&net.a, &format!("link del br7\n{MADE}"));
        a.signal(libc::SIGCONT);
        a.expect(AGAIN);
        net.ping(&net.a, "10.9.9.2", 56);
        // Another bridge that gets the name.
        net.batch(&net.a, "link del br7\nlink add br8 type bridge\nlink set br8 name br7\n");
        a.expect(AGAIN);
        assert!(is_in(&net));
        assert_eq!(a.count("*cleanup session*") + b.count("*cleanup session*"), 0, "the session stays");
        a.stop();
        b.stop();
    }
}

/// The administrator's will is done, also after a reload; a bridge that is made anew is another matter.
fn taken_out_stays_out() {
    need_python();
    let net = Net::new();
    let (mut a, mut b) = bridged(&net, "");
    net.batch(&net.a, "link set l0 nomaster\n");
    a.expect(OUT);
    other_news(&net, &a);
    net.batch(&net.a, "link set l0 down\nlink set l0 up\n");
    a.ctl_ok(&["reload"]);
    other_news(&net, &a);
    assert!(!is_in(&net));
    assert_eq!(shown(&a), shows("br7", "out"));
    assert_eq!(a.count(OUT), 1, "told once");
    net.batch(&net.a, "link set l0 master br7\n");
    a.expect(AGAIN);
    assert_eq!(shown(&a), shows("br7", "joined"));
    // As ifdown and ifup do it.
    net.batch(&net.a, "link set l0 nomaster\n");
    a.expect(OUT);
    net.batch(&net.a, "link set br7 down\nlink del br7\n");
    a.expect(DELETED);
    net.batch(&net.a, MADE);
    a.expect(AGAIN);
    net.ping(&net.a, "10.9.9.2", 56);
    // Somebody gives it to another bridge while this one is gone: it is not taken away from there.
    net.batch(&net.a, "link del br7\n");
    a.expect(DELETED);
    net.batch(&net.a, "link add br9 type bridge\nlink set l0 master br9\n");
    net.batch(&net.a, MADE);
    a.expect("warn   l0: cannot join br7, being a port of something else: Device or resource busy");
    assert!(net.exec(&net.a, &["ip", "link", "show", "l0"]).contains("master br9"));
    assert_eq!(shown(&a), shows("br7", "out"));
    a.stop();
    b.stop();
}

/// Something else gets the bridge's name: told once, and a bridge that comes later is joined.
fn what_cannot_be_joined() {
    let net = Net::new();
    let (mut a, mut b) = bridged(&net, "");
    net.batch(&net.a, "link del br7\nlink add br7 type veth peer name else\n");
    let refused = "warn   l0: br7 is not a bridge: Operation not supported";
    a.expect(refused);
    other_news(&net, &a);
    assert_eq!(a.count(refused), 1, "told once");
    net.batch(&net.a, &format!("link del br7\n{MADE}"));
    a.expect(AGAIN);
    net.ping(&net.a, "10.9.9.2", 56);
    a.stop();
    b.stop();
}

fn interface_made_while_the_bridge_is_gone() {
    let net = Net::new();
    let (mut a, mut b) = bridged(&net, "");
    net.batch(&net.a, "link del br7\n");
    a.expect(DELETED);
    a.skip_log();
    net.batch(&net.a, "link del l0\n");
    a.expect("warn   interface l0 was deleted");
    up(&mut a, 2);
    assert!(exists(&net, "l0") && !exists(&net, "br7"), "the bridge is not made again");
    net.batch(&net.a, MADE);
    a.expect(AGAIN);
    net.ping(&net.a, "10.9.9.2", 56);
    // Both at once, and the bridge is there before the interface.
    net.batch(&net.a, &format!("link del l0\nlink del br7\n{MADE}"));
    up(&mut a, 3);
    wait_for("the bridge", || is_in(&net).then_some(()));
    net.ping(&net.a, "10.9.9.2", 56);
    // What is taken out is put in again with a new interface.
    net.batch(&net.a, "link set l0 nomaster\n");
    a.expect(OUT);
    net.batch(&net.a, "link del l0\n");
    up(&mut a, 4);
    assert!(is_in(&net));
    a.stop();
    b.stop();
}

/// More news than the kernel keeps: the daemon looks for itself.
fn news_that_were_lost() {
    let net = Net::new();
    let (mut a, mut b) = bridged(&net, "");
    let many = "link set lo alias a\nlink set lo alias b\n".repeat(500);
    let unseen = |commands: &str| {
        a.signal(libc::SIGSTOP);
        net.batch(&net.a, &format!("{many}{commands}"));
        a.signal(libc::SIGCONT);
    };
    unseen("link del br7\n");
    wait_for("the news", || (a.count(DELETED) == 1).then_some(()));
    unseen(MADE);
    wait_for("the bridge", || is_in(&net).then_some(()));
    unseen("link set l0 nomaster\n");
    wait_for("the news", || (a.count(OUT) == 1).then_some(()));
    unseen(&format!("link del br7\n{MADE}"));
    wait_for("the bridge", || is_in(&net).then_some(()));
    assert_eq!(a.count("*cleanup session*") + b.count("*cleanup session*"), 0, "the session stays");
    net.ping(&net.a, "10.9.9.2", 56);
    a.stop();
    b.stop();
}

/// `bridge` makes the bridge where it is missing; `l2tpd` takes away only what it made.
fn bridge_made_and_joined() {
    let net = Net::new();
    net.batch(&net.b, "link add br7 type bridge\nlink set br7 up\naddr add 10.9.9.2/24 dev br7\n");
    let mut b = Daemon::start(&net, &net.b, &host(2, "", "", "    bridge br7\n"));
    let mut a =
        Daemon::start(&net, &net.a, &host(1, "", "", "    bridge br7\n    mac-address 02:11:22:33:44:55\n"));
    up(&mut a, 1);
    up(&mut b, 1);
    net.batch(&net.a, "link set br7 up\naddr add 10.9.9.1/24 dev br7\n");
    net.ping(&net.a, "10.9.9.2", 1400);
    let link = net.exec(&net.a, &["ip", "link", "show", "l0"]);
    assert!(link.contains("master br7") && link.contains("02:11:22:33:44:55"), "{link}");
    a.stop();
    b.stop();
    assert!(!net.try_exec(&net.a, &["ip", "link", "show", "l0"]).status.success(), "the interface stays");
    assert!(net.try_exec(&net.b, &["ip", "link", "show", "br7"]).status.success(), "not our bridge");
}
