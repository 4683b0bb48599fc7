//! L2TPv3 (RFC 3931) daemon for Ethernet pseudowires.
//!
//! The rooms, from the wire up. An arrow of imports only ever points to a room further up in this list:
//!
//! | room | what | pure |
//! |---|---|---|
//! | [`token_bucket`] | how often something may happen | yes |
//! | [`wire`] | octets <-> values: headers, AVPs, digests, hiding | yes |
//! | [`log`] | every text that is logged, levels, the ring of newest lines | yes |
//! | [`config`] | the configuration file <-> values, and what changed between two of them | yes |
//! | [`wheel`] | the timer wheel | yes |
//! | [`proto`] | the state machines: `now` and messages in, actions out | yes |
//! | [`frame`] | Ethernet frames: checksums, segmentation, coalescing, MSS | yes |
//! | [`counters`] | what is counted, and every reason for a drop | yes |
//! | [`sys`] | the operating system: the only room with `unsafe` and `libc` | no |
//! | [`admin`] | the admin socket's protocol, commands and displays | yes |
//! | [`daemon`] | joins them on one mio loop | no |
//! | [`ctl`] | `l2tpctl` | no |
//!
//! Pure means: no clock, socket, file or random source inside; the caller passes `now` and octets in and drains
//! actions out. One rule holds the parts together: *mutate the engine, then drain its actions to the end, then
//! mutate it again*. Frames never pass through the engine; it only tells the data plane which sessions are open.

pub mod admin;
pub mod config;
pub mod counters;
pub mod ctl;
pub mod daemon;
pub mod frame;
pub mod log;
pub mod proto;
pub mod sys;
pub mod token_bucket;
pub mod wheel;
pub mod wire;
