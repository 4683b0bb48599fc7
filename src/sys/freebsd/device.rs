//! TAP interfaces (tap(4)): one is made, and renamed where it is to have a name of its own; its device `/dev/tapN` is
//! there under the new name as well.

use std::fs::File;
use std::io;

use crate::sys::bsd::ioctl::{name_octets, write};
use crate::sys::bsd::netif::{self, call, InterfaceRequest};
use crate::sys::bsd::tap_file::open_device;
use crate::sys::kinds::NotOpened;

/// SIOCSIFNAME (sys/sockio.h): an ifreq that points to the new name.
const SIOCSIFNAME: u32 = write(b'i', 40, size_of::<InterfaceRequest>());

/// Opens the interface `name`, which is made where it is missing; whether it was.
pub(in crate::sys) fn make(name: &str) -> Result<(File, bool), NotOpened> {
    if netif::index(name).is_ok() {
        let file = open_device(&format!("/dev/{name}")).map_err(|error| {
            let about = match error.raw_os_error() {
                Some(libc::EBUSY) => "another process holds the interface of this name",
                Some(libc::ENOENT) => "another interface has this name, and is no TAP",
                _ => "its device in /dev",
            };
            NotOpened { error, about }
        })?;
        return Ok((file, false));
    }
    let is_plain = name.strip_prefix("tap").is_some_and(|number| number.parse::<u16>().is_ok());
    let made = netif::create(if is_plain { name } else { "tap" })
        .map_err(|error| NotOpened { error, about: "no TAP interface can be made: kldload if_tuntap" })?;
    let opened = open_device(&format!("/dev/{made}"));
    let opened = opened.and_then(|file| rename(&made, name).map(|()| file));
    opened.map(|file| (file, true)).map_err(|error| {
        // The device is closed again.
        let _ = netif::destroy(&made);
        NotOpened { error, about: "" }
    })
}

fn rename(old: &str, new: &str) -> io::Result<()> {
    if old == new {
        return Ok(());
    }
    let name = name_octets(new).ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
    let pointer: *const u8 = name.as_ptr();
    let mut request = netif::request(old)?.with(&pointer.expose_provenance().to_ne_bytes());
    // SAFETY: the request takes an ifreq that points to a name of IFNAMSIZ octets, which lives through the call.
    unsafe { call(libc::AF_INET, SIOCSIFNAME, &mut request) }
}
