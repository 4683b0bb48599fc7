//! `on-event` with the real daemon: commands that hang, their environment, what they inherit, and what becomes of them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use l2tpd::daemon::args::{Invocation, Options};

use crate::daemon::Daemon;
use crate::net::{run, stderr, Net};
use crate::pair::{caller_and_answerer, host, pair_of, source, up, Flood};
use crate::peer;
use crate::peer::Peer;
use crate::start_refused::OWN_DEV;
use crate::sys::is_same;
use crate::tests;
use crate::wait::{wait_for, wait_until};

tests!(
    hanging_command_delays_nothing,
    hanging_command_is_killed,
    command_inherits_nothing,
    command_runs_at_once,
    as_process_1_it_reaps_what_commands_leave_behind,
    command_without_the_null_device,
    event_command_is_run,
);

/// Writes a script that can be run.
pub fn script(net: &Net, name: &str, text: &str) -> PathBuf {
    let file = net.dir.join(name);
    // By another process: a descriptor of ours that a fork inherits would make the file busy.
    let put = format!("cat > {0} && chmod 755 {0}", file.display());
    let output = crate::pair::pipe(std::process::Command::new("sh").args(["-c", &put]), text);
    assert!(output.status.success(), "{}", stderr(&output));
    file
}

/// State and parent of a process.
fn stat(pid: u32) -> Option<(char, u32)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut words = text.rsplit_once(") ")?.1.split(' ');
    Some((words.next()?.chars().next()?, words.next()?.parse().ok()?))
}

/// The scheduling policy of a process: field 41.
fn policy(pid: u32) -> i32 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
    let fields = text.rsplit_once(") ").expect("a name").1.split(' ').nth(38);
    fields.and_then(|field| field.parse().ok()).expect("a number")
}

/// The children of a process, those that have ended too.
fn children(parent: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").expect("/proc").flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|(_, of)| of == parent)).collect()
}

/// The children of a process that have ended and were not waited for.
fn zombies(parent: u32) -> usize {
    let all = std::fs::read_dir("/proc").expect("/proc").flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(stat).filter(|found| *found == ('Z', parent)).count()
}

pub fn number(file: &Path) -> Option<u32> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Makes this program a daemon whose commands may run for a second. The word that follows is the daemon's program, which
/// is not used.
pub const ARGUMENT: &str = "--daemon-of-little-patience";

pub fn daemon(arguments: impl Iterator<Item = String>) -> i32 {
    let Ok(Invocation::Run(options)) = l2tpd::daemon::args::parse(arguments) else { return 2 };
    l2tpd::daemon::start::run(Options { event_limit: Duration::from_secs(1), ..options })
}

/// A command that hangs at `session-up`, with a child.
fn hang(net: &Net) -> PathBuf {
    let dir = net.dir.display();
    let text = format!(
        "#!/bin/sh\necho $L2TPD_EVENT >> {dir}/events\ncase $L2TPD_EVENT in\nsession-up)\n  sleep 1000 &\n  \
         echo $! > {dir}/child\n  echo $$ > {dir}/hook\n  sleep 1000;;\nesac\n"
    );
    script(net, "hang.sh", &text)
}

fn is_gone(pid: u32) -> bool {
    stat(pid).is_none_or(|(state, _)| state == 'Z')
}

fn hanging_command_delays_nothing() {
    let net = Net::new();
    let tunnel = format!("  on-event {}\n", hang(&net).display());
    let (mut a, mut b) = pair_of(&net, &host(1, "", &tunnel, ""), &host(2, "", "", ""));
    let pid = wait_for("the command", || number(&net.dir.join("hook")));
    let child = number(&net.dir.join("child")).expect("its child");
    // While it hangs everything goes on.
    let flood = Flood::start(&net, 2);
    for _ in 0..5 {
        let asked = Instant::now();
        a.ctl_ok(&["status"]);
        assert!(asked.elapsed() < Duration::from_secs(20), "status took {:?}", asked.elapsed());
    }
    flood.lost_nothing();
    a.ctl_ok(&["clear", "session", "l0"]);
    up(&mut a, 1);
    let events = || std::fs::read_to_string(net.dir.join("events")).unwrap_or_default();
    assert!(!events().contains("session-down"), "one command at a time: {}", events());
    assert!(!is_gone(pid), "it was killed too early");
    assert_eq!(a.count("*failed to send control*"), 0, "the tunnel stayed up");
    // It does not outlive the daemon, nor keep it.
    let asked = Instant::now();
    a.stop();
    assert!(asked.elapsed() < Duration::from_secs(15), "the end took {:?}", asked.elapsed());
    wait_for("its end", || (is_gone(pid) && is_gone(child)).then_some(()));
    b.stop();
}

fn hanging_command_is_killed() {
    let net = Net::new();
    let hook = hang(&net);
    let tunnel = format!("  on-event {}\n", hook.display());
    let mut b = Daemon::start(&net, &net.b, &host(2, "", "", ""));
    let program = std::env::current_exe().expect("this program");
    let before = [program.to_str().expect("path"), ARGUMENT];
    let mut a = Daemon::start_under(&net, &net.a, &host(1, "", &tunnel, ""), &before, &[]);
    up(&mut a, 1);
    let pid = wait_for("the command", || number(&net.dir.join("hook")));
    let start = Instant::now();
    let child = number(&net.dir.join("child")).expect("its child");
    a.ctl_ok(&["clear", "session", "l0"]);
    a.expect(&format!("warn   on-event of t: {}: killed, it ran longer than 1 s", hook.display()));
    assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
    wait_for("its end", || (is_gone(pid) && is_gone(child)).then_some(()));
    // The events that waited have their turn, and nothing is left of what ended.
    let events = || std::fs::read_to_string(net.dir.join("events")).unwrap_or_default();
    wait_for("the next event", || events().contains("session-down").then_some(()));
    wait_for("the end of all that ended", || (zombies(a.pid()) == 0).then_some(()));
    a.stop();
    b.stop();
}

/// Also where nothing else happens: no peer, no timers.
fn command_runs_at_once() {
    let net = Net::new();
    let hook =
        script(&net, "note.sh", &format!("#!/bin/sh\necho $L2TPD_EVENT >> {}/events\n", net.dir.display()));
    let text = format!(
        "hostname h\nrouter-id 10.0.0.1\ntunnel t\n  local-address 192.0.2.1\n  remote-address 192.0.2.2\n  \
         on-event {}\n  session l0\n    manual 1 2\n    \
         link-state up\n",
        hook.display()
    );
    // Lest frames of the system itself wake the daemon.
    net.exec(&net.a, &["sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"]);
    let mut a = crate::daemon::Daemon::start(&net, &net.a, &text);
    let events = || std::fs::read_to_string(net.dir.join("events")).unwrap_or_default();
    wait_for("the first event", || events().contains("session-up").then_some(()));
    std::thread::sleep(Duration::from_secs(2)); // that nothing happens is the case
    let asked = Instant::now();
    a.ctl_ok(&["stop", "t"]);
    wait_for("the next event", || events().contains("session-down").then_some(()));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    a.stop();
    // A name that is not found.
    let text = text.replace("192.0.2.2", "nowhere.invalid").replace("    manual 1 2", "    remote-end-id e");
    let text = text.replace("router-id 10", "restart-interval 60\nrouter-id 10");
    let text = text.replace("  session", "  remote-hostname any\n  remote-router-id any\n  session");
    let mut a = crate::daemon::Daemon::start(&net, &net.a, &text);
    a.expect("error *nowhere.invalid cannot be looked up: *");
    a.ctl_ok(&["stop", "t"]);
    std::thread::sleep(Duration::from_secs(1)); // as above
    let before = events().matches("tunnel-failed").count();
    let asked = Instant::now();
    a.ctl_ok(&["start", "t"]);
    wait_for("the failure", || (events().matches("tunnel-failed").count() > before).then_some(()));
    assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
    a.stop();
}

fn command_inherits_nothing() {
    let net = Net::new();
    let dir = net.dir.display();
    let text = format!(
        "#!/bin/sh\nenv | sort > {dir}/env.$L2TPD_EVENT\necho $$ > {dir}/pid.$L2TPD_EVENT\nexec sleep 2\n"
    );
    let hook = script(&net, "look.sh", &text);
    let tunnel = format!("  on-event {}\n", hook.display());
    let mut b = Daemon::start(&net, &net.b, &host(2, "", "", ""));
    b.expect("debug l2tpd start");
    // Nor what a shell has ignored, as for a command with `&` at its end.
    let shell = ["sh", "-c", "trap '' QUIT TSTP; exec \"$@\"", "sh"];
    let mut a = Daemon::start_under(&net, &net.a, &host(1, "", &tunnel, ""), &shell, &[]);
    let pid = wait_for("the command", || number(&net.dir.join("pid.tunnel-up")));
    let is_sleep =
        || std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n");
    wait_for("exec", || is_sleep().then_some(()));
    let descriptors: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("descriptors")
        .flatten()
        .map(|entry| entry.path().display().to_string())
        .collect();
    assert_eq!(descriptors.len(), 3, "{descriptors:?}");
    assert!(descriptors.iter().all(|file| is_same(file, "/dev/null")), "{descriptors:?}");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(u64::from_str_radix(&field("SigBlk:"), 16), Ok(0), "no signal is blocked");
    let ignored = u64::from_str_radix(&field("SigIgn:"), 16).expect("hex");
    assert_eq!(ignored & 0x7fff_ffff, 0, "none is ignored (those of real time are the C library's affair)");
    assert_eq!((policy(a.pid()), policy(pid)), (libc::SCHED_BATCH, libc::SCHED_OTHER));
    // The environment is what the manual says, and nothing else.
    let environment = std::fs::read_to_string(net.dir.join("env.tunnel-up")).expect("environment");
    let page = std::fs::read_to_string(source("man/l2tpd.8")).expect("l2tpd.8");
    let names: Vec<&str> = environment.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    for name in names.iter().filter(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name)) {
        assert!(page.contains(&format!(" Ev {name}\n")), "{name} is not in l2tpd(8):\n{environment}");
    }
    for name in page.split(".It Ev ").skip(1).map(|rest| rest.split_whitespace().next().unwrap_or_default()) {
        assert!(!name.starts_with("L2TPD_") || names.contains(&name), "{name} is in l2tpd(8) only");
    }
    for line in ["L2TPD_EVENT=tunnel-up", "L2TPD_TUNNEL=t", "L2TPD_PEER=192.0.2.2"] {
        assert!(environment.lines().any(|found| found == line), "no {line} in\n{environment}");
    }
    wait_for("the session's event", || number(&net.dir.join("pid.session-up")));
    let environment = std::fs::read_to_string(net.dir.join("env.session-up")).expect("environment");
    assert!(environment.contains("L2TPD_INTERFACE=l0\n"), "{environment}");
    a.stop();
    b.stop();
}

/// In a container the daemon is process 1: what a command leaves behind becomes its child, and must not stay as a
/// zombie when it ends.
fn as_process_1_it_reaps_what_commands_leave_behind() {
    let net = Net::new();
    let fifo = net.dir.join("fifo");
    run(&["mkfifo", fifo.to_str().expect("path")]);
    let done = net.dir.join("done");
    let text = "#!/bin/sh\n[ $L2TPD_EVENT = tunnel-up ] || exit 0\n{ read line < FIFO; echo $$ > DONE; } &\n";
    let text = text.replace("FIFO", &fifo.display().to_string()).replace("DONE", &done.display().to_string());
    let hook = script(&net, "leave.sh", &text);
    let text = peer::config(&format!("  on-event {}\n", hook.display()), peer::SESSION);
    let before = ["unshare", "-p", "-f", "--kill-child"];
    let mut peer = Peer::new(&net);
    let mut daemon = Daemon::start_under(&net, &net.a, &text, &before, &[]);
    peer.accept();
    daemon.expect("info send SCCCN, state --> ESTABLISHED");
    let count = |parent: u32, wanted: usize| {
        let children = children(parent);
        (children.len() == wanted).then(|| children[0])
    };
    let pid = wait_for("process 1", || count(daemon.pid(), 1));
    // Who starts commands, who starts another program, and, as the command is over, what it left behind, which waits for a
    // line.
    wait_for("what the command left behind", || count(pid, 3));
    let mut writer = std::fs::OpenOptions::new().read(true).write(true).open(&fifo).expect("FIFO");
    std::io::Write::write_all(&mut writer, b"go\n").expect("FIFO");
    wait_for("its last word", || number(&done));
    wait_for("its end", || count(pid, 2));
    crate::sys::kill(pid, libc::SIGTERM);
    daemon.expect("info l2tpd exit.");
}

/// What is missing is named, and not taken for the command.
fn command_without_the_null_device() {
    let net = Net::new();
    let mut peer = Peer::new(&net);
    let text = peer::config("  role passive\n  on-event /bin/true\n", peer::SESSION);
    let mut daemon = Daemon::start_under(&net, &net.a, &text, &OWN_DEV, &[]);
    daemon.expect("debug l2tpd start");
    let pid = daemon.pid().to_string();
    run(&["nsenter", "-t", &pid, "-m", "-r", "umount", "/dev/null"]);
    run(&["nsenter", "-t", &pid, "-m", "-r", "rm", "/dev/null"]);
    peer.connect();
    daemon.expect("warn   on-event of t1: /bin/true: /dev/null: No such file or directory");
}

fn event_command_is_run() {
    let net = Net::new();
    let script = net.dir.join("event.sh");
    let output = net.dir.join("events");
    let text = format!(
        "#!/bin/sh\nenv | grep -i l2tp | sort | tr '\\n' ' ' >> {0}\necho >> {0}\n",
        output.display()
    );
    std::fs::write(&script, text).expect("script");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, mode).expect("mode");
    let tunnel = format!("  on-event {}\n", script.display());
    let (mut a, mut b) = caller_and_answerer(&net, &tunnel, "");
    let events = || std::fs::read_to_string(&output).unwrap_or_default();
    wait_until(|| ["tunnel-up", "session-up"].iter().all(|event| events().contains(event)), events);
    a.stop();
    b.stop();
    let text = std::fs::read_to_string(&output).unwrap_or_default();
    let heard = text.split_whitespace().filter_map(|word| word.strip_prefix("L2TPD_EVENT="));
    let idle = |event: &&str| !["tunnel-up", "session-up", "session-down", "tunnel-down"].contains(event);
    assert_eq!(heard.filter(idle).collect::<Vec<_>>(), Vec::<&str>::new(), "changes that matter, alone");
}
