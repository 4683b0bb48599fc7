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
mod hand_over;
pub mod hook;
mod lan;
pub mod logger;
mod pace;
mod ping;
mod prepare;
mod reload;
pub mod resolve;
mod restarter;
mod routes;
mod serve;
mod stand_in;
pub mod start;
mod state;
pub mod take_over;
