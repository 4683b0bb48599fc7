//! The pid file: its lock, not its being there, tells that a daemon runs. So a file left behind by a crash
//! is no obstacle, and a second daemon is refused however fast it comes.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{cvt, file};

/// Octets of a pid file, with room to spare.
const LONGEST: usize = 32;

/// A pid file that is locked and holds our pid; removed when dropped.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: File,
}

impl PidFile {
    /// Creates or takes over the file. Fails with `WouldBlock` when another process holds it. What is no pid file
    /// - a FIFO, a link, a file with other contents - is an error, and not touched.
    pub fn create(path: &Path) -> io::Result<PidFile> {
        // A daemon that ends removes its file: between our open and our lock the path may have become another
        // file, or none. Then once more.
        for _ in 0..8 {
            let file = open(path)?;
            lock(&file)?;
            if !is_same(path, &file) {
                continue;
            }
            refuse_contents(&file)?;
            let mut pid_file = PidFile { path: path.to_path_buf(), file };
            pid_file.file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
            pid_file.file.set_len(0)?;
            pid_file.file.rewind()?;
            writeln!(pid_file.file, "{}", std::process::id())?;
            return Ok(pid_file);
        }
        Err(io::Error::from_raw_os_error(libc::EAGAIN))
    }

    /// What another program that goes on has to know; the descriptor, with the lock, is added to `descriptors`.
    pub fn state(&self, descriptors: &mut Vec<RawFd>) -> PathBuf {
        descriptors.push(self.file.as_raw_fd());
        self.path.clone()
    }

    /// The file of another program, with its descriptor. It keeps that one's pid until [`rewrite`](PidFile::rewrite).
    pub fn resume(path: PathBuf, fd: OwnedFd) -> PidFile {
        PidFile { path, file: File::from(fd) }
    }

    /// Writes our pid.
    pub fn rewrite(&mut self) -> io::Result<()> {
        self.file.rewind()?;
        // Who reads it meanwhile finds a pid: the old one, or this one with the rest of the old after its line.
        writeln!(self.file, "{}", std::process::id())?;
        let length = self.file.stream_position()?;
        self.file.set_len(length)
    }

    /// The pid in a file that another daemon holds, to be named in a message.
    pub fn holder(path: &Path) -> Option<u32> {
        let text = file::read(path, LONGEST, Duration::ZERO).ok()?;
        std::str::from_utf8(&text).ok()?.trim().parse().ok()
    }
}

/// Fails where the path is that of something else than a file.
fn refuse_others(found: io::Result<Metadata>) -> io::Result<()> {
    match found {
        Ok(found) if !found.is_file() => {
            Err(io::Error::other(format!("{} has this name", file::kind(found.file_type()))))
        }
        _ => Ok(()),
    }
}

/// Fails where the file holds something else than a pid: it is somebody's, and would be lost.
fn refuse_contents(file: &File) -> io::Result<()> {
    let mut text = Vec::new();
    file.take(LONGEST as u64 + 1).read_to_end(&mut text)?;
    // NULs are what a crash of the machine may leave.
    let is_pid = |octet: &u8| octet.is_ascii_digit() || octet.is_ascii_whitespace() || *octet == 0;
    match text.len() <= LONGEST && text.iter().all(is_pid) {
        true => Ok(()),
        false => Err(io::Error::other("a file that holds something else than a process id has this name")),
    }
}

fn open(path: &Path) -> io::Result<File> {
    // Opening a device may have effects of its own.
    refuse_others(std::fs::symlink_metadata(path))?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o644);
    // Should it have become something else meanwhile, it must not make us wait.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = options.custom_flags(flags).open(path)?;
    refuse_others(file.metadata())?;
    Ok(file)
}

fn lock(file: &File) -> io::Result<()> {
    // SAFETY: flock(2) takes no pointers; the descriptor is open.
    cvt(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }).map(|_| ())
}

/// Whether `path` still names `file`.
fn is_same(path: &Path, file: &File) -> bool {
    match (std::fs::symlink_metadata(path), file.metadata()) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // As an own user we may not be allowed to unlink: an empty, unlocked file does no harm.
        if is_same(&self.path, &self.file) && std::fs::remove_file(&self.path).is_err() {
            let _ = self.file.set_len(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("l2tpd-pidfile-{}-{name}", std::process::id()))
    }

    #[test]
    fn holds_our_pid_and_goes_with_us() {
        let path = place("own");
        let file = PidFile::create(&path).unwrap();
        assert_eq!(PidFile::holder(&path), Some(std::process::id()));
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_second_daemon_is_refused() {
        let path = place("second");
        let first = PidFile::create(&path).unwrap();
        let second = PidFile::create(&path).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::WouldBlock);
        drop(first);
        PidFile::create(&path).unwrap();
    }

    #[test]
    fn a_stale_file_is_taken_over_and_a_link_is_not_followed() {
        let (stale, link) = (place("stale"), place("link"));
        std::fs::write(&stale, "99999999999999999999\n\0\0").unwrap();
        let file = PidFile::create(&stale).unwrap();
        assert_eq!(std::fs::read_to_string(&stale).unwrap(), format!("{}\n", std::process::id()));
        std::os::unix::fs::symlink(&stale, &link).unwrap();
        assert!(PidFile::create(&link).is_err());
        std::fs::remove_file(&link).unwrap();
        drop(file);
        assert!(PidFile::create(Path::new("/nonexistent/l2tpd.pid")).is_err());
    }

    fn refusal(path: &Path) -> String {
        let before = std::fs::symlink_metadata(path).unwrap();
        let error = PidFile::create(path).unwrap_err();
        let after = std::fs::symlink_metadata(path).unwrap();
        assert_eq!((before.len(), before.mode()), (after.len(), after.mode()), "it was touched");
        error.to_string()
    }

    #[test]
    fn what_is_no_pid_file_is_refused_at_once_and_not_touched() {
        let path = place("other");
        std::fs::write(&path, "precious\n").unwrap();
        assert_eq!(refusal(&path), "a file that holds something else than a process id has this name");
        // A large file, with nothing in it but NULs.
        OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(refusal(&path), "a file that holds something else than a process id has this name");
        std::fs::remove_file(&path).unwrap();
        crate::sys::make_fifo(&path);
        assert_eq!(refusal(&path), "a FIFO has this name");
        assert_eq!(PidFile::holder(&path), None);
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert_eq!(refusal(&path), "a directory has this name");
        std::fs::remove_dir(&path).unwrap();
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(refusal(&path), "a socket has this name");
        drop(listener);
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/nonexistent", &path).unwrap();
        assert_eq!(refusal(&path), "a symbolic link has this name");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(refusal(Path::new("/dev/null")), "a device has this name");
    }
}
