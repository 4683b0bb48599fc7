//! A TAP interface (tap(4)): frames that the system sends out of it are read here, frames written here are received by
//! the system. There is no virtio network header, no super-frames, and no carrier.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use libc::c_int;

use super::netif;
use super::tap_file::name_of;
use crate::saved::saved;
use crate::sys::device;
pub use crate::sys::kinds::NotOpened;

/// Whether super-frames are read and written, with a header that tells what they are.
pub const SUPER_FRAMES: bool = false;
/// Octets of that header, which the others expect.
const HEADER: usize = 10;

/// An open TAP interface.
#[derive(Debug)]
pub struct Tap {
    file: File,
    index: c_int,
    /// We have made it.
    made: bool,
}

/// Nothing: the daemon stays root.
pub fn reserve(_count: usize) -> io::Result<()> {
    Ok(())
}

impl Tap {
    /// Makes the interface `name`, or takes it over where it exists and is free. `offload`: there is none.
    pub fn open(name: &str, _offload: bool) -> Result<Tap, NotOpened> {
        let (file, made) = device::make(name)?;
        match netif::index(name) {
            Ok(index) => Ok(Tap { file, index, made }),
            Err(error) => Err(NotOpened { error, about: "" }),
        }
    }

    /// The interface's index.
    pub fn index(&self) -> c_int {
        self.index
    }

    /// Whether UDP super-frames may be written: no.
    pub fn has_uso(&self) -> bool {
        false
    }

    /// What another program that goes on with it has to know; its descriptor is added to `descriptors`.
    pub fn state(&self, descriptors: &mut Vec<RawFd>) -> TapState {
        let Tap { file, index, made } = self;
        descriptors.push(file.as_raw_fd());
        TapState { index: *index, made: *made }
    }

    /// The interface of another program, with the next of its descriptors.
    pub fn resume(state: TapState, descriptors: &mut VecDeque<OwnedFd>) -> Option<Tap> {
        let TapState { index, made } = state;
        Some(Tap { file: File::from(descriptors.pop_front()?), index, made })
    }

    /// Its name at present; an error means that the interface was deleted.
    pub fn name(&self) -> io::Result<String> {
        name_of(&self.file)
    }

    /// Closes it; one that we have made is removed.
    pub(in crate::sys) fn remove(self) {
        let name = self.name();
        let made = self.made;
        // An interface that is open is not removed.
        drop(self);
        if let Some(name) = name.ok().filter(|_| made) {
            // It may be gone with the device.
            let _ = netif::destroy(&name);
        }
    }

    /// There is no carrier that could be switched: told once, and passed over from then on.
    pub fn set_carrier(&self, _on: bool) -> io::Result<()> {
        static TOLD: AtomicBool = AtomicBool::new(false);
        match TOLD.swap(true, Ordering::Relaxed) {
            true => Ok(()),
            false => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "TAP interfaces of this system have no carrier",
            )),
        }
    }

    /// Reads a frame after room for a virtio network header of zeros. What does not fit is lost silently.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some((header, frame)) = buffer.split_at_mut_checked(HEADER) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        header.fill(0);
        match (&self.file).read(frame) {
            Ok(octets) => Ok(HEADER + octets),
            // The interface is down: nothing comes from there.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EHOSTDOWN | libc::EIO)) => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            Err(error) => Err(error),
        }
    }

    /// Writes a frame in pieces; the first is a virtio network header, which is left out.
    pub fn write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        (&self.file).write_vectored(pieces.get(1..).unwrap_or_default())
    }
}

/// What another program is told of an interface, beside its descriptor.
#[derive(Debug)]
pub struct TapState {
    index: c_int,
    made: bool,
}
saved!(TapState { index, made });

impl AsRawFd for Tap {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}
