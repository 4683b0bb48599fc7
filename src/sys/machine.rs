//! What tells this machine from others of the same name.

use std::path::Path;
use std::time::Duration;

use super::{file, system};

/// More than these files hold.
const LONGEST: usize = 64;

/// The machine id, or where there is none (many small systems) the Ethernet address of the first piece of hardware;
/// empty where there is neither. The same after each start.
pub fn id() -> Vec<u8> {
    let ids = system::MACHINE_IDS.iter().filter_map(|name| content(Path::new(name)));
    ids.chain(system::first_hardware()).find(|id| !id.is_empty()).unwrap_or_default()
}

/// What tells this start of the machine from others; empty where nothing does.
pub fn boot() -> Vec<u8> {
    system::BOOT_ID.and_then(|name| content(Path::new(name))).unwrap_or_default()
}

/// What is in a file.
fn content(path: &Path) -> Option<Vec<u8>> {
    Some(file::read(path, LONGEST, Duration::ZERO).ok()?.trim_ascii().to_vec())
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
