//! What NetBSD and FreeBSD have alike, and Linux does otherwise. Written by the manuals and headers of both, whose names
//! stand where they are used. It compiles for both, and was not run on either. What is pure ([`ioctl`], [`messages`]) is
//! compiled and tested everywhere.

pub mod ioctl;
pub mod messages;

#[cfg(not(target_os = "linux"))]
pub mod bpf;
#[cfg(not(target_os = "linux"))]
pub mod bridge;
#[cfg(not(target_os = "linux"))]
pub mod events;
#[cfg(not(target_os = "linux"))]
pub mod fdb;
#[cfg(not(target_os = "linux"))]
pub mod landlock;
#[cfg(not(target_os = "linux"))]
pub mod memory;
#[cfg(not(target_os = "linux"))]
pub mod netif;
#[cfg(not(target_os = "linux"))]
pub mod outer;
pub mod own_addresses;
#[cfg(not(target_os = "linux"))]
pub mod policy;
#[cfg(not(target_os = "linux"))]
pub mod privilege;
#[cfg(not(target_os = "linux"))]
pub mod route;
#[cfg(not(target_os = "linux"))]
pub mod seccomp;
#[cfg(not(target_os = "linux"))]
pub mod socket_filter;
#[cfg(not(target_os = "linux"))]
pub mod system;
#[cfg(not(target_os = "linux"))]
pub mod tap;
#[cfg(not(target_os = "linux"))]
pub mod tap_file;
#[cfg(not(target_os = "linux"))]
pub mod tap_removal;
#[cfg(not(target_os = "linux"))]
pub mod veth;
