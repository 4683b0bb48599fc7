//! Users and groups of the system by name.

use std::ffi::CString;
use std::io;

/// A user of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: libc::uid_t,
    /// Id of the user's group.
    pub gid: libc::gid_t,
}

/// Looks a user up by name.
pub fn user(name: &str) -> io::Result<User> {
    let name = CString::new(name).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: all zeros is a valid passwd; it is only read after the call filled it.
    let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
    let mut found = std::ptr::null_mut();
    let mut buffer = vec![0 as libc::c_char; 16 * 1024];
    // SAFETY: the name ends with NUL, `buffer` has the length given, and all outlive the call.
    let result =
        unsafe { libc::getpwnam_r(name.as_ptr(), &mut entry, buffer.as_mut_ptr(), buffer.len(), &mut found) };
    if found.is_null() {
        return Err(match result {
            0 => io::Error::new(io::ErrorKind::NotFound, "there is no such user"),
            code => io::Error::from_raw_os_error(code),
        });
    }
    Ok(User { uid: entry.pw_uid, gid: entry.pw_gid })
}

/// The id of a group.
pub fn group(name: &str) -> io::Result<libc::gid_t> {
    let name = CString::new(name).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: all zeros is a valid group; it is only read after the call filled it.
    let mut entry: libc::group = unsafe { std::mem::zeroed() };
    let mut found = std::ptr::null_mut();
    let mut buffer = vec![0 as libc::c_char; 64 * 1024];
    // SAFETY: the name ends with NUL, `buffer` has the length given, and all outlive the call.
    let result =
        unsafe { libc::getgrnam_r(name.as_ptr(), &mut entry, buffer.as_mut_ptr(), buffer.len(), &mut found) };
    if found.is_null() {
        return Err(match result {
            0 => io::Error::new(io::ErrorKind::NotFound, "there is no such group"),
            code => io::Error::from_raw_os_error(code),
        });
    }
    Ok(entry.gr_gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_are_found_by_name() {
        assert_eq!(user("root").unwrap(), User { uid: 0, gid: 0 });
        assert_eq!(group("root").unwrap(), 0);
        assert!(user("no such user").is_err());
        assert!(group("a\0b").is_err());
    }
}
