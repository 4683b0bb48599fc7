//! A machine that sleeps: afterwards CLOCK_BOOTTIME is ahead by that time, CLOCK_MONOTONIC is not. Here the daemon
//! runs inside the test's own program and is moved, while it runs, into a time namespace whose CLOCK_BOOTTIME is an
//! hour ahead. For the daemon that is the same; what the kernel and the network cards do at a resume is not tested.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::net::Net;
use crate::pair::up;
use crate::pair::{host, need_python, python};
use crate::sys::asked_for_programs;
use crate::tests;
use crate::wait::wait_for;

tests!(after_a_sleep_the_peer_is_asked_at_once, data_of_before_a_sleep_does_not_put_it_off);

/// Makes this program a daemon whose machine sleeps for an hour at each SIGALRM, twice at most. The word that
/// follows is the daemon's program, which is not used.
pub const ARGUMENT: &str = "--daemon-that-can-sleep";

const OFFSETS: [&[u8]; 2] = [b"boottime 3600 0\n", b"boottime 7200 0\n"];
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Enters a new time namespace. Nothing but system calls.
extern "C" fn sleep(_: libc::c_int) {
    let Some(offset) = OFFSETS.get(NEXT.fetch_add(1, Ordering::Relaxed)) else { return };
    let open = |path: &std::ffi::CStr, flags| {
        // SAFETY: a terminated string.
        unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC) }
    };
    // SAFETY: all of these are system calls; the pointers are those of `offset`; errno is put back.
    unsafe {
        let saved = *libc::__errno_location();
        libc::unshare(libc::CLONE_NEWTIME);
        let file = open(c"/proc/self/timens_offsets", libc::O_WRONLY);
        libc::write(file, offset.as_ptr().cast(), offset.len());
        libc::close(file);
        let namespace = open(c"/proc/self/ns/time_for_children", libc::O_RDONLY);
        libc::setns(namespace, libc::CLONE_NEWTIME);
        libc::close(namespace);
        *libc::__errno_location() = saved;
    }
}

/// The daemon, in a process that has no other thread (only such a one can enter a time namespace).
pub fn daemon(arguments: impl Iterator<Item = String>) -> i32 {
    // SAFETY: the handler does nothing that a handler must not do.
    unsafe { libc::signal(libc::SIGALRM, sleep as extern "C" fn(libc::c_int) as libc::sighandler_t) };
    l2tpd::daemon::start::main(arguments)
}

/// Daemons with a HELLO each minute, or none; the first one's machine can sleep.
fn pair(net: &Net, top: &str) -> (Daemon, Daemon) {
    need_python();
    let status = std::process::Command::new("unshare").args(["-T", "--boottime", "3600", "true"]).status();
    if !status.is_ok_and(|status| status.success()) {
        crate::runner::skip(
            "no time namespaces with another time: the kernel has none, or a container forbids it",
        );
    }
    // Lest frames of the systems themselves find that the peer is gone, or there.
    for name in [&net.a, &net.b] {
        net.exec(name, &["sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"]);
    }
    let mut b = Daemon::start(net, &net.b, &passive());
    b.expect("debug l2tpd start");
    let program = std::env::current_exe().expect("this program");
    let before = [program.to_str().expect("path"), ARGUMENT];
    // Its handler makes calls that no daemon makes, as root.
    let top = format!("seccomp off\nuser root\n{top}");
    // Probes of the path are HELLOs, too.
    let active = host(1, &top, "  role active\n  hello-interval 60\n  retry 3\n  mtu-probing off\n", "");
    let mut a = Daemon::start_under(net, &net.a, &active, &before, &[]);
    up(&mut a, 1);
    (a, b)
}

fn passive() -> String {
    host(2, "", "  role passive\n  hello-interval none\n", "")
}

/// A peer that still knows us keeps its tunnel; one that was restarted meanwhile gets a new one at once.
fn after_a_sleep_the_peer_is_asked_at_once() {
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "");
    let uptime = |daemon: &Daemon| python(&daemon.ctl_ok(&["--json", "status"]), "int(v['uptime'] / 3600)");
    assert_eq!(uptime(&a), "0");
    a.signal(libc::SIGALRM);
    a.expect("debug [*] send HELLO");
    a.expect("debug [*] receive Explicit ACK");
    assert_eq!(uptime(&a), "1", "the machine has slept for an hour");
    assert_eq!(a.count("*send HELLO"), 1, "one is enough");
    assert_eq!(a.count("*send control packet(2): HELLO"), 0, "it was acknowledged");
    b.kill();
    let mut b = Daemon::start(&net, &net.b, &passive());
    b.expect("debug l2tpd start");
    let start = Instant::now();
    a.signal(libc::SIGALRM);
    a.expect("error failed to send control message. tunnel shutdown");
    up(&mut a, 2);
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert_eq!(a.count("*send control packet(*): HELLO"), 5, "with all its retransmissions");
    assert_eq!(uptime(&a), "2");
    for (number, name) in [(1, &net.a), (2, &net.b)] {
        net.batch(name, &format!("addr replace 10.9.9.{number}/24 dev l0\n"));
    }
    net.ping(&net.a, "10.9.9.2", 56);
    a.stop();
    b.stop();
}

/// The programs in the kernel received data just before the machine fell asleep.
fn data_of_before_a_sleep_does_not_put_it_off() {
    if asked_for_programs(1, true).is_err() {
        crate::runner::skip("the kernel takes no programs from us, or is older than 6.6");
    }
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "data-plane bpf\n");
    a.expect("info   l0: bpf carries the frames");
    net.batch(&net.b, "addr add 10.9.9.2/24 dev l0\n");
    let received = || {
        python(&a.ctl_ok(&["--json", "status"]), "v['tunnels'][0]['sessions'][0]['counters']['rx_frames']")
    };
    let before = received();
    wait_for("a frame comes", || {
        // Nobody answers, so that no frames follow later.
        net.try_exec(&net.b, &["ping", "-n", "-b", "-c", "1", "-W", "0.1", "10.9.9.255"]);
        (received() != before).then_some(())
    });
    let start = Instant::now();
    a.signal(libc::SIGALRM);
    a.expect("debug [*] send HELLO");
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    a.stop();
    b.stop();
}
