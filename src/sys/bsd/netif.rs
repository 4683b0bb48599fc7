//! Network interfaces by name: flags, MTU, hardware address, membership in a bridge (netintro(4), bridge(4)).

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::AsRawFd;

use libc::{c_int, c_ulong};

use super::ioctl::{both, name_octets, name_text, write, DriverRequest, PortList, Request, NAME};
use super::messages::Layout;
use crate::sys::cvt;
use crate::sys::socket_call::open_family;

/// What differs of the two systems' requests (sys/sockio.h, net/if_bridgevar.h).
#[cfg(target_os = "netbsd")]
mod numbers {
    /// Octets of the union in struct ifreq.
    pub(super) const UNION: usize = 128;
    /// Numbers of SIOCGIFMTU, SIOCSIFMTU.
    pub(super) const GET_MTU: u8 = 126;
    pub(super) const SET_MTU: u8 = 127;
    /// BRDGGIFS, and octets of struct ifbreq.
    pub(super) const PORTS: libc::c_ulong = 25;
    pub(super) const PORT: usize = 24;
    pub(super) const LAYOUT: super::Layout = super::super::messages::NETBSD;
}

#[cfg(target_os = "freebsd")]
mod numbers {
    pub(super) const UNION: usize = 16;
    pub(super) const GET_MTU: u8 = 51;
    pub(super) const SET_MTU: u8 = 52;
    pub(super) const PORTS: libc::c_ulong = 6;
    pub(super) const PORT: usize = 80;
    pub(super) const LAYOUT: super::Layout = super::super::messages::FREEBSD;
}

/// The messages of this system's routing sockets.
pub(in crate::sys) const LAYOUT: Layout = numbers::LAYOUT;
/// struct ifreq of this system.
pub(in crate::sys) type InterfaceRequest = Request<{ numbers::UNION }>;
const SIZE: usize = size_of::<InterfaceRequest>();
/// The structure of libc is the system's.
const _: () = assert!(SIZE == size_of::<libc::ifreq>() && libc::AF_LINK == 18);

const SIOCSIFFLAGS: u32 = write(b'i', 16, SIZE);
const SIOCGIFFLAGS: u32 = both(b'i', 17, SIZE);
const SIOCGIFMTU: u32 = both(b'i', numbers::GET_MTU, SIZE);
const SIOCSIFMTU: u32 = write(b'i', numbers::SET_MTU, SIZE);
const SIOCIFDESTROY: u32 = write(b'i', 121, SIZE);
#[cfg(target_os = "netbsd")]
const SIOCIFCREATE: u32 = write(b'i', 122, SIZE);
#[cfg(target_os = "freebsd")]
const SIOCIFCREATE: u32 = both(b'i', 122, SIZE);
const SIOCSDRVSPEC: u32 = write(b'i', 123, size_of::<DriverRequest>());
const SIOCGDRVSPEC: u32 = both(b'i', 123, size_of::<DriverRequest>());

/// Requests of a bridge: add and remove a port.
const BRDGADD: c_ulong = 0;
const BRDGDEL: c_ulong = 1;
/// The most ports of a bridge that are listed.
const MOST_PORTS: usize = 1024;

fn invalid() -> io::Error {
    io::Error::from_raw_os_error(libc::EINVAL)
}

/// A request for the interface called `name`.
pub(in crate::sys) fn request(name: &str) -> io::Result<InterfaceRequest> {
    InterfaceRequest::new(name).ok_or_else(invalid)
}

/// Makes a request by a socket of this family.
///
/// # Safety
/// `argument` is the structure that `number` takes, and what it points to lives through the call.
pub(in crate::sys) unsafe fn call<T>(family: c_int, number: u32, argument: &mut T) -> io::Result<()> {
    let fd = open_family(family, libc::SOCK_DGRAM, 0)?;
    // SAFETY: the caller vouches for `argument`, which lives through the call.
    cvt(unsafe { libc::ioctl(fd.as_raw_fd(), c_ulong::from(number), std::ptr::from_mut(argument)) })?;
    Ok(())
}

/// A request whose structure is an ifreq without pointers.
fn plain(number: u32, request: &mut InterfaceRequest) -> io::Result<()> {
    // SAFETY: the numbers used in this file take an ifreq.
    unsafe { call(libc::AF_INET, number, request) }
}

/// The interface's index.
pub fn index(name: &str) -> io::Result<c_int> {
    let name = CString::new(name).map_err(|_| invalid())?;
    // SAFETY: the name ends with NUL.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::from_raw_os_error(libc::ENXIO)),
        index => c_int::try_from(index).map_err(io::Error::other),
    }
}

/// Whether an error says that there is no such interface.
pub fn is_missing(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENXIO)
}

/// The name of the interface with this index; an error means that there is none.
pub fn name(index: c_int) -> io::Result<String> {
    let mut name = [0 as libc::c_char; NAME];
    let index = u32::try_from(index).map_err(io::Error::other)?;
    // SAFETY: the buffer has the IF_NAMESIZE octets that the call may fill.
    if unsafe { libc::if_indextoname(index, name.as_mut_ptr()) }.is_null() {
        return Err(io::Error::last_os_error());
    }
    Ok(name_text(&name.map(|c| c as u8)))
}

/// Sets the MTU (octets of payload of an Ethernet frame).
pub fn set_mtu(name: &str, mtu: usize) -> io::Result<()> {
    let mtu = c_int::try_from(mtu).map_err(|_| invalid())?;
    plain(SIOCSIFMTU, &mut request(name)?.with(&mtu.to_ne_bytes()))
}

/// The MTU, in octets of payload of an Ethernet frame.
pub fn mtu(name: &str) -> io::Result<usize> {
    let mut request = request(name)?;
    plain(SIOCGIFMTU, &mut request)?;
    usize::try_from(request.number()).map_err(io::Error::other)
}

/// Sets the hardware address: SIOCALIFADDR with IFLR_ACTIVE, as ifconfig(8) does it.
#[cfg(target_os = "netbsd")]
pub fn set_mac_address(name: &str, address: [u8; 6]) -> io::Result<()> {
    use crate::sys::netbsd::l2tp_request::TunnelRequest;

    const SIOCALIFADDR: u32 = write(b'i', 28, size_of::<TunnelRequest>());
    const IFLR_ACTIVE: u32 = 0x4000;
    const SOCKADDR_DL: u8 = size_of::<libc::sockaddr_dl>() as u8;
    let (flags, prefix) = (IFLR_ACTIVE, 0);
    let name = name_octets(name).ok_or_else(invalid)?;
    let mut request = TunnelRequest { name, flags, prefix, local: [0; 128], remote: [0; 128] };
    // struct sockaddr_dl: length (1), family (1), index (2), type (1), lengths of name, address and selector (3).
    let link = [&[SOCKADDR_DL, libc::AF_LINK as u8, 0, 0, 0, 0, 6, 0][..], &address].concat();
    request.local.iter_mut().zip(link).for_each(|(to, from)| *to = from);
    // SAFETY: the request takes an if_laddrreq, and has no pointers.
    unsafe { call(libc::AF_LINK, SIOCALIFADDR, &mut request) }
}

/// Sets the hardware address (SIOCSIFLLADDR).
#[cfg(target_os = "freebsd")]
pub fn set_mac_address(name: &str, address: [u8; 6]) -> io::Result<()> {
    const SIOCSIFLLADDR: u32 = write(b'i', 60, SIZE);
    let value = [&[6, libc::AF_LINK as u8][..], &address].concat();
    plain(SIOCSIFLLADDR, &mut request(name)?.with(&value))
}

/// The Ethernet address that the interface has at present.
pub fn mac_address(name: &str) -> io::Result<[u8; 6]> {
    let found = hardware().into_iter().find(|(other, _)| other == name);
    found.map(|(_, address)| address).ok_or_else(|| io::Error::from_raw_os_error(libc::ENXIO))
}

/// The interfaces with an Ethernet address, and that: getifaddrs(3).
pub(in crate::sys) fn hardware() -> Vec<(String, [u8; 6])> {
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: the call stores a list in `list`, or fails.
    if cvt(unsafe { libc::getifaddrs(&mut list) }).is_err() {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut at = list;
    while !at.is_null() {
        // SAFETY: `at` is an entry of the list, which is not freed yet.
        let entry = unsafe { &*at };
        at = entry.ifa_next;
        // SAFETY: a non-null address of getifaddrs begins with its length and its family.
        if entry.ifa_addr.is_null() || c_int::from(unsafe { (*entry.ifa_addr).sa_family }) != libc::AF_LINK {
            continue;
        }
        // SAFETY: an address of this family has as many octets as its length says; the name ends with NUL.
        let (octets, name) = unsafe {
            let length = usize::from((*entry.ifa_addr).sa_len);
            (std::slice::from_raw_parts(entry.ifa_addr.cast::<u8>(), length), CStr::from_ptr(entry.ifa_name))
        };
        // struct sockaddr_dl: the address follows the name.
        let (Some(name_length), Some(6)) = (octets.get(5), octets.get(6)) else { continue };
        let address = octets.get(8 + usize::from(*name_length)..).and_then(|rest| rest.first_chunk::<6>());
        found.extend(address.map(|address| (name.to_string_lossy().into_owned(), *address)));
    }
    // SAFETY: the list came from getifaddrs and is freed once.
    unsafe { libc::freeifaddrs(list) };
    found
}

/// The flags: a short integer, after which FreeBSD has more.
fn flags(request: &InterfaceRequest) -> u16 {
    request.value.first_chunk().map_or(0, |octets| u16::from_ne_bytes(*octets))
}

/// Whether the administrator has the interface up.
pub fn is_up(name: &str) -> io::Result<bool> {
    let mut request = request(name)?;
    plain(SIOCGIFFLAGS, &mut request)?;
    Ok(flags(&request) & libc::IFF_UP as u16 != 0)
}

/// Brings the interface up or down.
pub fn set_state(name: &str, up: bool) -> io::Result<()> {
    let mut request = request(name)?;
    plain(SIOCGIFFLAGS, &mut request)?;
    let now = flags(&request);
    let wanted = if up { now | libc::IFF_UP as u16 } else { now & !(libc::IFF_UP as u16) };
    if now != wanted {
        plain(SIOCSIFFLAGS, &mut request.with(&wanted.to_ne_bytes()))?;
    }
    Ok(())
}

/// Makes an interface; its name, which the kernel completes with a number where that is missing (FreeBSD).
pub(in crate::sys) fn create(name: &str) -> io::Result<String> {
    let mut request = request(name)?;
    plain(SIOCIFCREATE, &mut request)?;
    Ok(request.name())
}

/// Removes an interface that was made.
pub(in crate::sys) fn destroy(name: &str) -> io::Result<()> {
    plain(SIOCIFDESTROY, &mut request(name)?)
}

/// Makes the interface a port of `bridge`, which is created and brought up where it is missing.
pub fn join_bridge(bridge: &str, name: &str) -> io::Result<()> {
    if index(bridge).is_err() {
        create(bridge)?;
        set_state(bridge, true)?;
    }
    add_to_bridge(bridge, name)
}

/// Makes the interface a port of `bridge`.
pub fn add_to_bridge(bridge: &str, name: &str) -> io::Result<()> {
    match change_bridge(BRDGADD, bridge, name) {
        // It is a port already: of this bridge, as somebody else has made it so?
        Err(error)
            if matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EEXIST))
                && is_in_bridge(bridge, name) == Some(true) =>
        {
            Ok(())
        }
        joined => joined,
    }
}

/// Whether the interface is a port of `bridge`; `None` where that is no bridge.
pub fn is_in_bridge(bridge: &str, name: &str) -> Option<bool> {
    Some(ports(bridge).ok()?.iter().any(|port| port == name))
}

/// Whether frames have an Ethernet header there: it is asked for on Linux only.
pub fn is_ethernet(_name: &str) -> bool {
    false
}

/// Whether checksums are there when a frame has left: it is asked for on Linux only.
pub fn finishes_checksums(_name: &str) -> bool {
    false
}

/// Whether the interface is a port of a bridge: it is asked for on Linux only.
pub fn is_port(_name: &str) -> bool {
    false
}

/// The names of the interfaces in `bridge`; none where it is no bridge.
pub fn bridge_ports(bridge: &str) -> Vec<String> {
    ports(bridge).unwrap_or_default()
}

/// What an error of [`add_to_bridge`] means.
pub fn why_not_joined(bridge: &str, error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EINVAL) if index(bridge).is_err() => {
            format!(
                "cannot make {bridge}: bridges are called bridge0, bridge1 ..., and need the driver bridge"
            )
        }
        Some(libc::EINVAL | libc::ENOTTY | libc::EOPNOTSUPP) => {
            format!("{bridge} is not a bridge, or has another MTU")
        }
        Some(libc::EBUSY) => format!("cannot join {bridge}, being a port of something else"),
        _ => format!("cannot join the bridge {bridge}"),
    }
}

/// Takes the interface out of `bridge`.
pub fn leave_bridge(bridge: &str, name: &str) -> io::Result<()> {
    change_bridge(BRDGDEL, bridge, name)
}

/// BRDGADD or BRDGDEL: struct ifbreq begins with the port's name.
fn change_bridge(command: c_ulong, bridge: &str, name: &str) -> io::Result<()> {
    let port = name_octets(name).ok_or_else(invalid)?;
    let mut data = [0u8; numbers::PORT];
    data.iter_mut().zip(port).for_each(|(to, from)| *to = from);
    let mut request = DriverRequest {
        name: name_octets(bridge).ok_or_else(invalid)?,
        command,
        length: data.len(),
        data: data.as_mut_ptr().cast(),
    };
    // SAFETY: the request takes an ifdrv, which points to as many octets as it says.
    unsafe { call(libc::AF_INET, SIOCSDRVSPEC, &mut request) }
}

/// BRDGGIFS.
fn ports(bridge: &str) -> io::Result<Vec<String>> {
    let mut data = vec![0u64; MOST_PORTS * numbers::PORT / 8];
    let octets = data.len() * 8;
    let mut list = PortList { length: octets as u32, list: data.as_mut_ptr().cast() };
    let mut request = DriverRequest {
        name: name_octets(bridge).ok_or_else(invalid)?,
        command: numbers::PORTS,
        length: size_of::<PortList>(),
        data: std::ptr::from_mut(&mut list).cast(),
    };
    // SAFETY: the request takes an ifdrv, which points to an ifbifconf, and that to as many octets as it says.
    unsafe { call(libc::AF_INET, SIOCGDRVSPEC, &mut request)? };
    // BRDGGIFS of NetBSD counts octets, too.
    let count = (list.length as usize).min(octets) / numbers::PORT;
    let octets: Vec<u8> = data.into_iter().flat_map(u64::to_ne_bytes).collect();
    Ok(octets.chunks_exact(numbers::PORT).take(count).map(|port| name_text(&port[..NAME])).collect())
}
