//! What tells this machine from others of the same name.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file;

/// The files that hold the machine id (machine-id(5)), in the order in which they are asked.
const FILES: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];
/// Where the interfaces are.
const INTERFACES: &str = "/sys/class/net";
/// More than these files hold.
const LONGEST: usize = 64;

/// The machine id, or where there is none (many small systems) the Ethernet address of the first piece of hardware;
/// empty where there is neither. The same after each start.
pub fn id() -> Vec<u8> {
    let ids = FILES.iter().filter_map(|name| content(Path::new(name)));
    let mut ids = ids.chain(first_hardware().and_then(|path| content(&path.join("address"))));
    ids.next().unwrap_or_default()
}

/// What is in a file, if there is something.
fn content(path: &Path) -> Option<Vec<u8>> {
    let text = file::read(path, LONGEST, Duration::ZERO).ok()?;
    let text = text.trim_ascii();
    (!text.is_empty()).then(|| text.to_vec())
}

/// The interface that comes first by name, of those with a device behind them.
fn first_hardware() -> Option<PathBuf> {
    let entries = std::fs::read_dir(INTERFACES).ok()?.flatten().map(|entry| entry.path());
    entries.filter(|path| path.join("device").exists()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_each_time() {
        assert_eq!(id(), id());
        assert!(id().len() <= LONGEST);
    }
}
