//! `l2tpctl restart`: another program goes on with tunnels and frames, or nothing happens.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::daemon::{client, program, write_config, Daemon, PATIENCE};
use crate::net::{stderr, Net};
use crate::pair::{host, pair_of, passes_again, up, wait_until};
use crate::sys::{self, in_netns};
use crate::tests;

tests!(
    nothing_is_lost_in_ten_restarts,
    a_user_without_rights_is_replaced_as_well,
    a_program_that_cannot_take_over_changes_nothing,
    who_keeps_the_pid_passes_signals_on,
    in_the_background_the_pid_file_tells,
    a_service_manager_is_told,
    the_configuration_of_then_is_in_force,
);

/// Restarts; what `l2tpctl` says of it.
#[track_caller]
fn restart(daemon: &Daemon) -> String {
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
fn process(daemon: &Daemon) -> u32 {
    let text = daemon.ctl_ok(&["status"]);
    let number =
        text.split(": process ").nth(1).and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

/// A ping flood that must all be answered, as fast as answers come and at least 500 a second.
fn flood(net: &Net, seconds: u32) -> std::process::Child {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &net.a, "ping", "-n", "-q", "-i", "0.002", "-W", "3", "-c"]);
    command.args([&(500 * seconds).to_string(), "10.9.9.2"]);
    command.stdout(Stdio::piped()).spawn().expect("ping")
}

#[track_caller]
fn lost_nothing(flood: std::process::Child) {
    let output = flood.wait_with_output().expect("ping");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains(" 0% packet loss"), "frames were lost: {text}");
    eprintln!("{}", text.lines().last().unwrap_or_default());
}

/// Sends so many octets through the tunnel by TCP.
fn transfer(net: &Net, octets: usize) -> std::thread::JoinHandle<Duration> {
    let address: SocketAddr = "10.9.9.2:5001".parse().expect("address");
    let listener = in_netns(&net.b, || TcpListener::bind(address).expect("bind"));
    let mut stream =
        in_netns(&net.a, || TcpStream::connect_timeout(&address, Duration::from_secs(5)).expect("TCP"));
    let (mut peer, _) = listener.accept().expect("accept");
    let reader = std::thread::spawn(move || {
        let (mut got, mut room) = (0, vec![0; 1 << 16]);
        while got < octets {
            got += match peer.read(&mut room).expect("read") {
                0 => panic!("{got} of {octets} octets"),
                count => count,
            };
        }
    });
    std::thread::spawn(move || {
        let begin = Instant::now();
        let piece = vec![7; 1 << 16];
        let mut left = octets;
        while left > 0 {
            left -= stream.write(&piece[..left.min(piece.len())]).expect("write");
        }
        reader.join().expect("reader");
        begin.elapsed()
    })
}

fn nothing_is_lost_in_ten_restarts() {
    let mut net = Net::new();
    net.unrecorded();
    let sequencing = "    l2-sublayer default\n    sequencing both\n    cookie 8\n";
    let text = |number| host(number, "", "  password secret\n  hidden on\n", sequencing);
    let (mut a, mut b) = pair_of(&net, &text(1), &text(2));
    let before = a.ctl_ok(&["--json", "status"]);
    let (flood, transfer) = (flood(&net, 10), transfer(&net, 1_000_000_000));
    let mut longest: f64 = 0.0;
    let mut processes = vec![process(&a)];
    for turn in 0..10 {
        let text = restart(if turn % 2 == 0 { &a } else { &b });
        longest = longest.max(waited(&text));
        processes.push(process(&a));
    }
    lost_nothing(flood);
    let time = transfer.join().expect("transfer");
    eprintln!("10 restarts: frames waited for {longest} ms at most; 1 GB by TCP in {time:?}");
    processes.dedup();
    assert_eq!(processes.len(), 6, "{processes:?}");
    assert_eq!((crate::pair::established(&a), crate::pair::established(&b)), (1, 1), "{}", a.tail(20));
    let after = a.ctl_ok(&["--json", "status"]);
    for field in ["\"local_ccid\":", "\"local_cookie\":", "\"remote_id\":"] {
        let of = |text: &str| text.split(field).nth(1).map(|rest| rest.split(',').next().map(str::to_owned));
        assert_eq!(of(&before), of(&after), "{field}");
    }
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
    assert_eq!((field("Seccomp:"), field("Seccomp_filters:")), ("2".into(), "1".into()));
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
fn replaceable(net: &Net) -> (PathBuf, Daemon, Daemon) {
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

/// Puts a program in the place of another one, as package managers do.
fn install(file: &Path, octets: &[u8]) {
    let new = file.with_extension("new");
    std::fs::write(&new, octets).expect("program");
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).expect("mode");
    std::fs::rename(&new, file).expect("program");
}

fn a_program_that_cannot_take_over_changes_nothing() {
    let net = Net::new();
    let (file, mut a, mut b) = replaceable(&net);
    let pid = process(&a);
    let real = std::fs::read(program()).expect("program");
    // Its objects have other names: the tag of one that every state has is another one in its code.
    let cases: [(&str, &[u8], &str); 6] = [
        ("no program", b"exec 2>/dev/null; nonsense\n", "*"),
        ("exits", b"#!/bin/sh\nexit 1\n", "*it ended: exit status: 1*"),
        ("is killed", b"#!/bin/sh\nkill -9 $$\n", "*it ended: signal: 9*"),
        ("an older version", b"#!/bin/sh\nexit 2\n", "*it ended: exit status: 2*"),
        ("hangs", b"#!/bin/sh\nexec sleep 1000\n", "*it has said nothing for 10 s*"),
        ("none", b"", "*"),
    ];
    let flood = flood(&net, 14);
    for (what, octets, why) in cases {
        match octets.is_empty() {
            true => std::fs::remove_file(&file).expect("remove"),
            false => install(&file, octets),
        }
        let output = a.ctl(&["restart"]);
        assert_eq!(output.status.code(), Some(1), "{what}: {}", stderr(&output));
        let line = a.expect("error   restart: everything goes on as before: *");
        assert!(crate::daemon::glob(why, &line), "{what}: {line}");
        assert!(stderr(&output).contains("nobody took over: "), "{what}: {}", stderr(&output));
        assert_eq!(process(&a), pid, "{what}");
    }
    lost_nothing(flood);
    // A file with errors.
    install(&file, &real);
    let good = std::fs::read_to_string(&a.config).expect("configuration");
    write_config(&a.config, "no-such-tag 1\n");
    let output = a.ctl(&["restart"]);
    assert_eq!(output.status.code(), Some(1));
    a.expect("error   restart: everything goes on as before: *no-such-tag: Unknown tag*");
    // And all is well: another program, and the right one.
    write_config(&a.config, &good);
    restart(&a);
    assert_ne!(process(&a), pid);
    passes_again(&net);
    a.stop();
    b.stop();
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
