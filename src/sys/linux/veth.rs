//! Interfaces that give back what is sent into them: pairs (veth) whose other ends are in a network namespace without a
//! name. It lives as long as its descriptor, and the interfaces with it. Making it takes CAP_SYS_ADMIN.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;

use libc::c_int;

use super::bpf::Program;
use super::netif::{self, Feature};
use super::netlink::{self, field, nested};
use crate::sys::cvt;
pub use crate::sys::kinds::Pairs;

// linux/veth.h, linux/if_link.h, which libc lacks.
const VETH_INFO_PEER: u16 = 1;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
/// No address of IPv6 by itself.
const NO_ADDRESS: u8 = 1;
/// Octets of struct ifinfomsg: family (1), padding (1), type (2), index (4), flags (4), change (4).
const IFINFOMSG: usize = 16;
/// The most that the kernel takes.
const MTU: u32 = 65_535;
/// So many daemons may have their pairs beside each other.
const NAMES: usize = 100;
/// The names of the pairs, before a number: the first merges what is of one flow, the second segments super-frames.
const PAIRS: [&str; 2] = ["l2tpd-gro", "l2tpd-gso"];

/// Makes the pairs. `back` is the program at the other ends, `ours` are those at our ends.
pub fn pairs(back: &Program, ours: [&Program; 2]) -> io::Result<Pairs> {
    let here = netlink::open(libc::NETLINK_ROUTE, 0)?;
    let made = thread::scope(|scope| scope.spawn(|| make(&here, back)).join());
    let (names, mut descriptors) = made.map_err(|_| io::Error::other("the thread ended"))??;
    let mut indexes = Vec::new();
    for (name, program) in names.iter().zip(ours) {
        // What is given to an interface that cannot do this is finished before.
        for feature in [Feature::Tso, Feature::TxChecksum] {
            netif::set_feature(name, feature, false)?;
        }
        let index = netif::index(name)?;
        let quiet = field(IFLA_INET6_ADDR_GEN_MODE, &[NO_ADDRESS]);
        let quiet = nested(libc::IFLA_AF_SPEC, &nested(libc::AF_INET6 as u16, &quiet));
        // Without IPv6 there is nothing to be switched off.
        let _ = link_request(&here, 0, &[&message(index), &quiet[..]].concat());
        descriptors.push(program.link(index)?);
        netif::set_state(name, true)?;
        indexes.push(index);
    }
    Ok(Pairs { indexes, descriptors })
}

/// Makes the namespace, which the thread that this runs in is moved to, and both pairs: the names of our ends, and the
/// descriptors of the namespace and of the links at the other ends.
fn make(here: &OwnedFd, back: &Program) -> io::Result<(Vec<String>, Vec<OwnedFd>)> {
    // SAFETY: no pointers; only this thread is in the new namespace.
    cvt(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
    let mut descriptors = vec![File::open("/proc/thread-self/ns/net")?.into()];
    let mut names = Vec::new();
    for (other, gro) in PAIRS.into_iter().zip([true, false]) {
        names.push(create(here, other, descriptors.first().map_or(-1, OwnedFd::as_raw_fd))?);
        netif::set_feature(other, Feature::Gro, gro)?;
        descriptors.push(back.link(netif::index(other)?)?);
        netif::set_state(other, true)?;
    }
    Ok((names, descriptors))
}

/// Makes a pair whose other end has this name, in that namespace: the name of our end.
fn create(here: &OwnedFd, other: &str, namespace: c_int) -> io::Result<String> {
    let mtu = field(libc::IFLA_MTU, &MTU.to_ne_bytes());
    let name = |name: &str| field(libc::IFLA_IFNAME, name.as_bytes());
    let namespace = field(libc::IFLA_NET_NS_FD, &namespace.to_ne_bytes());
    let peer = field(VETH_INFO_PEER, &[message(0), name(other), mtu.clone(), namespace].concat());
    let kind = [field(libc::IFLA_INFO_KIND, b"veth"), nested(libc::IFLA_INFO_DATA, &peer)].concat();
    let kind = nested(libc::IFLA_LINKINFO, &kind);
    for number in 0..NAMES {
        let ours = format!("{other}{number}");
        let body = [&message(0), &name(&ours), &mtu, &kind].map(Vec::as_slice).concat();
        match link_request(here, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &body) {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
            made => return made.map(|()| ours),
        }
    }
    Err(io::Error::from_raw_os_error(libc::EEXIST))
}

/// struct ifinfomsg for an interface.
fn message(index: c_int) -> Vec<u8> {
    let mut octets = vec![0; IFINFOMSG];
    octets.splice(4..8, index.to_ne_bytes());
    octets
}

/// RTM_NEWLINK, and what the kernel says of it.
fn link_request(here: &OwnedFd, flags: c_int, body: &[u8]) -> io::Result<()> {
    netlink::change(here, libc::RTM_NEWLINK, flags, body)
}
