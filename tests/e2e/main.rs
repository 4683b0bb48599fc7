//! End-to-end tests: the real daemon in network namespaces, against itself, against a scripted peer that builds
//! its own messages (`peer.rs` shares no code with the daemon), and with tshark as judge of every control message
//! that the daemon sends (`judge.rs`). They need root.
//!
//! This is its own small runner, because the last question - which messages of the catalogue did no test see? -
//! can only be asked when all tests are through. `cargo test --test e2e -- WORD` runs those whose name holds WORD.
//! The logs of all daemons stay in target/e2e-logs.
#![allow(missing_docs, clippy::disallowed_methods)]

mod addresses;
mod bridges;
mod capture;
mod client;
mod config;
mod coverage;
mod daemon;
mod identity;
mod judge;
mod judge_test;
mod lifecycle;
mod link_local;
mod manage;
mod manage_admin;
mod manage_ctl;
mod manage_explain;
mod manage_hooks;
mod manage_reload;
mod matrix;
mod message;
mod messages_state;
mod messages_system;
mod messages_wire;
mod names;
mod nat;
mod net;
mod order;
mod outer;
mod peer;
mod profiles;
mod real_peers;
mod record;
mod restarted;
mod robustness;
mod runner;
mod service;
mod start;
mod suspend;
mod sys;

use runner::Test;

/// Tests that run at once.
pub const THREADS: usize = 6;

/// All tests, by topic.
const TESTS: &[&[Test]] = &[
    manage_hooks::TESTS, // the longest test
    matrix::TESTS,
    names::TESTS,
    lifecycle::TESTS,
    link_local::TESTS,
    bridges::TESTS,
    addresses::TESTS,
    messages_state::TESTS,
    messages_system::TESTS,
    messages_wire::TESTS,
    config::TESTS,
    client::TESTS,
    nat::TESTS,
    outer::TESTS,
    restarted::TESTS,
    robustness::TESTS,
    service::TESTS,
    start::TESTS,
    identity::TESTS,
    suspend::TESTS,
    profiles::cisco::TESTS,
    profiles::ericsson::TESTS,
    profiles::freertr::TESTS,
    profiles::mikrotik::TESTS,
    profiles::seil::TESTS,
    profiles::statics::TESTS,
    profiles::xcesp::TESTS,
    profiles::yamaha::TESTS,
    manage_admin::TESTS,
    manage_ctl::TESTS,
    manage_explain::TESTS,
    manage_reload::TESTS,
    real_peers::TESTS,
    judge_test::TESTS,
];

fn main() {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some(suspend::ARGUMENT) {
        std::process::exit(suspend::daemon(words.skip(1)));
    }
    std::process::exit(runner::run(TESTS));
}
