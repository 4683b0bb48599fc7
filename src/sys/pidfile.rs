//! The pid file: its lock, not its being there, tells that a daemon runs. So a file left behind by a crash
//! is no obstacle, and a second daemon is refused however fast it comes.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::cvt;

/// A pid file that is locked and holds our pid; removed when dropped.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: File,
}

impl PidFile {
    /// Creates or takes over the file. Fails with `WouldBlock` when another process holds it; symbolic links are
    /// not followed.
    pub fn create(path: &Path) -> io::Result<PidFile> {
        // A daemon that ends removes its file: between our open and our lock the path may have become another
        // file, or none. Then once more.
        for _ in 0..8 {
            let file = open(path)?;
            lock(&file)?;
            if !is_same(path, &file) {
                continue;
            }
            let mut pid_file = PidFile { path: path.to_path_buf(), file };
            pid_file.file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
            pid_file.file.set_len(0)?;
            writeln!(pid_file.file, "{}", std::process::id())?;
            return Ok(pid_file);
        }
        Err(io::Error::from_raw_os_error(libc::EAGAIN))
    }

    /// The pid in a file that another daemon holds, to be named in a message.
    pub fn holder(path: &Path) -> Option<u32> {
        std::fs::read_to_string(path).ok()?.trim().parse().ok()
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o644);
    // O_NONBLOCK: a FIFO in this place must not make us wait.
    let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
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
        std::fs::write(&stale, "999999999999 of a longer content\n").unwrap();
        let file = PidFile::create(&stale).unwrap();
        assert_eq!(std::fs::read_to_string(&stale).unwrap(), format!("{}\n", std::process::id()));
        std::os::unix::fs::symlink(&stale, &link).unwrap();
        assert!(PidFile::create(&link).is_err());
        std::fs::remove_file(&link).unwrap();
        drop(file);
        assert!(PidFile::create(Path::new("/nonexistent/l2tpd.pid")).is_err());
    }
}
