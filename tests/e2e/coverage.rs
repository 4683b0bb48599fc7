//! The last test: every line that any daemon wrote is a message of the catalogue at its level (or begins with two
//! blanks), and every message of the catalogue was written by some daemon, but for those that
//! `untriggerable.txt` names with the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Mutex;

use l2tpd::log::catalogue::{pieces, Piece, Template, CATALOGUE};

use crate::daemon::glob;
use crate::net::log_dir;

/// Two further errors of a configuration, which the catalogue does not have.
const OF_OUR_OWN: [&str; 2] = ["error *: Invalid value", "error *: Unknown tag"];

/// Messages that were seen elsewhere than in a log on standard error.
static ELSEWHERE: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// Counts a message that a test read from syslog or from the client.
pub fn saw(level: &str, message: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    ELSEWHERE.lock().expect("list").push((test, format!("2000-01-01T00:00:00.000000Z {level} {message}")));
}

/// Reads all logs; returns what is wrong. With `complete` unset (a test failed), unseen messages are not counted.
pub fn check(complete: bool) -> Vec<String> {
    let patterns: Vec<(&Template, String)> = CATALOGUE.iter().map(|t| (t, pattern(t.text))).collect();
    let mut seen: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut failures = Vec::new();
    for (file, line) in lines() {
        match judge(&patterns, &line) {
            Ok(Some(id)) => {
                seen.entry(id).or_default().insert(file);
            }
            Ok(None) => {}
            Err(why) => failures.push(format!("catalogue\n{file}: {why}: {line}")),
        }
    }
    write_report(&seen);
    failures.truncate(10);
    if complete {
        failures.extend(unseen(&seen));
    }
    failures
}

/// The messages that no test saw, against the list of those that none can see.
fn unseen(seen: &BTreeMap<&str, BTreeSet<String>>) -> Vec<String> {
    let excused: BTreeSet<&str> = include_str!("untriggerable.txt")
        .lines()
        .filter(|line| line.starts_with("M-"))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let mut failures = Vec::new();
    for template in CATALOGUE {
        match (seen.contains_key(template.id), excused.contains(template.id)) {
            (false, false) => {
                failures.push(format!("catalogue\nno test saw {} `{}`", template.id, template.text));
            }
            (true, true) => {
                failures.push(format!("catalogue\n{} was seen: take it from untriggerable.txt", template.id));
            }
            (true, false) | (false, true) => {}
        }
    }
    crate::runner::note(format!(
        "catalogue: {} of {} messages written by a running daemon, {} declared untriggerable",
        seen.len(),
        CATALOGUE.len(),
        excused.len()
    ));
    failures
}

/// The id of the message that `line` (with its time) is an instance of; `None` for a further line.
fn judge<'a>(patterns: &[(&'a Template, String)], line: &str) -> Result<Option<&'a str>, &'static str> {
    let Some((time, rest)) = line.split_once(' ') else { return Err("no time") };
    if !is_time(time) {
        return Err("not a time");
    }
    let Some((level, message)) = rest.split_once(' ') else { return Err("no level") };
    if !["error", "warn", "info", "debug"].contains(&level) {
        return Err("not a level");
    }
    if message.starts_with("  ") {
        return Ok(None);
    }
    // `<name>: <tag>: <param>` is like many others: the one with the longest fixed text is meant.
    let fits = patterns.iter().filter(|(t, pattern)| t.level.name() == level && glob(pattern, message));
    match fits.max_by_key(|(_, pattern)| pattern.chars().filter(|c| *c != '*').count()) {
        Some((template, _)) => Ok(Some(template.id)),
        None if OF_OUR_OWN.iter().any(|own| glob(own, rest)) => Ok(None),
        None => Err("not a message of the catalogue"),
    }
}

/// `2026-11-22T11:30:00.123456Z`
fn is_time(text: &str) -> bool {
    let form = "dddd-dd-ddTdd:dd:dd.ddddddZ";
    text.len() == form.len()
        && text.chars().zip(form.chars()).all(|(c, f)| if f == 'd' { c.is_ascii_digit() } else { c == f })
}

fn pattern(text: &str) -> String {
    let part = |piece| match piece {
        Piece::Text(text) => text,
        Piece::Placeholder(_) => "*",
    };
    pieces(text).map(part).collect()
}

/// Every line of every log, with the name of its file.
fn lines() -> Vec<(String, String)> {
    let mut all = ELSEWHERE.lock().expect("list").clone();
    for entry in std::fs::read_dir(log_dir()).expect("logs").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".log") {
            let text = std::fs::read(entry.path()).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            all.extend(text.lines().map(|line| (name.clone(), line.to_owned())));
        }
    }
    all
}

/// Which test saw which message.
fn write_report(seen: &BTreeMap<&str, BTreeSet<String>>) {
    let mut report = String::new();
    for template in CATALOGUE {
        let files = seen.get(template.id);
        let some: Vec<&str> = files.into_iter().flatten().take(3).map(String::as_str).collect();
        let count = files.map_or(0, BTreeSet::len);
        let _ = writeln!(report, "{} {count:3} {} | {}", template.id, template.text, some.join(" "));
    }
    let _ = std::fs::write(log_dir().join("catalogue.txt"), report);
}
