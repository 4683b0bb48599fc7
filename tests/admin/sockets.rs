//! What a client can do to the server, and what it cannot.

use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use l2tpd::admin::display::Form;
use l2tpd::admin::envelope::{self, reply};
use l2tpd::admin::request::{self, Selection};
use l2tpd::daemon::admin_server::{AdminServer, StreamEvent, CLIENTS, OF_ROOT};
use l2tpd::log::{Event, Level, LogLine, WallTime};
use l2tpd::proto::{Notification, TunnelEvent};
use l2tpd::sys::clock;

use crate::support::admin_report as sample;
use crate::support::admin_server::{fresh_path, Server};

/// A command line as a frame.
fn request(line: &str) -> Vec<u8> {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let (number, body) = request::parse(&words).unwrap().encode();
    envelope::encode(number, &body)
}

/// The next frame: what it is, and its body.
fn next_frame(stream: &mut UnixStream) -> (u16, String) {
    let mut header = [0; envelope::HEADER];
    stream.read_exact(&mut header).unwrap();
    let (kind, length) = envelope::header(&header, envelope::MAX_REPLY).unwrap().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (kind, String::from_utf8(body).unwrap())
}

/// A reply up to its last frame: what that is, and all bodies.
fn pieces(stream: &mut UnixStream) -> (u16, Vec<String>) {
    let mut bodies = Vec::new();
    loop {
        let (kind, body) = next_frame(stream);
        bodies.push(body);
        if kind != reply::PIECE {
            return (kind, bodies);
        }
    }
}

/// Runs a command line; the reply must be the last thing on the connection.
fn run(server: &Server, line: &str) -> (u16, String) {
    let mut stream = server.connect();
    stream.write_all(&request(line)).unwrap();
    let (kind, pieces) = pieces(&mut stream);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "more than one reply to {line}");
    (kind, pieces.concat())
}

/// Whether the server has closed the connection without an answer.
fn is_closed(stream: &mut UnixStream) -> bool {
    matches!(stream.read(&mut [0]), Ok(0) | Err(_))
}

#[test]
fn commands_reach_the_host_and_come_back() {
    let server = Server::start(sample::report());
    let (kind, text) = run(&server, "status");
    assert_eq!(kind, reply::DOWN, "its second tunnel is not up");
    assert_eq!(Some(text), sample::report().status(&Selection::All));
    assert_eq!(run(&server, "clear tunnel center result-code 6"), (reply::DONE, String::new()));
    assert_eq!(run(&server, "clear tunnel nobody").0, reply::REFUSED);
    assert_eq!(run(&server, "clear all").0, reply::DONE);
    assert_eq!(run(&server, "start center").0, reply::DONE);
    assert_eq!(run(&server, "stop nobody"), (reply::REFUSED, "no such tunnel: nobody\n".into()));
    assert_eq!(run(&server, "reload"), (reply::DONE, "tunnel a: added\n".into()));
    assert_eq!(run(&server, "reload --check").0, reply::REFUSED);
    assert_eq!(run(&server, "counters reset").0, reply::DONE);
    assert_eq!(run(&server, "log-level debug").0, reply::DONE);
    assert_eq!(run(&server, "trace nobody").0, reply::REFUSED);
    let state = server.state.lock().unwrap();
    assert_eq!(state.level, Level::Debug);
    let calls = [
        "clear tunnel center Some(6)",
        "clear tunnel nobody None",
        "clear all None",
        "start center",
        "stop nobody",
        "reload false",
        "reload true",
        "reset",
    ];
    assert_eq!(state.calls, calls);
}

#[test]
fn what_is_not_found_is_logged_and_refused() {
    let server = Server::start(sample::report());
    let (kind, text) = run(&server, "clear peer 203.0.113.9");
    let why = "no tunnel is configured for this address";
    assert_eq!((kind, text), (reply::REFUSED, format!("no such address peer: 203.0.113.9\n  {why}\n")));
    let (kind, text) = run(&server, "clear session eth9");
    let why = "no session of this name is configured";
    assert_eq!((kind, text), (reply::REFUSED, format!("no such if_name: eth9\n  {why}\n")));
    assert_eq!(run(&server, "clear peer 192.168.254.120").0, reply::DONE);
    assert_eq!(run(&server, "clear session l2tp0").0, reply::DONE);
    // C-305: result code 0 is reserved.
    let (kind, text) = run(&server, "clear all result-code 0");
    assert_eq!((kind, text.as_str()), (reply::REFUSED, "result code not specified\n"));
    let state = server.state.lock().unwrap();
    let lines = state.lines();
    assert!(lines.contains("debug admin_clear: no such address peer: 203.0.113.9\n"), "{lines}");
    assert!(lines.contains("debug admin_clear: no such if_name: eth9\n"), "{lines}");
    assert!(lines.contains("error result code not specified\n"), "{lines}");
    for text in ["no such address peer", "no such if_name", "result code not specified"] {
        assert_eq!(lines.matches(text).count(), 1, "once is enough: {lines}");
    }
}

#[test]
fn bad_headers_close_the_connection_and_are_logged() {
    let server = Server::start(sample::report());
    let good = request("status");
    let mut giant = good.clone();
    giant[8..12].copy_from_slice(&u32::MAX.to_be_bytes());
    let mut just_too_long = good.clone();
    just_too_long[8..12].copy_from_slice(&(envelope::MAX_REQUEST as u32 + 1).to_be_bytes());
    let mut other_version = good.clone();
    other_version[5] = 2;
    let mut other_magic = good.clone();
    other_magic[0] = b'X';
    let mut trailing = good.clone();
    trailing.push(0);
    let twice = [good.clone(), good].concat();
    let cases = [giant, just_too_long, other_version, other_magic, trailing, twice];
    for (at, octets) in cases.iter().enumerate() {
        let mut stream = server.connect();
        stream.write_all(octets).unwrap();
        assert!(is_closed(&mut stream), "case {at}");
        server.until(|state| {
            state.lines().matches("error invalid header length of admin command\n").count() == at + 1
        });
    }
}

#[test]
fn a_request_of_the_largest_size_is_read() {
    let server = Server::start(sample::report());
    let mut body = vec![b'x'; envelope::MAX_REQUEST - 1];
    body.push(0);
    let mut stream = server.connect();
    stream.write_all(&envelope::encode(3, &body)).unwrap();
    assert_eq!(next_frame(&mut stream).0, reply::REFUSED);
    assert!(server.state.lock().unwrap().lines().is_empty());
}

#[test]
fn unknown_commands_and_bad_words_get_an_answer() {
    let server = Server::start(sample::report());
    let cases: [(u16, &[u8]); 6] = [
        (0, b""),
        (999, b""),
        (1, b"tunnel"),
        (1, b"\xff\0"),
        (2, b"peer\0nonsense\0"),
        (12, b"some text\0"),
    ];
    for (number, body) in cases {
        let mut stream = server.connect();
        stream.write_all(&envelope::encode(number, body)).unwrap();
        assert_eq!(next_frame(&mut stream).0, reply::USAGE, "{number} {body:?}");
    }
}

#[test]
fn a_client_may_leave_after_any_octet() {
    let server = Server::start(sample::report());
    let octets = request("clear tunnel center");
    // All but the one without any octet are broken frames; none of them is a command.
    for length in 0..octets.len() {
        let mut stream = server.connect();
        stream.write_all(&octets[..length]).unwrap();
        drop(stream);
        let text = "error invalid header length of admin command\n";
        server.until(|state| state.lines().matches(text).count() == length);
    }
    assert!(server.state.lock().unwrap().calls.is_empty());
    assert_eq!(run(&server, "start center").0, reply::DONE);
}

#[test]
fn a_request_may_come_octet_by_octet() {
    let server = Server::start(sample::report());
    let mut stream = server.connect();
    for octet in request("start center") {
        let turns = server.state.lock().unwrap().turns;
        stream.write_all(&[octet]).unwrap();
        server.until(|state| state.turns > turns);
    }
    assert_eq!(next_frame(&mut stream).0, reply::DONE);
}

#[test]
fn a_client_that_sends_no_more_still_gets_its_answer() {
    let server = Server::start(sample::report());
    let mut stream = server.connect();
    stream.write_all(&request("status")).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(next_frame(&mut stream).0, reply::DOWN);
}

#[test]
fn a_request_must_be_complete_within_five_seconds() {
    let server = Server::start(sample::report());
    let begin = clock::now();
    let mut silent = server.connect();
    let mut slow = server.connect();
    slow.write_all(b"L2").unwrap();
    assert!(is_closed(&mut silent) && is_closed(&mut slow));
    let waited = clock::now() - begin;
    assert!(waited >= Duration::from_millis(4900) && waited < Duration::from_secs(10), "{waited:?}");
    let turns = server.state.lock().unwrap().turns;
    assert!(turns < 50, "the server spins: {turns} turns");
}

#[test]
fn one_more_client_is_told_that_all_are_busy() {
    let server = Server::start(sample::report());
    let mut first: Vec<UnixStream> = (0..places()).map(|_| server.connect()).collect();
    let mut surplus = server.connect();
    let (kind, text) = next_frame(&mut surplus);
    assert_eq!(kind, reply::BUSY);
    assert!(text.starts_with("busy"));
    assert!(is_closed(&mut surplus));
    // The others are served, and their places are free again afterwards.
    for stream in &mut first {
        stream.write_all(&request("start center")).unwrap();
        assert_eq!(next_frame(stream).0, reply::DONE);
    }
    for _ in 0..20 {
        assert_eq!(run(&server, "start center").0, reply::DONE);
    }
}

/// How many clients of our user are served at once.
pub fn places() -> usize {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if is_root {
        CLIENTS
    } else {
        CLIENTS - OF_ROOT
    }
}

#[test]
fn who_follows_gives_way_to_a_new_client_and_the_idlest_first() {
    let server = Server::start(sample::report());
    let mut followers: Vec<UnixStream> = (0..places())
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(&request("watch")).unwrap();
            assert_eq!(next_frame(&mut stream), (reply::PIECE, String::new()));
            stream
        })
        .collect();
    for given in 0..3 {
        assert_eq!(run(&server, "start center").0, reply::DONE);
        assert!(is_closed(&mut followers[given]), "the one that was sent something longest ago");
        // The free place is that of the next one who follows.
        let mut stream = server.connect();
        stream.write_all(&request("watch")).unwrap();
        assert_eq!(next_frame(&mut stream), (reply::PIECE, String::new()));
        followers.push(stream);
    }
    server.tell(happened(5));
    for stream in followers.iter_mut().skip(3) {
        assert_eq!(next_frame(stream).0, reply::PIECE);
    }
    let lines = server.state.lock().unwrap().lines();
    assert_eq!(lines.matches("that follows was idle longest").count(), 3, "{lines}");
}

fn happened(number: u32) -> StreamEvent {
    let notification = Notification {
        what: TunnelEvent::SessionUp,
        tunnel: "center".into(),
        interface: Some("l2tp0".into()),
        peer: Some(sample::REMOTE),
        local_id: number,
        remote_id: 7,
        reason: "x".repeat(200),
    };
    StreamEvent::Event(WallTime(1_795_347_000_123_456), notification)
}

#[test]
fn events_reach_who_watches() {
    let server = Server::start(sample::report());
    let mut stream = server.connect();
    stream.write_all(&request("watch")).unwrap();
    assert_eq!(next_frame(&mut stream), (reply::PIECE, String::new()));
    server.until(|state| state.wanted.events);
    server.tell(happened(5));
    let (kind, text) = next_frame(&mut stream);
    assert_eq!(kind, reply::PIECE);
    let expected = "2026-11-22T11:30:00.123456Z session-up tunnel=center session=l2tp0 peer=192.168.254.120 \
                    local-id=5 remote-id=7 reason=";
    assert!(text.starts_with(expected), "{text}");
    drop(stream);
    server.until(|state| !state.wanted.events);
    assert!(server.state.lock().unwrap().lines().is_empty(), "leaving is no failure");
}

#[test]
fn the_log_is_followed_without_gap_or_repetition() {
    let line = LogLine::new(&Event::Start {});
    let server = Server::with_lines(sample::report(), &[line]);
    let mut stream = server.connect();
    stream.write_all(&request("log -f debug")).unwrap();
    let (_, text) = next_frame(&mut stream);
    assert_eq!(text, "1970-01-01T00:00:00.000000Z debug l2tpd start\n");
    run(&server, "clear session eth8");
    run(&server, "clear session eth9");
    for name in ["eth8", "eth9"] {
        let (kind, text) = next_frame(&mut stream);
        assert_eq!(kind, reply::PIECE);
        let time = "1970-01-01T00:00:01.000000Z";
        let message = format!("{time} debug admin_clear: no such if_name: {name}\n");
        let why = format!("{time} debug   no session of this name is configured\n");
        assert_eq!(text, message + &why);
    }
    let (_, text) = run(&server, "log error");
    assert_eq!(text, "");
}

#[test]
fn who_follows_and_does_not_read_is_dropped() {
    let server = Server::start(sample::report());
    let mut lazy = server.connect();
    lazy.write_all(&request("watch")).unwrap();
    let mut eager = server.connect();
    eager.write_all(&request("watch")).unwrap();
    next_frame(&mut eager);
    server.until(|state| state.wanted.events);
    // About 600 KiB: more than the socket's buffer and the allowed backlog together.
    for number in 0..2000 {
        server.tell(happened(number));
        next_frame(&mut eager);
    }
    server.until(|state| state.lines().contains("does not read"));
    let mut left = Vec::new();
    lazy.read_to_end(&mut left).unwrap();
    assert!(left.len() < 600_000, "{} octets were kept for it", left.len());
    server.tell(happened(9999));
    assert!(next_frame(&mut eager).1.contains("local-id=9999"), "the other one goes on");
}

#[test]
fn a_client_that_dies_with_unread_data_is_a_failure_to_receive() {
    let server = Server::start(sample::report());
    let mut stream = server.connect();
    stream.write_all(&request("watch")).unwrap();
    server.until(|state| state.wanted.events);
    drop(stream); // its first piece is unread: the kernel resets the connection
    server.until(|state| state.lines().contains("error failed to recv: Connection reset by peer\n"));
}

/// A report whose display is longer than a socket's buffer.
fn long_report() -> sample::Report {
    let mut report = sample::report();
    for number in 0..3000 {
        report.snapshot.tunnels.push(sample::idle_tunnel(&format!("tunnel{number}")));
    }
    report
}

#[test]
fn a_client_that_leaves_before_its_reply_is_a_failure_to_send() {
    let server = Server::start(long_report());
    let mut stream = server.connect();
    stream.write_all(&request("status")).unwrap();
    next_header(&mut stream);
    drop(stream);
    server.until(|state| state.lines().contains("error failed to send l2tpd information: Broken pipe\n"));
}

fn next_header(stream: &mut UnixStream) {
    stream.read_exact(&mut [0; envelope::HEADER]).unwrap();
}

#[test]
fn clients_that_never_read_delay_nobody() {
    let server = Server::start(long_report());
    let mut lazy: Vec<UnixStream> = (0..7).map(|_| server.connect()).collect();
    for stream in &mut lazy {
        stream.write_all(&request("status")).unwrap();
        next_header(stream);
    }
    let begin = clock::now();
    let (kind, text) = run(&server, "status");
    assert_eq!((kind, text.len() > 800_000), (reply::DOWN, true), "{}", text.len());
    assert!(clock::now() - begin < Duration::from_secs(15));
    let before = server.state.lock().unwrap().turns;
    std::thread::sleep(Duration::from_millis(300)); // only in time it is seen that nothing goes on
    assert!(server.state.lock().unwrap().turns - before < 5, "the server spins while nobody reads");
}

/// As many tunnels as make a reply of many megabytes, the last one with as many sessions.
fn longest_report() -> sample::Report {
    let mut report = sample::report();
    for number in 0..20_000 {
        report.snapshot.tunnels.push(sample::idle_tunnel(&format!("tunnel{number}")));
    }
    let last = report.snapshot.tunnels.last_mut().unwrap();
    last.sessions = (0..20_000).map(|number| sample::idle_session(&format!("s{number}"))).collect();
    report
}

// In pieces, each short and made when the one before has been read; together they are what one go makes.
#[test]
fn a_long_display_comes_in_pieces() {
    let report = longest_report();
    let whole = |form: Form| report.display(form, &Selection::All).unwrap();
    let forms = [
        ("status", Form::Status),
        ("status --json", Form::StatusJson),
        ("counters", Form::Counters),
        ("counters --json", Form::CountersJson),
        ("metrics", Form::Metrics),
        ("explain", Form::Explain),
        ("health", Form::Health),
        ("summary", Form::Summary),
    ];
    let server = Server::start(report.clone());
    for (line, form) in forms {
        let mut stream = server.connect();
        stream.write_all(&request(line)).unwrap();
        let (kind, pieces) = pieces(&mut stream);
        let judged = !matches!(form, Form::Counters | Form::CountersJson | Form::Metrics | Form::Summary);
        assert_eq!(kind, if judged { reply::DOWN } else { reply::DONE }, "{line}");
        assert!(pieces.iter().all(|piece| piece.len() < 256 * 1024), "{line}");
        let (text, whole) = (pieces.concat(), whole(form));
        assert!(text == whole, "{line}: {} octets, in one go {}", text.len(), whole.len());
        assert!(form == Form::Health || text.len() > 800_000, "{line}: {}", text.len());
    }
    let (kind, text) = run(&server, "status tunnel tunnel19998");
    assert_eq!((kind, text.lines().next()), (reply::DOWN, Some("tunnel tunnel19998:")));
    let (_, text) = run(&server, "status session s19999");
    assert!(text.starts_with("interface s19999:") && text.len() < 4096, "{text}");
}

// No piece is made before the last one is read, so a client that does not read costs a piece and no time.
#[test]
fn a_long_display_is_made_as_it_is_read() {
    let server = Server::start(longest_report());
    let mut lazy = server.connect();
    lazy.write_all(&request("status")).unwrap();
    next_header(&mut lazy);
    let (_, text) = run(&server, "health");
    assert!(text.starts_with("down: "), "{text}");
    let turns = server.state.lock().unwrap().turns;
    assert!(turns < 200, "{turns} turns: more is made than the socket takes");
}

// The numbers of the tunnels mean others then: no document is made of two halves.
#[test]
fn a_display_ends_when_the_configuration_changes() {
    let server = Server::start(longest_report());
    let mut stream = server.connect();
    stream.write_all(&request("status --json")).unwrap();
    next_header(&mut stream);
    {
        let mut state = server.state.lock().unwrap();
        Arc::make_mut(&mut state.report).edition += 1;
    }
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    let told = b"the configuration changed meanwhile: ask again\n";
    assert!(rest.ends_with(told), "{}", rest.len());
    assert_eq!(run(&server, "health").0, reply::DOWN);
}

#[test]
fn the_socket_is_private_and_its_name_goes_with_it() {
    let poll = mio::Poll::new().unwrap();
    let path = fresh_path();
    let text = path.to_str().unwrap();
    let admin = AdminServer::open(Some(text), None, poll.registry()).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let refused = |path, group| AdminServer::open(Some(path), group, poll.registry()).unwrap_err();
    assert_eq!(refused(text, None), format!("{text}: another l2tpd answers here"));
    drop(admin);
    assert!(!path.exists());
    assert!(refused(text, Some("no-such-group")).starts_with("admin-group no-such-group: "));
}

#[test]
fn without_a_path_there_is_no_socket() {
    let poll = mio::Poll::new().unwrap();
    // A group that is not needed need not exist.
    let admin = AdminServer::open(None, Some("no-such-group"), poll.registry()).unwrap();
    assert_eq!(admin.next_deadline(), None);
}

#[test]
fn a_stale_socket_is_replaced_and_nothing_else_is() {
    let poll = mio::Poll::new().unwrap();
    let path = fresh_path();
    let text = path.to_str().unwrap();
    drop(UnixListener::bind(&path).unwrap()); // leaves its name behind
    assert!(path.exists());
    let first = AdminServer::open(Some(text), None, poll.registry()).unwrap();
    // Somebody replaces the name: it is not ours to remove any more.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "precious").unwrap();
    drop(first);
    let refused = |path: &str| AdminServer::open(Some(path), None, poll.registry()).unwrap_err();
    assert_eq!(refused(text), format!("{text}: a file has this name, no socket"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    std::fs::remove_file(&path).unwrap();
    let long = format!("/tmp/{}", "x".repeat(200));
    assert_eq!(refused(&long), format!("{long}: the path is too long for a socket"));
}
