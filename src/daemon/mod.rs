//! Joins the rooms on one mio loop.

mod answer;
pub mod args;
mod client;
pub mod control;
pub mod datapath;
pub mod hook;
mod host;
pub mod logger;
pub mod resolve;
