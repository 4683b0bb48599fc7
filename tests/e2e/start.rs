//! The start: into the background, and when the daemon says that it has started.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Instant;

use crate::coverage;
use crate::daemon::{program, write_config, Daemon};
use crate::net::{have, run, Net};
use crate::peer::*;
use crate::runner::skip;
use crate::start_refused::{does_not_start, OWN_DEV};
use crate::sys::{is_same, refuse_getrandom};
use crate::tests;
use crate::wait::{wait_until, PATIENCE};

tests!(
    background_fails,
    background_and_syslog,
    answers_from_the_start_on,
    answers_when_the_parent_ends,
    no_random_source_and_no_getrandom,
    getrandom_is_not_needed,
    no_device_for_interfaces,
    other_things_in_place_of_files,
    no_pid_file_and_no_admin_socket,
);

/// The /dev/log of a daemon in the background.
pub fn log_socket(net: &Net) -> UnixDatagram {
    let path = net.dir.join("log");
    let _ = std::fs::remove_file(&path);
    let socket = UnixDatagram::bind(&path).expect("log socket");
    // As a syslogd makes it.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(&path, mode).expect("mode");
    socket
}

/// Starts the daemon in the background, after [`log_socket`]; returns its exit status and what it wrote.
pub fn in_background(net: &Net, script: &str, level: &str, config: &str) -> (Option<i32>, String) {
    let file = net.dir.join("background.conf");
    write_config(&file, config);
    let output = Command::new("ip")
        .args(["netns", "exec", &net.a, "unshare", "-m", "sh", "-c", script, "sh"])
        .arg(net.dir.join("log"))
        .arg(program())
        .args(["-l", level, "-c"])
        .arg(&file)
        .arg("-p")
        .arg(net.dir.join("background.pid"))
        .arg("-s")
        .arg(net.dir.join("background.sock"))
        .stdin(Stdio::null())
        .output()
        .expect("the daemon starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), text)
}

/// What comes to a /dev/log: read at once, because the socket holds few messages and the daemon does not wait.
struct Syslog(mpsc::Receiver<String>);

impl Syslog {
    fn open(socket: UnixDatagram) -> Syslog {
        let (sender, receiver) = mpsc::channel();
        socket.set_read_timeout(Some(PATIENCE)).expect("timeout");
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = socket.recv(&mut buffer) {
                if sender.send(String::from_utf8_lossy(&buffer[..length]).into_owned()).is_err() {
                    break;
                }
            }
        });
        Syslog(receiver)
    }

    /// Waits for a message of the given priority that holds `text`, and returns it.
    #[track_caller]
    fn expect(&self, priority: u8, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut all = Vec::new();
        while let Ok(message) = self.0.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if message.starts_with(&format!("<{priority}>")) && message.contains(text) {
                return message;
            }
            all.push(message);
        }
        panic!("no `<{priority}>...{text}` at /dev/log, but {all:#?}");
    }
}

/// For `in_background`: a /dev of its own, with the log socket of the test.
pub const LOG_SOCKET: &str =
    "log=$1; shift; mount --rbind /dev /mnt; mount -t tmpfs none /dev; mkdir /dev/net; \
    for f in null urandom net/tun; do : > /dev/$f; mount --bind /mnt/$f /dev/$f; done; ln -s $log /dev/log; ";

/// M-007 M-021: /dev/null is not what it should be.
fn background_fails() {
    let net = Net::new();
    let script = "log=$1; shift; mount --rbind /dev /mnt; mount -t tmpfs none /dev; mkdir /dev/net; \
        for f in urandom net/tun; do : > /dev/$f; mount --bind /mnt/$f /dev/$f; done; \
        : > /dev/null; ln -s $log /dev/log; exec \"$@\"";
    let socket = Syslog::open(log_socket(&net));
    let (status, stderr) = in_background(&net, script, "info", &config("", SESSION));
    assert_eq!(status, Some(1), "{stderr}");
    assert!(stderr.contains("daemon error: "), "who started it sees it as well: {stderr}");
    assert!(stderr.contains("  /dev/null, the null device"), "what is wrong has a name: {stderr}");
    let message = socket.expect(27, "daemon error: ");
    coverage::saw("error", message[message.find("daemon error").expect("text")..].trim_end());
    socket.expect(27, "l2tpd initialization failed");
}

/// Facility daemon, severities err, info and debug, ident l2tpd; the parent ends when the daemon has started.
fn background_and_syslog() {
    let net = Net::new();
    let script = format!("{LOG_SOCKET} exec \"$@\"");
    let socket = Syslog::open(log_socket(&net));
    let (status, stderr) = in_background(&net, &script, "debug", &config("", SESSION));
    let pid_file = net.dir.join("background.pid");
    let pid = std::fs::read_to_string(&pid_file).unwrap_or_default();
    assert_eq!((status, stderr.as_str()), (Some(0), ""), "the parent says that the daemon started");
    let pid: u32 = pid.trim().parse().expect("the pid file is there when the parent ends");
    let start = socket.expect(31, "l2tpd start");
    assert!(start.contains(&format!(" l2tpd[{pid}]: ")), "ident in {start}");
    socket.expect(30, "begin new tunnel [t1] peer:192.0.2.2");
    // Files are compared and not their names: in a chroot, links of /proc name what they mean outside.
    assert!(is_same(&format!("/proc/{pid}/cwd"), "/"), "it keeps no file system busy");
    for fd in 0..3 {
        assert!(is_same(&format!("/proc/{pid}/fd/{fd}"), "/dev/null"), "descriptor {fd}");
    }
    crate::sys::kill(pid, libc::SIGTERM);
    socket.expect(30, "Received 15 signal");
    socket.expect(30, "l2tpd exit.");
    let is_empty = || std::fs::read_to_string(&pid_file).is_ok_and(|text| text.is_empty());
    wait_until(is_empty, || "the pid stays in the file".to_owned());
}

/// A tunnel that any peer may begin, over both families.
fn answer_only() -> String {
    let text = config("  role passive\n  remote-address any\n", SESSION);
    text.replace("  local-address 192.0.2.1\n", "")
}

/// Makes each bind(2) of the program take 300 ms: who began before the sockets are open would not be heard. The tracer
/// is no parent of the program (`-D`).
const SLOW_BIND: [&str; 8] =
    ["strace", "-D", "-f", "-qq", "-o/dev/null", "-etrace=bind", "-einject=bind:delay_enter=300000", "--"];

/// `l2tpd start` is the word that peers may begin, over either family: the first SCCRQ counts.
fn answers_from_the_start_on() {
    if !have("strace") {
        skip("strace is not installed");
    }
    for ipv6 in [false, true] {
        let net = Net::new();
        let mut peer = Peer::open(&net, false, ipv6);
        let mut daemon = Daemon::start_under(&net, &net.a, &answer_only(), &SLOW_BIND, &[]);
        daemon.expect("debug l2tpd start");
        peer.connect();
        daemon.stop();
    }
}

/// In the background the end of the process that was started tells the same.
fn answers_when_the_parent_ends() {
    if !have("strace") {
        skip("strace is not installed");
    }
    let net = Net::new();
    let mut peer = Peer::open(&net, false, true);
    // strace keeps what it inherits open.
    let script = format!("{LOG_SOCKET} exec {} \"$@\" >/dev/null 2>&1", SLOW_BIND.join(" "));
    let _log = Syslog::open(log_socket(&net));
    let (status, _) = in_background(&net, &script, "debug", &answer_only());
    assert_eq!(status, Some(0));
    peer.connect();
}

/// M-001 M-021: not even the library needs a random number before that is told.
fn no_random_source_and_no_getrandom() {
    let net = Net::new();
    let before = ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /dev; exec \"$@\"", "sh"];
    let text = config("", SESSION);
    let mut daemon = Daemon::start_prepared(&net, &net.a, &text, (&before, &[]), refuse_getrandom);
    does_not_start(&mut daemon, "error /dev/urandom open error: *No such file or directory*");
}

/// With /dev/urandom everything works; a lookup of a name, which is another process, too.
fn getrandom_is_not_needed() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let text = config("  remote-address peer\n", SESSION);
    let hosts = net.dir.join("hosts");
    std::fs::write(&hosts, "192.0.2.2 peer\n").expect("hosts");
    let mount = format!("mount --bind {} /etc/hosts; exec \"$@\"", hosts.display());
    let before = ["unshare", "-m", "sh", "-c", &mount, "sh"];
    let mut daemon = Daemon::start_prepared(&net, &net.a, &text, (&before, &[]), refuse_getrandom);
    peer.accept();
    daemon.ctl_ok(&["status"]);
    daemon.stop();
}

/// The log names the file, and so does `explain`: the peer has no part in it. C-177
fn no_device_for_interfaces() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let text = config("  role passive\n", SESSION);
    let mut daemon = Daemon::start_under(&net, &net.a, &text, &OWN_DEV, &[]);
    daemon.expect("debug l2tpd start");
    daemon.stop();
    let missing = OWN_DEV.map(|word| word.replace("urandom net/tun;", "urandom;"));
    let missing: Vec<&str> = missing.iter().map(String::as_str).collect();
    let mut daemon = Daemon::start_under(&net, &net.a, &text, &missing, &[]);
    daemon.expect("error failed to ioctl: No such file or directory");
    daemon.expect("error   interface l0: /dev/net/tun is missing: *");
    daemon.expect("debug l2tpd start");
    // Before any peer comes, and after it came.
    let explains = |daemon: &Daemon| {
        let text = daemon.ctl_ok(&["explain", "tunnel", "t1"]);
        assert!(text.contains("interface    : /dev/net/tun is missing: "), "{text}");
    };
    explains(&daemon);
    peer.connect();
    let icrq = peer.icrq("end1");
    peer.send(&icrq);
    assert_eq!(peer.expect(CDN).result().0, 4);
    explains(&daemon);
    // Given later, it is used.
    let pid = daemon.pid().to_string();
    run(&["nsenter", "-t", &pid, "-m", "-r", "mknod", "-m", "666", "/dev/net/tun", "c", "10", "200"]);
    peer.call("end1");
    daemon.expect("info receive ICCN, state --> ESTABLISHED");
    assert!(!daemon.ctl_ok(&["explain", "tunnel", "t1"]).contains("/dev/net/tun"));
    // As a file that is something else.
    run(&["nsenter", "-t", &pid, "-m", "-r", "rm", "/dev/net/tun"]);
    run(&["nsenter", "-t", &pid, "-m", "-r", "touch", "/dev/net/tun"]);
    run(&["nsenter", "-t", &pid, "-m", "-r", "chmod", "666", "/dev/net/tun"]);
    net.batch(&net.a, "link del l0\n");
    daemon.expect("debug [*][*] delete session");
    peer.expect(CDN);
    let icrq = peer.icrq("end1");
    peer.send(&icrq);
    daemon.expect("error   interface l0: /dev/net/tun is something else than that device*");
}

/// Nothing hangs on what stands in the place of a file, and nothing of it is destroyed.
fn other_things_in_place_of_files() {
    let net = Net::new();
    let place = net.dir.join("place");
    let name = place.to_str().expect("path");
    let things: [(&str, &[&str]); 4] = [
        ("a FIFO", &["mkfifo", name]),
        ("a directory", &["mkdir", name]),
        ("a symbolic link", &["ln", "-s", "/nonexistent", name]),
        ("a file that holds something else than a process id", &["cp", "/etc/passwd", name]),
    ];
    for (what, make) in things {
        run(make);
        let mut daemon = Daemon::start_under(&net, &net.a, &config("", SESSION), &[], &["-p", name]);
        does_not_start(&mut daemon, "error Can't create pid file");
        assert_eq!(daemon.count(&format!("error   {name}: {what} has this name")), 1, "{}", daemon.tail(5));
        if what == "a FIFO" || what == "a directory" {
            let mut daemon = Daemon::start_under(&net, &net.a, &config("", SESSION), &[], &["-c", name]);
            does_not_start(&mut daemon, "error Can't open config file");
            let mut daemon = Daemon::start_under(&net, &net.a, &config("", SESSION), &[], &["-s", name]);
            let status = daemon.wait_exit();
            assert_eq!(status.code(), Some(1));
            let line = format!("error   admin socket: {name}: {what} has this name, no socket");
            assert_eq!(daemon.count(&line), 1, "{}", daemon.tail(5));
        }
        run(&["rm", "-r", name]);
    }
}

/// Where nothing may be written: it carries the tunnel, and ends as it should.
fn no_pid_file_and_no_admin_socket() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let text = config("  role passive\n", SESSION);
    let before = [
        "unshare",
        "-m",
        "sh",
        "-c",
        "mount -o bind,ro /run /run; mount -o bind,ro DIR DIR; exec \"$@\"",
        "sh",
    ];
    let dir = net.dir.display().to_string();
    let before = before.map(|word| word.replace("DIR", &dir));
    let before: Vec<&str> = before.iter().map(String::as_str).collect();
    let mut daemon = Daemon::start_under(&net, &net.a, &text, &before, &["-p", "none", "-s", "none"]);
    daemon.expect("debug l2tpd start");
    assert!(!daemon.pid_file.exists() && !daemon.socket.exists());
    peer.connect();
    daemon.signal(libc::SIGTERM);
    assert_eq!(peer.expect(STOPCCN).result().0, 6, "it shuts down");
    assert_eq!(daemon.wait_exit().code(), Some(0), "{}", daemon.tail(10));
    // The words of the configuration mean the same: nothing could be written anywhere else.
    let text = format!("pid-file none\nadmin-socket none\n{text}");
    let mut daemon = Daemon::start_prepared(&net, &net.a, &text, (&before, &[]), |command| {
        let mut new = std::process::Command::new("ip");
        let mut words = command.get_args();
        while let Some(word) = words.next() {
            if word == "-p" || word == "-s" {
                words.next();
            } else {
                new.arg(word);
            }
        }
        *command = new;
    });
    daemon.expect("debug l2tpd start");
    assert!(!daemon.pid_file.exists() && !daemon.socket.exists());
    daemon.stop();
}
