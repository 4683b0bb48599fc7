//! What the daemon says when the system or the administrator is in the way: start-up, descriptors, interfaces,
//! the admin socket. Each test names the messages of the catalogue (M-...) that it causes.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::avps::established;
use crate::coverage;
use crate::daemon::{client, Daemon};
use crate::net::{have, run, Net};
use crate::peer::*;
use crate::runner::skip;
use crate::tests;

tests!(
    no_configuration_file,
    no_pid_file,
    second_daemon,
    no_raw_sockets,
    no_random_source_at_start,
    no_random_source_later,
    no_memory_for_the_log,
    event_loop_fails,
    no_descriptors_for_clients,
    client_that_resets,
    client_that_does_not_wait,
    client_that_sends_nonsense,
    clear_commands,
    clear_without_result_code,
    log_in_memory,
    local_address_is_missing,
    interface_name_is_taken,
    mtu_is_refused,
    too_many_sessions,
    too_many_tunnels,
    unusable_blocks,
    packet_cannot_be_built,
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

/// Takes /dev/urandom away from a running daemon.
fn take_random_source(daemon: &Daemon) {
    let pid = daemon.pid().to_string();
    run(&["nsenter", "-t", &pid, "-m", "umount", "/dev/urandom"]);
    run(&["nsenter", "-t", &pid, "-m", "rm", "/dev/urandom"]);
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
    take_random_source(&daemon);
    peer.restart(0x4444_0001);
    peer.send(&peer.set_up(SCCRQ));
    daemon.expect("error /dev/urandom open error: *");
    peer.expect_silence(Duration::from_millis(250));
    (peer.remote, peer.ns, peer.nr, peer.ccid) = (remote, ns, nr, ccid);
    peer.send(&Out::new(HELLO));
    peer.expect_ack();
}

/// M-022 M-021: C-364
fn no_memory_for_the_log() {
    let net = Net::new();
    let text = format!("log-buffer 99999999999999\n{}", config("", SESSION));
    let mut daemon = Daemon::start(&net, &net.a, &text);
    does_not_start(&mut daemon, "error malloc error: *");
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
    let seen = daemon.sees("error select error: *", Duration::from_secs(5));
    let _ = strace.kill();
    let _ = strace.wait();
    assert!(seen, "{}", daemon.tail(10));
    daemon.expect("info cleanup resources...");
    let status = daemon.wait_exit();
    assert_eq!(status.code(), Some(1));
}

/// M-008: the tunnel does not suffer, and no processor time is burnt.
fn no_descriptors_for_clients() {
    let (_net, mut daemon, mut peer) = established("", SESSION);
    let pid = daemon.pid().to_string();
    let used = |fd: &usize| Path::new(&format!("/proc/{pid}/fd/{fd}")).exists();
    let free = (0..).find(|fd| !used(fd)).expect("a free descriptor");
    run(&["prlimit", "--pid", &pid, &format!("--nofile={free}:")]);
    let clients: Vec<UnixStream> =
        (0..3).map(|_| UnixStream::connect(&daemon.socket).expect("connect")).collect();
    daemon.expect("error failed to accept: *Too many open files*");
    let before = daemon.cpu_seconds();
    std::thread::sleep(Duration::from_millis(800));
    assert!(daemon.cpu_seconds() - before < 0.2, "it spins");
    assert!(daemon.count("error failed to accept: *") < 20, "it floods the log");
    peer.send(&Out::new(HELLO));
    peer.expect_ack();
    run(&["prlimit", "--pid", &pid, "--nofile=1024:"]);
    drop(clients);
    daemon.ctl_ok(&["status"]);
}

/// The octets of a request, as l2tpctl sends them.
fn request(net: &Net, words: &[&str]) -> Vec<u8> {
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
    stream.set_read_timeout(Some(Duration::from_millis(300))).expect("timeout");
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
    stream.write_all(&request(&net, &["log", "-f"])).expect("request");
    let deadline = Instant::now() + Duration::from_secs(3);
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
    let request = request(&net, &["status"]);
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
    let mut broken = request(&net, &["status"]);
    broken.fill(0xff);
    for nonsense in [&[1][..], &broken, &[0; 64], b"GET / HTTP/1.0\r\n\r\n"] {
        let mut stream = UnixStream::connect(&daemon.socket).expect("connect");
        stream.write_all(nonsense).expect("nonsense");
        stream.shutdown(std::net::Shutdown::Write).expect("shutdown");
        stream.set_read_timeout(Some(Duration::from_secs(3))).expect("timeout");
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

/// M-061 M-062 M-065 M-066
fn clear_commands() {
    let (_net, mut daemon, mut peer) = established("", SESSION);
    let call = peer.call("end1");
    daemon.expect("info receive ICCN, state --> ESTABLISHED");
    let output = daemon.ctl(&["clear", "peer", "198.51.100.77"]);
    assert_eq!(output.status.code(), Some(1));
    daemon.expect("debug *: no such address peer: 198.51.100.77");
    let output = daemon.ctl(&["clear", "session", "l2tp99"]);
    assert_eq!(output.status.code(), Some(1));
    daemon.expect("debug *: no such if_name: l2tp99");
    // A session: the tunnel stays, and the session comes back.
    daemon.ctl_ok(&["clear", "session", "l0"]);
    let cdn = peer.expect(CDN);
    assert_eq!((cdn.result().0, cdn.u32(63), cdn.u32(64)), (3, call.remote, call.local));
    daemon.expect("debug [*] *: cleanup call: l0");
    daemon.expect("debug [*][*] delete session");
    peer.answer();
    // A tunnel, by address and by name.
    let tunnel = peer.remote;
    daemon.ctl_ok(&["clear", "peer", "192.0.2.2"]);
    assert_eq!(peer.expect(STOPCCN).result().0, 1);
    daemon.expect(&format!("debug [{tunnel}] *: cleanup tunnel: 192.0.2.2"));
    daemon.expect(&format!("debug [{tunnel}] delete tunnel"));
    peer.restart(0x3333_0003);
    peer.connect();
    daemon.ctl_ok(&["clear", "tunnel", "t1", "result-code", "6"]);
    assert_eq!(peer.expect(STOPCCN).result().0, 6, "the result code that was asked for");
}

/// M-023: C-305
fn clear_without_result_code() {
    let (_net, mut daemon, mut peer) = established("", SESSION);
    let output = daemon.ctl(&["clear", "tunnel", "t1", "result-code", "0"]);
    assert_eq!(output.status.code(), Some(1));
    daemon.expect("error result code not specified");
    peer.send(&Out::new(HELLO));
    peer.expect_ack();
}

/// M-047: the buffer keeps the newest, and says that there were older ones.
fn log_in_memory() {
    let net = Net::new();
    let text = format!("log-buffer 5\n{}", config("  role passive\n", SESSION));
    let mut daemon = Daemon::start(&net, &net.a, &text);
    daemon.expect("debug l2tpd start");
    let mut peer = Peer::new(&net);
    peer.connect();
    let output = daemon.ctl_ok(&["log"]);
    let first = output.lines().next().unwrap_or_default();
    assert_eq!(first, "== OLDER \"l2tp\" LOG MESSAGES WERE TRIMMED ==", "{output}");
    coverage::saw("info", first);
    assert_eq!(output.lines().count(), 6, "{output}");
    assert!(
        output.contains("receive SCCCN, state --> ESTABLISHED") || output.contains("send ACK"),
        "{output}"
    );
}

/// M-009: C-084. When the address appears, the tunnel comes up by itself.
fn local_address_is_missing() {
    let net = Net::new();
    let text = config("", SESSION).replace("local-address 192.0.2.1", "local-address 192.0.2.99");
    let mut daemon = Daemon::start(&net, &net.a, &text);
    daemon.expect("error failed to create tunnel");
    daemon.expect("error failed to create tunnel");
    net.batch(&net.a, "addr add 192.0.2.99/24 dev wire\n");
    daemon.expect("info send SCCRQ, state --> WAIT-CTL-REPLY");
}

/// M-010 M-025: C-177. Another interface has the session's name; the peer gets a CDN, the tunnel stays, and when
/// the name is free the session comes up.
fn interface_name_is_taken() {
    let net = Net::new();
    net.batch(&net.a, "link add l0 type bridge\n");
    let mut peer = Peer::new(&net);
    let mut daemon = Daemon::start(&net, &net.a, &config("  role passive\n", SESSION));
    daemon.expect("debug l2tpd start");
    peer.connect();
    let icrq = peer.icrq("end1");
    peer.send(&icrq);
    daemon.expect("error failed to ioctl: *");
    daemon.expect("error set_pwe_param() failed");
    assert_eq!(peer.expect(CDN).result().0, 4, "for the moment");
    net.batch(&net.a, "link del l0\n");
    peer.call("end1");
    daemon.expect("info receive ICCN, state --> ESTABLISHED");
    assert_eq!(daemon.count("*StopCCN*"), 0);
}

/// M-010 M-025: the kernel takes the MTU that the configuration allows, but not from a bridge-less TAP above
/// its own limit.
fn mtu_is_refused() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let session = format!("{SESSION}    mtu 65521\n");
    let mut daemon = Daemon::start(&net, &net.a, &config("  role passive\n", &session));
    daemon.expect("debug l2tpd start");
    peer.connect();
    peer.call("end1");
    daemon.expect("info receive ICCN, state --> ESTABLISHED");
    let mtu = net.exec(&net.a, &["cat", "/sys/class/net/l0/mtu"]);
    assert_eq!(mtu.trim(), "65521", "the largest MTU that the configuration allows");
}

/// M-012: C-177 C-299
fn too_many_sessions() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let sessions = format!("{SESSION}  session l1\n    remote-end-id end2\n");
    let text = format!("max-sessions 1\n{}", config("  role passive\n", &sessions));
    let mut daemon = Daemon::start(&net, &net.a, &text);
    daemon.expect("debug l2tpd start");
    peer.connect();
    peer.call("end1");
    let icrq = peer.icrq("end2");
    peer.send(&icrq);
    daemon.expect("error failed to new_session");
    assert_eq!(peer.expect(CDN).result().0, 4);
    peer.send(&Out::new(HELLO));
    peer.expect_ack();
}

/// M-009: C-109 C-364
fn too_many_tunnels() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let second = "tunnel t2\n  remote-address 192.0.2.77\n  remote-hostname any\n  remote-router-id any\n";
    let text = format!("max-tunnels 1\n{}{second}", config("", SESSION));
    let mut daemon = Daemon::start(&net, &net.a, &text);
    daemon.expect("error failed to create tunnel");
    peer.accept();
}

/// M-018 M-019: what is not complete is not started; the rest is. C-138 C-283
fn unusable_blocks() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let sessions = format!("{SESSION}  session l1\n    cookie 4\n");
    let second = "tunnel t2\n  remote-address 192.0.2.77\n  remote-router-id any\n";
    let text = format!("{}{second}", config("", &sessions));
    let mut daemon = Daemon::start(&net, &net.a, &text);
    daemon.expect_all(&["error get session configuration failed", "error get tunnel configuration failed"]);
    peer.accept();
    peer.answer();
    assert!(
        peer.sees(ICRQ, Duration::from_millis(300)).is_none(),
        "a session without remote-end-id was started"
    );
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
    take_random_source(&daemon);
    daemon.ctl_ok(&["clear", "tunnel", "t1"]);
    daemon.expect_all(&["error /dev/urandom open error: *", "error failed to new_packet"]);
}
