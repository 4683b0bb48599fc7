//! What several test programs share. Each of them takes the whole list, and uses what it needs.
#![allow(dead_code, missing_docs, clippy::disallowed_methods)]

pub mod admin_report;
pub mod admin_server;
pub mod daemon;
pub mod dice;
pub mod message;
pub mod net;
pub mod packets;
pub mod peer;
pub mod python;
pub mod record;
pub mod runner;
pub mod snapshot;
pub mod sys;
pub mod users;
pub mod wait;
