//! Joins the rooms on one mio loop.

mod admin_answer;
mod admin_client;
mod admin_host;
pub mod admin_server;
pub mod args;
mod check;
pub mod commands;
mod confine;
pub mod core;
pub mod datapath;
mod event_loop;
pub mod hook;
mod lan;
pub mod logger;
mod pace;
mod ping;
mod prepare;
mod reload;
pub mod resolve;
mod routes;
mod serve;
pub mod start;
