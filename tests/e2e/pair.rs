//! What tests of two daemons share: two hosts with a tunnel `t` and its session `l0`, replies as JSON, and waiting for
//! something to become true.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use crate::daemon::Daemon;
use crate::net::Net;
use crate::peer;
pub use crate::support::python::interpreter;
pub use crate::wait::{wait_for, wait_until, PATIENCE};

/// The configuration of host 1 or 2: `top` are global lines, `tunnel` and `session` lines of the blocks.
pub fn host(number: u8, top: &str, tunnel: &str, session: &str) -> String {
    let other = 3 - number;
    let mut defaults = vec!["  retry 7", "  retry-interval 0.1", "  hello-interval 1", "  linger 1"];
    let addresses = [
        format!("  local-address 192.0.2.{number}"),
        format!("  remote-address 192.0.2.{other}"),
        format!("  remote-hostname h{other}"),
        format!("  remote-router-id 10.0.0.{other}"),
    ];
    defaults.extend(addresses.iter().map(String::as_str));
    let session = peer::settings(&["    remote-end-id e"], session);
    let names = peer::settings(
        &[&format!("hostname h{number}"), &format!("router-id 10.0.0.{number}"), "restart-interval 1"],
        top,
    );
    format!("{names}tunnel t\n{}  session l0\n{session}", peer::settings(&defaults, tunnel))
}

/// Starts host 2, then host 1, and waits until both have the session. Frames pass between 10.9.9.1 and 10.9.9.2.
pub fn pair(net: &Net, tunnel: &str, session: &str) -> (Daemon, Daemon) {
    pair_of(net, &host(1, "", tunnel, session), &host(2, "", tunnel, session))
}

/// The same with these configurations.
pub fn pair_of(net: &Net, one: &str, two: &str) -> (Daemon, Daemon) {
    let mut b = Daemon::start(net, &net.b, two);
    b.expect("debug l2tpd start");
    let mut a = Daemon::start(net, &net.a, one);
    up(&mut a, 1);
    up(&mut b, 1);
    addresses(net);
    net.ping(&net.a, "10.9.9.2", 56);
    (a, b)
}

/// Like `pair`, where one end calls and the other one answers: tshark cannot follow when two SCCRQs cross.
pub fn caller_and_answerer(net: &Net, tunnel: &str, session: &str) -> (Daemon, Daemon) {
    let end = |number, role| host(number, "", &format!("{tunnel}  role {role}\n"), session);
    pair_of(net, &end(1, "active"), &end(2, "passive"))
}

/// Pings, 50 a second, that must all be answered.
pub struct Flood(std::process::Child);

impl Flood {
    /// Runs for about this many seconds.
    pub fn start(net: &Net, seconds: u32) -> Flood {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &net.a, "ping", "-n", "-q", "-i", "0.02", "-W", "3", "-c"]);
        command.args([&(50 * seconds).to_string(), "10.9.9.2"]);
        Flood(command.stdout(Stdio::piped()).spawn().expect("ping"))
    }

    #[track_caller]
    pub fn lost_nothing(self) {
        let output = self.0.wait_with_output().expect("ping");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains(" 0% packet loss"), "frames were lost: {text}");
    }
}

/// What Python makes of a JSON text: `expression` about the value `v`, printed. Python is not ours, so it is a judge.
#[track_caller]
pub fn python(text: &str, expression: &str) -> String {
    let program = format!(
        "import json,sys\nv = [json.loads(line, parse_constant=int) for line in sys.stdin]\nif len(v) == 1: v = v[0]\n\
         print({expression})"
    );
    let output = pipe(Command::new(interpreter()).args(["-c", &program]), text);
    assert!(output.status.success(), "{expression}: {}\n{text}", crate::net::stderr(&output));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// A command's output for this input.
pub fn pipe(command: &mut Command, input: &str) -> Output {
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().expect("the command starts");
    // A command that ends early does not read it all.
    let _ = std::io::Write::write_all(&mut child.stdin.take().expect("pipe"), input.as_bytes());
    child.wait_with_output().expect("the command ends")
}

/// Skips the test where there is no Python.
pub fn need_python() {
    if !crate::net::have("python3") {
        crate::runner::skip("no python3");
    }
}

/// A file of the sources.
pub fn source(name: &str) -> PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A tunnel to nobody, and one that lacks something.
pub const BESIDE: &str = "tunnel beside\n  remote-address 192.0.2.77\n  remote-address 192.0.2.79\n  remote-hostname any\n  \
                      remote-router-id any\n  retry 1\n  retry-interval 0.1\n  session l7\n    remote-end-id f\n\
                      tunnel incomplete\n  remote-address 192.0.2.78\n";

pub fn addresses(net: &Net) {
    for (number, name) in [(1, &net.a), (2, &net.b)] {
        address(net, name, number);
    }
}

pub fn address(net: &Net, name: &str, number: u8) {
    net.batch(name, &format!("addr replace 10.9.9.{number}/24 dev l0\n"));
}

/// Waits until pings pass again.
#[track_caller]
pub fn passes_again(net: &Net) {
    let deadline = Instant::now() + PATIENCE;
    while !net.answers(&net.a, "10.9.9.2") {
        assert!(Instant::now() < deadline, "the pseudowire does not come back");
    }
}

/// Waits until `count` sessions of a daemon are up.
#[track_caller]
pub fn up(daemon: &mut Daemon, count: usize) {
    wait_until(|| established(daemon) >= count, || format!("not all sessions come up:\n{}", daemon.tail(40)));
}

/// How many sessions were established so far.
pub fn established(daemon: &Daemon) -> usize {
    daemon.count("info receive ICCN, state --> ESTABLISHED")
        + daemon.count("info send ICCN, state --> ESTABLISHED")
}
