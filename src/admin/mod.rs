//! What travels over the admin socket, and what is shown to the administrator. Pure: the socket itself is served
//! by `daemon::admin_server` and used by `ctl`, which both take the format from here, so it exists once.
//!
//! [`envelope`] is what is around each request and reply, [`command`] the one table of
//! commands, [`request`] one of them with its values, [`report`] what the daemon tells of itself
//! and [`show`], [`json`], [`metrics`] its three forms, [`why`] what it says of trouble; a [`display`] is one of these in the making, a
//! [`part`] a piece of it. [`summary`] is a display too, of which the client makes more. [`trace`] has the records of `l2tpctl trace`, [`explain`] what the messages of the log mean.

pub mod command;
pub mod display;
pub mod envelope;
pub mod explain;
pub mod json;
pub mod metrics;
pub mod part;
pub mod report;
pub mod request;
pub mod show;
pub mod summary;
pub mod time;
pub mod trace;
pub mod why;

pub use display::Display;
pub use report::Source;
pub use request::AdminRequest;
