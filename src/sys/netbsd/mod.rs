//! What only NetBSD has: l2tp(4), and its own way to make TAP interfaces.

#[cfg(target_os = "netbsd")]
pub mod device;
#[cfg(target_os = "netbsd")]
pub mod l2tp;
pub mod l2tp_request;
