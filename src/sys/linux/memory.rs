//! Memory that is handed on like a file.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use libc::{c_int, c_uint};

use crate::sys::cvt;
use crate::wiped::Wiped;

/// MFD_NOEXEC_SEAL (Linux 6.3): nothing in it is ever executed; libc lacks it.
const NOEXEC_SEAL: c_uint = 0x0008;

/// Memory with these octets that nobody can change; it is nowhere in the file system.
pub fn sealed(octets: &[u8]) -> io::Result<File> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: the name ends with NUL.
    let make = |flags| cvt(unsafe { libc::memfd_create(c"l2tpd".as_ptr(), flags) });
    let fd = make(flags | NOEXEC_SEAL).or_else(|_| make(flags))?;
    // SAFETY: the descriptor is new and ours.
    let mut file = unsafe { File::from_raw_fd(fd) };
    file.write_all(octets)?;
    let seals = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
    // SAFETY: no pointers.
    cvt(unsafe { libc::fcntl(fd, libc::F_ADD_SEALS, seals) })?;
    Ok(file)
}

/// What is in such memory. Other kinds of files are an error: they could change while they are read.
pub fn read_sealed(fd: OwnedFd) -> io::Result<Wiped> {
    // SAFETY: no pointers.
    let seals = cvt(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GET_SEALS) })?;
    if seals & libc::F_SEAL_WRITE == 0 {
        return Err(io::Error::other("the state is not sealed"));
    }
    let file = File::from(fd);
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let mut octets = vec![0; length];
    // SAFETY: no pointers. It was written through the same open file.
    cvt(unsafe { libc::lseek(file.as_raw_fd(), 0, libc::SEEK_SET) } as c_int)?;
    (&file).read_exact(&mut octets)?;
    let read = Wiped::from(octets.as_slice());
    crate::wiped::wipe(&mut octets);
    Ok(read)
}
