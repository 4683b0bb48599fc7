//! `state-file`: a daemon that was killed goes on with its connections, or does as without the file.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use crate::backup::Pings;
use crate::daemon::Daemon;
use crate::net::Net;
use crate::pair::{address, host, up, wait_for};
use crate::runner::note;
use crate::tests;

tests!(
    the_peer_notices_nothing_of_a_crash,
    a_user_without_rights_goes_on_as_well,
    a_crash_after_a_restart,
    a_peer_that_has_forgotten_the_connection,
    a_block_that_is_another_one_now,
    nothing_is_left_after_an_orderly_end,
    a_file_that_is_not_safe,
);

/// How often it is measured.
const ROUNDS: usize = 5;
const GOES_ON: &str = "info   tunnel t goes on after a crash: the peer still has connection *";
const DOES_NOT: &str = "info   tunnel t does not go on where it was before a crash: ";

fn file(net: &Net) -> PathBuf {
    net.dir.join("state")
}

fn octets(net: &Net) -> Vec<u8> {
    let read = |path: PathBuf| std::fs::read(path).unwrap_or_default();
    [read(file(net)), read(file(net).with_extension("2"))].concat()
}

fn holds(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|part| part == word)
}

/// The global line that names the file.
fn line(net: &Net) -> String {
    format!("state-file {}\n", file(net).display())
}

/// Host 1 with a bridge whose address outlasts the interface, and host 2; frames pass.
struct Bridged {
    net: Net,
    text: String,
    a: Daemon,
    b: Daemon,
}

impl Bridged {
    fn new(top: &str, tunnel: &str, session: &str) -> Bridged {
        let mut net = Net::new();
        // After a crash our Nr is an old one until the peer has sent something: the judge takes that for a fault.
        net.unrecorded();
        net.batch(
            &net.a,
            "link add br0 address 02:00:00:00:00:01 type bridge\naddr add 10.9.9.1/24 dev br0\nlink set br0 up\n",
        );
        let mut b = Daemon::start(&net, &net.b, &host(2, "", tunnel, session));
        b.expect("debug l2tpd start");
        let text =
            host(1, &top.replace("FILE\n", &line(&net)), tunnel, &format!("{session}    bridge br0\n"));
        let mut a = Daemon::start(&net, &net.a, &text);
        up(&mut a, 1);
        up(&mut b, 1);
        address(&net, &net.b, 2);
        net.ping(&net.b, "10.9.9.1", 56);
        b.skip_log();
        Bridged { net, text, a, b }
    }

    /// Host 1 is killed and started again at once.
    fn crash(&mut self) {
        self.is_written();
        self.a.kill();
        self.a = Daemon::start(&self.net, &self.net.a, &self.text);
    }

    /// Waits until the session stands in the file, where there is one.
    fn is_written(&self) {
        if self.text.contains("state-file") {
            wait_for("an entry of the session", || holds(&octets(&self.net), b"l0").then_some(()));
        }
    }

    /// The frames that were lost in a row when it was, of 100 a second.
    fn lost(&mut self) -> usize {
        let mut pings = Pings::start(&self.net.b, "10.9.9.1");
        pings.pass();
        self.crash();
        pings.pass();
        pings.end()
    }

    /// The ids and cookies of host 1.
    fn values(&self) -> Vec<String> {
        let status = self.a.ctl_ok(&["--json", "status"]);
        let of = |field: &&str| status.split(*field).nth(1).and_then(|rest| rest.split(',').next());
        let fields = ["\"local_tunnel_id\":", "\"local_session_id\":", "\"remote_session_id\":"];
        fields.iter().map(|field| of(field).unwrap_or_else(|| panic!("{status}")).to_owned()).collect()
    }
}

fn median(mut numbers: Vec<usize>) -> usize {
    numbers.sort_unstable();
    numbers[numbers.len() / 2]
}

/// Measured, with the file and without, for both encapsulations.
fn the_peer_notices_nothing_of_a_crash() {
    for encapsulation in ["ip", "udp"] {
        let tunnel = format!("  password secret\n  encapsulation {encapsulation}\n  hello-interval 60\n");
        let session = "    cookie 8\n    l2-sublayer default\n    sequencing both\n";
        let mut with = Bridged::new("FILE\n", &tunnel, session);
        let (before, cleaned_up) = (with.values(), with.b.count("*cleanup*"));
        let lost: Vec<usize> = (0..ROUNDS)
            .map(|_| {
                let lost = with.lost();
                with.a.expect(GOES_ON);
                assert_eq!(with.values(), before, "{}", with.a.tail(30));
                lost
            })
            .collect();
        assert_eq!(with.b.count("*cleanup*"), cleaned_up, "{}", with.b.tail(30));
        assert_eq!(with.a.count("*SCCRQ*"), 0, "{}", with.a.tail(30));
        let mut without = Bridged::new("", &tunnel, session);
        let others: Vec<usize> = (0..ROUNDS).map(|_| without.lost()).collect();
        let (with, without) = (median(lost), median(others));
        note(format!(
            "killed and started again, {encapsulation}: {} ms without frames with a state-file, {} ms without one",
            with * 10,
            without * 10
        ));
        assert!(with < 300, "{with} frames");
    }
}

fn a_user_without_rights_goes_on_as_well() {
    let mut pair = Bridged::new("FILE\nuser nobody\n", "", "");
    let before = pair.values();
    for _ in 0..2 {
        pair.lost();
        pair.a.expect(GOES_ON);
        assert_eq!(pair.values(), before);
    }
    for name in [file(&pair.net), file(&pair.net).with_extension("2")] {
        let found = std::fs::metadata(&name).expect("the file");
        assert_eq!((found.uid(), found.mode() & 0o7777), (0, 0o600));
    }
    assert_eq!(pair.a.count("warn   state-file*"), 0, "{}", pair.a.tail(30));
    // What tells of it.
    let text = pair.a.ctl_ok(&["status"]);
    assert!(text.contains("goes on after a crash: the peer still had it"), "{text}");
}

fn a_crash_after_a_restart() {
    let mut pair = Bridged::new("FILE\n", "", "");
    let before = pair.values();
    for _ in 0..2 {
        let output = pair.a.ctl(&["restart"]);
        assert!(output.status.success(), "{}", pair.a.tail(30));
        pair.is_written();
        let status = pair.a.ctl_ok(&["--json", "status"]);
        let pid = status.split("\"pid\":").nth(1).and_then(|rest| rest.split(',').next());
        crate::sys::kill(pid.and_then(|pid| pid.parse().ok()).expect("a pid"), libc::SIGKILL);
        let mut pings = Pings::start(&pair.net.b, "10.9.9.1");
        pair.crash();
        pings.pass();
        pings.end();
        assert!(pair.a.sees(GOES_ON, crate::daemon::PATIENCE), "{}", pair.a.lines().join("\n"));
        assert_eq!(pair.values(), before);
    }
}

/// The power fails at both ends, and one of them has no file.
fn a_peer_that_has_forgotten_the_connection() {
    let mut pair = Bridged::new("FILE\n", "  password x\n", "");
    let text = host(2, "", "  password x\n", "");
    pair.b.kill();
    pair.crash();
    pair.a.expect("debug [*] send HELLO");
    pair.a.expect(&format!("{DOES_NOT}the peer does not answer for the connection of before"));
    let explained = pair.a.ctl_ok(&["explain", "tunnel", "t"]);
    assert!(explained.contains("state-file: the peer does not answer for"), "{explained}");
    pair.b = Daemon::start(&pair.net, &pair.net.b, &text);
    up(&mut pair.b, 1);
    address(&pair.net, &pair.net.b, 2);
    wait_for("frames", || pair.net.answers(&pair.net.b, "10.9.9.1").then_some(()));
}

/// The old connection is ended, and the new one is set up.
fn a_block_that_is_another_one_now() {
    let mut pair = Bridged::new("FILE\n", "  password x\n", "");
    pair.text = pair.text.replace("  password x\n", "  password x\n  receive-window 9\n");
    pair.crash();
    pair.a.expect(&format!("{DOES_NOT}the configuration has changed since"));
    up(&mut pair.a, 1);
    pair.b.expect("debug [*] cleanup tunnel: t");
    wait_for("frames", || pair.net.answers(&pair.net.b, "10.9.9.1").then_some(()));
    // Another password: nothing of the file is believed.
    pair.text = pair.text.replace("  password x\n", "  password y\n");
    pair.crash();
    pair.a.expect(&format!("{DOES_NOT}its digest does not fit: another password, or another machine"));
    assert_eq!(pair.a.count("*send HELLO*"), 0, "{}", pair.a.tail(30));
}

fn nothing_is_left_after_an_orderly_end() {
    let mut pair = Bridged::new("FILE\n", "  password very-secret\n", "    cookie 8\n");
    pair.is_written();
    let text = octets(&pair.net);
    assert!(text.starts_with(b"l2tpd connections") && !holds(&text, b"very-secret"));
    pair.a.stop();
    assert_eq!(octets(&pair.net).len(), 0);
    pair.a = Daemon::start(&pair.net, &pair.net.a, &pair.text);
    up(&mut pair.a, 1);
    assert_eq!(pair.a.count("*crash*"), 0, "{}", pair.a.tail(30));
}

/// The daemon goes on without it, and leaves it as it is.
fn a_file_that_is_not_safe() {
    let net = Net::new();
    let text = host(1, &line(&net), "", "");
    let path = file(&net);
    for (octets, mode, why) in [
        (&b""[..], 0o644, "*user 0 and others may read or write it (mode 0644)*"),
        (b"something else\n", 0o600, "*a file that holds something else has this name*"),
    ] {
        std::fs::write(&path, octets).expect("the file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("its mode");
        let mut daemon = Daemon::start(&net, &net.a, &text);
        daemon.expect(&format!("warn   state-file: {why}: after a crash tunnels begin anew"));
        daemon.expect("debug l2tpd start");
        daemon.stop();
        assert_eq!(std::fs::read(&path).expect("the file"), octets);
        std::fs::remove_file(&path).expect("the file");
    }
    std::os::unix::fs::symlink("/etc/passwd", &path).expect("a link");
    let mut daemon = Daemon::start(&net, &net.a, &text);
    daemon.expect("warn   state-file: *: after a crash tunnels begin anew");
    daemon.stop();
}
