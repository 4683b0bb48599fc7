//! The child that looks up a host name: this program again, called with a first argument that nobody types. It prints the
//! addresses.

use std::net::ToSocketAddrs;

use crate::sys::privilege;
use crate::sys::seccomp::{self, Filter, Otherwise};

/// The first argument of the child.
pub const ARGUMENT: &str = "--look-up";
/// The same with `seccomp off`.
pub const UNCONFINED: &str = "--look-up-unconfined";

/// The child: prints the addresses of `name`, one in a line. Returns the exit status. What comes from the network is
/// read by libraries of the system: nothing is left to them that a lookup does not need.
pub fn child(name: &str, confined: bool) -> i32 {
    // Where the kernel or the processor knows no filters, names are looked up all the same.
    if confined {
        let _ =
            privilege::no_new_privileges().and_then(|()| seccomp::install(Filter::LookUp, Otherwise::Refuse));
    }
    match (name, 0u16).to_socket_addrs() {
        Ok(addresses) => {
            addresses.for_each(|address| println!("{}", address.ip()));
            0
        }
        Err(error) => {
            println!("{error}");
            1
        }
    }
}
