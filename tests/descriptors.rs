//! The admin socket when the process has no file descriptor left: it says so, does not spin, and goes on by itself.
//! In a process of its own, for its limit of descriptors is lowered.

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::process::Command;

use l2tpd::admin::envelope;
use l2tpd::sys::clock;
use support::{admin_report, admin_server};

#[test]
fn accepting_pauses_without_descriptors_and_resumes() {
    let server = admin_server::Server::start(admin_report::report());
    let turns = server.state.lock().unwrap().turns;
    let mut client = server.connect(); // accepted before the shortage: the place of its own is kept
    server.until(|state| state.turns > turns);
    let limit = ["--pid", &std::process::id().to_string(), "--nofile=64"].map(str::to_owned);
    match Command::new("prlimit").args(limit).status() {
        Ok(status) => assert!(status.success()),
        Err(_) => return eprintln!("SKIPPED: there is no prlimit"),
    }
    let mut hoard = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
    }
    hoard.pop(); // one for the connection's own end
    let mut late = server.connect();
    let text = "error failed to accept: Too many open files\n";
    server.until(|state| state.lines().contains(text));
    let (begin, turns) = (clock::now(), server.state.lock().unwrap().turns);
    server.until(|state| state.lines().matches(text).count() >= 3);
    let state = server.state.lock().unwrap();
    assert!(clock::now() - begin > std::time::Duration::from_millis(1500), "it tries again after a pause");
    assert!(state.turns - turns < 20, "the server spins: {} turns", state.turns - turns);
    drop(state);
    client.write_all(&envelope::encode(3, b"center\0")).unwrap();
    client.read_exact(&mut [0; envelope::HEADER]).unwrap();
    // No event tells the server that there are descriptors again.
    hoard.clear();
    late.write_all(&envelope::encode(3, b"center\0")).unwrap();
    late.read_exact(&mut [0; envelope::HEADER]).unwrap();
}
