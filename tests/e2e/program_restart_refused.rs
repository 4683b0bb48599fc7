//! `l2tpctl restart` that comes to nothing: everything goes on, and the reason is said.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::daemon::{program, write_config};
use crate::net::{stderr, Net};
use crate::pair::{host, pair_of, passes_again, wait_until};
use crate::program_restart::{flood, install, lost_nothing, process, replaceable, restart};
use crate::sys;
use crate::tests;

tests!(
    a_program_that_cannot_take_over_changes_nothing,
    another_form_of_state_is_refused,
    without_the_process_that_starts_programs_nothing_happens,
    a_reload_meanwhile_is_not_lost,
);

fn a_program_that_cannot_take_over_changes_nothing() {
    let net = Net::new();
    let (file, mut a, mut b) = replaceable(&net);
    let pid = process(&a);
    let real = std::fs::read(program()).expect("program");
    let cases: [(&str, &[u8], &str); 6] = [
        ("no program", b"exec 2>/dev/null; nonsense\n", "*"),
        ("exits", b"#!/bin/sh\nexit 1\n", "*it ended: exit status: 1*"),
        ("is killed", b"#!/bin/sh\nkill -9 $$\n", "*it ended: signal: 9*"),
        ("an older version", b"#!/bin/sh\nexit 2\n", "*it ended: exit status: 2*"),
        ("hangs", b"#!/bin/sh\nexec sleep 1000\n", "*it has said nothing for 10 s*"),
        ("none", b"", "*"),
    ];
    let flood = flood(&net, 14);
    for (what, octets, why) in cases {
        match octets.is_empty() {
            true => std::fs::remove_file(&file).expect("remove"),
            false => install(&file, octets),
        }
        let output = a.ctl(&["restart"]);
        assert_eq!(output.status.code(), Some(1), "{what}: {}", stderr(&output));
        let line = a.expect("error   restart: everything goes on as before: *");
        assert!(crate::daemon::glob(why, &line), "{what}: {line}");
        assert!(stderr(&output).contains("nobody took over: "), "{what}: {}", stderr(&output));
        assert_eq!(process(&a), pid, "{what}");
    }
    lost_nothing(flood);
    // A file with errors.
    install(&file, &real);
    let good = std::fs::read_to_string(&a.config).expect("configuration");
    write_config(&a.config, "no-such-tag 1\n");
    let output = a.ctl(&["restart"]);
    assert_eq!(output.status.code(), Some(1));
    a.expect("error   restart: everything goes on as before: *no-such-tag: Unknown tag*");
    // And all is well: another program, and the right one.
    write_config(&a.config, &good);
    restart(&a);
    assert_ne!(process(&a), pid);
    passes_again(&net);
    a.stop();
    b.stop();
}

/// A later version may write its state in another way: it says so, and nothing happens.
fn another_form_of_state_is_refused() {
    let net = Net::new();
    let (file, mut a, mut b) = replaceable(&net);
    let pid = process(&a);
    let mut other = std::fs::read(program()).expect("program");
    // The number in the first line of what it would write, and of what it reads: compilers may have made half of it an
    // instruction.
    let number = b"state 1\n";
    let places: Vec<usize> =
        (0..other.len() - number.len()).filter(|at| other[*at..].starts_with(number)).collect();
    assert!(!places.is_empty(), "the program has no such line");
    for at in places {
        other[at + number.len() - 2] = b'2';
    }
    install(&file, &other);
    let output = a.ctl(&["restart"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    a.expect("error   restart: everything goes on as before: it is not the state of this l2tpd");
    assert_eq!(process(&a), pid);
    net.ping(&net.a, "10.9.9.2", 56);
    a.stop();
    b.stop();
}

/// Somebody kills the process that starts programs: the daemon goes on, and a restart is refused at once.
fn without_the_process_that_starts_programs_nothing_happens() {
    let net = Net::new();
    // Nothing else makes the daemon turn for long.
    let quiet = "  hello-interval 60\n";
    let (mut a, mut b) = pair_of(&net, &host(1, "", quiet, ""), &host(2, "", quiet, ""));
    let children = format!("/proc/{0}/task/{0}/children", a.pid());
    let children = std::fs::read_to_string(children).expect("children");
    let has_rights = |pid: &&str| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
        status.contains("NoNewPrivs:\t0")
    };
    let starter: Vec<u32> =
        children.split_whitespace().filter(has_rights).map(|pid| pid.parse().expect("a pid")).collect();
    assert_eq!(starter.len(), 1, "{children}");
    sys::kill(starter[0], libc::SIGKILL);
    wait_until(|| !Path::new(&format!("/proc/{}", starter[0])).exists(), || "it is still there".to_owned());
    let begin = Instant::now();
    let output = a.ctl(&["restart"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    a.expect("error   restart: everything goes on as before: the process that starts programs is not there*");
    net.ping(&net.a, "10.9.9.2", 56);
    a.stop();
    b.stop();
}

/// A reload while the other program starts: what it brought is in force, and the restart says why it is none.
fn a_reload_meanwhile_is_not_lost() {
    let net = Net::new();
    let (file, mut a, mut b) = replaceable(&net);
    let pid = process(&a);
    // It takes its time.
    let gate = net.dir.join("gate");
    let script =
        format!("#!/bin/sh\nuntil [ -e {} ]; do :; done\nexec {} \"$@\"\n", gate.display(), program());
    install(&file, script.as_bytes());
    let restart = std::thread::scope(|scope| {
        let restart = scope.spawn(|| a.ctl(&["restart"]));
        wait_until(|| a.count("*restart: the program is started again*") > 0, || a.tail(10));
        write_config(&a.config, &host(1, "", "  hello-interval 7\n", ""));
        a.ctl_ok(&["reload"]);
        std::fs::write(&gate, "").expect("gate");
        restart.join().expect("l2tpctl")
    });
    assert_eq!(restart.status.code(), Some(1), "{}", stderr(&restart));
    assert!(stderr(&restart).contains("the configuration was read again meanwhile"), "{}", stderr(&restart));
    assert_eq!(process(&a), pid);
    install(&file, &std::fs::read(program()).expect("program"));
    a.ctl_ok(&["restart"]);
    assert_ne!(process(&a), pid);
    a.expect("info   tunnel t: changed live (hello-interval)");
    assert_eq!(a.count("info   tunnel t: changed live (hello-interval)"), 1, "{}", a.tail(20));
    a.stop();
    b.stop();
}
