//! Millions of damaged inputs to everything that reads what others write, with what must hold afterwards. The damage
//! knows the structure: it takes AVPs, words, options apart and puts them together otherwise, and repairs lengths
//! and digests, so that most of it gets past the first checks.
//!
//! Each test is repeated from its seed: a run that fails prints `FUZZ_SEED=n`. `FUZZ_INPUTS=n` is the number of
//! inputs of each test, `FUZZ_BASE=n` takes other seeds; `make fuzz` goes on with others and others.
#![allow(missing_docs)]

mod admin;
mod avps;
mod config;
#[path = "../support/dice.rs"]
mod dice;
mod engine;
mod frames;
mod rounds;
