//! The log of good runs, line by line. Each test names the messages of the catalogue (M-...) that it causes.

use crate::daemon::Daemon;
use crate::net::Net;
use crate::peer::*;
use crate::tests;

tests!(good_run_as_initiator, good_run_as_responder, the_log_does_not_depend_on_the_password,);

/// The lines of a run without settings, remarks and acknowledgements (whose places depend on who is faster); the
/// tunnel's id is replaced by T.
fn normalized(daemon: &Daemon) -> Vec<String> {
    let mut lines = daemon.lines();
    lines.retain(|line| !is_setting(line) && !is_remark(line));
    lines.retain(|line| !line.ends_with("] send ACK") && !line.ends_with("] receive Explicit ACK"));
    let id = lines
        .iter()
        .find_map(|line| line.strip_prefix("debug tunnel create suceeded: my connection ID = "))
        .and_then(|rest| rest.split('(').next())
        .map(str::to_owned)
        .unwrap_or_default();
    let hex = id.parse::<u32>().map(|id| format!("{id:#x}")).unwrap_or_default();
    let replace = |line: &String| line.replace(&hex, "0xT").replace(&id, "T");
    lines.iter().map(replace).collect()
}

/// A further line: two blanks after the level.
fn is_remark(line: &str) -> bool {
    line.split_once(' ').is_some_and(|(_, message)| message.starts_with("  "))
}

/// `debug NAME: TAG: VALUE`, once for each line of the configuration.
fn is_setting(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("debug ") else { return false };
    let words: Vec<&str> = rest.splitn(3, ": ").collect();
    words.len() == 3 && !words[0].contains(['[', ' ']) && !words[1].contains(' ')
}

/// Nothing is sent again because this test was slow.
const PATIENT: &str = "  retry-interval 5\n";

/// M-049 M-050 M-051 M-056 M-057 M-080 M-081 M-086 M-087: C-110 C-115 C-166 C-167
fn good_run_as_initiator() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let mut daemon = Daemon::start(&net, &net.a, &config(PATIENT, SESSION));
    peer.accept();
    let call = peer.answer();
    daemon.expect("debug [*] send control packet(1): ICCN");
    let ccid = peer.remote;
    let created = format!("debug tunnel create suceeded: my connection ID = {ccid}({ccid:#x})");
    assert_eq!(daemon.count(&created), 1, "the id of the log is that of the SCCRQ");
    assert_eq!(
        normalized(&daemon),
        [
            "debug l2tpd start",
            "info [T] create new tunnel, state --> IDLE",
            "debug tunnel create suceeded: my connection ID = T(0xT)",
            "info [T] begin new tunnel [t1] peer:192.0.2.2",
            "info send SCCRQ, state --> WAIT-CTL-REPLY",
            "debug [T] send control packet(1): SCCRQ",
            "info receive SCCRP, state --> ESTABLISHED",
            "info send SCCCN, state --> ESTABLISHED",
            "debug [T] send control packet(1): SCCCN",
            "info [T] begin new session",
            "info send ICRQ, state --> WAIT-REPLY",
            "debug [T] send control packet(1): ICRQ",
            "info receive ICRP, state --> ESTABLISHED",
            "info send ICCN, state --> ESTABLISHED",
            "debug [T] send control packet(1): ICCN",
        ]
    );
    assert!(call.remote != 0);
}

/// M-049 M-051 M-056 M-057 M-071 M-087, then M-048 M-054 M-055 M-072 M-074 M-084 M-085: C-102 C-176 C-180 C-183
fn good_run_as_responder() {
    let (_net, mut daemon, mut peer) = established(PATIENT, SESSION);
    let call = peer.call("end1");
    daemon.expect("info receive ICCN, state --> ESTABLISHED");
    let up = normalized(&daemon);
    let acks_aside: Vec<&str> =
        up.iter().map(String::as_str).filter(|line| !line.ends_with("send ACK")).collect();
    assert_eq!(
        acks_aside,
        [
            "debug l2tpd start",
            "info [T] create new tunnel, state --> IDLE",
            "debug tunnel create suceeded: my connection ID = T(0xT)",
            "info receive SCCRQ, state --> IDLE",
            "info send SCCRP, state --> WAIT-CTL-CONN",
            "debug [T] send control packet(1): SCCRP",
            "info receive SCCCN, state --> ESTABLISHED",
            "debug [T] can't find session, create new session",
            "info [T] begin new session",
            "info receive ICRQ, state --> IDLE",
            "info send ICRP, state --> WAIT-CONNECT",
            "debug [T] send control packet(1): ICRP",
            "info receive ICCN, state --> ESTABLISHED",
        ]
    );
    daemon.expect("debug [*] send ACK");
    daemon.signal(libc::SIGTERM);
    let stop = peer.expect(STOPCCN);
    assert_eq!(stop.result().0, 6, "being shut down");
    let status = daemon.wait_exit();
    assert_eq!(status.code(), Some(0));
    let all = normalized(&daemon);
    let from = all.iter().position(|line| line == "info Received 15 signal").expect("the signal is logged");
    let session = call.remote;
    assert_eq!(
        all[from..],
        [
            "info Received 15 signal".to_owned(),
            "info cleanup resources...".to_owned(),
            format!("debug [T][{session}] cleanup session: l0"),
            format!("debug [T][{session}] delete session"),
            "info send StopCCN, state --> IDLE".to_owned(),
            "debug [T] send control packet(1): StopCCN".to_owned(),
            "debug [T] cleanup tunnel: t1".to_owned(),
            "debug [T] delete tunnel".to_owned(),
            "info l2tpd exit.".to_owned(),
        ]
    );
    // In a directory of root's, where the user may remove nothing.
    assert_eq!(std::fs::read_to_string(&daemon.pid_file).ok().as_deref(), Some(""), "the pid is gone");
}

/// Signed messages make the same lines.
fn the_log_does_not_depend_on_the_password() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    peer.secret = Some(b"secret".to_vec());
    let mut daemon = Daemon::start(&net, &net.a, &config("  password secret\n", SESSION));
    peer.accept();
    peer.answer();
    daemon.expect_all(&["info send ICCN, state --> ESTABLISHED", "debug [*] receive Explicit ACK"]);
    assert_eq!(daemon.count("*secret*"), 0, "the password in the log");
    assert_eq!(daemon.count("debug t1: password: ****"), 1);
}
