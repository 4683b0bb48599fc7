//! The admin socket from outside: its limits, its commands, its displays.

mod sample;
mod server;
mod sockets;
