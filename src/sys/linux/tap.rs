//! A TAP interface: frames that the system sends out of it are read here, frames written here are received by the
//! system. It exists as long as it is open.

use std::collections::VecDeque;
use std::ffi::CStr;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Mutex, PoisonError};

use libc::{c_int, c_short, c_uint, c_ulong};

use super::netif;
use crate::saved::saved;
use crate::sys::cvt;
pub use crate::sys::kinds::NotOpened;

/// linux/if_tun.h, of what TUNGETIFF tells; libc lacks it.
const IFF_PERSIST: c_int = 0x0800;

/// Whether super-frames are read and written, with a header that tells what they are.
pub const SUPER_FRAMES: bool = true;

/// An open TAP interface.
#[derive(Debug)]
pub struct Tap {
    file: File,
    index: c_int,
    has_uso: bool,
}

/// Descriptors of the device that were opened while we were root: where only root may open it, interfaces can
/// still be made after the daemon has become another user.
static RESERVE: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// Opens the device `count` times for later.
pub fn reserve(count: usize) -> io::Result<()> {
    let files = (0..count).map(|_| open_new()).collect::<io::Result<Vec<File>>>()?;
    RESERVE.lock().unwrap_or_else(PoisonError::into_inner).extend(files);
    Ok(())
}

/// An error about the device.
fn no_device(error: io::Error) -> NotOpened {
    let about = match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => {
            "/dev/net/tun is missing: create it, or hand it to the container"
        }
        Some(libc::EPERM | libc::EACCES) => {
            "/dev/net/tun may not be opened: chmod 666 /dev/net/tun, hand it to the container, or run as root"
        }
        Some(libc::ENODEV | libc::ENXIO) => "/dev/net/tun has no driver: load the kernel's module tun",
        _ => "/dev/net/tun",
    };
    NotOpened { error, about }
}

/// An error about the interface.
fn no_interface(error: io::Error) -> NotOpened {
    let about = match error.raw_os_error() {
        Some(libc::EINVAL) => "another interface has this name, and is no TAP",
        Some(libc::EBUSY) => "another process holds the interface of this name",
        Some(libc::EPERM) => "/dev/net/tun makes no interface without the capability CAP_NET_ADMIN",
        Some(libc::ENOTTY) => "/dev/net/tun is something else than that device",
        _ => "",
    };
    NotOpened { error, about }
}

fn open_new() -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open("/dev/net/tun")
}

fn open_device() -> io::Result<File> {
    match open_new() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            RESERVE.lock().unwrap_or_else(PoisonError::into_inner).pop().ok_or(error)
        }
        opened => opened,
    }
}

/// The name that the kernel has put into a request.
fn name_in(request: &libc::ifreq) -> String {
    // SAFETY: the kernel ends interface names with a NUL within the 16 octets.
    let name = unsafe { CStr::from_ptr(request.ifr_name.as_ptr()) };
    name.to_string_lossy().into_owned()
}

impl Tap {
    /// Makes the interface `name`, or takes it over where it exists and is free (persistent). Every frame has a
    /// virtio network header before it (`frame::vnet`). With `offload` it may be longer than the MTU, or lack its
    /// checksum.
    pub fn open(name: &str, offload: bool) -> Result<Tap, NotOpened> {
        let file = open_device().map_err(no_device)?;
        Tap::make(file, name, offload).map_err(no_interface)
    }

    fn make(file: File, name: &str, offload: bool) -> io::Result<Tap> {
        let mut request = netif::request(name)?;
        request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as c_short;
        // SAFETY: TUNSETIFF takes a pointer to an ifreq, which lives through the call.
        cvt(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, std::ptr::from_mut(&mut request)) })?;
        let mut tap = Tap { file, index: 0, has_uso: false };
        let tcp = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6;
        // Older kernels do not know the UDP flags.
        tap.has_uso = offload && tap.set_offload(tcp | libc::TUN_F_USO4 | libc::TUN_F_USO6).is_ok();
        if !tap.has_uso && (!offload || tap.set_offload(tcp).is_err()) {
            tap.set_offload(0)?;
        }
        // The kernel has written there how it is called.
        tap.index = netif::index(&name_in(&request))?;
        Ok(tap)
    }

    fn set_offload(&self, flags: c_uint) -> io::Result<()> {
        // SAFETY: TUNSETOFFLOAD takes a number, not a pointer.
        cvt(unsafe { libc::ioctl(self.file.as_raw_fd(), libc::TUNSETOFFLOAD, c_ulong::from(flags)) })?;
        Ok(())
    }

    /// The interface's index.
    pub fn index(&self) -> c_int {
        self.index
    }

    /// Whether UDP super-frames may be written (and are read): USO.
    pub fn has_uso(&self) -> bool {
        self.has_uso
    }

    /// What another program that goes on with it has to know; its descriptor is added to `descriptors`.
    pub fn state(&self, descriptors: &mut Vec<RawFd>) -> TapState {
        let Tap { file, index, has_uso } = self;
        descriptors.push(file.as_raw_fd());
        TapState { index: *index, has_uso: *has_uso }
    }

    /// The interface of another program, with the next of its descriptors.
    pub fn resume(state: TapState, descriptors: &mut VecDeque<OwnedFd>) -> Option<Tap> {
        let TapState { index, has_uso } = state;
        Some(Tap { file: File::from(descriptors.pop_front()?), index, has_uso })
    }

    /// Its name at present; an error means that the interface was deleted.
    pub fn name(&self) -> io::Result<String> {
        Ok(self.name_and_flags()?.0)
    }

    /// Whether the interface is here, and is gone when we close it: it is not persistent, nor in another namespace.
    pub(super) fn goes_with_us(&self) -> bool {
        let found = self.name_and_flags().ok().filter(|(_, flags)| flags & IFF_PERSIST == 0);
        found.is_some_and(|(name, _)| netif::index(&name).is_ok_and(|index| index == self.index))
    }

    fn name_and_flags(&self) -> io::Result<(String, c_int)> {
        let mut request = netif::request("x")?;
        // SAFETY: TUNGETIFF takes a pointer to an ifreq, which lives through the call.
        cvt(unsafe {
            libc::ioctl(self.file.as_raw_fd(), libc::TUNGETIFF, std::ptr::from_mut(&mut request))
        })?;
        // SAFETY: the kernel has filled in this member of the union.
        let flags = c_int::from(unsafe { request.ifr_ifru.ifru_flags });
        Ok((name_in(&request), flags))
    }

    /// Sets the carrier: without it the system sends nothing and shows NO-CARRIER.
    pub fn set_carrier(&self, on: bool) -> io::Result<()> {
        let value = c_int::from(on);
        // SAFETY: TUNSETCARRIER takes a pointer to an int, which lives through the call.
        cvt(unsafe { libc::ioctl(self.file.as_raw_fd(), libc::TUNSETCARRIER, std::ptr::from_ref(&value)) })?;
        Ok(())
    }

    /// Reads a frame after its virtio network header. What does not fit is lost silently: `buffer` must
    /// hold 65 563 octets.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.file).read(buffer)
    }

    /// Writes a frame in pieces; the first is the virtio network header.
    pub fn write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        (&self.file).write_vectored(pieces)
    }
}

/// What another program is told of an interface, beside its descriptor.
#[derive(Debug)]
pub struct TapState {
    index: c_int,
    has_uso: bool,
}
saved!(TapState { index, has_uso });

impl AsRawFd for Tap {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}
