//! The system's users, as the daemons of the tests see them: the first namespace has a user l2tpd, which a daemon
//! becomes unless its configuration says otherwise; the second one has none, and its daemon stays root. So every test
//! of two daemons shows both, whatever users the machine has.
//!
//! `ip netns exec NAME` mounts the files of /etc/netns/NAME over those of /etc.

use std::os::unix::fs::{chown, DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Ids that no system gives away.
pub const USER: u32 = 64777;
pub const GROUP: u32 = 64778;
const NAME: &str = "l2tpd:";

fn place(netns: &str) -> PathBuf {
    Path::new("/etc/netns").join(netns)
}

/// Makes the user known in one namespace, or unknown.
pub fn settle(netns: &str, has_user: bool) {
    std::fs::create_dir_all(place(netns)).expect("/etc/netns");
    let entries = [
        ("passwd", format!("{NAME}x:{USER}:{GROUP}::/nonexistent:/usr/sbin/nologin\n")),
        ("group", format!("{NAME}x:{GROUP}:\n")),
    ];
    for (file, entry) in entries {
        let text = std::fs::read_to_string(Path::new("/etc").join(file)).expect("a file of users");
        let mut lines: String =
            text.lines().filter(|line| !line.starts_with(NAME)).map(|line| format!("{line}\n")).collect();
        if has_user {
            lines += &entry;
        }
        std::fs::write(place(netns).join(file), lines).expect("a file of users");
    }
}

/// Takes the files away again.
pub fn leave(netns: &str) {
    let _ = std::fs::remove_dir_all(place(netns));
}

/// Makes the directory of a test: root's, and everybody may make files in it, event commands too.
pub fn make_directory(path: &Path) {
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(path).expect("directory of the test");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o1777)).expect("its mode");
}

/// Lets the daemon of the first namespace read its configuration, as `make install` does for the user.
pub fn hand_over(file: &Path) {
    let first = file.file_stem().is_some_and(|name| name.to_string_lossy().ends_with('a'));
    if first {
        chown(file, None, Some(GROUP)).expect("the user's group");
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o640)).expect("its mode");
    }
}
