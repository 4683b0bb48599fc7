//! Waiting for what nobody tells: it has to be asked for.

use std::time::{Duration, Instant};

/// How long anything may take, on a loaded machine too: whoever removes thousands of interfaces at once stops all others
/// for half a minute.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Asks again and again until `ask` has an answer; `what` is what does not come otherwise.
#[track_caller]
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: it does not come");
        // Files, counters and interfaces have nothing to wait on; nothing depends on the length.
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Asks until `is_so`; otherwise `otherwise` says how it is instead.
#[track_caller]
pub fn wait_until(mut is_so: impl FnMut() -> bool, otherwise: impl Fn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{}", otherwise());
        std::thread::sleep(Duration::from_millis(10)); // as above
    }
}
