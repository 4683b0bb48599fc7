//! End-to-end tests: the real daemon in network namespaces, against itself, against a scripted peer that builds
//! its own messages (`peer.rs` shares no code with the daemon), and with tshark as judge of every control message
//! that the daemon sends (`judge/`). They need root.
//!
//! This is its own small runner, because the last question - which messages of the catalogue did no test see? -
//! can only be asked when all tests are through. `cargo test --test e2e -- WORD` runs those whose name holds WORD.
//! The logs of all daemons stay in target/e2e-logs.
#![allow(missing_docs, clippy::disallowed_methods)]

mod addresses;
mod admin_socket;
mod attackers;
mod avps;
mod backup;
mod bind_device;
mod bridges;
mod capture;
mod clear_start_stop;
mod config;
mod config_trust;
mod confinement;
mod cookie;
mod counters;
mod coverage;
mod crash;
mod ctl;
mod dead_peer;
mod encapsulations;
mod explain;
mod failing_system;
mod fallback;
mod faults;
mod follow;
mod good_run;
mod headers;
mod hidden;
mod host_names;
mod hostile;
mod hostname_router_id;
mod interface;
mod judge;
mod limits;
mod link_local_frames;
mod log;
mod manual;
mod message_order;
mod multipoint;
mod nat;
mod network;
mod notify_socket;
mod on_event;
mod outer_headers;
mod pair;
mod password;
mod path_mtu;
mod peer_ends;
mod peer_restart;
mod ping;
mod profiles;
mod program_restart;
mod program_restart_refused;
mod real_peers;
mod reload;
mod schema;
mod secrets;
mod sequencing;
mod signals;
mod silent_peer;
mod soak;
mod standby;
mod start;
mod start_refused;
mod status;
mod strangers;
mod summary;
#[path = "../support/mod.rs"]
mod support;
mod suspend;
mod takeover;
mod terminal;
mod tie;
mod trace;
mod udp_ports;
mod user;
mod wall_clock;

use support::runner::Test;
use support::{daemon, dice, message, net, peer, record, runner, sys, users, wait};

/// Tests that run at once: most of their time is waiting.
const THREADS: usize = 6;

/// All tests, by topic.
const TESTS: &[&[Test]] = &[
    // Those that take longest begin.
    attackers::TESTS,
    nat::TESTS,
    soak::TESTS,
    addresses::TESTS,
    backup::TESTS,
    admin_socket::TESTS,
    avps::TESTS,
    bind_device::TESTS,
    bridges::TESTS,
    clear_start_stop::TESTS,
    config::TESTS,
    config_trust::TESTS,
    confinement::TESTS,
    cookie::TESTS,
    counters::TESTS,
    crash::TESTS,
    ctl::TESTS,
    dead_peer::TESTS,
    encapsulations::TESTS,
    explain::TESTS,
    failing_system::TESTS,
    faults::TESTS,
    fallback::TESTS,
    follow::TESTS,
    good_run::TESTS,
    headers::TESTS,
    hidden::TESTS,
    host_names::TESTS,
    hostile::TESTS,
    hostname_router_id::TESTS,
    interface::TESTS,
    limits::TESTS,
    link_local_frames::TESTS,
    log::TESTS,
    manual::TESTS,
    message_order::TESTS,
    program_restart::TESTS,
    program_restart_refused::TESTS,
    multipoint::TESTS,
    notify_socket::TESTS,
    on_event::TESTS,
    outer_headers::TESTS,
    password::TESTS,
    path_mtu::TESTS,
    peer_ends::TESTS,
    peer_restart::TESTS,
    real_peers::TESTS,
    reload::TESTS,
    secrets::TESTS,
    sequencing::TESTS,
    signals::TESTS,
    silent_peer::TESTS,
    standby::TESTS,
    start::TESTS,
    start_refused::TESTS,
    status::TESTS,
    strangers::TESTS,
    summary::TESTS,
    suspend::TESTS,
    takeover::TESTS,
    tie::TESTS,
    trace::TESTS,
    udp_ports::TESTS,
    user::TESTS,
    wall_clock::TESTS,
    ping::TESTS,
    profiles::cisco::TESTS,
    profiles::ericsson::TESTS,
    profiles::freertr::TESTS,
    profiles::mikrotik::TESTS,
    profiles::seil::TESTS,
    profiles::statics::TESTS,
    profiles::xcesp::TESTS,
    profiles::yamaha::TESTS,
    judge::tests::TESTS,
];

fn main() {
    let mut words = std::env::args().skip(1);
    match words.next().as_deref() {
        Some(suspend::ARGUMENT) => std::process::exit(suspend::daemon(words.skip(1))),
        Some(on_event::ARGUMENT) => std::process::exit(on_event::daemon(words.skip(1))),
        _ => {}
    }
    record::begin();
    std::process::exit(runner::run(&[(TESTS.to_vec(), THREADS)], |complete, failures| {
        failures.extend(judge::check(complete));
        if complete {
            failures.extend(coverage::check(failures.is_empty()));
        }
    }));
}
