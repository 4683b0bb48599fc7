//! `l2tpd` and `l2tpctl`: one program, chosen by the name it is called by.

use std::path::Path;
use std::process::ExitCode;

use l2tpd::ctl;
use l2tpd::daemon::{look_up, restart_message, start, take_over};

fn main() -> ExitCode {
    let words: Result<Vec<String>, _> = std::env::args_os().map(|word| word.into_string()).collect();
    let Ok(words) = words else {
        eprintln!("l2tpd: an argument is not UTF-8");
        return ExitCode::from(2);
    };
    ExitCode::from(u8::try_from(run(&words)).unwrap_or(1))
}

/// Runs the program that the words ask for: `l2tpctl ...`, `l2tpd ctl ...`, or the daemon. Returns the exit status.
fn run(words: &[String]) -> i32 {
    let Some((name, arguments)) = words.split_first() else { return start::main([]) };
    let is_ctl = Path::new(name).file_name().is_some_and(|name| name.to_string_lossy().ends_with("l2tpctl"));
    match arguments {
        _ if is_ctl => ctl::main(arguments) as i32,
        [first, rest @ ..] if first == "ctl" => ctl::main(rest) as i32,
        [first, host] if first == look_up::ARGUMENT => look_up::child(host, true),
        [first, descriptor, rest @ ..] if first == restart_message::ARGUMENT => {
            take_over::main(descriptor, rest)
        }
        [first, host] if first == look_up::UNCONFINED => look_up::child(host, false),
        _ => start::main(arguments.iter().cloned()),
    }
}
