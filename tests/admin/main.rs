//! The admin socket from outside: its limits, its commands, its displays, its documents.

mod client;
mod commands;
mod displays;
mod documents;
mod messages;
mod monitoring;
mod sockets;

#[path = "../support/mod.rs"]
mod support;
