//! The protocol engine in virtual time: two or three engines, or an engine and a scripted peer, joined by a network
//! that loses, repeats, delays and reorders as a seed tells it. Nothing waits; a day takes milliseconds.
//!
//! A test that draws random values runs over many seeds and prints the one that fails; `SIM_SEED=n cargo test
//! --test sim name` runs that one alone.

mod net;
mod peer;
#[path = "../support/mod.rs"]
mod support;
mod world;

mod attacks;
mod auth;
mod backup;
mod calls;
mod circuit;
mod cisco;
mod crash;
mod crossing;
mod dead_peer;
mod disasters;
mod dropped;
mod exchanges;
mod fallback;
mod fragments;
mod good_run;
mod hostile;
mod life;
mod looks;
mod loss;
mod manual;
mod many;
mod moves;
mod names;
mod nat_keepalive;
mod negative;
mod path_mtu;
mod refusals;
mod reload;
mod restart;
mod routes;
mod rows;
mod scale;
mod sessions;
mod standby;
mod taken_over;
mod timing;
