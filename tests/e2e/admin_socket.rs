//! The admin socket of the real daemon: who may use it, and that no client, however hostile or stuck, delays a
//! tunnel.

use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::daemon::{client, Daemon};
use crate::net::{run, stderr, Net};
use crate::pair::{host, need_python, pair_of, python, Flood};
use crate::peer::*;
use crate::runner::skip;
use crate::tests;
use crate::wait::{wait_for, wait_until, PATIENCE};

tests!(
    stuck_clients_delay_no_tunnel,
    followers_shut_nobody_out,
    cookies_are_for_root,
    mode_and_group_of_the_socket,
    who_the_peer_is_is_checked,
    no_descriptors_for_clients,
    client_that_resets,
    client_that_does_not_wait,
    client_that_sends_nonsense,
);

/// A request with the header of l2tpd-admin(5).
fn request(command: u16, words: &[&str]) -> Vec<u8> {
    let body: Vec<u8> = words.iter().flat_map(|word| word.bytes().chain([0])).collect();
    let mut out = b"L2AD\0\x01".to_vec();
    out.extend(command.to_be_bytes());
    out.extend((body.len() as u32).to_be_bytes());
    out.extend(body);
    out
}

const STATUS: u16 = 1;

const LOG: u16 = 6;

/// Thirty-two clients hold all places: most never read a reply that is longer than any buffer, three never read a log
/// that grows, one writes an octet a second. With a HELLO each second, which is repeated after three, none would be
/// acknowledged in time by a loop that waits for any of them.
fn stuck_clients_delay_no_tunnel() {
    need_python();
    let net = Net::new();
    let many: String =
        (0..1500).map(|n| format!("tunnel off{n}\n  remote-address 192.0.2.9\n  disable\n")).collect();
    let end = |number| host(number, "", "  retry-interval 3\n", "");
    let (mut a, mut b) = pair_of(&net, &(end(1) + &many), &end(2));
    let before = a.ctl_ok(&["--json", "status", "tunnel", "t"]);
    a.skip_log();
    let mut stuck: Vec<UnixStream> = Vec::new();
    let socket = a.socket.clone();
    let connect = |octets: &[u8]| {
        let mut stream = UnixStream::connect(&socket).expect("a place");
        stream.write_all(octets).expect("request");
        stream
    };
    for _ in 0..28 {
        stuck.push(connect(&request(STATUS, &[])));
    }
    for _ in 0..3 {
        stuck.push(connect(&request(LOG, &["-f", "debug"])));
    }
    let mut slow = UnixStream::connect(&a.socket).expect("the last place");
    slow.set_write_timeout(Some(Duration::from_secs(1))).expect("timeout");
    let start = Instant::now();
    let letters = request(STATUS, &[]);
    let mut flood = None;
    for second in 0..9 {
        // After five seconds the daemon has had enough of it.
        let _ = slow.write_all(&letters[second..second + 1]);
        if second == 2 {
            // One that follows makes room for root.
            a.ctl_ok(&["status", "tunnel", "t"]);
            a.expect("info   admin socket: a client of user 0 that follows was idle longest; it gives way to another");
            stuck.push(connect(&request(STATUS, &[])));
        }
        if second == 6 {
            // The interfaces' own first frames (IPv6) put the first one off.
            let hellos = || a.count("*send HELLO*") + b.count("*send HELLO*");
            wait_until(|| hellos() >= 3, || format!("{} HELLOs in six quiet seconds", hellos()));
            flood = Some(Flood::start(&net, 3));
        }
        // Settings are logged at debug: octets for those who follow the log and do not read.
        a.signal(libc::SIGHUP);
        let next = start + Duration::from_secs(second as u64 + 1);
        // An octet a second: that is the case.
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    flood.expect("it ran").lost_nothing();
    // Several signals are one to a daemon that has no turn meanwhile: then the log has not grown enough yet.
    let dropped = "info   admin socket: a client that follows does not read; it is dropped";
    let mut reloads = 0;
    while !a.sees(dropped, Duration::from_millis(1)) {
        assert!(reloads < 100, "none is dropped");
        a.ctl_ok(&["reload"]);
        reloads += 1;
    }
    let mut end = Vec::new();
    slow.set_read_timeout(Some(PATIENCE)).expect("timeout");
    let _ = slow.read_to_end(&mut end);
    assert!(end.is_empty(), "no answer to half a request");
    // Three places are free again; those that wait for their reply to be read stay for 30 seconds.
    let after = a.ctl_ok(&["--json", "status", "tunnel", "t"]);
    drop(stuck);
    for text in [&before, &after] {
        assert_eq!(python(text, "v['tunnels'][0]['state']"), "established");
    }
    let id = "v['tunnels'][0]['local_tunnel_id'], v['tunnels'][0]['counters']['tx_retransmissions']";
    assert_eq!(python(&before, id), python(&after, id), "the tunnel did not notice");
    assert_eq!(a.count("*failed to send control*") + b.count("*failed to send control*"), 0);
    a.stop();
    b.stop();
}

/// `l2tpctl` as another user, with a copy of the program where that user can read it.
fn as_user(net: &Net, daemon: &Daemon, user: &[&str]) -> Command {
    let program = net.dir.join("ctl/l2tpctl");
    if !program.exists() {
        std::fs::create_dir_all(net.dir.join("ctl")).expect("directory");
        // By another process: a descriptor of ours that a fork inherits would make the file busy.
        let (from, to) = (client(), program.to_str().expect("path").to_owned());
        crate::net::run(&["cp", "-L", from.to_str().expect("path"), &to]);
    }
    let mut command = Command::new("setpriv");
    command.args(user).arg(program).arg("-s").arg(&daemon.socket);
    command
}

/// Its status.
fn status_as(net: &Net, daemon: &Daemon, user: &[&str]) -> Output {
    as_user(net, daemon, user).arg("status").output().expect("setpriv")
}

/// Whether the daemon gave its status, be the tunnel up or not.
fn served(output: &std::process::Output) -> bool {
    matches!(output.status.code(), Some(0 | 4)) && !output.stdout.is_empty()
}

const STRANGER: &[&str] = &["--reuid", "65533", "--regid", "65533", "--clear-groups"];

const MEMBER: &[&str] = &["--reuid", "65533", "--regid", "65533", "--groups", "65534"];

fn mode(daemon: &Daemon) -> (u32, u32, u32) {
    let found = std::fs::metadata(&daemon.socket).expect("the socket");
    (found.mode() & 0o7777, found.uid(), found.gid())
}

fn mode_and_group_of_the_socket() {
    if !crate::net::have("setpriv") {
        skip("no setpriv");
    }
    let net = Net::new();
    // As the user l2tpd, the daemon could not remove its socket from a directory of root's.
    let mut alone = Daemon::start(&net, &net.a, &host(1, "user root\n", "", ""));
    alone.expect("debug l2tpd start");
    let mut shared = Daemon::start(&net, &net.b, &host(2, "admin-group nogroup\n", "", ""));
    shared.expect("debug l2tpd start");
    assert_eq!(mode(&alone), (0o600, 0, 0));
    assert_eq!(mode(&shared), (0o660, 0, 65534));
    for (daemon, user, allowed) in [
        (&alone, STRANGER, false),
        (&alone, MEMBER, false),
        (&shared, STRANGER, false),
        (&shared, MEMBER, true),
    ] {
        let output = status_as(&net, daemon, user);
        assert_eq!(served(&output), allowed, "{user:?}: {}", stderr(&output));
    }
    let mut missing = Daemon::start(&net, &net.a, &host(1, "admin-group no-such-group\n", "", ""));
    assert_eq!(missing.wait_exit().code(), Some(1));
    missing.expect("error l2tpd initialization failed");
    alone.stop();
    shared.stop();
    assert!(!alone.socket.exists() && !shared.socket.exists(), "the sockets go with their daemons");
}

/// The mode of the file is not all: where somebody has opened it up, the daemon still asks who is there.
fn who_the_peer_is_is_checked() {
    if !crate::net::have("setpriv") {
        skip("no setpriv");
    }
    let net = Net::new();
    let mut daemon = Daemon::start(&net, &net.a, &host(1, "admin-group nogroup\n", "", ""));
    daemon.expect("debug l2tpd start");
    let mode = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(&daemon.socket, mode).expect("mode");
    let output = status_as(&net, &daemon, STRANGER);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("permission denied"), "{}", stderr(&output));
    daemon.expect("warn   admin socket: user 65533 (process *) may not use it");
    wait_for("the member's status", || served(&status_as(&net, &daemon, MEMBER)).then_some(()));
    daemon.stop();
}

/// M-008: the tunnel does not suffer, and no processor time is burnt.
fn no_descriptors_for_clients() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    // The limit of another user's process cannot be changed by root without CAP_SYS_RESOURCE.
    let mut daemon =
        Daemon::start(&net, &net.a, &format!("user root\n{}", config("  role passive\n", SESSION)));
    daemon.expect("debug l2tpd start");
    peer.connect();
    let pid = daemon.pid().to_string();
    let used = |fd: &usize| Path::new(&format!("/proc/{pid}/fd/{fd}")).exists();
    let free = (0..).find(|fd| !used(fd)).expect("a free descriptor");
    run(&["prlimit", "--pid", &pid, &format!("--nofile={free}:")]);
    let clients: Vec<UnixStream> =
        (0..3).map(|_| UnixStream::connect(&daemon.socket).expect("connect")).collect();
    daemon.expect("error failed to accept: *Too many open files*");
    let before = daemon.cpu_seconds();
    std::thread::sleep(Duration::from_millis(800)); // only in time it is seen whether it spins
    assert!(daemon.cpu_seconds() - before < 0.2, "it spins");
    assert!(daemon.count("error failed to accept: *") < 20, "it floods the log");
    peer.send(&Out::new(HELLO));
    peer.expect_ack();
    run(&["prlimit", "--pid", &pid, "--nofile=1024:"]);
    drop(clients);
    daemon.ctl_ok(&["status"]);
}

/// The octets of a request, as l2tpctl sends them.
fn request_of_ctl(net: &Net, words: &[&str]) -> Vec<u8> {
    let path = net.dir.join("ear.sock");
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("socket");
    let mut ctl = Command::new(client())
        .arg("-s")
        .arg(&path)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("l2tpctl");
    let (mut stream, _) = listener.accept().expect("accept");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    let mut request = vec![0; 1024];
    let length = stream.read(&mut request).expect("request");
    request.truncate(length);
    drop(stream);
    let _ = ctl.wait();
    request
}

/// M-013: it follows the log, and goes away with lines unread.
fn client_that_resets() {
    let (net, mut daemon, mut peer) = established("", SESSION);
    let mut stream = UnixStream::connect(&daemon.socket).expect("connect");
    stream.write_all(&request_of_ctl(&net, &["log", "-f"])).expect("request");
    let deadline = Instant::now() + PATIENCE;
    while !crate::sys::wait_readable(std::os::fd::AsRawFd::as_raw_fd(&stream), deadline) {}
    drop(stream);
    daemon.expect("error failed to recv: *Connection reset by peer*");
    daemon.ctl_ok(&["status"]);
    peer.send(&Out::new(HELLO));
    peer.expect_ack();
}

/// M-016
fn client_that_does_not_wait() {
    let (net, mut daemon, mut peer) = established("", SESSION);
    let request = request_of_ctl(&net, &["status"]);
    daemon.signal(libc::SIGSTOP);
    let mut stream = UnixStream::connect(&daemon.socket).expect("connect");
    stream.write_all(&request).expect("request");
    drop(stream);
    daemon.signal(libc::SIGCONT);
    daemon.expect("error failed to send l2tpd information: *Broken pipe*");
    daemon.ctl_ok(&["status"]);
    peer.send(&Out::new(HELLO));
    peer.expect_ack();
}

/// M-020
fn client_that_sends_nonsense() {
    let (net, mut daemon, _peer) = established("", SESSION);
    let mut broken = request_of_ctl(&net, &["status"]);
    broken.fill(0xff);
    for nonsense in [&[1][..], &broken, &[0; 64], b"GET / HTTP/1.0\r\n\r\n"] {
        let mut stream = UnixStream::connect(&daemon.socket).expect("connect");
        stream.write_all(nonsense).expect("nonsense");
        stream.shutdown(std::net::Shutdown::Write).expect("shutdown");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply);
        daemon.expect("error invalid header length of admin command");
    }
    daemon.ctl_ok(&["status"]);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(&daemon.socket).expect("socket").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600, "who may use the socket");
}

/// A member of the group sees that there are cookies, and not which: neither in a display nor in a trace.
fn cookies_are_for_root() {
    if !crate::net::have("setpriv") {
        skip("no setpriv");
    }
    need_python();
    let net = Net::new();
    let tunnel = "    cookie 8\n";
    let (mut a, mut b) =
        pair_of(&net, &host(1, "admin-group nogroup\n", "", tunnel), &host(2, "", "", tunnel));
    let expression =
        "[(s['local_cookie'], s['local_cookie_size']) for t in v['tunnels'] for s in t['sessions']]";
    let roots = python(&a.ctl_ok(&["--json", "status"]), expression);
    assert!(roots.len() > 20 && !roots.contains('*'), "{roots}");
    for words in [["--json", "status"], ["--json", "explain"]] {
        let output = as_user(&net, &a, MEMBER).args(words).output().expect("setpriv");
        assert_eq!(python(&String::from_utf8_lossy(&output.stdout), expression), "[('****', 8)]");
    }
    let text = |output: Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let field = |text: &str| {
        let line =
            text.lines().find(|line| line.trim_start().starts_with("Local Cookie")).unwrap_or_default();
        line.rsplit([' ', ':']).next().unwrap_or_default().to_owned()
    };
    assert_eq!(field(&text(status_as(&net, &a, MEMBER))), "****");
    assert!(field(&a.ctl_ok(&["status"])).parse::<u64>().is_ok());
    let output = as_user(&net, &a, MEMBER).args(["trace", "t", "-"]).output().expect("setpriv");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("trace is for root alone"), "{}", stderr(&output));
    a.stop();
    b.stop();
}

/// More members of the group follow than there are places: root and other members are served all the same. And more of
/// root's own.
fn followers_shut_nobody_out() {
    if !crate::net::have("setpriv") {
        skip("no setpriv");
    }
    let net = Net::new();
    let mut daemon = Daemon::start(&net, &net.a, &host(1, "admin-group nogroup\n", "", ""));
    daemon.expect("debug l2tpd start");
    let mut members: Vec<Child> = Vec::new();
    for _ in 0..26 {
        let mut command = as_user(&net, &daemon, MEMBER);
        members.push(
            command.args(["watch"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("setpriv"),
        );
    }
    let gone =
        "info   admin socket: a client of user 65533 that follows was idle longest; it gives way to another";
    daemon.expect(gone);
    daemon.expect(gone);
    for _ in 0..3 {
        daemon.ctl_ok(&["status"]);
    }
    assert_eq!(daemon.count(gone), 2, "root has places of its own");
    let output = status_as(&net, &daemon, MEMBER);
    assert!(served(&output), "{}", stderr(&output));
    daemon.expect(gone);
    let follow = || {
        let mut stream = UnixStream::connect(&daemon.socket).expect("a place");
        stream.write_all(&request(LOG, &["-f", "debug"])).expect("request");
        stream
    };
    let streams: Vec<UnixStream> = (0..40).map(|_| follow()).collect();
    daemon.ctl_ok(&["status"]);
    daemon.expect(
        "info   admin socket: a client of user 0 that follows was idle longest; it gives way to another",
    );
    drop(streams);
    for mut member in members {
        let _ = member.kill();
        let _ = member.wait();
    }
    daemon.stop();
}
