//! Standard error without waiting: what reads it may be slow or gone, and the tunnels must not suffer.

use std::io;

use super::{cvt, cvt_size};

/// A pipe that poll(2) calls writable takes this much without blocking (PIPE_BUF).
const AT_ONCE: usize = 4096;

/// Writes `text`, or as much of it as standard error takes without waiting; fails with `WouldBlock` otherwise.
pub fn write(text: &str) -> io::Result<()> {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let mut request = libc::pollfd { fd: libc::STDERR_FILENO, events: libc::POLLOUT, revents: 0 };
        // SAFETY: one initialised pollfd, and the count says one.
        let ready = cvt(unsafe { libc::poll(&mut request, 1, 0) })?;
        if ready == 0 {
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
