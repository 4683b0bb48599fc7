//! What goes into a pseudowire comes out, octet by octet: transfers whose content is compared, frames of every kind
//! compared at the other end, and sessions that do not disturb each other. The other end is the daemon again or the
//! plain path of `naive.rs`, which joins, cuts and batches nothing. Needs root.
//!
//! A runner of its own, shared with the end-to-end tests; one test at a time, because each uses all processors.
//! `LONG=1` moves 1 GB in each transfer.
#![allow(missing_docs, clippy::disallowed_methods)]

#[path = "../e2e/daemon.rs"]
#[allow(dead_code)]
mod daemon;
#[path = "../e2e/message.rs"]
#[allow(dead_code)]
mod message;
#[path = "../e2e/net.rs"]
#[allow(dead_code)]
mod net;
#[path = "../e2e/peer.rs"]
#[allow(dead_code)]
mod peer;
#[path = "../e2e/runner.rs"]
#[allow(dead_code)]
mod runner;
#[path = "../e2e/sys.rs"]
#[allow(dead_code)]
mod sys;

mod build;
mod counters;
mod expand;
mod failures;
mod fairness;
mod frames;
mod mss;
mod naive;
mod packet;
mod shape;
mod tagged;
mod tos;
mod transfer;
mod world;

use runner::Test;

/// Tests that run at once.
pub const THREADS: usize = 1;

const TESTS: &[&[Test]] = &[
    transfer::TESTS,
    frames::TESTS,
    fairness::TESTS,
    tagged::TESTS,
    mss::TESTS,
    tos::TESTS,
    failures::TESTS,
    counters::TESTS,
];

/// The runner's last question, which here nobody asks: it is that of the end-to-end tests.
mod coverage {
    pub fn check(_complete: bool) -> Vec<String> {
        Vec::new()
    }
}

/// Nor are control messages recorded and judged here.
mod record {
    pub struct Recorder;

    impl Recorder {
        pub fn start(_netns: &str) -> Recorder {
            Recorder
        }

        pub fn finish(self, _dir: &std::path::Path, _both: bool) {}
    }

    pub fn configured(_file: &std::path::Path, _text: &str) {}
}

mod judge {
    pub fn check(_complete: bool) -> Vec<String> {
        Vec::new()
    }
}

fn main() {
    std::process::exit(runner::run(TESTS));
}
