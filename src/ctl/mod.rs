//! `l2tpctl`: connects, sends one request, prints what comes back. `explain TEXT` needs no daemon at all.

mod client;
mod outcome;
pub mod pcapng;
mod screen;
mod summary;
mod top;
mod width;

use std::fs::File;
use std::io::{self, Write};

use crate::admin::command;
use crate::admin::explain::{self, Language};
use crate::admin::json;
use crate::admin::request::{self, AdminOrder, AdminRequest, UsageError};
use crate::admin::trace::Record;
use crate::config::run_directory;
use client::{Client, Reply, Waiting};
pub use outcome::CtlOutcome;
use outcome::{print, write_out, Failure};
use top::View;

/// The socket where none is named.
pub const SOCKET: &str = run_directory!("/l2tpd.sock");

/// What a command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum CommandLine {
    Help,
    Version,
    Run { socket: String, order: AdminOrder },
}

/// Runs `l2tpctl` with the words after its name.
pub fn main(words: &[String]) -> CtlOutcome {
    let mut variables =
        ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().filter_map(|name| std::env::var(name).ok());
    let language = Language::of_locale(&variables.find(|value| !value.is_empty()).unwrap_or_default());
    let result = match parse(words) {
        Ok(CommandLine::Help) => print(&command::usage()),
        Ok(CommandLine::Version) => print(&format!("l2tpctl {}\n", env!("CARGO_PKG_VERSION"))),
        Ok(CommandLine::Run { socket, order }) => run(&socket, &order, language),
        Err(_) if words.is_empty() => {
            complain(command::usage().trim_end());
            return CtlOutcome::Usage;
        }
        Err(error) => Err(Failure { outcome: CtlOutcome::Usage, why: error.to_string() }),
    };
    result.unwrap_or_else(|failure| {
        if failure.outcome != CtlOutcome::Done {
            complain(&format!("l2tpctl: {}", failure.why));
        }
        failure.outcome
    })
}

/// Reads the options, then the command.
fn parse(words: &[String]) -> Result<CommandLine, UsageError> {
    let mut socket = SOCKET.to_owned();
    let mut json = false;
    let mut rest = words.iter();
    while let Some(word) = rest.clone().next() {
        match word.as_str() {
            "-h" | "--help" => return Ok(CommandLine::Help),
            "-V" | "--version" => return Ok(CommandLine::Version),
            "--json" => json = true,
            "-s" | "--socket" => {
                rest.next();
                let path = rest.clone().next();
                socket = path.cloned().ok_or(UsageError::Incomplete(vec!["SOCKET"]))?;
            }
            "--" => {
                rest.next();
                break;
            }
            short if short.starts_with("-s") => socket = short.trim_start_matches("-s").to_owned(),
            long if long.starts_with("--socket=") => {
                socket = long.trim_start_matches("--socket=").to_owned();
            }
            option if option.starts_with('-') => {
                return Err(UsageError::Unknown(word.clone(), vec!["-s SOCKET", "--json", "-h", "-V"]));
            }
            _ => break,
        }
        rest.next();
    }
    // It may stand before the command's first word, too.
    let json = json.then(|| "--json".to_owned());
    let order = request::parse(&json.into_iter().chain(rest.cloned()).collect::<Vec<_>>())?;
    if matches!(order.request, AdminRequest::Trace { file: None, .. }) {
        return Err(UsageError::Incomplete(vec!["FILE"]));
    }
    Ok(CommandLine::Run { socket, order })
}

fn run(socket: &str, order: &AdminOrder, language: Language) -> Result<CtlOutcome, Failure> {
    if let AdminRequest::ExplainText(text) = &order.request {
        return explain_text(text, order.json, language);
    }
    match order.request {
        AdminRequest::Summary { sort, .. } => return View { socket, order, sort }.once(),
        AdminRequest::Top { sort, interval, .. } => return View { socket, order, sort }.follow(interval),
        _ => {}
    }
    // The file first: a trace that cannot be written need not begin.
    let mut output = match &order.request {
        AdminRequest::Trace { file: Some(file), .. } => Output::Trace(begin_trace(file)?),
        AdminRequest::Explain(_) if !order.json => Output::Explained(language),
        _ => Output::Text,
    };
    let (number, body) = order.encode();
    let follows = matches!(
        order.request,
        AdminRequest::Log { follow: true, .. }
            | AdminRequest::Watch
            | AdminRequest::Trace { .. }
            | AdminRequest::Ping { .. }
    );
    let mut daemon = Waiting::new(socket, (number, &body), follows)?;
    if follows {
        loop {
            match daemon.for_what(Client::next)? {
                Reply::Piece(piece) => put(&mut output, &piece)?,
                Reply::Last(outcome, piece) => return put(&mut output, &piece).map(|()| outcome),
            }
        }
    }
    // Written only when it is complete: the daemon does not wait long for a reader that pages, and half a document is
    // of no use.
    let (outcome, answer) = daemon.for_what(Client::answer)?;
    put(&mut output, &answer).map(|()| outcome)
}

/// Where the daemon's answer goes.
enum Output {
    Text,
    /// As text, with what the messages mentioned in it mean.
    Explained(Language),
    Trace(Box<dyn Write>),
}

/// Writes a piece of the answer.
fn put(output: &mut Output, body: &[u8]) -> Result<(), Failure> {
    match output {
        Output::Trace(_) if body.is_empty() => Ok(()), // tells that the stream has begun
        Output::Trace(file) => {
            let record =
                Record::decode(body).ok_or_else(|| io::Error::other("a record that cannot be read"))?;
            file.write_all(&pcapng::packet(&record))?;
            Ok(file.flush()?)
        }
        Output::Text => write_out(body),
        Output::Explained(language) => {
            write_out(body)?;
            write_out(explain::mentioned(&String::from_utf8_lossy(body), *language).as_bytes())
        }
    }
}

/// To standard error; when even that is closed there is nobody left to tell.
fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// `-` is the standard output.
fn begin_trace(file: &str) -> Result<Box<dyn Write>, Failure> {
    let named = |error: io::Error| Failure { outcome: CtlOutcome::Refused, why: format!("{file}: {error}") };
    let mut out: Box<dyn Write> = match file {
        "-" => Box::new(io::stdout()),
        _ => Box::new(File::create(file).map_err(named)?),
    };
    out.write_all(&pcapng::header()).and_then(|()| out.flush()).map_err(named)?;
    Ok(out)
}

fn explain_text(text: &str, json: bool, language: Language) -> Result<CtlOutcome, Failure> {
    match explain::find(text) {
        Some(found) if json => print(&json::explanation(&found)),
        Some(found) => print(&found.text(language)),
        None => {
            complain(explain::nothing_found(text, language).trim_end());
            Ok(CtlOutcome::Refused)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Result<CommandLine, UsageError> {
        parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_stand_before_the_command() {
        let order = request::parse(&["--json".to_owned(), "watch".to_owned()]).unwrap();
        let run = |socket: &str| Ok(CommandLine::Run { socket: socket.to_owned(), order: order.clone() });
        assert_eq!(line("-s /x --json watch"), run("/x"));
        assert_eq!(line("-s/x watch --json"), run("/x"));
        assert_eq!(line("--socket=/x --json wa"), run("/x"));
        assert_eq!(line("--json -- watch"), run(SOCKET));
        assert_eq!(line("-h"), Ok(CommandLine::Help));
        assert_eq!(line("--version"), Ok(CommandLine::Version));
        assert!(matches!(line("-x status"), Err(UsageError::Unknown(word, _)) if word == "-x"));
        assert_eq!(line("-s"), Err(UsageError::Incomplete(vec!["SOCKET"])));
        assert_eq!(line("trace center"), Err(UsageError::Incomplete(vec!["FILE"])));
    }
}
