//! `l2tpd` and `l2tpctl`: one program, chosen by the name it is called by (or by the first word `ctl`).

use std::process::ExitCode;

use l2tpd::ctl;
use l2tpd::daemon::{resolve, start};

fn main() -> ExitCode {
    let words: Result<Vec<String>, _> = std::env::args_os().map(|word| word.into_string()).collect();
    let Ok(words) = words else {
        eprintln!("l2tpd: an argument is not UTF-8");
        return ExitCode::from(2);
    };
    let status = run(&words);
    ExitCode::from(u8::try_from(status).unwrap_or(1))
}

/// Runs the program that the words ask for. Returns the exit status.
fn run(words: &[String]) -> i32 {
    let (name, arguments) = words.split_first().map_or(("l2tpd", &[][..]), |(n, a)| (n.as_str(), a));
    match arguments {
        [first, name] if first == resolve::ARGUMENT => resolve::child(name),
        [first, rest @ ..] if first == "ctl" => ctl::main(rest) as i32,
        _ if name.rsplit('/').next() == Some("l2tpctl") => ctl::main(arguments) as i32,
        _ => start::main(arguments.iter().cloned()),
    }
}
