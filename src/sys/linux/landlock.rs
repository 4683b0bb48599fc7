//! Landlock: which files a process may reach from now on, besides what their modes say (landlock(7)). Where the kernel
//! does not have it, nothing changes.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

pub use crate::sys::kinds::Access;
use libc::{c_int, c_long, c_ulong};

// linux/landlock.h. The numbers of the calls are the same on all architectures.
const CREATE_RULESET: c_long = 444;
const ADD_RULE: c_long = 445;
const RESTRICT_SELF: c_long = 446;
const CREATE_RULESET_VERSION: u32 = 1;
const RULE_PATH_BENEATH: c_int = 1;
/// Rights on files: write, read.
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
/// On directories: list them, remove a file in them.
const READ_DIR: u64 = 1 << 3;
const REMOVE_FILE: u64 = 1 << 5;
/// Everything of the first version: to execute, make and remove things of all kinds.
const FIRST_VERSION: u64 = (1 << 13) - 1;
/// What later versions can forbid: moving into other directories (2), truncating (3), ioctl on devices (5).
const LATER: [(c_long, u64); 3] = [(2, 1 << 13), (3, TRUNCATE), (5, IOCTL_DEVICE)];
const TRUNCATE: u64 = 1 << 14;
const IOCTL_DEVICE: u64 = 1 << 15;

fn rights(access: Access, directory: bool) -> u64 {
    let listing = if directory { READ_DIR } else { 0 };
    match access {
        Access::Read => READ_FILE | listing,
        Access::Use => READ_FILE | WRITE_FILE | TRUNCATE | IOCTL_DEVICE | listing,
        Access::Remove => REMOVE_FILE,
    }
}

#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: c_int,
}

/// From now on this process reaches nothing but this; what is not there is passed over. Needs `PR_SET_NO_NEW_PRIVS` (or
/// root). `false`: the kernel has no Landlock.
pub fn restrict(rules: &[(&Path, Access)]) -> io::Result<bool> {
    let none: *const libc::c_void = std::ptr::null();
    // SAFETY: with this flag the call takes no attributes, and returns a version.
    let version =
        unsafe { libc::syscall(CREATE_RULESET, none, 0 as c_ulong, c_ulong::from(CREATE_RULESET_VERSION)) };
    if version < 1 {
        return Ok(false);
    }
    let later = LATER.iter().filter(|(since, _)| version >= *since);
    let handled: u64 = later.fold(FIRST_VERSION, |rights, (_, right)| rights | right);
    // SAFETY: the attribute is one number of 64 bits, which all versions take.
    let ruleset = unsafe {
        libc::syscall(CREATE_RULESET, &raw const handled, size_of::<u64>() as c_ulong, 0 as c_ulong)
    };
    let ruleset = c_int::try_from(ruleset).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the descriptor is new and ours.
    let ruleset = unsafe { OwnedFd::from_raw_fd(ruleset) };
    for (path, access) in rules {
        let mut options = std::fs::OpenOptions::new();
        let Ok(file) = options.read(true).custom_flags(libc::O_PATH).open(path) else { continue };
        let directory = file.metadata().is_ok_and(|found| found.is_dir());
        let rule = PathBeneath { allowed: rights(*access, directory) & handled, parent: file.as_raw_fd() };
        // SAFETY: the rule has the layout that its type says, and lives through the call as does the file.
        let added = unsafe {
            libc::syscall(
                ADD_RULE,
                c_long::from(ruleset.as_raw_fd()),
                c_long::from(RULE_PATH_BENEATH),
                &raw const rule,
                0 as c_ulong,
            )
        };
        if added != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: no pointers.
    match unsafe { libc::syscall(RESTRICT_SELF, c_long::from(ruleset.as_raw_fd()), 0 as c_ulong) } {
        0 => Ok(true),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::linux::seccomp::tests::in_child;
    use std::fs;

    #[test]
    fn nothing_is_written_and_little_read() {
        let place = std::env::temp_dir().join(format!("l2tpd-landlock-{}", std::process::id()));
        let (readable, removable) = (place.join("readable"), place.join("removable"));
        for directory in [&readable, &removable] {
            fs::create_dir_all(directory).unwrap();
            fs::write(directory.join("file"), "x").unwrap();
        }
        let status = in_child(|| {
            let rules = [(readable.as_path(), Access::Read), (removable.as_path(), Access::Remove)];
            match crate::sys::privilege::no_new_privileges().and_then(|()| restrict(&rules)) {
                Ok(true) => {}
                Ok(false) | Err(_) => return 77, // a kernel without it
            }
            let refused = [
                fs::write(readable.join("file"), "y").is_err(),
                fs::write(readable.join("new"), "y").is_err(),
                fs::write(removable.join("new"), "y").is_err(),
                fs::read(removable.join("file")).is_err(),
                fs::read("/etc/passwd").is_err(),
                fs::remove_file(readable.join("file")).is_err(),
            ];
            let allowed =
                [fs::read(readable.join("file")).is_ok(), fs::remove_file(removable.join("file")).is_ok()];
            i32::from(refused.contains(&false) || allowed.contains(&false))
        });
        fs::remove_dir_all(&place).unwrap();
        if status == 77 {
            return crate::sys::skipped("landlock: this kernel has none");
        }
        assert_eq!(status, 0);
    }
}
