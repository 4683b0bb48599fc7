//! Joins the rooms on one mio loop.

mod answer;
pub mod args;
pub mod control;
pub mod datapath;
pub mod hook;
pub mod logger;
pub mod resolve;
