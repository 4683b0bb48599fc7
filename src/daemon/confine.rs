//! What is left to the daemon once it runs: the user, the capabilities, the system calls and the files. What it has run
//! is started by a helper from before that ([`commands`](super::commands)).

use std::io;
use std::path::{Path, PathBuf};

use super::args::Options;
use crate::config::model::{DataPlane, Seccomp};
use crate::config::Config;
use crate::log::Remark;
use crate::sys::landlock::{self, Access};
use crate::sys::seccomp::{self, Filter, Otherwise};
use crate::sys::{admin_socket, error_text, privilege, tap};

/// The user that the daemon becomes where the configuration names none, and the system has it.
const USER: &str = "l2tpd";
/// Interfaces that can be made after the daemon has become another user, where only root may open the device.
const SPARE_INTERFACES: usize = 64;
/// Files that a daemon needs which no configuration names, and what for: interfaces, and what they are; the local time.
const FILES: &[(&str, Access)] = &[
    ("/dev/null", Access::Use),
    ("/sys/class/net", Access::Read),
    ("/sys/devices", Access::Read),
    ("/etc/localtime", Access::Read),
    ("/usr/share/zoneinfo", Access::Read),
];

/// The user that the daemon becomes: that of the configuration, or [`USER`]. Only root becomes anybody.
pub fn user(config: &Config) -> Option<String> {
    match config.user.as_deref() {
        Some("root") => None,
        Some(name) => Some(name.to_owned()),
        // Without capabilities only root can be the daemon.
        None if !privilege::CAPABILITIES => None,
        None => (admin_socket::own_uid() == 0 && privilege::user(USER).is_ok()).then(|| USER.to_owned()),
    }
}

/// Becomes the user, or stays root with few capabilities.
pub fn drop_privileges(config: &Config) -> Result<(), Remark> {
    let name = user(config);
    let mut capabilities = vec![privilege::NET_ADMIN, privilege::NET_RAW];
    // Root may be given a tunnel with such a port by a reload.
    if name.is_none() || config.tunnels.iter().any(|t| t.udp_port.local < 1024) {
        capabilities.push(privilege::NET_BIND_SERVICE);
    }
    let result = match &name {
        Some(name) => {
            // Without the device there are no interfaces to be made anyway.
            let _ = tap::reserve(SPARE_INTERFACES);
            privilege::user(name).and_then(|user| privilege::drop_to(user, &capabilities))
        }
        None if admin_socket::own_uid() == 0 && config.seccomp != Seccomp::Off => {
            privilege::limit_to(&capabilities)
        }
        None => privilege::no_new_privileges(),
    };
    result.and_then(|()| privilege::no_dumps()).map_err(|error| {
        let user = name.unwrap_or_else(|| "root".to_owned());
        Remark::User { user, error: error_text(&error) }
    })
}

/// Gives up the files and the system calls that are not needed from now on; what there is to tell of it.
pub fn confine(
    options: &Options,
    config: &Config,
    pid_file: Option<&str>,
    socket: Option<&str>,
) -> Vec<Remark> {
    let otherwise = match config.seccomp {
        Seccomp::Off => return Vec::new(),
        Seccomp::Log => Otherwise::Log,
        Seccomp::On => Otherwise::Refuse,
    };
    let mut told = Vec::new();
    let mut not_in_force = |what: &str, result: io::Result<()>| {
        if let Err(error) = result {
            told.push(Remark::NotConfined { what: what.to_owned(), error: error_text(&error) });
        }
    };
    let files = files(&options.config, [pid_file, socket]);
    let rules: Vec<(&Path, Access)> = files.iter().map(|(path, access)| (path.as_path(), *access)).collect();
    not_in_force("landlock", landlock::restrict(&rules).map(|_| ()));
    let bpf = matches!(config.data_plane, DataPlane::Auto | DataPlane::Bpf);
    let filter = if bpf { Filter::DaemonWithBpf } else { Filter::Daemon };
    not_in_force("seccomp", seccomp::install(filter, otherwise));
    told
}

/// What the daemon may do with which files: it reads its configuration again, which may have been replaced, and removes
/// what it has made (`made`).
fn files(config: &str, made: [Option<&str>; 2]) -> Vec<(PathBuf, Access)> {
    // The device of the interfaces may come later, with its directory.
    let device = ["/dev/net/tun", "/dev/net", "/dev"].into_iter().map(Path::new).find(|path| path.exists());
    let device = device.map(|path| (path.to_path_buf(), Access::Use));
    let fixed = FILES.iter().map(|(path, access)| (PathBuf::from(path), *access));
    let directory = |path: &Path| path.parent().map(Path::to_path_buf);
    let config = Path::new(config);
    // The place that a link leads to counts, and that of the link should it become a file.
    let read = [Some(config.to_path_buf()), std::fs::canonicalize(config).ok()];
    let read = read.into_iter().flatten().filter_map(|path| Some((directory(&path)?, Access::Read)));
    let made =
        made.into_iter().flatten().filter_map(|path| Some((directory(Path::new(path))?, Access::Remove)));
    fixed.chain(device).chain(read).chain(made).collect()
}
