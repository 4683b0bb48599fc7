//! What the system does to a daemon that runs, and to one that starts: no syslog, a log that nobody reads, name servers
//! that do not answer, no descriptors, no buffers, stopped and killed at any step. Nothing of it stops what it does not
//! concern, and all of it comes back by itself.

use std::io::{Read, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::daemon::{write_config, Daemon};
use crate::net::{have, run, Net};
use crate::pair::{established, host, pair, pair_of, passes_again, up, Flood};
use crate::peer::{config, Out, Peer, HELLO, SESSION};
use crate::runner::{note, skip};
use crate::start::{in_background, log_socket, LOG_SOCKET};
use crate::sys::in_netns;
use crate::tests;
use crate::wait::{wait_for, wait_until, PATIENCE};

tests!(
    syslog_goes_and_returns,
    syslog_that_nobody_reads,
    full_disk_below_the_log,
    log_that_nobody_reads,
    name_server_that_does_not_answer,
    reload_without_descriptors,
    no_buffers,
    stopped_for_longer_than_the_peer_waits,
    interface_is_given_another_name,
    underlay_goes_and_returns,
    starts_at_the_same_time,
    killed_at_any_step_of_the_start,
    killed_at_any_step_of_a_set_up,
);

/// A tunnel that the peer begins.
fn passive() -> String {
    config("  role passive\n", SESSION)
}

/// No answer may take so long that somebody waits for something else meanwhile.
const SOON: Duration = Duration::from_secs(30);

/// The next line that came to syslog.
fn line(syslog: &UnixDatagram) -> Option<String> {
    let mut buffer = [0; 4096];
    syslog.set_read_timeout(Some(Duration::from_millis(100))).expect("time-out");
    let length = syslog.recv(&mut buffer).ok()?;
    Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// Syslog is stopped, and another one is started at the same place: lines come to it, and how many went astray.
fn syslog_goes_and_returns() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let first = log_socket(&net);
    let script = format!("{LOG_SOCKET} exec \"$@\"");
    let (status, stderr) = in_background(&net, &script, "debug", &passive());
    assert_eq!(status, Some(0), "{stderr}");
    wait_for("the start", || line(&first).filter(|text| text.contains("l2tpd start")));
    drop(first);
    std::fs::remove_file(net.dir.join("log")).expect("the socket's name");
    let begun = Instant::now();
    peer.connect();
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    let again = log_socket(&net);
    // It looks for syslog every few seconds, when there is something to be logged.
    wait_for("a line", || {
        peer.send(&Out::new(HELLO));
        peer.expect_ack();
        std::iter::from_fn(|| line(&again)).find(|text| text.contains("lines of the log were lost"))
    });
}

/// It is there, but takes nothing.
fn syslog_that_nobody_reads() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let syslog = log_socket(&net);
    let script = format!("{LOG_SOCKET} exec \"$@\"");
    let (status, stderr) = in_background(&net, &script, "debug", &passive());
    assert_eq!(status, Some(0), "{stderr}");
    let begun = Instant::now();
    peer.connect();
    for _ in 0..50 {
        peer.send(&Out::new(HELLO));
        peer.expect_ack();
    }
    peer.call("end1");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    // What waited comes when it is read again, to the last line.
    let newest = "receive ICCN, state --> ESTABLISHED";
    wait_for("the newest line", || line(&syslog).filter(|text| text.contains(newest)));
}

/// The daemon works, as far as its socket and its peer tell: its log goes elsewhere.
fn works_without_its_log(net: &Net, before: &[&str]) -> (Daemon, Peer) {
    let mut peer = Peer::new(net);
    let daemon = Daemon::start_under(net, &net.a, &passive(), before, &[]);
    wait_until(|| daemon.ctl(&["log"]).status.success(), || "it does not answer".to_owned());
    peer.connect();
    peer.call("end1");
    // More lines than any pipe holds.
    let begun = Instant::now();
    for _ in 0..1500 {
        peer.send(&Out::new(HELLO));
        peer.expect_ack();
    }
    let took = begun.elapsed();
    note(format!("1500 HELLOs acknowledged in {took:.1?} while nothing takes the log"));
    assert!(daemon.ctl_ok(&["log"]).contains("receive ICCN"), "the log in memory");
    let used = daemon.cpu_seconds();
    std::thread::sleep(Duration::from_millis(500)); // only in time it is seen whether it spins
    assert!(daemon.cpu_seconds() - used < 0.2, "it spins");
    (daemon, peer)
}

fn full_disk_below_the_log() {
    let net = Net::new();
    let (mut daemon, _peer) = works_without_its_log(&net, &["sh", "-c", "exec \"$@\" 2>/dev/full", "sh"]);
    daemon.signal(libc::SIGTERM);
    assert_eq!(daemon.wait_exit().code(), Some(0));
}

/// A pipe whose reader stands still. When it goes on, it is told how many lines there were.
fn log_that_nobody_reads() {
    let net = Net::new();
    let fifo = net.dir.join("log");
    let name = fifo.to_str().expect("path");
    run(&["mkfifo", name]);
    let mut reader = std::fs::OpenOptions::new().read(true).write(true).open(&fifo).expect("FIFO");
    // What is left of its room is soon full.
    reader.write_all(&[b'.'; 60_000]).expect("FIFO");
    let script = format!("exec \"$@\" 2>{name}");
    let (daemon, mut peer) = works_without_its_log(&net, &["sh", "-c", &script, "sh"]);
    let mut text = Vec::new();
    let reading = std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while !String::from_utf8_lossy(&text).contains("lines of the log were lost") {
            let length = reader.read(&mut buffer).expect("the log");
            text.extend(&buffer[..length]);
        }
    });
    wait_until(
        || {
            peer.send(&Out::new(HELLO));
            peer.expect_ack();
            reading.is_finished()
        },
        || "nothing is told of lines that were lost".to_owned(),
    );
    reading.join().expect("the reader");
    drop(daemon);
}

/// The name of one peer is looked up in vain: the other tunnel, the admin socket and the end do not wait for it.
fn name_server_that_does_not_answer() {
    let net = Net::new();
    let server = in_netns(&net.b, || UdpSocket::bind("192.0.2.2:53").expect("port 53"));
    server.set_read_timeout(Some(PATIENCE)).expect("time-out");
    let directory = std::path::Path::new("/etc/netns").join(&net.a);
    std::fs::write(directory.join("resolv.conf"), "nameserver 192.0.2.2\noptions timeout:30 attempts:1\n")
        .expect("resolv.conf");
    let named =
        "tunnel named\n  remote-address peer.example\n  remote-hostname any\n  remote-router-id any\n";
    let mut b = Daemon::start(&net, &net.b, &host(2, "", "", ""));
    let mut a = Daemon::start(&net, &net.a, &format!("{}{named}", host(1, "", "", "")));
    server.recv(&mut [0; 512]).expect("the question");
    let begun = Instant::now();
    up(&mut a, 1);
    a.ctl(&["status"]);
    a.ctl_ok(&["reload"]);
    a.stop();
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    b.stop();
}

/// The file cannot even be opened: told, nothing changes, and later it can.
fn reload_without_descriptors() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    // Root without CAP_SYS_RESOURCE can only limit processes of its own.
    let text = format!("user root\n{}", passive());
    let mut daemon = Daemon::start(&net, &net.a, &text);
    daemon.expect("debug l2tpd start");
    peer.connect();
    peer.call("end1");
    let pid = daemon.pid().to_string();
    let second = "tunnel t2\n  encapsulation udp\n  local-address 192.0.2.1\n  remote-address 192.0.2.2\n  \
                  remote-hostname peer\n  remote-router-id 10.0.0.2\n  retry 2\n  retry-interval 0.1\n";
    write_config(&daemon.config, &format!("{text}{second}"));
    let used = |fd: &usize| std::path::Path::new(&format!("/proc/{pid}/fd/{fd}")).exists();
    let free = (0..).find(|fd| !used(fd)).expect("a free descriptor");
    run(&["prlimit", "--pid", &pid, &format!("--nofile={free}:")]);
    daemon.signal(libc::SIGHUP);
    daemon.expect("error   *.conf: Too many open files");
    daemon.expect("warn   the configuration in force is not changed");
    peer.send(&Out::new(HELLO));
    peer.expect_ack();
    run(&["prlimit", "--pid", &pid, "--nofile=1024:"]);
    daemon.signal(libc::SIGHUP);
    daemon.expect("info send SCCRQ, state --> WAIT-CTL-REPLY");
}

/// strace, which makes calls of a running daemon fail or end it.
struct Tracer(Child);

impl Tracer {
    fn of(daemon: &Daemon, calls: &str, what: &str) -> Tracer {
        if !have("strace") {
            skip("strace is not installed");
        }
        let pid = daemon.pid().to_string();
        let inject = format!("inject={calls}:{what}");
        let strace = Command::new("strace")
            .args(["-qq", "-o", "/dev/null", "-e", &format!("trace={calls}"), "-e", &inject, "-p", &pid])
            .stderr(Stdio::null())
            .spawn()
            .expect("strace");
        wait_for("strace", || {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
            (!status.contains("TracerPid:\t0\n")).then_some(())
        });
        Tracer(strace)
    }

    fn end(mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// ENOBUFS for all that is sent: nothing spins, no tunnel ends before its time, and it goes on when there are buffers.
fn no_buffers() {
    let mut net = Net::new();
    // What found no buffer was never on the cable.
    net.unrecorded();
    let slow = "  retry 10\n  retry-interval 1\n";
    let (mut a, mut b) = pair(&net, slow, "");
    let tracer = Tracer::of(&a, "sendmmsg", "error=ENOBUFS");
    let used = a.cpu_seconds();
    let begun = Instant::now();
    // Frames, and HELLOs and what acknowledges those of the peer.
    while begun.elapsed() < Duration::from_secs(3) {
        net.answers(&net.a, "10.9.9.2");
    }
    let used = a.cpu_seconds() - used;
    assert!(used < 1.5, "{used} s of processor time in 3 s");
    tracer.end();
    passes_again(&net);
    assert_eq!(a.count("*tunnel shutdown*"), 0, "{}", a.tail(30));
    let counters = a.ctl_ok(&["counters"]);
    assert!(counters.contains("tx_"), "{counters}");
    a.stop();
    b.stop();
}

/// SIGSTOP until the peer has given up, then SIGCONT: both ends find together again.
fn stopped_for_longer_than_the_peer_waits() {
    let net = Net::new();
    // One end gives up soon, the other one does not: neither while its peer stands still for a moment.
    let patient = host(1, "", "  retry 10\n  retry-interval 1\n", "");
    let (mut a, mut b) = pair_of(&net, &patient, &host(2, "", "  retry 3\n", ""));
    a.signal(libc::SIGSTOP);
    b.expect("error failed to send control message. tunnel shutdown");
    let before = established(&a);
    a.signal(libc::SIGCONT);
    wait_until(|| established(&a) > before, || format!("not up:\n{}", a.tail(30)));
    passes_again(&net);
    // And for so short a time that nobody noticed.
    let flood = Flood::start(&net, 1);
    b.signal(libc::SIGSTOP);
    net.answers(&net.a, "192.0.2.2");
    b.signal(libc::SIGCONT);
    flood.lost_nothing();
    a.stop();
    b.stop();
}

/// The daemon works with the interface itself, whatever its name is.
fn interface_is_given_another_name() {
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "", "");
    net.batch(&net.a, "link set l0 down\nlink set l0 name other\nlink set other up\n");
    passes_again(&net);
    net.batch(&net.a, "link set other down\nlink set other name l0\nlink set l0 up\n");
    passes_again(&net);
    assert_eq!(a.count("*was deleted*"), 0, "{}", a.tail(20));
    a.ctl_ok(&["clear", "all"]);
    up(&mut a, 2);
    passes_again(&net);
    a.stop();
    b.stop();
}

/// The cable is gone, both its ends, until both daemons have given up; then there is another one.
fn underlay_goes_and_returns() {
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "", "");
    net.batch(&net.a, "link del wire\n");
    a.expect("info   tunnel t waits: no route to 192.0.2.2: *");
    b.expect("info   tunnel t waits: no route to 192.0.2.1: *");
    let (a_before, b_before) = (established(&a), established(&b));
    run(&[
        "ip", "-n", &net.a, "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", &net.b,
    ]);
    net.batch(&net.a, "link set wire up\naddr add 192.0.2.1/24 dev wire\n");
    net.batch(&net.b, "link set wire up\naddr add 192.0.2.2/24 dev wire\n");
    let both = || established(&a) > a_before && established(&b) > b_before;
    wait_until(both, || format!("not up:\n{}", a.tail(30)));
    passes_again(&net);
    a.stop();
    b.stop();
}

/// Of several starts one succeeds: where a pid file decides, and where only the admin socket does.
fn starts_at_the_same_time() {
    let net = Net::new();
    let text = passive();
    for pid_file in [net.dir.join("one.pid").to_str().expect("path"), "none"] {
        for _ in 0..5 {
            let start = |_| Daemon::start_under(&net, &net.a, &text, &[], &["-p", pid_file]);
            let mut daemons: Vec<Daemon> = (0..6).map(start).collect();
            let over = |daemon: &Daemon| {
                daemon.count("debug l2tpd start") + daemon.count("error l2tpd initialization failed") > 0
            };
            wait_until(|| daemons.iter().all(over), || "they neither start nor fail".to_owned());
            let mut running: Vec<Daemon> = Vec::new();
            while let Some(daemon) = daemons.pop() {
                if daemon.count("debug l2tpd start") > 0 {
                    running.push(daemon);
                }
            }
            assert_eq!(running.len(), 1, "with pid file {pid_file}");
            running[0].ctl_ok(&["status"]);
            running[0].stop();
        }
    }
}

/// Calls that leave something behind, or are followed by such.
const STEPS: [&str; 18] = [
    "openat",
    "flock",
    "ftruncate",
    "write",
    "socket",
    "bind",
    "setsockopt",
    "listen",
    "ioctl",
    "unlink",
    "fchmod",
    "clone",
    "socketpair",
    "epoll_ctl",
    "prctl",
    "setresuid",
    "capset",
    "seccomp",
];

/// Killed at the first, second, third ... call of each kind: the next start finds what that left behind, and the last
/// one succeeds.
fn killed_at_any_step_of_the_start() {
    if !have("strace") {
        skip("strace is not installed");
    }
    let net = Net::new();
    let text = host(1, "", "  role passive\n  on-event /bin/true\n", "");
    let mut kills = 0;
    for call in STEPS {
        for number in 1.. {
            let inject = format!("inject={call}:signal=KILL:when={number}");
            let trace = format!("trace={call}");
            let before = ["strace", "-D", "-qq", "-o/dev/null", "-e", &trace, "-e", &inject, "--"];
            let mut daemon = Daemon::start_under(&net, &net.a, &text, &before, &[]);
            let started = daemon.sees("debug l2tpd start", Duration::from_secs(20));
            if started {
                daemon.kill();
                break;
            }
            let status = daemon.wait_exit();
            assert_eq!(status.signal(), Some(libc::SIGKILL), "{call} {number}: {}", daemon.tail(10));
            kills += 1;
            assert!(number < 200, "{call} without an end");
        }
    }
    note(format!("killed at {kills} steps of the start"));
    assert!(kills > 60, "{kills} kills");
    let mut daemon = Daemon::start(&net, &net.a, &text);
    daemon.expect("debug l2tpd start");
    daemon.ctl_ok(&["status"]);
    daemon.stop();
}

/// Killed when it sends its first, second, third ... message; the peer's end stays. What is started then is up soon.
fn killed_at_any_step_of_a_set_up() {
    if !have("strace") {
        skip("strace is not installed");
    }
    let net = Net::new();
    let mut b = Daemon::start(&net, &net.b, &host(2, "", "  password x\n", ""));
    b.expect("debug l2tpd start");
    let text = host(1, "", "  password x\n", "");
    let mut slowest = Duration::ZERO;
    for number in 1..=6 {
        let inject = format!("inject=sendmmsg:signal=KILL:when={number}");
        let before = ["strace", "-D", "-qq", "-o/dev/null", "-e", "trace=sendmmsg", "-e", &inject, "--"];
        let mut a = Daemon::start_under(&net, &net.a, &text, &before, &[]);
        assert_eq!(a.wait_exit().signal(), Some(libc::SIGKILL), "message {number}: {}", a.tail(10));
        let before = established(&b);
        let begun = Instant::now();
        let mut a = Daemon::start(&net, &net.a, &text);
        let both = || established(&a) > 0 && established(&b) > before;
        wait_until(both, || format!("after message {number}:\n{}\n--\n{}", a.tail(30), b.tail(30)));
        slowest = slowest.max(begun.elapsed());
        a.kill();
    }
    note(format!("killed at each of 6 messages of a set-up: up again after {slowest:.1?} at most"));
    b.stop();
}
