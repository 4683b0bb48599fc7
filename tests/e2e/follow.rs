//! `l2tpctl watch` and `log -f`: what goes on until it is stopped.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{channel, Receiver};

use crate::daemon::{client, Daemon, PATIENCE};
use crate::net::Net;
use crate::pair::{need_python, pair, python, wait_for};
use crate::peer::*;
use crate::schema::schema;
use crate::tests;

tests!(streams_follow, events_are_shown_as_they_happen, log_is_followed,);

/// A command that goes on, and the lines it prints.
pub struct Follower(pub Child, Receiver<String>);

impl Follower {
    pub fn start(daemon: &Daemon, words: &[&str]) -> Follower {
        let mut command = Command::new(client());
        command.arg("-s").arg(&daemon.socket).args(words).stdout(Stdio::piped());
        let mut child = command.spawn().expect("l2tpctl");
        let output = BufReader::new(child.stdout.take().expect("pipe"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        // Once it waits for an answer, a request that comes later is served after its own.
        wait_for("its request", || waits(child.id()).then_some(()));
        daemon.ctl(&["health"]);
        Follower(child, lines)
    }

    /// Reads up to the first line with `word` and returns it.
    #[track_caller]
    pub fn until(&mut self, word: &str) -> String {
        loop {
            match self.1.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(word) => return line + "\n",
                Ok(_) => {}
                Err(error) => panic!("no `{word}`: {error}"),
            }
        }
    }
}

/// Whether a process has a socket and sleeps.
fn waits(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut names = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    names.any(|name| name.to_string_lossy().starts_with("socket:")) && stat.contains(") S ")
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn streams_follow() {
    need_python();
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "", "");
    let mut watch = Follower::start(&a, &["watch"]);
    let mut watch_json = Follower::start(&a, &["--json", "watch"]);
    let mut log = Follower::start(&a, &["log", "-f", "debug"]);
    let mut log_json = Follower::start(&a, &["log", "-f", "--json"]);
    // A stream of the log begins with what is kept: then the others are there as well.
    log.until("l2tpd start");
    let first = log_json.until("\"number\":0,");
    assert_eq!(python(&first, "v['number']"), "0");
    a.ctl_ok(&["clear", "session", "l0"]);
    let down = watch.until("session-down");
    assert!(down.contains("tunnel=t session=l0 peer=192.0.2.2 local-id="), "{down}");
    assert!(watch.until("session-up").contains("session=l0"));
    let down = watch_json.until("session-down");
    let up = watch_json.until("session-up");
    schema(&(down.clone() + &up), "watch");
    assert_eq!(python(&down, "v['tunnel'], v['interface'], v['peer']"), "t l0 192.0.2.2");
    let line = log.until("cleanup call: l0");
    assert!(line.starts_with("20") && line.contains("Z "), "{line}");
    let line = log_json.until("cleanup call: l0");
    schema(&(line + "{\"remark\": \"as log_is_trimmed shows\"}\n"), "log");
    // They end when the daemon does.
    a.stop();
    assert_eq!(watch.0.wait().expect("wait").code(), Some(3));
    b.stop();
}

fn events_are_shown_as_they_happen() {
    let (_net, daemon, mut peer) = established("", SESSION);
    let mut watch = Follower::start(&daemon, &["watch"]);
    let call = peer.call("end1");
    watch.until("session-up");
    peer.send(&peer.session_message(CDN, &call).with(avp(1, &[0, 3])));
    watch.until("session-down");
    peer.expect_ack();
    let own = peer.ccid.to_be_bytes();
    peer.send(&Out::new(STOPCCN).with(avp(1, &[0, 6])).with(avp(61, &own)));
    watch.until("tunnel-down");
}

fn log_is_followed() {
    let (_net, daemon, mut peer) = established("", SESSION);
    let mut log = Follower::start(&daemon, &["log", "-f", "info"]);
    log.until("receive SCCCN, state --> ESTABLISHED"); // what was there before
    peer.call("end1");
    log.until("receive ICCN, state --> ESTABLISHED");
}
