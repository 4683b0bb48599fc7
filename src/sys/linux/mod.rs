//! What only Linux has, or does in its own way.

pub mod bpf;
pub mod bridge;
pub mod events;
pub mod fdb;
pub mod l2tp;
pub mod landlock;
pub mod memory;
pub mod netif;
mod netlink;
pub mod outer;
pub mod own_addresses;
pub mod policy;
pub mod privilege;
pub mod route;
pub mod seccomp;
pub mod socket_filter;
pub mod system;
pub mod tap;
pub mod tap_removal;
pub mod veth;
