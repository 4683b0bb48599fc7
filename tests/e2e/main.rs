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
mod avps;
mod bridges;
mod capture;
mod config;
mod coverage;
mod ctl;
mod encapsulations;
mod explain;
mod host_names;
mod hostile;
mod hostname_router_id;
mod judge;
mod link_local_frames;
mod nat;
mod notify_socket;
mod on_event;
mod outer_headers;
mod pair;
mod peer_ends;
mod peer_restart;
mod profiles;
mod real_peers;
mod reload;
mod start;
mod start_refused;
mod status;
#[path = "../support/mod.rs"]
mod support;
mod suspend;
mod tie;

use support::runner::Test;
use support::{daemon, message, net, peer, record, runner, sys};

/// Tests that run at once.
const THREADS: usize = 6;

/// All tests, by topic.
const TESTS: &[&[Test]] = &[
    on_event::TESTS, // the longest test
    encapsulations::TESTS,
    host_names::TESTS,
    peer_ends::TESTS,
    link_local_frames::TESTS,
    bridges::TESTS,
    addresses::TESTS,
    tie::TESTS,
    start_refused::TESTS,
    avps::TESTS,
    config::TESTS,
    status::TESTS,
    nat::TESTS,
    outer_headers::TESTS,
    peer_restart::TESTS,
    hostile::TESTS,
    notify_socket::TESTS,
    start::TESTS,
    hostname_router_id::TESTS,
    suspend::TESTS,
    profiles::cisco::TESTS,
    profiles::ericsson::TESTS,
    profiles::freertr::TESTS,
    profiles::mikrotik::TESTS,
    profiles::seil::TESTS,
    profiles::statics::TESTS,
    profiles::xcesp::TESTS,
    profiles::yamaha::TESTS,
    admin_socket::TESTS,
    ctl::TESTS,
    explain::TESTS,
    reload::TESTS,
    real_peers::TESTS,
    judge::tests::TESTS,
];

fn main() {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some(suspend::ARGUMENT) {
        std::process::exit(suspend::daemon(words.skip(1)));
    }
    record::begin();
    std::process::exit(runner::run(TESTS, THREADS, |complete, failures| {
        failures.extend(judge::check(complete));
        if complete {
            failures.extend(coverage::check(failures.is_empty()));
        }
    }));
}
