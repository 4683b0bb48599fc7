//! What a running daemon has left of its rights: user, capabilities, system calls.

use crate::daemon::{write_config, Daemon};
use crate::net::Net;
use crate::pair::{host, pair_of, up, wait_for};
use crate::tests;

tests!(root_keeps_three_capabilities, the_user_of_the_system_is_the_default, off_forbids_nothing);

/// A field of the daemon's /proc/PID/status.
fn field(daemon: &Daemon, name: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.expect("the field").split_whitespace().next().unwrap_or_default().to_owned()
}

/// NET_BIND_SERVICE, NET_ADMIN and NET_RAW; a filter; and all that a daemon does works: a tunnel, a reload that adds a
/// session, a command of the new file.
fn root_keeps_three_capabilities() {
    let net = Net::new();
    let second = "    remote-end-id e\n  session l1\n    remote-end-id f\n";
    let (mut a, mut b) = pair_of(&net, &host(1, "", "", ""), &host(2, "", "", second));
    assert_eq!(field(&a, "Uid"), "0");
    for set in ["CapEff", "CapPrm", "CapBnd"] {
        assert_eq!(field(&a, set), "0000000000003400", "{set}");
    }
    assert_eq!((field(&a, "NoNewPrivs").as_str(), field(&a, "Seccomp").as_str()), ("1", "2"));
    assert_eq!(a.count("*is not in force*"), 0);
    let done = net.dir.join("done");
    let command = format!("  on-event /bin/sh -c \"echo $L2TPD_EVENT >> {}\"\n", done.display());
    write_config(&a.config, &host(1, "", &command, second));
    a.ctl_ok(&["reload"]);
    up(&mut a, 2);
    wait_for("the event", || std::fs::read_to_string(&done).ok().filter(|text| text.contains("session-up")));
    a.stop();
    b.stop();
    assert!(!a.pid_file.exists() && !a.socket.exists(), "they can be removed");
}

/// With a user l2tpd in the system: the daemon becomes it, `user root` stays root.
fn the_user_of_the_system_is_the_default() {
    let net = Net::new();
    let (passwd, group) = (net.dir.join("passwd"), net.dir.join("group"));
    let text = std::fs::read_to_string("/etc/passwd").expect("passwd");
    std::fs::write(&passwd, format!("{text}l2tpd:x:64777:64778::/nonexistent:/usr/sbin/nologin\n"))
        .expect("passwd");
    let text = std::fs::read_to_string("/etc/group").expect("group");
    std::fs::write(&group, format!("{text}l2tpd:x:64778:\n")).expect("group");
    let script = format!(
        "mount --bind {} /etc/passwd && mount --bind {} /etc/group && exec \"$@\"",
        passwd.display(),
        group.display()
    );
    let before = ["unshare", "-m", "sh", "-c", &script, "sh"];
    let text = host(1, "", "  role passive\n  password x\n", "");
    let mut daemon = Daemon::start_under(&net, &net.a, &text, &before, &[]);
    // Its own group may read the file; now it may not.
    daemon.expect(
        "warn   *.conf: Permission denied: it cannot be read again by user l2tpd, a reload will fail",
    );
    daemon.expect("debug l2tpd start");
    assert_eq!((field(&daemon, "Uid").as_str(), field(&daemon, "Gid").as_str()), ("64777", "64778"));
    assert_eq!(field(&daemon, "CapBnd"), "0000000000003000");
    wait_for("the filter", || (field(&daemon, "Seccomp") == "2").then_some(()));
    std::os::unix::fs::chown(&daemon.config, None, Some(64778)).expect("chown");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o640);
    std::fs::set_permissions(&daemon.config, mode).expect("mode");
    assert_eq!(daemon.ctl_ok(&["reload"]), "nothing changed\n");
    daemon.stop();
    let mut daemon = Daemon::start_under(&net, &net.a, &format!("user root\n{text}"), &before, &[]);
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
    assert_eq!(field(&a, "Seccomp"), "0");
    a.stop();
    b.stop();
}
