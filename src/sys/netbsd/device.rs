//! TAP interfaces: `tapN` is made by its name and used through `/dev/tapN`. Where that device is missing, `/dev/tap` makes
//! the one with the lowest free number, which ends with its descriptor (tap(4)). Interfaces cannot be renamed.

use std::fs::File;
use std::io;

use crate::sys::bsd::netif;
use crate::sys::bsd::tap_file::{name_of, open_device};
use crate::sys::kinds::NotOpened;

/// Opens the interface `name`, which is made where it is missing; whether it was.
pub(in crate::sys) fn make(name: &str) -> Result<(File, bool), NotOpened> {
    if name.strip_prefix("tap").is_none_or(|number| number.parse::<u16>().is_err()) {
        let error = io::Error::from_raw_os_error(libc::EINVAL);
        return Err(NotOpened { error, about: "TAP interfaces of NetBSD are called tap0, tap1 ..." });
    }
    let made = match netif::create(name) {
        Ok(_) => true,
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => false,
        Err(error) => {
            return Err(NotOpened { error, about: "the driver tap makes no interface of this name" })
        }
    };
    match open_device(&format!("/dev/{name}")) {
        Ok(file) => Ok((file, made)),
        Err(error) => {
            if made {
                // It is made anew below, or not at all.
                let _ = netif::destroy(name);
            }
            match error.raw_os_error() {
                Some(libc::ENOENT) => by_cloning(name, error).map(|file| (file, false)),
                Some(libc::EBUSY) => {
                    Err(NotOpened { error, about: "another process holds the interface of this name" })
                }
                _ => Err(NotOpened { error, about: "its device in /dev" }),
            }
        }
    }
}

/// By `/dev/tap`; another name than the wanted one is given back.
fn by_cloning(name: &str, missing: io::Error) -> Result<File, NotOpened> {
    let file = open_device("/dev/tap").map_err(|error| NotOpened { error, about: "/dev/tap" })?;
    match name_of(&file) {
        Ok(other) if other == name => Ok(file),
        Ok(_) | Err(_) => {
            let about = "its device in /dev is missing: cd /dev && sh MAKEDEV and the interface's name";
            Err(NotOpened { error: missing, about })
        }
    }
}
