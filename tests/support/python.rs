//! Programs in Python: judges that somebody else wrote.

use std::io::Write;
use std::process::{Command, Stdio};

/// The system's own one first: the modules of its packages are there.
pub fn interpreter() -> &'static str {
    match std::path::Path::new("/usr/bin/python3").exists() {
        true => "/usr/bin/python3",
        false => "python3",
    }
}

/// Runs a program on a text; `None` if Python, or a module it needs, is not there.
pub fn python(program: &str, input: &str) -> Option<String> {
    let child = Command::new(interpreter())
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        println!("SKIPPED: there is no python3");
        return None;
    };
    // One that lacks a module ends without reading.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    if errors.contains("ModuleNotFoundError") {
        println!("SKIPPED: {}", errors.lines().last().unwrap_or_default());
        return None;
    }
    assert!(output.status.success(), "{errors}");
    Some(String::from_utf8(output.stdout).unwrap())
}
