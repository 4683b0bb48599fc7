//! What a running daemon has left of its rights: user, capabilities, system calls.

use std::os::unix::fs::DirBuilderExt;

use crate::daemon::{write_config, Daemon};
use crate::net::{run, stderr, Net};
use crate::pair::{host, pair_of, up, wait_for};
use crate::tests;
use crate::users::{GROUP, USER};

tests!(root_keeps_three_capabilities, the_user_of_the_system_is_the_default, off_forbids_nothing);

/// A field of the daemon's /proc/PID/status.
fn field(daemon: &Daemon, name: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.expect("the field").split_whitespace().next().unwrap_or_default().to_owned()
}

/// The filters for system calls of a process besides those of the tests themselves, which a container may have put there.
pub fn filters(pid: u32) -> usize {
    let of = |process: &str| {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("status");
        let line = status.lines().find_map(|line| line.strip_prefix("Seccomp_filters:"));
        line.and_then(|number| number.trim().parse::<usize>().ok()).expect("filters")
    };
    of(&pid.to_string()) - of("self")
}

/// NET_BIND_SERVICE, NET_ADMIN and NET_RAW; a filter; and all that a daemon does works: a tunnel, a reload that adds a
/// session, a command of the new file.
fn root_keeps_three_capabilities() {
    let net = Net::new();
    let second = "    remote-end-id e\n  session l1\n    remote-end-id f\n";
    let (mut a, mut b) = pair_of(&net, &host(1, "user root\n", "", ""), &host(2, "", "", second));
    assert_eq!(field(&a, "Uid"), "0");
    for set in ["CapEff", "CapPrm", "CapBnd"] {
        assert_eq!(field(&a, set), "0000000000003400", "{set}");
    }
    assert_eq!((field(&a, "NoNewPrivs").as_str(), filters(a.pid())), ("1", 1));
    assert_eq!(a.count("*is not in force*"), 0);
    let done = net.dir.join("done");
    let command = format!("  on-event /bin/sh -c \"echo $L2TPD_EVENT >> {}\"\n", done.display());
    write_config(&a.config, &host(1, "user root\n", &command, second));
    a.ctl_ok(&["reload"]);
    up(&mut a, 2);
    wait_for("the event", || std::fs::read_to_string(&done).ok().filter(|text| text.contains("session-up")));
    a.stop();
    b.stop();
    assert!(!a.pid_file.exists() && !a.socket.exists(), "they can be removed");
}

/// With a user l2tpd in the system the daemon becomes it, `user root` stays root. A file that only root may read is told
/// of, at the start and when a reload fails for it, with the command that mends it.
fn the_user_of_the_system_is_the_default() {
    let net = Net::new();
    let text = host(1, "", "  role passive\n  password x\n", "");
    let file = net.dir.join("of-root.conf");
    write_config(&file, &text);
    let name = file.to_str().expect("path");
    let mut daemon = Daemon::start_under(&net, &net.a, &text, &[], &["-c", name]);
    let mend = format!("chgrp {GROUP} {name} && chmod 640 {name}");
    daemon.expect(&format!(
        "warn   {name}: Permission denied: {mend}: it cannot be read again by user l2tpd, a reload will fail"
    ));
    daemon.expect("debug l2tpd start");
    assert_eq!((field(&daemon, "Uid"), field(&daemon, "Gid")), (USER.to_string(), GROUP.to_string()));
    assert_eq!(field(&daemon, "CapBnd"), "0000000000003000");
    wait_for("the filter", || (filters(daemon.pid()) == 1).then_some(()));
    let output = daemon.ctl(&["reload"]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains(&format!("  {name}: Permission denied: {mend}\n")), "{said}");
    daemon.expect("error Can't open config file");
    daemon.expect(&format!("error   {name}: Permission denied: {mend}"));
    run(&["sh", "-c", &mend]);
    assert_eq!(daemon.ctl_ok(&["reload"]), "nothing changed\n");
    // And where the file itself is not what is in the way.
    let inner = net.dir.join("inner");
    std::fs::DirBuilder::new().mode(0o700).create(&inner).expect("directory");
    std::fs::rename(&file, inner.join("l2tpd.conf")).expect("rename");
    std::os::unix::fs::symlink(inner.join("l2tpd.conf"), &file).expect("link");
    let said = stderr(&daemon.ctl(&["reload"]));
    let wanted = format!("Permission denied: a directory on the way may not be entered by user {USER}");
    assert!(said.contains(&wanted), "{said}");
    daemon.stop();
    let mut daemon = Daemon::start(&net, &net.a, &host(1, "user root\n", "  role passive\n", ""));
    daemon.expect("debug l2tpd start");
    assert_eq!(field(&daemon, "Uid"), "0");
    daemon.stop();
    // Without that user.
    let mut daemon = Daemon::start(&net, &net.b, &host(2, "", "  role passive\n", ""));
    daemon.expect("debug l2tpd start");
    assert_eq!(field(&daemon, "Uid"), "0");
    daemon.stop();
}

/// `seccomp off`: no filter and no helper, and commands are run all the same.
fn off_forbids_nothing() {
    let net = Net::new();
    let done = net.dir.join("done");
    let command = format!("  on-event /bin/sh -c \"echo $L2TPD_EVENT >> {}\"\n", done.display());
    let (mut a, mut b) = pair_of(&net, &host(1, "seccomp off\n", &command, ""), &host(2, "", "", ""));
    wait_for("the event", || std::fs::read_to_string(&done).ok().filter(|text| text.contains("session-up")));
    assert_eq!(filters(a.pid()), 0);
    a.stop();
    b.stop();
}
