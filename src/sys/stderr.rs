//! Standard error without waiting: what reads it may be slow or gone, and the tunnels must not suffer.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use super::{clock, cvt_size, wait};

/// A pipe that poll(2) calls writable takes this much without blocking (PIPE_BUF).
const AT_ONCE: usize = 4096;

/// Writes `text`, or as much of it as standard error takes without waiting; fails with `WouldBlock` otherwise.
pub fn write(text: &str) -> io::Result<()> {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        if !wait::ready(libc::STDERR_FILENO, libc::POLLOUT, clock::now())? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = rest.len().min(AT_ONCE);
        // SAFETY: `length` octets of `rest` are readable.
        let written = cvt_size(unsafe { libc::write(libc::STDERR_FILENO, rest.as_ptr().cast(), length) });
        match written {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether standard error leads to systemd's journal: `JOURNAL_STREAM` holds device and inode of the stream that a
/// service was started with, which a shell in between may have led elsewhere.
pub fn is_journal() -> bool {
    std::env::var_os("JOURNAL_STREAM").is_some_and(|stream| is_stream(&stream, io::stderr()))
}

fn is_stream(stream: &OsStr, fd: impl AsFd) -> bool {
    let metadata = fd.as_fd().try_clone_to_owned().and_then(|fd| File::from(fd).metadata());
    metadata.is_ok_and(|m| stream.to_str() == Some(&format!("{}:{}", m.dev(), m.ino())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_known_by_device_and_inode() {
        let file = File::open("/dev/null").unwrap();
        let metadata = file.metadata().unwrap();
        let (dev, ino) = (metadata.dev(), metadata.ino());
        assert!(is_stream(OsStr::new(&format!("{dev}:{ino}")), &file));
        for other in
            [format!("{dev}:{}", ino + 1), format!("{}:{ino}", dev + 1), dev.to_string(), String::new()]
        {
            assert!(!is_stream(OsStr::new(&other), &file), "{other}");
        }
    }
}
