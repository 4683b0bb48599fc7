//! Starts that fail, and what the daemon says then. Each test names the messages of the catalogue (M-...) that it causes.

use crate::daemon::Daemon;
use crate::net::Net;
use crate::peer::*;
use crate::tests;

tests!(
    no_configuration_file,
    no_pid_file,
    second_daemon,
    no_raw_sockets,
    no_random_source_at_start,
    no_memory_for_the_log,
);

/// A daemon that must not start: its exit status is 1, and the last line says why it ended.
#[track_caller]
pub fn does_not_start(daemon: &mut Daemon, line: &str) {
    let status = daemon.wait_exit();
    daemon.expect(line);
    assert_eq!(status.code(), Some(1), "{}", daemon.tail(10));
    let lines = daemon.lines();
    assert_eq!(lines.last().map(String::as_str), Some("error l2tpd initialization failed"));
    assert!(!daemon.socket.exists(), "the admin socket is left behind");
}

/// M-006 M-021
fn no_configuration_file() {
    let net = Net::new();
    let mut daemon = Daemon::start_under(&net, &net.a, "", &[], &["-c", "/nonexistent/l2tpd.conf"]);
    does_not_start(&mut daemon, "error Can't open config file");
    // While running: the file vanishes before a reload. Nothing changes.
    let mut peer = Peer::new(&net);
    let mut daemon = Daemon::start(&net, &net.a, &config("  role passive\n", SESSION));
    daemon.expect("debug l2tpd start");
    peer.connect();
    std::fs::remove_file(&daemon.config).expect("remove");
    daemon.signal(libc::SIGHUP);
    daemon.expect("info Received 1 signal");
    daemon.expect("error Can't open config file");
    peer.send(&Out::new(HELLO));
    peer.expect_ack();
}

/// M-005 M-021
fn no_pid_file() {
    let net = Net::new();
    let mut daemon =
        Daemon::start_under(&net, &net.a, &config("", SESSION), &[], &["-p", "/nonexistent/l2tpd.pid"]);
    does_not_start(&mut daemon, "error Can't create pid file");
}

/// M-005: the pid file of a living daemon is not taken away from it; that of a dead one is no hindrance.
fn second_daemon() {
    let net = Net::new();
    let mut first = Daemon::start(&net, &net.a, &config("", SESSION));
    first.expect("debug l2tpd start");
    let mut second = Daemon::start(&net, &net.a, &config("", SESSION));
    let status = second.wait_exit();
    second.expect("error Can't create pid file");
    assert_eq!(status.code(), Some(1));
    first.ctl_ok(&["status"]); // its socket was not taken away either
    assert!(first.pid_file.exists());
    first.kill();
    let mut third = Daemon::start(&net, &net.a, &config("", SESSION));
    third.expect("debug l2tpd start");
    third.ctl_ok(&["status"]);
    let pid = std::fs::read_to_string(&third.pid_file).expect("pid file");
    assert_eq!(pid.trim(), third.pid().to_string());
    third.stop();
}

/// M-017 M-021: C-001
fn no_raw_sockets() {
    let net = Net::new();
    let before = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"];
    let mut daemon = Daemon::start_under(&net, &net.a, &config("", SESSION), &before, &[]);
    does_not_start(&mut daemon, "error failed to socket: *Operation not permitted*");
}

/// M-001 M-021: C-361
fn no_random_source_at_start() {
    let net = Net::new();
    let before = ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /dev; exec \"$@\"", "sh"];
    let mut daemon = Daemon::start_under(&net, &net.a, &config("", SESSION), &before, &[]);
    does_not_start(&mut daemon, "error /dev/urandom open error: *No such file or directory*");
}

/// A command that starts the daemon with a /dev of its own, from which things can be taken.
pub const OWN_DEV: [&str; 6] = [
    "unshare",
    "-m",
    "sh",
    "-c",
    "mount --rbind /dev /mnt; mount -t tmpfs none /dev; mkdir /dev/net; \
     for f in null urandom net/tun; do : > /dev/$f; mount --bind /mnt/$f /dev/$f; done; exec \"$@\"",
    "sh",
];

/// M-022 M-021: C-364
fn no_memory_for_the_log() {
    let net = Net::new();
    let text = format!("log-buffer 99999999999999\n{}", config("", SESSION));
    let mut daemon = Daemon::start(&net, &net.a, &text);
    does_not_start(&mut daemon, "error malloc error: *");
}
