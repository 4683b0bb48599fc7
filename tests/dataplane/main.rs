//! What goes into a pseudowire comes out, octet by octet: transfers whose content is compared, frames of every kind
//! compared at the other end, and sessions that do not disturb each other. The other end is the daemon again or the
//! plain path of `naive.rs`, which joins, cuts and batches nothing. Needs root.
//!
//! A runner of its own, shared with the end-to-end tests. Three tests at a time, for most of their time is waiting; then those
//! that measure, alone.
//! `LONG=1` moves 1 GB in each transfer.
#![allow(missing_docs, clippy::disallowed_methods)]

#[path = "../support/mod.rs"]
mod support;

mod bpf;
mod build;
mod closing;
mod counters;
mod damaged;
mod expand;
mod failures;
mod fairness;
mod flood;
mod frames;
mod looks;
mod mss;
mod naive;
mod oversize;
mod packet;
mod pw_fragments;
mod shape;
mod tagged;
mod tos;
mod transfer;
mod world;

use support::runner::{self, Test};
use support::{daemon, dice, net, peer, sys, wait};

const TESTS: &[&[Test]] = &[
    // Those that take longest begin.
    bpf::TESTS,
    bpf::policies::TESTS,
    damaged::TESTS,
    transfer::TESTS,
    frames::TESTS,
    tagged::TESTS,
    mss::TESTS,
    oversize::TESTS,
    pw_fragments::TESTS,
    tos::TESTS,
    failures::TESTS,
    counters::TESTS,
    closing::TESTS,
    looks::TESTS,
];

/// How long frames take, and how many are lost, while a flood takes all processors; how long many sessions take.
const ALONE: &[&[Test]] = &[fairness::TESTS, flood::TESTS, bpf::many::TESTS];

thread_local!(static PLANE: std::cell::Cell<Option<&'static str>> = const { std::cell::Cell::new(None) });

/// What carries the frames: `PLANE=bpf` tests the programs in the kernel with everything, `PLANE=mixed` has them at host 1
/// and `data-plane tap` at host 2.
fn plane() -> String {
    let asked = || std::env::var("PLANE").unwrap_or_else(|_| "auto".to_owned());
    PLANE.get().map_or_else(asked, str::to_owned)
}

fn main() {
    let programs = sys::asked_for_programs(1, true).is_ok();
    if !programs {
        runner::note(
            "dataplane::bpf is skipped: the kernel takes no programs from us, or is older than 6.6".into(),
        );
    }
    let possible = |groups: &[&'static [Test]]| {
        let groups = groups.iter().copied();
        groups.filter(|group| programs || !group[0].name.contains("::bpf::")).collect()
    };
    std::process::exit(runner::run(&[(possible(TESTS), 3), (possible(ALONE), 1)], |_, _| ()));
}
