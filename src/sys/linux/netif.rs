//! Network interfaces by name: flags, MTU, hardware address, membership in a bridge. All by ioctl.

use std::ffi::CStr;
use std::io;
use std::mem;
use std::os::fd::AsRawFd;

use libc::{c_int, c_short, c_ulong};

use crate::sys::cvt;
use crate::sys::socket_call::open_family;

// linux/sockios.h; libc has them for Android only. The numbers are the same on all architectures.
const SIOCBRADDBR: c_ulong = 0x89a0;
const SIOCBRADDIF: c_ulong = 0x89a2;
const SIOCBRDELIF: c_ulong = 0x89a3;

/// An ifreq for the interface called `name` (1 to 15 octets).
pub(super) fn request(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: ifreq is plain data for which all zeros is a valid value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    copy_name(&mut request.ifr_name, name)?;
    Ok(request)
}

fn copy_name(to: &mut [libc::c_char; libc::IFNAMSIZ], name: &str) -> io::Result<()> {
    if name.is_empty() || name.len() >= to.len() || name.contains('\0') {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    for (to, from) in to.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(())
}

/// `number` has the type that libc's constants have; what ioctl(2) wants differs from C library to C library.
fn ioctl(number: c_ulong, request: &mut libc::ifreq) -> io::Result<()> {
    // A system without IPv4 still has Unix sockets, which take these requests too.
    let fd = open_family(libc::AF_INET, libc::SOCK_DGRAM, 0)
        .or_else(|_| open_family(libc::AF_UNIX, libc::SOCK_DGRAM, 0))?;
    // SAFETY: the requests used in this file take a pointer to an ifreq, which lives through the call, as does what it
    // points to.
    cvt(unsafe { libc::ioctl(fd.as_raw_fd(), number as libc::Ioctl, std::ptr::from_mut(request)) })?;
    Ok(())
}

/// The interface's index.
pub fn index(name: &str) -> io::Result<c_int> {
    let mut request = request(name)?;
    ioctl(libc::SIOCGIFINDEX, &mut request)?;
    // SAFETY: the kernel has filled in this member of the union.
    Ok(unsafe { request.ifr_ifru.ifru_ifindex })
}

/// Whether an error says that there is no such interface.
pub fn is_missing(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENODEV)
}

/// The name of the interface with this index; an error means that there is none.
pub fn name(index: c_int) -> io::Result<String> {
    // SAFETY: ifreq is plain data for which all zeros is a valid value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    request.ifr_ifru.ifru_ifindex = index;
    ioctl(libc::SIOCGIFNAME, &mut request)?;
    // SAFETY: the kernel ends interface names with a NUL within the 16 octets.
    let name = unsafe { CStr::from_ptr(request.ifr_name.as_ptr()) };
    Ok(name.to_string_lossy().into_owned())
}

/// Sets the MTU (octets of payload of an Ethernet frame).
pub fn set_mtu(name: &str, mtu: usize) -> io::Result<()> {
    let mut request = request(name)?;
    request.ifr_ifru.ifru_mtu =
        c_int::try_from(mtu).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    ioctl(libc::SIOCSIFMTU, &mut request)
}

/// The MTU, in octets of payload of an Ethernet frame.
pub fn mtu(name: &str) -> io::Result<usize> {
    let mut request = request(name)?;
    ioctl(libc::SIOCGIFMTU, &mut request)?;
    // SAFETY: the kernel has filled in this member of the union.
    usize::try_from(unsafe { request.ifr_ifru.ifru_mtu }).map_err(io::Error::other)
}

/// Sets the hardware address.
pub fn set_mac_address(name: &str, address: [u8; 6]) -> io::Result<()> {
    let mut request = request(name)?;
    // SAFETY: sockaddr is plain data for which all zeros is a valid value.
    let mut value: libc::sockaddr = unsafe { mem::zeroed() };
    value.sa_family = libc::ARPHRD_ETHER;
    for (to, from) in value.sa_data.iter_mut().zip(address) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_hwaddr = value;
    ioctl(libc::SIOCSIFHWADDR, &mut request)
}

/// The Ethernet address that the interface has at present.
pub fn mac_address(name: &str) -> io::Result<[u8; 6]> {
    let mut request = request(name)?;
    ioctl(libc::SIOCGIFHWADDR, &mut request)?;
    // SAFETY: the kernel has filled in this member of the union.
    let value = unsafe { request.ifr_ifru.ifru_hwaddr };
    let mut address = [0; 6];
    for (to, from) in address.iter_mut().zip(value.sa_data) {
        *to = from as u8;
    }
    Ok(address)
}

/// Whether the administrator has the interface up.
pub fn is_up(name: &str) -> io::Result<bool> {
    let mut request = request(name)?;
    ioctl(libc::SIOCGIFFLAGS, &mut request)?;
    // SAFETY: the kernel has filled in this member of the union.
    Ok(c_int::from(unsafe { request.ifr_ifru.ifru_flags }) & libc::IFF_UP != 0)
}

/// Brings the interface up or down.
pub fn set_state(name: &str, up: bool) -> io::Result<()> {
    let mut request = request(name)?;
    ioctl(libc::SIOCGIFFLAGS, &mut request)?;
    // SAFETY: the kernel has filled in this member of the union.
    let flags = c_int::from(unsafe { request.ifr_ifru.ifru_flags });
    let wanted = if up { flags | libc::IFF_UP } else { flags & !libc::IFF_UP };
    if flags != wanted {
        request.ifr_ifru.ifru_flags = wanted as c_short;
        ioctl(libc::SIOCSIFFLAGS, &mut request)?;
    }
    Ok(())
}

/// Makes the interface a port of `bridge`, which is created and brought up where it is missing.
pub fn join_bridge(bridge: &str, name: &str) -> io::Result<()> {
    if index(bridge).is_err() {
        create_bridge(bridge)?;
        set_state(bridge, true)?;
    }
    add_to_bridge(bridge, name)
}

/// Makes the interface a port of `bridge`.
pub fn add_to_bridge(bridge: &str, name: &str) -> io::Result<()> {
    match change_bridge(SIOCBRADDIF, bridge, name) {
        // It is a port already: of this bridge, as somebody else has made it so?
        Err(error)
            if error.raw_os_error() == Some(libc::EBUSY) && is_in_bridge(bridge, name) == Some(true) =>
        {
            Ok(())
        }
        joined => joined,
    }
}

/// Whether the interface is a port of `bridge`; `None` where the system does not tell (without /sys).
pub fn is_in_bridge(bridge: &str, name: &str) -> Option<bool> {
    let directory = std::path::PathBuf::from(format!("/sys/class/net/{name}"));
    match std::fs::read_link(directory.join("master")) {
        Ok(master) => Some(master.file_name() == Some(bridge.as_ref())),
        Err(_) => directory.exists().then_some(false),
    }
}

/// Whether the interface is a port of a bridge, a bond or the like; `false` where the system does not tell (without /sys).
pub fn is_port(name: &str) -> bool {
    std::fs::symlink_metadata(format!("/sys/class/net/{name}/master")).is_ok()
}

/// The names of the interfaces in `bridge`; none where it is no bridge, or the system does not tell (without /sys).
pub fn bridge_ports(bridge: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(format!("/sys/class/net/{bridge}/brif")) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Whether frames have an Ethernet header there; `false` too where the system does not tell (without /sys).
pub fn is_ethernet(name: &str) -> bool {
    let kind = std::fs::read_to_string(format!("/sys/class/net/{name}/type"));
    kind.is_ok_and(|kind| kind.trim_end() == libc::ARPHRD_ETHER.to_string())
}

/// Whether the checksums that the kernel left to the interface are there when a frame has left through it: it is a
/// device, or has such below it, or leaves nothing to it. veth, for one, hands frames on as they are.
pub fn finishes_checksums(name: &str) -> bool {
    let directory = std::path::PathBuf::from(format!("/sys/class/net/{name}"));
    if directory.join("device").exists() || leaves_checksums(name).is_ok_and(|left| !left) {
        return true;
    }
    let Ok(entries) = std::fs::read_dir(directory) else { return false };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let lower: Vec<String> = names.filter_map(|n| n.strip_prefix("lower_").map(str::to_owned)).collect();
    !lower.is_empty() && lower.iter().all(|lower| lower != name && finishes_checksums(lower))
}

/// Whether the kernel leaves checksums to the interface (`ethtool -k`: tx-checksumming).
fn leaves_checksums(name: &str) -> io::Result<bool> {
    /// ETHTOOL_GTXCSUM of linux/ethtool.h, which libc lacks.
    const GET_TX_CHECKSUM: u32 = 0x16;
    let mut value = [GET_TX_CHECKSUM, 0];
    let mut request = request(name)?;
    request.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
    ioctl(libc::SIOCETHTOOL, &mut request)?;
    Ok(value[1] != 0)
}

/// What an interface does, by the commands of linux/ethtool.h that set it.
#[derive(Debug, Clone, Copy)]
pub enum Feature {
    /// It is left to finish checksums.
    TxChecksum = 0x17,
    /// It is left to segment super-frames of TCP.
    Tso = 0x1f,
    /// Of what comes in super-frames are made.
    Gro = 0x2c,
}

/// Switches a feature on or off.
pub fn set_feature(name: &str, feature: Feature, on: bool) -> io::Result<()> {
    let mut value = [feature as u32, u32::from(on)];
    let mut request = request(name)?;
    request.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
    ioctl(libc::SIOCETHTOOL, &mut request)
}

/// What an error of [`add_to_bridge`] means.
pub fn why_not_joined(bridge: &str, error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EOPNOTSUPP) => format!("{bridge} is not a bridge"),
        Some(libc::ENOPKG) => format!("cannot make {bridge}: the kernel's module bridge is not there"),
        Some(libc::EBUSY) => format!("cannot join {bridge}, being a port of something else"),
        _ => format!("cannot join the bridge {bridge}"),
    }
}

/// Takes the interface out of `bridge`.
pub fn leave_bridge(bridge: &str, name: &str) -> io::Result<()> {
    change_bridge(SIOCBRDELIF, bridge, name)
}

fn create_bridge(bridge: &str) -> io::Result<()> {
    let mut name = [0; libc::IFNAMSIZ];
    copy_name(&mut name, bridge)?;
    let fd = open_family(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    // SAFETY: SIOCBRADDBR takes a pointer to a NUL-terminated name of at most 16 octets.
    cvt(unsafe { libc::ioctl(fd.as_raw_fd(), SIOCBRADDBR as libc::Ioctl, name.as_ptr()) })?;
    Ok(())
}

fn change_bridge(number: c_ulong, bridge: &str, name: &str) -> io::Result<()> {
    let port = index(name)?;
    let mut request = request(bridge)?;
    request.ifr_ifru.ifru_ifindex = port;
    ioctl(number, &mut request)
}
