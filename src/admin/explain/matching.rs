//! Finds the message that a line is an instance of. The fixed parts of a message's text must stand in the line as
//! they are; each variable part must look like what its name stands for. Where several messages fit, the one with
//! the most fixed text wins: `<tun_name>: <tag>: <param>` fits many lines.

use std::net::IpAddr;

use crate::config::tags;
use crate::gather;
use crate::log::catalogue::{pieces, Piece, Template, CATALOGUE};
use crate::log::remark::RemarkKind;
use crate::log::Level;

/// A remark with no more fixed text than `: ` fits nearly every line. It is found by its name only.
const TOO_LITTLE: usize = 2;

/// A message's variable parts: names and values.
type Values = Vec<(&'static str, String)>;

/// The messages of the catalogue, and the daemon's own remarks.
pub(super) fn templates() -> impl Iterator<Item = &'static Template> {
    CATALOGUE.iter().chain(RemarkKind::ALL.iter().map(|kind| kind.template()))
}

/// The best message for a line.
pub(super) fn best(line: &str) -> Option<(&'static Template, Values)> {
    let mut best: Option<(usize, &'static Template, Values)> = None;
    for start in starts(line) {
        for template in templates() {
            let fixed = fixed_length(template);
            if fixed <= TOO_LITTLE || best.as_ref().is_some_and(|(length, _, _)| *length > fixed) {
                continue;
            }
            if let Some(values) = fits(template, start) {
                // A later start has more of a prefix taken away: it wins among equals.
                best = Some((fixed, template, values));
            }
        }
    }
    best.map(|(_, template, values)| (template, values))
}

/// Octets of a message's fixed text.
fn fixed_length(template: &Template) -> usize {
    pieces(template.text)
        .map(|piece| match piece {
            Piece::Text(text) => text.len(),
            Piece::Placeholder(_) => 0,
        })
        .sum()
}

/// The line itself, and what is left of it without the prefixes that logs put before a message.
fn starts(line: &str) -> Vec<&str> {
    let line = line.trim();
    let mut starts = vec![line];
    add_without_stamp(&mut starts, line);
    // Last, for such an ident may be a word of the message: `the kernel's l2tp: `.
    if let Some(after) = ["l2tpd", "l2tp"].into_iter().find_map(|ident| after_ident(line, ident)) {
        starts.push(after);
        add_without_stamp(&mut starts, after);
    }
    starts
}

/// What is left without our own time and level.
fn add_without_stamp<'a>(starts: &mut Vec<&'a str>, line: &'a str) {
    let mut rest = line;
    if let Some((first, after)) = rest.split_once(' ') {
        if first.len() >= 19 && first.starts_with(|c: char| c.is_ascii_digit()) && first.contains('T') {
            rest = after.trim_start();
            starts.push(rest);
        }
    }
    if let Some((first, after)) = rest.split_once(' ') {
        let level = first.trim_matches(|c| matches!(c, '[' | ']' | '<' | '>' | ':')).to_ascii_lowercase();
        if Level::from_name(&level).is_some() || matches!(level.as_str(), "err" | "warning") {
            starts.push(after.trim_start());
        }
    }
}

/// What follows `l2tpd[123]: ` or `l2tpd: `, where a word begins with it.
fn after_ident<'a>(line: &'a str, ident: &str) -> Option<&'a str> {
    line.match_indices(ident).find_map(|(at, _)| {
        if at > 0 && !line.get(..at)?.ends_with(|c: char| c.is_whitespace() || c == '/') {
            return None;
        }
        let after = line.get(at + ident.len()..)?;
        if let Some(after) = after.strip_prefix(": ") {
            return Some(after);
        }
        // RFC 5424: `l2tpd 123 - - MESSAGE`
        let (pid, message) = match after.strip_prefix('[') {
            Some(after) => after.split_once("]: ")?,
            None => after.strip_prefix(' ')?.split_once(" - - ")?,
        };
        pid.bytes().all(|octet| octet.is_ascii_digit()).then_some(message)
    })
}

/// The variable parts of `line`, if it is a line of this message.
fn fits(template: &'static Template, line: &str) -> Option<Values> {
    let parts: Vec<Piece<'static>> = pieces(template.text).collect();
    let is_setting = parts.first() == Some(&OF_A_SETTING);
    let looks = |name: &str, value: &str| match name {
        "tag" if is_setting => tags::all().any(|tag| tag.name == value),
        _ => looks_like(name, value),
    };
    let mut values = Vec::new();
    fit(&parts, line, &looks, &mut values).then_some(values)
}

/// What `<tun_name>: <tag>: <param>` alone begins with: nearly any line with two colons looks like it, so the tag must be one
/// of the configuration's.
const OF_A_SETTING: Piece<'static> = Piece::Placeholder("tun_name");

/// Matches the parts one after the other. A variable part may end wherever the next fixed part begins, so all of
/// these places are tried, the nearest first.
fn fit(
    parts: &[Piece<'static>],
    line: &str,
    looks: &dyn Fn(&str, &str) -> bool,
    values: &mut Values,
) -> bool {
    match parts {
        [] => line.is_empty(),
        [Piece::Text(text), rest @ ..] => {
            line.strip_prefix(text).is_some_and(|line| fit(rest, line, looks, values))
        }
        [Piece::Placeholder(name)] => {
            looks(name, line) && {
                values.push((name, line.to_owned()));
                true
            }
        }
        [Piece::Placeholder(name), rest @ ..] => {
            let Some(Piece::Text(next)) = rest.first() else {
                return false; // no message has two variable parts side by side
            };
            line.match_indices(next).any(|(end, _)| {
                let (Some(value), Some(tail)) = (line.get(..end), line.get(end..)) else {
                    return false;
                };
                if !looks(name, value) {
                    return false;
                }
                let before = values.len();
                values.push((name, value.to_owned()));
                let fitting = fit(rest, tail, looks, values);
                if !fitting {
                    values.truncate(before);
                }
                fitting
            })
        }
    }
}

/// Whether a value can stand for the variable part of this name.
fn looks_like(name: &str, value: &str) -> bool {
    let digits = |value: &str| !value.is_empty() && value.bytes().all(|octet| octet.is_ascii_digit());
    let word = |value: &str, also: &[char]| {
        !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(&c))
    };
    match name {
        "tunnel_id" | "session_id" | "pid" | "uid" | "count" | "mtu" | "n" | "len" | "type"
        | "vendor_code" | "result" | "error_code" | "signo" | "ns" | "nr" => digits(value),
        "0xid" => value.strip_prefix("0x").is_some_and(|hex| word(hex, &[])),
        "tie" => value == "none" || (value.len() == 16 && word(value, &[])),
        "msg_type" => word(value, &[]),
        "state" => word(value, &['-', '_']),
        "func" => word(value, &['_']),
        "tag" => word(value, &['-']),
        "AVP_name" => word(value, &['-', ' ', '/', '(', ')']),
        "IPaddress" | "address" => {
            value.split('%').next().is_some_and(|address| address.parse::<IpAddr>().is_ok())
        }
        "up_or_down" => matches!(value, "up" | "down"),
        "not_joined" => value.contains("bridge") || value.contains("cannot join"),
        "if_name" => !value.is_empty() && !value.contains(char::is_whitespace),
        "param" => true,
        _ => !value.is_empty(), // error, name, tun_name, id: text
    }
}

/// Messages that share words of at least four letters with the text, those that share most of them first; at
/// most five.
pub(super) fn similar(text: &str) -> Vec<&'static Template> {
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_alphanumeric())
            .filter(|word| word.chars().count() >= 4)
            .map(str::to_lowercase)
            .collect()
    };
    let wanted = words(text);
    let scored = templates().map(|template| {
        let own = words(template.text);
        (wanted.iter().filter(|word| own.contains(word)).count(), template)
    });
    let scored = scored.filter(|(score, _)| *score > 0).collect();
    let best_first = gather::sorted(scored, |(score, _)| u64::MAX - *score as u64);
    best_first.into_iter().take(5).map(|(_, template)| template).collect()
}
