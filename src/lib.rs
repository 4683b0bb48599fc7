//! L2TPv3 (RFC 3931) daemon for Ethernet pseudowires.
//!
//! The rooms, from the wire up. An arrow of imports only ever points to a room further up in this list:
//!
//! | room | what | pure |
//! |---|---|---|
//! | [`wiped`] | octets that are overwritten when they are given up | yes |
//! | [`saved`] | state that one program hands to the next: values <-> octets | yes |
//! | `named` | enums whose variants have names | yes |
//! | [`gather`] | maps and sets of many items | yes |
//! | [`token_bucket`] | how often something may happen | yes |
//! | [`wire`] | octets <-> values: headers, AVPs, digests, hiding | yes |
//! | [`log`] | every text that is logged, levels, the ring of newest lines | yes |
//! | [`config`] | the configuration file <-> values, and what changed between two of them | yes |
//! | [`wheel`] | the timer wheel | yes |
//! | [`proto`] | the state machines: `now` and messages in, actions out | yes |
//! | [`frame`] | Ethernet frames: checksums, GSO, GRO, MSS | yes |
//! | [`counters`] | what is counted, and every reason for a drop | yes |
//! | [`bpf`] | programs for the kernel that carry frames | yes |
//! | [`sys`] | the operating system: the only room with `unsafe` and `libc` | no |
//! | [`admin`] | the admin socket's protocol, commands and displays | yes |
//! | [`daemon`] | joins them on one mio loop | no |
//! | [`ctl`] | `l2tpctl` | no |
//!
//! Pure means: no clock, socket, file or random source inside; the caller passes `now` and octets in and drains
//! actions out. One rule holds the parts together: *mutate the engine, then drain its actions to the end, then
//! mutate it again*. Frames never pass through the engine; it only tells the data plane which sessions are open.
//!
//! # Words
//!
//! The words are those of RFC 3931, or else Linux's; each has one meaning.
//!
//! | word | meaning |
//! |---|---|
//! | LCCE | one of the two ends of a control connection: we, or the peer (RFC 3931 1.3) |
//! | control connection | the reliable channel to a peer; its ids are the Control Connection IDs (CCID), one for each end |
//! | session | one pseudowire in a control connection; its ids are the Session IDs, one for each end |
//! | tunnel | a `tunnel` block of the configuration, and what comes of it: at most one connection that serves it |
//! | slot | a `session` block within a tunnel; it has a session or waits for one |
//! | manual session | one whose ids and cookies stand in the configuration: there is no control connection |
//! | request | ICRQ or SCCRQ; of the admin socket: `AdminRequest` |
//! | message | a control message; one of the log's catalogue is named by its id (`M-042`) |
//! | AVP, attribute | Attribute Value Pair, as it stands in a message; a row of the table of what is known of each |
//! | Ns, Nr, window | sequence numbers of control messages, and how many may be unacknowledged (RFC 3931 4.2) |
//! | ZLB, ACK | the two forms of a bare acknowledgement: a header alone; a message with its own type |
//! | tie breaker | what decides between two requests that cross each other (RFC 3931 5.4.3, 5.4.4) |
//! | digest, nonce | the signature of a control message, and the random octets it covers (RFC 3931 4.3) |
//! | cookie | octets in each data message that its receiver chose (RFC 3931 4.1) |
//! | sublayer | L2-Specific Sublayer: the four octets with the sequence number of a data message (RFC 3931 4.6) |
//! | circuit | what a pseudowire joins to the peer, here an interface; its status is up or down (RFC 3931 5.4.5) |
//! | interface, bridge | as in Linux: `l2tp0`, a TAP or a device of the kernel's own L2TP; what it is a port of |
//! | port | of the data plane: the interface of a session, and what is known of it; of a bridge: an interface in it; of UDP: a number |
//! | standby | the next of several peers, whose sessions are up and carry nothing, to take over at once (RFC 5641) |
//! | probe | a HELLO that asks at once whether the peer is there; of a path: one as long as the packet that is tried (RFC 8899) |
//! | path | encapsulation (IP or UDP) and the addresses and ports of both ends |
//! | route, next hop | as in Linux: where the kernel sends packets to the peer first, and from which address of ours |
//! | data plane | what carries frames: this program over TAPs, or the kernel |
//! | remark | a line of the log that is not of the catalogue: it begins with two blanks |

pub mod admin;
pub mod bpf;
pub mod config;
pub mod counters;
pub mod ctl;
pub mod daemon;
pub mod frame;
pub mod gather;
pub mod log;
mod named;
pub mod proto;
pub mod saved;
pub mod sys;
pub mod token_bucket;
pub mod wheel;
pub mod wiped;
pub mod wire;
