//! `l2tpctl restart`: another program goes on with tunnels and frames, or nothing happens.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crate::daemon::{client, program, write_config, Daemon, PATIENCE};
use crate::net::{stderr, Net};
use crate::pair::{host, pair_of, up, wait_until};
use crate::runner::{is_long, note};
use crate::sys::{self, in_netns};
use crate::tests;

tests!(
    nothing_is_lost_in_ten_restarts,
    a_hundred_sessions_go_on,
    a_user_without_rights_is_replaced_as_well,
    who_keeps_the_pid_passes_signals_on,
    in_the_background_the_pid_file_tells,
    a_service_manager_is_told,
    the_configuration_of_then_is_in_force,
);

/// Restarts; what `l2tpctl` says of it.
#[track_caller]
pub fn restart(daemon: &Daemon) -> String {
    let output = daemon.ctl(&["restart"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}\n{}", stderr(&output), daemon.tail(20));
    text
}

/// The milliseconds that frames waited.
fn waited(text: &str) -> f64 {
    let number = text.split("waited for ").nth(1).and_then(|rest| rest.split(' ').next());
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

/// The process that serves now.
pub fn process(daemon: &Daemon) -> u32 {
    let text = daemon.ctl_ok(&["status"]);
    let number =
        text.split(": process ").nth(1).and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

/// A ping flood that must all be answered, as fast as answers come and at least 500 a second.
pub fn flood(net: &Net, seconds: u32) -> std::process::Child {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &net.a, "ping", "-n", "-q", "-i", "0.002", "-W", "3", "-c"]);
    command.args([&(500 * seconds).to_string(), "10.9.9.2"]);
    command.stdout(Stdio::piped()).spawn().expect("ping")
}

/// All are answered; the longest that one took, in milliseconds.
#[track_caller]
pub fn lost_nothing(flood: std::process::Child) -> f64 {
    let output = flood.wait_with_output().expect("ping");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains(" 0% packet loss"), "frames were lost: {text}");
    // rtt min/avg/max/mdev = 0.1/0.2/0.3/0.4 ms
    let longest = text.lines().last().and_then(|line| line.split('/').nth(5)).and_then(|n| n.parse().ok());
    longest.unwrap_or_else(|| panic!("{text}"))
}

/// TCP through the tunnel.
struct Transfer {
    enough: Arc<AtomicBool>,
    /// The octets that were sent.
    sender: JoinHandle<usize>,
    /// Those that came.
    receiver: JoinHandle<usize>,
    begin: Instant,
}

impl Transfer {
    /// Sends at least so many octets, and until it is ended.
    fn start(net: &Net, least: usize) -> Transfer {
        let address: SocketAddr = "10.9.9.2:5001".parse().expect("address");
        let listener = in_netns(&net.b, || TcpListener::bind(address).expect("bind"));
        let connect = || TcpStream::connect_timeout(&address, PATIENCE).expect("TCP");
        let mut stream = in_netns(&net.a, connect);
        let (mut peer, _) = listener.accept().expect("accept");
        let receiver = std::thread::spawn(move || {
            let (mut got, mut room) = (0, vec![0; 1 << 16]);
            loop {
                match peer.read(&mut room).expect("read") {
                    0 => return got,
                    count => got += count,
                }
            }
        });
        let enough = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&enough);
        let sender = std::thread::spawn(move || {
            let (piece, mut sent) = (vec![7; 1 << 16], 0);
            while sent < least || !ended.load(Ordering::Relaxed) {
                sent += stream.write(&piece).expect("write");
            }
            sent
        });
        Transfer { enough, sender, receiver, begin: Instant::now() }
    }

    /// Everything came; how much it was, and how long it took.
    fn end(self) -> String {
        self.enough.store(true, Ordering::Relaxed);
        let sent = self.sender.join().expect("sender");
        assert_eq!(self.receiver.join().expect("receiver"), sent);
        format!("{} MB by TCP in {:.1?}", sent / 1_000_000, self.begin.elapsed())
    }
}

fn nothing_is_lost_in_ten_restarts() {
    let mut net = Net::new();
    net.unrecorded();
    let sequencing = "    l2-sublayer default\n    sequencing both\n    cookie 8\n";
    let text = |number| host(number, "", "  password secret\n  hidden on\n", sequencing);
    let (mut a, mut b) = pair_of(&net, &text(1), &text(2));
    // On a busy machine TCP fills the queue of an interface, and what does not fit is lost.
    for netns in [&net.a, &net.b] {
        net.batch(netns, "link set l0 txqueuelen 10000\n");
    }
    let before = a.ctl_ok(&["--json", "status"]);
    let least = if is_long() { 1_000_000_000 } else { 100_000_000 };
    let (flood, transfer) = (flood(&net, 10), Transfer::start(&net, least));
    let mut longest: f64 = 0.0;
    let mut processes = vec![process(&a)];
    for turn in 0..10 {
        let text = restart(if turn % 2 == 0 { &a } else { &b });
        longest = longest.max(waited(&text));
        processes.push(process(&a));
    }
    let (transfer, ping) = (transfer.end(), lost_nothing(flood));
    note(format!(
        "10 restarts: frames waited for {longest} ms at most; {transfer} meanwhile, no ping lost, the longest {ping} ms"
    ));
    processes.dedup();
    assert_eq!(processes.len(), 6, "{processes:?}");
    assert_eq!((crate::pair::established(&a), crate::pair::established(&b)), (1, 1), "{}", a.tail(20));
    let after = a.ctl_ok(&["--json", "status"]);
    for name in
        ["local_tunnel_id", "remote_tunnel_id", "local_session_id", "remote_session_id", "local_cookie"]
    {
        let field = format!("\"{name}\":");
        let of =
            |text: &str| text.split(&field).nth(1).and_then(|rest| rest.split(',').next().map(str::to_owned));
        assert!(of(&before).is_some(), "{name}: {before}");
        assert_eq!(of(&before), of(&after), "{name}");
    }
    a.stop();
    b.stop();
}

/// What a process has open, and the octets of its memory.
fn weight(pid: u32) -> (usize, usize) {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("descriptors").count();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kilobytes = line.split_whitespace().next().and_then(|n| n.parse::<usize>().ok());
    (open, 1024 * kilobytes.unwrap_or_else(|| panic!("{status}")))
}

/// The processes of a daemon: the first one, the one that serves, and what they have started, dead ones that nobody has waited
/// for among them.
fn processes(daemon: &Daemon) -> usize {
    let all = std::fs::read_dir("/proc").expect("processes").flatten();
    let stats = all.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let parents: Vec<(u32, u32)> = stats.filter_map(|stat| ids(&stat)).collect();
    let mut found = vec![daemon.pid(), process(daemon)];
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    found.len()
}

/// A process and its parent, as its `stat` tells them.
fn ids(stat: &str) -> Option<(u32, u32)> {
    let (first, rest) = stat.rsplit_once(") ")?;
    Some((first.split(' ').next()?.parse().ok()?, rest.split(' ').nth(1)?.parse().ok()?))
}

/// Twenty restarts with a hundred sessions: what frames wait for, and that nothing piles up.
fn a_hundred_sessions_go_on() {
    let mut net = Net::new();
    net.unrecorded();
    let more: String = (1..100).map(|n| format!("  session l{n}\n    remote-end-id e{n}\n")).collect();
    let [one, two] = [1, 2].map(|number| host(number, "", "", "") + &more);
    let mut b = Daemon::start(&net, &net.b, &two);
    b.expect("debug l2tpd start");
    let mut a = Daemon::start(&net, &net.a, &one);
    up(&mut a, 100);
    up(&mut b, 100);
    crate::pair::addresses(&net);
    net.ping(&net.a, "10.9.9.2", 56);
    restart(&a);
    // The one that was started, the one that serves (twice: as its child, too) and its helper for on-event.
    let usual = 4;
    let before = weight(process(&a));
    let flood = flood(&net, 20);
    let mut times: Vec<f64> = (0..20).map(|_| waited(&restart(&a))).collect();
    let after = weight(process(&a));
    let longest = lost_nothing(flood);
    times.sort_by(f64::total_cmp);
    note(format!(
        "20 restarts with 100 sessions: frames waited for {} ms (median; {} to {}), the longest ping took {longest} ms",
        times[10], times[0], times[19]
    ));
    // The client that was asked just now may still be there, or not any more; a leak would be twenty.
    assert!(after.0.abs_diff(before.0) < 10, "descriptors: {before:?} {after:?}");
    assert!(after.1 < before.1 + 4_000_000, "{before:?} {after:?}");
    // Nothing is left of each restart but dead processes that are waited for soon.
    wait_until(|| processes(&a) <= usual, || format!("{} processes, {usual} before", processes(&a)));
    assert_eq!(a.ctl_ok(&["metrics"]).matches("l2tpd_session_up{").count(), 100);
    assert_eq!(a.count("*session-down*"), 0, "{}", a.tail(20));
    a.stop();
    b.stop();
}

fn a_user_without_rights_is_replaced_as_well() {
    let net = Net::new();
    let text = host(1, "user nobody\n", "", "");
    let (mut a, mut b) = pair_of(&net, &text, &host(2, "", "", ""));
    // As for a reload, it has to be able to read the configuration.
    let hand_over = |file: &std::path::Path| {
        std::os::unix::fs::chown(file, None, Some(65534)).expect("the group of nobody");
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o640)).expect("its mode");
    };
    hand_over(&a.config);
    let flood = flood(&net, 3);
    for _ in 0..3 {
        eprint!("{}", restart(&a));
    }
    lost_nothing(flood);
    let status = std::fs::read_to_string(format!("/proc/{}/status", process(&a))).expect("status");
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(
        (field("Uid:"), field("CapEff:"), field("NoNewPrivs:")),
        ("65534".into(), "0000000000003000".into(), "1".into())
    );
    // One filter, not one for each program that there was.
    assert_eq!((field("Seccomp:"), crate::confinement::filters(process(&a))), ("2".into(), 1));
    // It can still make interfaces.
    let second = "    remote-end-id e\n  session l1\n    remote-end-id f\n";
    write_config(&a.config, &host(1, "user nobody\n", "", second));
    hand_over(&a.config);
    restart(&a);
    a.expect("info   tunnel t session l1: added");
    assert!(net.has(&net.a, "l1"), "{}", a.tail(20));
    a.stop();
    b.stop();
}

/// A daemon whose program file can be replaced.
pub fn replaceable(net: &Net) -> (PathBuf, Daemon, Daemon) {
    let file = net.dir.join("l2tpd-installed");
    install(&file, &std::fs::read(program()).expect("program"));
    let mut b = Daemon::start(net, &net.b, &host(2, "", "", ""));
    b.expect("debug l2tpd start");
    let mut a = Daemon::start_program(net, &net.a, &host(1, "", "", ""), &file);
    up(&mut a, 1);
    up(&mut b, 1);
    crate::pair::addresses(net);
    net.ping(&net.a, "10.9.9.2", 56);
    (file, a, b)
}

/// Puts a program in the place of another one, as package managers do. Another process writes it: a child that another
/// test starts meanwhile would inherit our descriptor, and a file that is open for writing is not executed.
pub fn install(file: &Path, octets: &[u8]) {
    let (new, source) = (file.with_extension("new"), file.with_extension("source"));
    std::fs::write(&source, octets).expect("program");
    let copied = Command::new("cp").arg(&source).arg(&new).status().expect("cp");
    assert!(copied.success(), "cp");
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).expect("mode");
    std::fs::rename(&new, file).expect("program");
}

/// In the foreground whoever started the daemon has one process to look after.
fn who_keeps_the_pid_passes_signals_on() {
    let net = Net::new();
    let (mut a, mut b) = pair_of(&net, &host(1, "", "", ""), &host(2, "", "", ""));
    let first = a.pid();
    for _ in 0..3 {
        restart(&a);
    }
    let now = process(&a);
    assert_ne!(now, first);
    a.signal(libc::SIGHUP);
    a.expect("info   the configuration was read again: nothing changed");
    // Nothing of the tunnels is left in the process that only waits.
    let open = std::fs::read_dir(format!("/proc/{first}/fd")).expect("descriptors").count();
    assert!(open <= 8, "{open} descriptors");
    a.signal(libc::SIGTERM);
    assert_eq!(a.wait_exit().code(), Some(0), "{}", a.tail(20));
    assert!(!net.has(&net.a, "l0"), "the interface is gone");
    b.expect("*StopCCN*");
    b.stop();
}

/// In the background the pid file tells which process it is, and keeps its lock.
fn in_the_background_the_pid_file_tells() {
    let net = Net::new();
    let file = net.dir.join("background-a.conf");
    write_config(&file, &host(1, "", "", ""));
    let mut b = Daemon::start(&net, &net.b, &host(2, "", "", ""));
    let [pid_file, socket] = ["pid", "sock"].map(|end| net.dir.join(format!("background.{end}")));
    let start = || {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &net.a, program(), "-c"]).arg(&file);
        command.arg("-p").arg(&pid_file).arg("-s").arg(&socket);
        command.output().expect("l2tpd")
    };
    assert!(start().status.success());
    up(&mut b, 1);
    let ctl = |words: &[&str]| {
        let output = Command::new(client()).arg("-s").arg(&socket).args(words).output().expect("l2tpctl");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output))
    };
    let held = || std::fs::read_to_string(&pid_file).expect("pid file").trim().parse::<i32>().expect("pid");
    let first = held();
    for _ in 0..2 {
        let before = held();
        let (done, text) = ctl(&["restart"]);
        assert!(done, "{text}");
        wait_until(|| held() != before, || format!("the pid file still has {before}"));
        assert!(text.contains(&format!("process {} goes on", held())), "{text}");
    }
    wait_until(|| !Path::new(&format!("/proc/{first}")).exists(), || "the first process stays".to_owned());
    // It is locked still: a second daemon is refused.
    let second = start();
    assert!(
        !second.status.success() && stderr(&second).contains("l2tpd is running already"),
        "{}",
        stderr(&second)
    );
    let last = held();
    sys::kill(last.unsigned_abs(), libc::SIGTERM);
    wait_until(|| !Path::new(&format!("/proc/{last}")).exists(), || "the daemon does not end".to_owned());
    assert_eq!(crate::pair::established(&b), 1);
    b.stop();
}

/// With `NOTIFY_SOCKET` nobody has to keep the pid.
fn a_service_manager_is_told() {
    let net = Net::new();
    let path = net.dir.join("notify");
    let manager = UnixDatagram::bind(&path).expect("socket of the manager");
    manager.set_read_timeout(Some(PATIENCE)).expect("time-out");
    // Whoever the daemon has become writes to it.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).expect("mode");
    let next = || {
        let mut buffer = [0; 1024];
        let length = manager.recv(&mut buffer).expect("a notification");
        String::from_utf8(buffer[..length].to_vec()).expect("text")
    };
    let script =
        format!("export NOTIFY_SOCKET={} WATCHDOG_USEC=200000 WATCHDOG_PID=$$; exec \"$@\"", path.display());
    let text = host(1, "", "", "");
    let mut a = Daemon::start_under(&net, &net.a, &text, &["sh", "-c", &script, "sh"], &[]);
    assert_eq!(next(), "READY=1");
    assert_eq!(next(), "WATCHDOG=1");
    restart(&a);
    let now = process(&a);
    let expected = format!("MAINPID={now}");
    wait_until(|| next() == expected, || "no MAINPID".to_owned());
    // The one before has ended, and this one gives signs of life.
    assert_eq!(a.wait_exit_of_first().code(), Some(0));
    assert_eq!(next(), "WATCHDOG=1");
    sys::kill(now, libc::SIGTERM);
    wait_until(|| next() == "STOPPING=1", || "no STOPPING".to_owned());
    wait_until(|| !Path::new(&format!("/proc/{now}")).exists(), || "it does not end".to_owned());
}

/// The configuration file as it is then is in force, and one with another session makes it.
fn the_configuration_of_then_is_in_force() {
    let net = Net::new();
    let second = "    remote-end-id e\n  session l1\n    remote-end-id f\n";
    let (mut a, mut b) = pair_of(&net, &host(1, "", "", ""), &host(2, "", "", second));
    a.ctl_ok(&["log-level", "info"]);
    write_config(&a.config, &host(1, "", "  hello-interval 7\n", second));
    restart(&a);
    a.expect("info   tunnel t: changed live (hello-interval)");
    a.expect("info   tunnel t session l1: added");
    wait_until(|| crate::pair::established(&b) == 2, || format!("no second session:\n{}", b.tail(20)));
    assert_eq!(b.count("*tunnel-down*"), 0);
    // What the administrator has set holds on, and what was logged is there.
    let log = a.ctl_ok(&["log"]);
    assert!(log.contains("l2tpd start") && log.contains("goes on"), "{log}");
    assert!(a.ctl_ok(&["status"]).contains("log level info"), "{}", a.ctl_ok(&["status"]));
    a.stop();
    b.stop();
}
