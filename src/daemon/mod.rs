//! Joins the rooms on one mio loop. Each of these knows those before it, and none after it:
//!
//! | file | what |
//! |---|---|
//! | `logger` `hook` `resolve` `routes` `stream` [`datapath`] ... | what does what the engine asks for, each for itself |
//! | [`core`] | the engine with all of them: events in, actions to the end |
//! | `taking` `reloading` | another configuration for a daemon that runs |
//! | `service` | the daemon with what goes on beside its tunnels; what the admin socket is told of it |
//! | `state` `hand_over` `event_loop` | the loop, and how it ends |
//! | [`start`] [`take_over`] | how it begins |

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
pub mod look_up;
mod pace;
mod ping;
mod prepare;
mod reading;
mod reloading;
mod resolve;
pub mod restart_message;
mod restarter;
mod routes;
mod service;
mod stand_in;
pub mod start;
mod state;
mod state_file;
mod stream;
pub mod take_over;
mod taking;
mod unreachable;
