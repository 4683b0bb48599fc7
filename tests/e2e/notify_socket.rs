//! What a service manager hears over `NOTIFY_SOCKET`, and when.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use crate::daemon::{write_config, Daemon, PATIENCE};
use crate::net::Net;
use crate::peer::*;
use crate::{sys, tests};

tests!(ready_reload_and_end_are_notified, signs_of_life_for_the_watchdog);

/// The manager's end of a socket; it has listened before the daemon starts.
struct Manager(UnixDatagram);

impl Manager {
    /// In the daemon's network namespace: abstract names belong to one.
    fn listen(net: &Net, address: &SocketAddr) -> Manager {
        let bind = || UnixDatagram::bind_addr(address).expect("socket of the manager");
        let socket = sys::in_netns(&net.a, bind);
        socket.set_read_timeout(Some(PATIENCE)).expect("time-out");
        Manager(socket)
    }

    fn next(&self) -> String {
        let mut buffer = [0; 1024];
        let length = self.0.recv(&mut buffer).expect("a notification");
        String::from_utf8(buffer[..length].to_vec()).expect("text")
    }

    fn expect_reload(&self) {
        assert!(self.next().starts_with("RELOADING=1\nMONOTONIC_USEC="));
        assert_eq!(self.next(), "READY=1");
    }
}

/// The daemon with the socket's name and more variables; `$$` in these is its process id.
fn start(net: &Net, socket: &str, variables: &str, text: &str) -> Daemon {
    let script = format!("export NOTIFY_SOCKET={socket} {variables}; exec \"$@\"");
    Daemon::start_under(net, &net.a, text, &["sh", "-c", &script, "sh"], &[])
}

/// READY=1 says that peers are answered, also as another user; each reload, good or bad, begins and ends.
fn ready_reload_and_end_are_notified() {
    let net = Net::new();
    let path = net.dir.join("notify");
    let manager = Manager::listen(&net, &SocketAddr::from_pathname(&path).expect("path"));
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&path, mode).expect("the socket's rights");
    let text = format!("user nobody\n{}", config("  role passive\n", SESSION));
    let mut peer = Peer::open(&net, false, false);
    let mut daemon = start(&net, &path.to_string_lossy(), "", &text);
    assert_eq!(manager.next(), "READY=1");
    peer.connect();
    daemon.expect("debug l2tpd start");

    // As this user the daemon cannot read the file: a reload that fails.
    assert_eq!(daemon.ctl(&["reload"]).status.code(), Some(1));
    manager.expect_reload();
    daemon.ctl(&["reload", "--check"]); // changes nothing, so nothing is told
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&daemon.config, readable).expect("the file's rights");
    daemon.ctl_ok(&["reload"]);
    manager.expect_reload();
    write_config(&daemon.config, "nonsense\n");
    daemon.signal(libc::SIGHUP);
    manager.expect_reload();

    daemon.signal(libc::SIGTERM);
    assert_eq!(manager.next(), "STOPPING=1");
    assert_eq!(daemon.wait_exit().code(), Some(0));
}

/// Every half of the time asked for, over an abstract socket; none when they are asked of another process.
fn signs_of_life_for_the_watchdog() {
    let net = Net::new();
    let name = format!("l2tpd-{}", net.a);
    let manager = Manager::listen(&net, &SocketAddr::from_abstract_name(&name).expect("name"));
    let socket = format!("@{name}");
    let text = config("  retry 3\n", SESSION);
    let mut daemon = start(&net, &socket, "WATCHDOG_USEC=1000000 WATCHDOG_PID=$$", &text);
    assert_eq!(manager.next(), "READY=1");
    assert_eq!(manager.next(), "WATCHDOG=1");
    let begin = Instant::now();
    for _ in 0..4 {
        assert_eq!(manager.next(), "WATCHDOG=1");
    }
    assert!(begin.elapsed() > Duration::from_millis(1800), "{:?}", begin.elapsed());
    daemon.signal(libc::SIGTERM);
    while manager.next() != "STOPPING=1" {}
    daemon.wait_exit();

    let mut other = start(&net, &socket, "WATCHDOG_USEC=100000 WATCHDOG_PID=1", &text);
    assert_eq!(manager.next(), "READY=1");
    other.expect("* send SCCRQ*");
    other.expect("* failed to send control message*");
    other.signal(libc::SIGTERM);
    assert_eq!(manager.next(), "STOPPING=1", "no sign of life");
    other.wait_exit();
}
