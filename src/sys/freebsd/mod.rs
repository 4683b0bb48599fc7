//! What only FreeBSD has: its own way to make TAP interfaces; and no L2TP in the kernel.

pub mod device;
pub mod l2tp;
