//! Whom a file is to be believed: what stands in it may run commands as root, so nobody but root and who started us
//! may be able to change it, neither in its place nor by putting another one there. The file itself and each
//! directory and link on the way are looked at, as sshd(8) does with `StrictModes`; other than there, a directory
//! such as `/tmp`, where everybody may write but only the owner of a file may replace it (the sticky bit), is no
//! fault.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{absolute, Component, Path, PathBuf};
use std::sync::OnceLock;

use super::{error_text, file};

/// Links on the way to a file; the kernel follows as many (path_resolution(7)).
const LINKS: usize = 40;
/// Mode bits: the group and others may write.
const OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;
/// What [`file_of`] takes for descriptors that whoever started us has opened.
const DESCRIPTORS: [&str; 2] = ["/dev/fd/", "/proc/self/fd/"];

/// Why something is not trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distrust {
    /// The file, the directory or the link.
    path: PathBuf,
    /// What is wrong, in words.
    why: String,
    /// The command that mends it, without the path.
    mend: String,
}

impl fmt::Display for Distrust {
    /// What is wrong and the command that mends it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.why, self.mend, quoted(&self.path))
    }
}

impl From<Distrust> for io::Error {
    fn from(distrust: Distrust) -> io::Error {
        io::Error::new(io::ErrorKind::PermissionDenied, distrust.to_string())
    }
}

/// A path as a shell takes it for one word.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "/._-+:,@%=".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.into_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// User and group that the process had when it was first asked: those who started it. It may become another later,
/// and what is trusted must not change with that.
fn started_by() -> (u32, u32) {
    static STARTED_BY: OnceLock<(u32, u32)> = OnceLock::new();
    // SAFETY: both calls take nothing and cannot fail.
    *STARTED_BY.get_or_init(|| unsafe { (libc::geteuid(), libc::getegid()) })
}

/// Whether a user may change and see everything: root and who started us.
pub fn is_trusted(user: u32) -> bool {
    user == 0 || user == started_by().0
}

/// The owner that files have whose owner the user namespace that we run in cannot name; `None` outside of one.
/// Directories above such a namespace (`/`, for one) belong to it.
fn nameless() -> Option<u32> {
    static NAMELESS: OnceLock<Option<u32>> = OnceLock::new();
    *NAMELESS.get_or_init(|| {
        let map = std::fs::read_to_string("/proc/self/uid_map").ok()?;
        let everybody = map.split_whitespace().eq(["0", "0", "4294967295"]);
        let text = std::fs::read_to_string("/proc/sys/kernel/overflowuid").ok()?;
        text.trim().parse().ok().filter(|_| !everybody)
    })
}

/// Takes note of who started us. To be called before the process becomes another user.
pub fn remember() {
    let _ = (started_by(), nameless());
}

/// As [`file::open`]. Where the mode of the file keeps out who we are, the error has the command that lets us in.
pub fn open(path: &Path) -> io::Result<File> {
    // SAFETY: both calls take nothing and cannot fail.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    file::open(path).map_err(|error| {
        if error.kind() != io::ErrorKind::PermissionDenied || user == 0 {
            return error;
        }
        let file = quoted(path);
        let mend = match std::fs::metadata(path) {
            Ok(_) => format!("chgrp {group} {file} && chmod 640 {file}"),
            Err(_) => format!("a directory on the way may not be entered by user {user}"),
        };
        io::Error::new(error.kind(), format!("{}: {mend}", error_text(&error)))
    })
}

/// Fails unless nobody but root and who started us can have written what is read from `file`, which was opened as
/// `path`. Who made a pipe without a name, or a device, needs no further proof: the one comes from whoever started
/// us, the other from root.
pub fn file_of(path: &Path, file: &File) -> io::Result<Metadata> {
    let found = file.metadata()?;
    let inherited = path == Path::new("/dev/stdin")
        || DESCRIPTORS.iter().any(|front| path.to_string_lossy().starts_with(front));
    let file_type = found.file_type();
    if inherited && !file_type.is_file() {
        return Ok(found);
    }
    if file_type.is_file() || std::os::unix::fs::FileTypeExt::is_fifo(&file_type) {
        Subject { path, kind: Kind::File }.check(&found)?;
    }
    if !inherited {
        let end = way_to(path)?;
        if (end.dev(), end.ino()) != (found.dev(), found.ino()) {
            return Err(io::Error::other("it was replaced while it was looked at"));
        }
    }
    Ok(found)
}

/// Fails unless nobody but root and who started us can change the program at `path`.
pub fn program(path: &Path) -> io::Result<()> {
    let found = way_to(path)?;
    if found.is_file() {
        Subject { path, kind: Kind::File }.check(&found)?;
    }
    Ok(())
}

/// Fails when others may read `path`, whose mode and owner are `found`. It may be read by the group of root, by that of
/// who started us, and by that of the user that we are or are about to become: `group`.
pub fn secret(path: &Path, found: &Metadata, group: Option<u32>) -> Result<(), Distrust> {
    let mode = found.mode();
    if !found.is_file() {
        return Ok(());
    }
    // SAFETY: getegid takes nothing and cannot fail.
    let group = group.unwrap_or_else(|| unsafe { libc::getegid() });
    let stranger = mode & 0o040 != 0 && ![0, started_by().1, group].contains(&found.gid());
    let (who, mend) = match (mode & 0o004 != 0, stranger) {
        (false, false) => return Ok(()),
        (true, false) => ("everybody".to_owned(), "chmod o-rwx".to_owned()),
        (true, true) => ("everybody".to_owned(), "chmod go-rwx".to_owned()),
        (false, true) if group == 0 => (format!("group {}", found.gid()), "chmod g-rwx".to_owned()),
        (false, true) => (format!("group {}", found.gid()), format!("chgrp {group}")),
    };
    let why = format!("it holds secrets, and {who} may read it (mode {:04o})", mode & 0o7777);
    Err(Distrust { path: path.to_path_buf(), why, mend })
}

/// Goes the way to `path` as the kernel does; returns what stands at its end.
fn way_to(path: &Path) -> io::Result<Metadata> {
    let mut todo: VecDeque<OsString> = components(&absolute(path)?);
    let mut at = PathBuf::from("/");
    let mut found = std::fs::symlink_metadata(&at)?;
    Subject { path: &at, kind: Kind::Directory }.check(&found)?;
    let mut links = 0;
    while let Some(name) = todo.pop_front() {
        if name == ".." {
            at.pop();
            continue; // it was looked at on the way here
        }
        let next = at.join(&name);
        found = std::fs::symlink_metadata(&next)?;
        if found.is_symlink() {
            Subject { path: &next, kind: Kind::Link }.check(&found)?;
            links += 1;
            if links > LINKS {
                return Err(io::Error::from_raw_os_error(libc::ELOOP));
            }
            let target = std::fs::read_link(&next)?;
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            for name in components(&target).into_iter().rev() {
                todo.push_front(name);
            }
            continue;
        }
        if found.is_dir() {
            Subject { path: &next, kind: Kind::Directory }.check(&found)?;
        }
        at = next;
    }
    std::fs::symlink_metadata(&at)
}

/// The names in a path; `..` as itself.
fn components(path: &Path) -> VecDeque<OsString> {
    let names = path.components().filter(|c| matches!(c, Component::Normal(_) | Component::ParentDir));
    names.map(|c| c.as_os_str().to_owned()).collect()
}

/// What is looked at: its path, and what it is in words.
struct Subject<'a> {
    path: &'a Path,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
    Link,
}

impl Subject<'_> {
    fn name(&self) -> String {
        match self.kind {
            Kind::File => "it".to_owned(),
            Kind::Directory => format!("the directory {}", self.path.display()),
            Kind::Link => format!("the link {}", self.path.display()),
        }
    }

    /// Looks at the owner, and at who may write. Anybody may write what is in a link, as far as its mode goes.
    fn check(&self, found: &Metadata) -> Result<(), Distrust> {
        let directory = self.kind == Kind::Directory;
        let distrust = |why: String, mend: &str| {
            Err(Distrust { path: self.path.to_path_buf(), why, mend: mend.to_owned() })
        };
        let outside = directory && nameless() == Some(found.uid());
        if !outside && !is_trusted(found.uid()) {
            let mend = if self.kind == Kind::Link { "chown -h root" } else { "chown root" };
            return distrust(format!("{} belongs to user {}", self.name(), found.uid()), mend);
        }
        let mode = found.mode();
        // What stands in a sticky directory can be replaced by its own owner alone.
        if self.kind == Kind::Link || mode & OTHERS_WRITE == 0 || directory && mode & STICKY != 0 {
            return Ok(());
        }
        distrust(format!("others may write {} (mode {:04o})", self.name(), mode & 0o7777), "chmod go-w")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{chown, symlink, PermissionsExt};

    /// A directory of this test's own, taken away in the end.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Place {
            let path = std::env::temp_dir().join(format!("l2tpd-trust-{}-{name}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir(&path).unwrap();
            mode(&path, 0o755);
            Place(path)
        }

        fn file(&self, name: &str, mode: u32) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, "x").unwrap();
            self::mode(&path, mode);
            path
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn is_root() -> bool {
        started_by().0 == 0
    }

    /// What there is to say against a file, the test's directory written as DIR.
    fn said(place: &Place, path: &Path) -> String {
        let opened = file::open(path).unwrap();
        match file_of(path, &opened) {
            Ok(_) => String::new(),
            Err(error) => error.to_string().replace(&*place.0.to_string_lossy(), "DIR"),
        }
    }

    #[test]
    fn what_others_may_write_is_not_trusted() {
        let place = Place::new("write");
        for (bits, fault) in [(0o600, ""), (0o644, ""), (0o640, ""), (0o444, "")] {
            assert_eq!(said(&place, &place.file("good", bits)), fault, "{bits:o}");
        }
        for bits in [0o620, 0o602, 0o666] {
            let wanted = format!("others may write it (mode {bits:04o}): chmod go-w DIR/bad");
            assert_eq!(said(&place, &place.file("bad", bits)), wanted);
        }
    }

    #[test]
    fn each_directory_and_link_on_the_way_counts() {
        let place = Place::new("way");
        let inner = place.0.join("in ner");
        std::fs::create_dir(&inner).unwrap();
        mode(&inner, 0o755);
        let file = place.file("in ner/file", 0o600);
        let link = place.0.join("link");
        symlink("in ner/../in ner/file", &link).unwrap();
        assert_eq!(said(&place, &link), "");
        mode(&inner, 0o777);
        let wanted = "others may write the directory DIR/in ner (mode 0777): chmod go-w 'DIR/in ner'";
        assert_eq!([said(&place, &file), said(&place, &link)], [wanted, wanted]);
        // As in /tmp: others may write, but not replace what is not theirs.
        mode(&inner, 0o1777);
        assert_eq!([said(&place, &file), said(&place, &link)], ["", ""]);
        // The link leads to a good place, but everybody may make it another one.
        mode(&inner, 0o755);
        mode(&place.0, 0o777);
        assert_eq!(said(&place, &link), "others may write the directory DIR (mode 0777): chmod go-w DIR");
    }

    #[test]
    fn what_belongs_to_somebody_else_is_not_trusted() {
        if !is_root() {
            return crate::sys::skipped("files of others: only root can give files away");
        }
        let place = Place::new("owner");
        let file = place.file("file", 0o600);
        let link = place.0.join("link");
        symlink(&file, &link).unwrap();
        chown(&file, Some(1), None).unwrap();
        assert_eq!(said(&place, &link), "it belongs to user 1: chown root DIR/link");
        chown(&file, Some(0), None).unwrap();
        std::os::unix::fs::lchown(&link, Some(1), None).unwrap();
        assert_eq!(said(&place, &link), "the link DIR/link belongs to user 1: chown -h root DIR/link");
        chown(&place.0, Some(1), None).unwrap();
        assert_eq!(said(&place, &file), "the directory DIR belongs to user 1: chown root DIR");
        // Nor does a sticky directory help that is somebody's: its owner may replace everything in it.
        mode(&place.0, 0o1777);
        assert_eq!(said(&place, &file), "the directory DIR belongs to user 1: chown root DIR");
        chown(&place.0, Some(0), None).unwrap();
        let program = place.file("program", 0o757);
        let error = self::program(&program).unwrap_err().to_string();
        assert!(error.starts_with("others may write it (mode 0757): chmod go-w "), "{error}");
    }

    #[test]
    fn secrets_are_for_root_and_the_daemon_s_group() {
        let place = Place::new("secret");
        let said = |bits: u32, group: u32, user: Option<u32>| {
            let path = place.file("file", bits);
            if is_root() {
                chown(&path, None, Some(group)).unwrap();
            }
            let result = secret(&path, &std::fs::metadata(&path).unwrap(), user);
            result.map_err(|error| error.to_string().replace(&*place.0.to_string_lossy(), "DIR"))
        };
        let own = started_by().1;
        assert_eq!(said(0o600, own, None), Ok(()));
        assert_eq!(said(0o640, own, None), Ok(()));
        let everybody = "it holds secrets, and everybody may read it (mode 0644): chmod o-rwx DIR/file";
        assert_eq!(said(0o644, own, None), Err(everybody.to_owned()));
        if !is_root() {
            return crate::sys::skipped("files of another group: not root");
        }
        let group = "it holds secrets, and group 1 may read it (mode 0640): ";
        assert_eq!(said(0o640, 1, None), Err(format!("{group}chmod g-rwx DIR/file")));
        assert_eq!(said(0o640, 1, Some(1)), Ok(()));
        assert_eq!(said(0o640, 1, Some(7)), Err(format!("{group}chgrp 7 DIR/file")));
        assert_eq!(said(0o600, 1, None), Ok(()));
        let both = "it holds secrets, and everybody may read it (mode 0644): chmod go-rwx DIR/file";
        assert_eq!(said(0o644, 1, None), Err(both.to_owned()));
    }

    #[test]
    fn a_descriptor_comes_from_who_started_us() {
        let place = Place::new("descriptor");
        let file = place.file("file", 0o600);
        let opened = std::fs::File::open(&file).unwrap();
        use std::os::fd::AsRawFd;
        let name = PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd()));
        assert_eq!(said(&place, &name), "");
        mode(&file, 0o666);
        assert!(said(&place, &name).starts_with("others may write it (mode 0666): chmod go-w /proc/self/fd/"));
        assert_eq!(said(&place, Path::new("/dev/null")), "");
    }
}
