//! Files in whose place something else may stand: a FIFO that would make us wait, a device, a directory.

use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use super::{clock, wait};
use crate::wiped::{wipe, Wiped};

/// What a file is, in words.
pub fn kind(file_type: FileType) -> &'static str {
    match () {
        () if file_type.is_file() => "a file",
        () if file_type.is_dir() => "a directory",
        () if file_type.is_symlink() => "a symbolic link",
        () if file_type.is_fifo() => "a FIFO",
        () if file_type.is_socket() => "a socket",
        () => "a device",
    }
}

/// What stands at `path`, links followed, when it is no regular file; `None` also where nothing can be seen.
pub fn no_file(path: &Path) -> Option<&'static str> {
    let found = std::fs::metadata(path).ok()?.file_type();
    (!found.is_file()).then(|| kind(found))
}

/// Opens a file for reading; never waits for the other end of a FIFO or a line.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| match no_file(path) {
        Some("a socket") => io::Error::new(error.kind(), "a socket has this name"),
        _ => error,
    })
}

/// Reads a file, which may hold secrets, to its end. More than `limit` octets are an error, and so is a pipe or terminal from which nothing
/// comes for `patience`.
pub fn read(path: &Path, limit: usize, patience: Duration) -> io::Result<Wiped> {
    read_opened(&open(path)?, limit, patience)
}

/// As [`read`], of a file that [`open`] has opened.
pub fn read_opened(file: &File, limit: usize, patience: Duration) -> io::Result<Wiped> {
    let found = file.metadata()?;
    let is_fifo = found.file_type().is_fifo();
    let expected = usize::try_from(found.len()).unwrap_or(usize::MAX);
    let mut text = Wiped::with_capacity(expected.min(limit));
    let mut room = [0; 8192];
    let mut rest = file.take(limit.saturating_add(1) as u64);
    loop {
        match rest.read(&mut room) {
            Ok(0) => break,
            Ok(octets) => text.extend(room.get(..octets).unwrap_or_default()),
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => wait(file, patience)?,
                _ => return Err(error),
            },
        }
    }
    wipe(&mut room);
    match text.len() {
        0 if is_fifo => Err(io::Error::other("a FIFO, and nobody writes to it")),
        length if length > limit => Err(io::Error::other(format!("longer than {limit} octets"))),
        _ => Ok(text),
    }
}

/// Waits until there is something to be read.
fn wait(file: &File, patience: Duration) -> io::Result<()> {
    match wait::ready(file.as_raw_fd(), libc::POLLIN, clock::now() + patience)? {
        true => Ok(()),
        false => {
            let text = format!("nothing came within {} s", patience.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{cvt, error_text};
    use std::os::fd::FromRawFd;
    use std::path::PathBuf;

    fn place(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("l2tpd-file-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

    fn text(path: &Path, patience: Duration) -> String {
        match read(path, 8, patience) {
            Ok(text) => String::from_utf8(text.to_vec()).unwrap(),
            Err(error) => error_text(&error),
        }
    }

    #[test]
    fn nothing_makes_it_wait_that_is_no_file() {
        let (fifo, socket) = (place("fifo"), place("socket"));
        super::super::make_fifo(&fifo);
        assert_eq!(text(&fifo, Duration::from_secs(1000)), "a FIFO, and nobody writes to it");
        // A writer that says nothing, and one that does.
        let writer = OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
        assert_eq!(text(&fifo, Duration::ZERO), "nothing came within 0 s");
        drop(writer);
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(text(&socket, Duration::from_secs(1000)), "a socket has this name");
        assert_eq!(text(Path::new("/"), Duration::ZERO), "Is a directory");
        assert_eq!(text(Path::new("/dev/null"), Duration::ZERO), "");
        assert_eq!(text(Path::new("/dev/zero"), Duration::ZERO), "longer than 8 octets");
        std::fs::remove_file(&fifo).unwrap();
        std::fs::remove_file(&socket).unwrap();
    }

    #[test]
    fn a_pipe_is_read_to_its_end() {
        let mut ends = [-1; 2];
        // SAFETY: `ends` has room for the two descriptors.
        cvt(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }).unwrap();
        // SAFETY: both descriptors are new and ours.
        let [ours, writer] = ends.map(|fd| unsafe { File::from_raw_fd(fd) });
        let writer = std::thread::spawn(move || {
            for half in ["12", "34"] {
                io::Write::write_all(&mut &writer, half.as_bytes()).unwrap();
            }
        });
        let path = format!("/proc/self/fd/{}", ours.as_raw_fd());
        assert_eq!(text(Path::new(&path), Duration::from_secs(60)), "1234");
        writer.join().unwrap();
    }
}
