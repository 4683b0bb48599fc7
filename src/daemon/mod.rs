//! Joins the rooms on one mio loop.

mod answer;
pub mod args;
mod check;
mod client;
pub mod control;
pub mod core;
pub mod datapath;
mod event_loop;
pub mod hook;
mod host;
mod lan;
pub mod logger;
mod pace;
mod reload;
pub mod resolve;
mod serve;
pub mod start;
