//! Joins the rooms on one mio loop.

pub mod args;
pub mod hook;
pub mod logger;
pub mod resolve;
