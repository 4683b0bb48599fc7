//! What becomes of a request: the daemon is asked or told, and the reply is made.

use std::time::Instant;

use super::admin_client::{AdminClient, Stream};
use super::admin_host::Host;
use crate::admin::command::{self, AdminRequest, Selection, Target};
use crate::admin::envelope::{self, reply, Envelope};
use crate::admin::report::Report;
use crate::admin::{json, metrics, show, why};
use crate::log::ring::{Entry, Ring};
use crate::log::{escape, Event, Level};
use crate::proto::{Command, CommandError};

/// Its kind ([`reply`]) and its text.
type Reply = (u16, String);

fn done(text: impl Into<String>) -> Reply {
    (reply::DONE, text.into())
}

/// A display whose reply also tells whether all that it shows is up.
fn judged(report: &Report, selection: &Selection, text: Option<String>) -> Reply {
    match (text, report.health(selection)) {
        (Some(text), Some(health)) if health.is_up() => done(text),
        (Some(text), Some(_)) => (reply::DOWN, text),
        (None, _) | (_, None) => refused(not_there(selection)),
    }
}

fn refused(text: impl Into<String>) -> Reply {
    (reply::REFUSED, text.into())
}

/// Answers a request, or begins the stream that it asks for.
pub(super) fn answer(client: &mut AdminClient, now: Instant, envelope: &Envelope, host: &mut dyn Host) {
    let order = match command::decode(envelope.command, &envelope.body) {
        Ok(order) => order,
        Err(error) => return client.answer(now, reply::USAGE, format!("{error}\n").as_bytes()),
    };
    let json = order.json;
    match order.request {
        AdminRequest::Log { follow: true, level } => {
            let (next, first) = (host.ring().next_number(), kept_lines(host.ring(), level, json));
            client.follow(now, Stream::Log { next, level, json }, first.as_bytes());
        }
        AdminRequest::Watch => client.follow(now, Stream::Watch { json }, b""),
        AdminRequest::Trace { tunnel, .. } if knows_tunnel(host, now, &tunnel) => {
            client.follow(now, Stream::Trace { tunnel }, b"");
        }
        request => {
            let (kind, mut text) = run(&request, json, now, host);
            if json && kind == reply::DONE && !is_display(&request) {
                text = json::done(&text);
            }
            if text.len() > envelope::MAX_REPLY {
                let text = "the reply would be longer than 4 MiB; ask for one tunnel\n";
                return client.answer(now, reply::REFUSED, text.as_bytes());
            }
            client.answer(now, kind, text.as_bytes());
        }
    }
}

/// Whether the reply is a display, with a form of its own, and not the outcome of an action.
fn is_display(request: &AdminRequest) -> bool {
    match request {
        AdminRequest::Status(_) | AdminRequest::Explain(_) | AdminRequest::ExplainText(_) => true,
        AdminRequest::Metrics | AdminRequest::Health => true,
        AdminRequest::Counters { reset } => !reset,
        AdminRequest::Log { .. } | AdminRequest::Watch | AdminRequest::Trace { .. } => true,
        AdminRequest::Clear { .. }
        | AdminRequest::Start(_)
        | AdminRequest::Stop(_)
        | AdminRequest::Reload { .. } => false,
        AdminRequest::LogLevel(_) => false,
    }
}

fn knows_tunnel(host: &mut dyn Host, now: Instant, name: &str) -> bool {
    host.report(now).snapshot.tunnels.iter().any(|tunnel| tunnel.name == name)
}

/// Runs a request that has one reply.
fn run(request: &AdminRequest, json: bool, now: Instant, host: &mut dyn Host) -> Reply {
    match request {
        AdminRequest::Status(selection) => {
            let report = host.report(now);
            let text = if json { json::status(&report, selection) } else { show::status(&report, selection) };
            judged(&report, selection, text)
        }
        AdminRequest::Explain(selection) => {
            let report = host.report(now);
            let text = if json { json::status(&report, selection) } else { why::explain(&report, selection) };
            judged(&report, selection, text)
        }
        AdminRequest::Health => {
            let report = host.report(now);
            let text = if json { json::health(&report) } else { show::health(&report) };
            judged(&report, &Selection::All, Some(text))
        }
        AdminRequest::Counters { reset: true } => {
            outcome(host.command(now, Command::ResetCounters), "counters", "")
        }
        AdminRequest::Counters { reset: false } if json => done(json::counters(&host.report(now))),
        AdminRequest::Counters { reset: false } => done(show::counters(&host.report(now))),
        AdminRequest::Metrics => done(metrics::render(&host.report(now))),
        AdminRequest::Log { level, .. } => done(kept_lines(host.ring(), *level, json)),
        AdminRequest::LogLevel(level) => {
            host.set_log_level(*level);
            done("")
        }
        AdminRequest::Reload { check } => match host.reload(now, *check) {
            Ok(text) => done(text),
            Err(text) => refused(text),
        },
        AdminRequest::Start(name) => {
            outcome(host.command(now, Command::Start(name.clone())), name, "there is nothing to start")
        }
        AdminRequest::Stop(name) => {
            outcome(host.command(now, Command::Stop(name.clone())), name, "there is nothing to stop")
        }
        AdminRequest::Clear { target, result } => clear(target, *result, now, host),
        AdminRequest::Trace { tunnel, .. } => refused(no_tunnel(tunnel)),
        AdminRequest::Watch | AdminRequest::ExplainText(_) => {
            (reply::USAGE, "this is answered by the client\n".to_owned()) // a stream, or needs no daemon
        }
    }
}

/// `clear`. What is not there is logged by the engine.
fn clear(target: &Target, code: Option<u16>, now: Instant, host: &mut dyn Host) -> Reply {
    let (command, name, not_up) = match target {
        Target::Tunnel(name) => (Command::ClearTunnel(name.clone(), code), name.clone(), "it is not up"),
        Target::All => (Command::ClearAll(code), "all".to_owned(), "no tunnel is up"),
        Target::Peer(peer) => (Command::ClearPeer(*peer, code), peer.to_string(), "no tunnel to it is up"),
        Target::Session(name) => (Command::ClearSession(name.clone(), code), name.clone(), "it is not up"),
    };
    match (host.command(now, command), target) {
        (Err(CommandError::NothingToClear(why)), Target::Peer(peer)) => {
            refused(format!("no such address peer: {peer}\n  {why}\n"))
        }
        (Err(CommandError::NothingToClear(why)), Target::Session(name)) => {
            refused(format!("{}  {why}\n", no_interface(name)))
        }
        (result, _) => outcome(result, &name, not_up),
    }
}

/// The reply to a command about `name`.
fn outcome(result: Result<(), CommandError>, name: &str, not_up: &str) -> Reply {
    match result {
        Ok(()) => done(""),
        Err(CommandError::NotFound) => refused(no_tunnel(name)),
        Err(CommandError::NothingToClear(why)) => refused(format!("{why}\n")),
        Err(CommandError::NotUp) => refused(format!("{}: {not_up}\n", escape(name.as_bytes()))),
        Err(CommandError::NoResultCode) => refused(format!("{}\n", Event::ResultCodeNotSpecified {})),
    }
}

fn no_tunnel(name: &str) -> String {
    format!("no such tunnel: {}\n", escape(name.as_bytes()))
}

fn no_interface(name: &str) -> String {
    format!("no such if_name: {}\n", escape(name.as_bytes()))
}

fn not_there(selection: &Selection) -> String {
    match selection {
        Selection::All => String::new(), // everything is always there
        Selection::Tunnel(name) => no_tunnel(name),
        Selection::Session(name) => no_interface(name),
    }
}

/// The newest lines kept in memory that fit a reply. Where older ones are missing, the first line says so.
fn kept_lines(ring: &Ring, level: Level, json: bool) -> String {
    const ROOM: usize = envelope::MAX_REPLY - 256;
    let mut lines: Vec<String> = Vec::new();
    for entry in ring.since(0).filter(|entry| entry.level <= level) {
        let mut text = String::new();
        put_entry(&mut text, entry, json);
        lines.push(text);
    }
    let mut length = 0;
    let fitting = lines.iter().rev().take_while(|line| {
        length += line.len();
        length <= ROOM
    });
    let first = lines.len() - fitting.count();
    let mut text = String::new();
    if ring.trimmed() || first > 0 {
        put_trimmed(&mut text, json);
    }
    text.extend(lines.drain(first..));
    text
}

/// Appends the line that says that older messages are gone.
pub(super) fn put_trimmed(text: &mut String, json: bool) {
    let trimmed = Event::OlderMessagesTrimmed {}.to_string();
    text.push_str(&if json { json::remark(&trimmed) } else { trimmed + "\n" });
}

/// Appends a message of the log as it is shown.
pub(super) fn put_entry(text: &mut String, entry: &Entry, json: bool) {
    if json {
        text.push_str(&json::entry(entry));
    } else {
        entry.write_to(text);
    }
}
