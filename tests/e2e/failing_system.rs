//! What the system refuses to a daemon that runs: random octets, memory, the wait of the event loop. Each test names the
//! messages of the catalogue (M-...) that it causes.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::net::{have, run, Net};
use crate::pair::wait_for;
use crate::peer::*;
use crate::runner::skip;
use crate::start_refused::OWN_DEV;
use crate::sys::is_same;
use crate::tests;
use crate::wait::PATIENCE;

tests!(
    no_random_source_later,
    set_up_without_descriptors,
    event_loop_fails,
    packet_cannot_be_built,
    socket_that_cannot_receive,
);

/// While it lives, a running daemon can read nothing from /dev/urandom: strace makes the calls fail.
struct NoRandomSource(Child);

impl NoRandomSource {
    fn of(daemon: &Daemon) -> NoRandomSource {
        if !have("strace") {
            skip("strace is not installed");
        }
        let pid = daemon.pid().to_string();
        // By the name that strace sees, which in a chroot is another one.
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("descriptors").flatten();
        let source = open
            .map(|entry| entry.path())
            .find(|fd| std::fs::metadata(fd).is_ok() && is_same(&fd.display().to_string(), "/dev/urandom"))
            .and_then(|fd| std::fs::read_link(fd).ok())
            .expect("the device is open");
        let strace = Command::new("strace")
            .args(["-qq", "-o", "/dev/null", "-e", "trace=read", "-P"])
            .arg(source)
            .args(["-e", "inject=read:error=EIO", "-p", &pid])
            .spawn()
            .expect("strace");
        let guard = NoRandomSource(strace);
        wait_for("strace", || {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
            (!status.contains("TracerPid:\t0\n")).then_some(())
        });
        guard
    }
}

impl Drop for NoRandomSource {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The device is opened once: taken away, it goes on giving octets, and without a free descriptor tunnels come up.
fn set_up_without_descriptors() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    // Root without CAP_SYS_RESOURCE can only limit processes of its own.
    let text = format!("user root\n{}", config("  role passive\n", SESSION));
    let mut daemon = Daemon::start_under(&net, &net.a, &text, &OWN_DEV, &[]);
    daemon.expect("debug l2tpd start");
    let pid = daemon.pid().to_string();
    run(&["nsenter", "-t", &pid, "-m", "-r", "umount", "-l", "/dev/urandom"]);
    run(&["nsenter", "-t", &pid, "-m", "-r", "rm", "/dev/urandom"]);
    run(&["prlimit", "--pid", &pid, "--nofile=1:"]);
    peer.connect();
    let icrq = peer.icrq("end1");
    peer.send(&icrq);
    peer.expect(ICRP);
    assert_eq!(daemon.count("*Too many open files*"), 0, "{}", daemon.tail(20));
}

/// M-001 while running: no tunnel is made without random numbers, those that are there stay. C-096 C-143 C-236
fn no_random_source_later() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let text = config("  role passive\n", SESSION);
    let mut daemon = Daemon::start_under(&net, &net.a, &text, &OWN_DEV, &[]);
    daemon.expect("debug l2tpd start");
    peer.connect();
    let (remote, ns, nr, ccid) = (peer.remote, peer.ns, peer.nr, peer.ccid);
    let _failing = NoRandomSource::of(&daemon);
    peer.restart(0x4444_0001);
    peer.send(&peer.set_up(SCCRQ));
    daemon.expect("error /dev/urandom open error: *");
    peer.expect_silence(Duration::from_millis(250));
    (peer.remote, peer.ns, peer.nr, peer.ccid) = (remote, ns, nr, ccid);
    peer.send(&Out::new(HELLO));
    peer.expect_ack();
}

/// M-024: strace makes the wait of the event loop fail. The daemon ends as on a signal, with status 1.
fn event_loop_fails() {
    if !have("strace") {
        skip("strace is not installed");
    }
    let (_net, mut daemon, _peer) = established("  hello-interval 1\n", SESSION);
    let pid = daemon.pid().to_string();
    let mut strace = Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "-e", "trace=epoll_wait,epoll_pwait,epoll_pwait2"])
        .args(["-e", "inject=epoll_wait,epoll_pwait,epoll_pwait2:error=EBADF:when=1+", "-p", &pid])
        .spawn()
        .expect("strace");
    let seen = daemon.sees("error select error: *", PATIENCE);
    let _ = strace.kill();
    let _ = strace.wait();
    assert!(seen, "{}", daemon.tail(10));
    daemon.expect("info cleanup resources...");
    let status = daemon.wait_exit();
    assert_eq!(status.code(), Some(1));
}

/// M-011: an AVP is to be hidden, but there are no random octets for it. C-191
fn packet_cannot_be_built() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    peer.secret = Some(b"secret".to_vec());
    let text = config("  role passive\n  password secret\n  hidden on\n", SESSION);
    let mut daemon = Daemon::start_under(&net, &net.a, &text, &OWN_DEV, &[]);
    daemon.expect("debug l2tpd start");
    peer.connect();
    let _failing = NoRandomSource::of(&daemon);
    daemon.ctl_ok(&["clear", "tunnel", "t1"]);
    daemon.expect_all(&["error /dev/urandom open error: *", "error failed to new_packet"]);
}

/// M-014: strace makes one receive call fail as on a system without memory. The tunnel goes on.
fn socket_that_cannot_receive() {
    if !have("strace") {
        skip("strace is not installed");
    }
    let (_net, mut daemon, mut peer) = established("", SESSION);
    let pid = daemon.pid().to_string();
    let mut strace = Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "-e", "trace=recvmmsg"])
        .args(["-e", "inject=recvmmsg:error=ENOMEM:when=1", "-p", &pid])
        .spawn()
        .expect("strace");
    let deadline = Instant::now() + PATIENCE;
    while daemon.count("error failed to recvfrom: *") == 0 {
        assert!(Instant::now() < deadline, "{}", daemon.tail(10));
        peer.send(&Out::new(HELLO));
        peer.expect_ack();
    }
    let _ = strace.kill();
    let _ = strace.wait();
    daemon.expect("error failed to recvfrom: Cannot allocate memory*");
    daemon.expect("error   IP protocol 115 on 192.0.2.1");
    assert_eq!(daemon.count("*failed to send control*"), 0, "the tunnel goes on");
}
