//! JSON against the sections of l2tpd-admin(5).

use std::process::Command;

use crate::net::stderr;
use crate::pair::{interpreter, pipe, source};

/// JSON against the sections of l2tpd-admin(5).
#[track_caller]
pub fn schema(text: &str, section: &str) {
    compare(text, "all", section);
}

/// The same for a text that need not have every member.
#[track_caller]
pub fn schema_in_part(text: &str, section: &str) {
    compare(text, "some", section);
}

#[track_caller]
pub fn compare(text: &str, which: &str, section: &str) {
    let mut command = Command::new(interpreter());
    command.arg(source("tests/e2e/schema.py")).arg(source("man/l2tpd-admin.5")).args([which, section]);
    let output = pipe(&mut command, text);
    let found = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && found.trim().is_empty(),
        "{section}: {found}{}\n{text}",
        stderr(&output)
    );
}
