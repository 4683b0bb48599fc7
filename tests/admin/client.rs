//! `l2tpctl` itself, run as a program: what it prints, where to, and its exit status.

use std::fs::Permissions;
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use l2tpd::admin::request::Selection;
use l2tpd::admin::trace::Record;
use l2tpd::config::model::Via;
use l2tpd::ctl::pcapng;
use l2tpd::daemon::admin_server::StreamEvent;
use l2tpd::log::WallTime;
use l2tpd::proto::Path;
use l2tpd::wire::message::encode;
use l2tpd::wire::message::{Dialect, EncodeOptions, Message};
use l2tpd::wire::Encapsulation;

use crate::support::admin_report as sample;
use crate::support::admin_server::{fresh_path, Server};
use crate::support::wait::wait_until;

fn l2tpctl(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_l2tpd"));
    command.arg("ctl").args(words).env_remove("LC_ALL").env_remove("LC_MESSAGES").env("LANG", "C");
    command
}

fn run(words: &[&str]) -> (i32, String, String) {
    taken(l2tpctl(words).output().unwrap())
}

fn taken(output: Output) -> (i32, String, String) {
    let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_exit_status_tells_how_it_went() {
    let server = Server::start(sample::report());
    let socket = server.path.to_str().unwrap();
    let status = |selection: Selection| sample::report().status(&selection).unwrap();
    // Its second tunnel is not up.
    assert_eq!(run(&["-s", socket, "status"]), (4, status(Selection::All), String::new()));
    let center = status(Selection::Tunnel("center".into()));
    assert_eq!(run(&["-s", socket, "status", "tunnel", "center"]), (0, center, String::new()));
    let health = "down: 1 of 2 tunnels, 1 of 2 sessions\n";
    assert_eq!(run(&["-s", socket, "health"]), (4, health.into(), String::new()));
    let (code, out, err) = run(&["-s", socket, "clear", "tunnel", "nobody"]);
    assert_eq!((code, out.as_str(), err.as_str()), (1, "", "l2tpctl: no such tunnel: nobody\n"));
    let (code, out, err) = run(&["-s", socket, "stat", "x"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("possible here: tunnel, session"), "{err}");
    let nowhere = fresh_path();
    let (code, out, err) = run(&["-s", nowhere.to_str().unwrap(), "status"]);
    assert_eq!((code, out.as_str()), (3, ""));
    assert!(err.contains("No such file or directory (is l2tpd running?)"), "{err}");
    assert_eq!(run(&[]).0, 2);
    assert_eq!(run(&["--help"]).0, 0);
    assert_eq!(run(&["--version"]).1, format!("l2tpctl {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_busy_daemon_is_one_that_cannot_be_reached() {
    let server = Server::start(sample::report());
    let others: Vec<_> = (0..crate::sockets::places()).map(|_| server.connect()).collect();
    server.until(|state| state.turns > 0);
    let (code, _, err) = run(&["-s", server.path.to_str().unwrap(), "status"]);
    assert_eq!((code, err.contains("busy")), (3, true), "{err}");
    drop(others);
}

/// Runs `l2tpctl status` as a user without rights; `None` if we cannot become one.
fn as_nobody(server: &Server) -> Option<(i32, String, String)> {
    // The program itself must be where that user can read it.
    let program = fresh_path().with_extension("program");
    std::fs::copy(env!("CARGO_BIN_EXE_l2tpd"), &program).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
    let output = command.args(["ctl", "-s"]).arg(&server.path).arg("status").output();
    std::fs::remove_file(&program).unwrap();
    match output.map(taken) {
        Ok((code, _, err)) if code != 0 && err.starts_with("setpriv:") => {
            eprintln!("SKIPPED: {err}");
            None
        }
        Ok(result) => Some(result),
        Err(error) => {
            eprintln!("SKIPPED: setpriv: {error}");
            None
        }
    }
}

#[test]
fn strangers_are_kept_out_by_the_mode_and_by_their_user() {
    let server = Server::start(sample::report());
    let Some((code, _, err)) = as_nobody(&server) else { return };
    assert_eq!((code, err.ends_with("Permission denied\n")), (3, true), "{err}");
    // Whoever opens the mode has not opened the daemon.
    std::fs::set_permissions(&server.path, Permissions::from_mode(0o666)).unwrap();
    let Some((code, out, err)) = as_nobody(&server) else { return };
    assert_eq!((code, out.as_str(), err.as_str()), (1, "", "l2tpctl: permission denied\n"));
    server.until(|state| state.lines().contains("admin socket: user 65534 (process "));
}

#[test]
fn members_of_the_group_are_let_in() {
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let named = groups.lines().find(|line| line.split(':').nth(2) == Some("65534"));
    let Some(name) = named.and_then(|line| line.split(':').next()) else {
        return eprintln!("SKIPPED: group 65534 has no name");
    };
    if l2tpd::sys::admin_socket::own_uid() != 0 {
        return eprintln!("SKIPPED: only root may give a socket to another group");
    }
    let server = Server::open(sample::report(), &[], Some(name));
    let mode = std::fs::metadata(&server.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let Some((code, out, err)) = as_nobody(&server) else { return };
    assert_eq!((code, out.is_empty()), (4, false), "{err}");
}

#[test]
fn the_program_is_chosen_by_its_name() {
    let path = fresh_path().with_file_name(format!("l2tpd-names-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    let name = path.join("l2tpctl");
    let _ = std::fs::remove_file(&name);
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_l2tpd"), &name).unwrap();
    let output = Command::new(&name).arg("-V").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("l2tpctl "));
    std::fs::remove_dir_all(&path).unwrap();
}

#[test]
fn explanations_need_no_daemon_and_speak_the_language_of_the_locale() {
    let words = ["-s", "/nowhere", "explain", "[7] hostname mismatch in SCCRP"];
    let (code, out, _) = run(&words);
    assert_eq!(code, 0);
    assert!(out.starts_with("M-039 (warn): ") && out.contains("meaning: "), "{out}");
    // LC_ALL counts before LANG.
    let (_, out, _) = taken(l2tpctl(&words).env("LC_ALL", "ja_JP.UTF-8").output().unwrap());
    assert!(out.contains("意味: "), "{out}");
    let (_, out, _) = taken(l2tpctl(&words).env("LANG", "ja_JP").env("LC_MESSAGES", "C").output().unwrap());
    assert!(out.contains("meaning: "), "{out}");
    let (code, out, err) = run(&["explain", "there", "is", "a", "hostname", "mismatch"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("M-039"), "{err}");
    let (code, out, _) = run(&["--json", "explain", "l2tpd start"]);
    assert_eq!((code, out.starts_with("{\"id\":\"M-086\",")), (0, true), "{out}");
}

#[test]
fn a_tunnel_that_is_not_up_is_explained_with_its_message() {
    let server = Server::start(sample::report());
    let (code, out, _) = run(&["-s", server.path.to_str().unwrap(), "explain"]);
    assert_eq!(code, 4);
    assert!(out.contains("failed check : hostname"), "{out}");
    assert!(
        out.contains("\nM-039 (warn): [<tunnel_id>] hostname mismatch in <msg_type>\nmeaning: "),
        "{out}"
    );
}

/// A HELLO between two addresses.
fn record(encapsulation: Encapsulation, local: &str, remote: &str, sent: bool) -> Record {
    let options = EncodeOptions { digest: true, hide: None, dialect: Dialect::IETF };
    let end = |text: &str| text.parse::<SocketAddr>().unwrap();
    Record {
        time: WallTime(1_795_347_000_123_456),
        sent,
        path: Path { encapsulation, local: end(local), remote: end(remote), via: Via::ANY },
        message: encode(&Message::Hello, &options).unwrap(),
    }
}

fn records() -> [Record; 4] {
    [
        record(Encapsulation::Ip, "192.0.2.1:0", "192.0.2.2:0", true),
        record(Encapsulation::Udp, "192.0.2.1:1701", "192.0.2.2:1702", false),
        record(Encapsulation::Ip, "[2001:db8::1]:0", "[2001:db8::2]:0", false),
        record(Encapsulation::Udp, "[2001:db8::1]:1701", "[2001:db8::2]:1701", true),
    ]
}

#[test]
fn records_survive_the_socket() {
    for record in records() {
        let octets = record.encode();
        assert_eq!(Record::decode(&octets), Some(record.clone()));
        for length in 0..octets.len() - record.message.len() {
            assert_eq!(Record::decode(&octets[..length]), None, "{length}");
        }
    }
}

/// What tshark makes of a file: one line per packet; `None` if there is no tshark.
fn tshark(file: &std::path::Path, more: &[&str]) -> Option<String> {
    let output = Command::new("tshark").arg("-n").arg("-r").arg(file).args(more).output();
    let Ok(output) = output else {
        eprintln!("SKIPPED: there is no tshark");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn tshark_reads_the_file() {
    let file = fresh_path().with_extension("pcapng");
    let mut octets = pcapng::header();
    for record in records() {
        octets.extend(pcapng::packet(&record));
    }
    std::fs::write(&file, octets).unwrap();
    let fields: Vec<&str> = "-T fields -e frame.time_epoch -e ip.src -e ipv6.src -e ip.proto -e ipv6.nxt \
                             -e udp.srcport -e l2tp.avp.message_type -e frame.packet_flags_direction"
        .split_whitespace()
        .collect();
    if let Some(text) = tshark(&file, &fields) {
        let expected = "1795347000.123456000\t192.0.2.1\t\t115\t\t\t6\t0x00000002\n\
                        1795347000.123456000\t192.0.2.2\t\t17\t\t1702\t6\t0x00000001\n\
                        1795347000.123456000\t\t2001:db8::2\t\t115\t\t6\t0x00000001\n\
                        1795347000.123456000\t\t2001:db8::1\t\t17\t1701\t6\t0x00000002\n";
        assert_eq!(text, expected);
    }
    let strict = ["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"];
    let faults =
        "_ws.malformed || ip.checksum.status == 0 || udp.checksum.status == 0 || l2tp.avp_length.bad";
    if let Some(text) = tshark(&file, &[&strict[..], &["-Y", faults]].concat()) {
        assert_eq!(text, "");
    }
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn a_trace_holds_the_messages_of_its_tunnel_while_it_runs() {
    let server = Server::start(sample::report());
    let file = fresh_path().with_extension("pcapng");
    let words = ["-s", server.path.to_str().unwrap(), "trace", "center", file.to_str().unwrap()];
    let mut child = l2tpctl(&words).spawn().unwrap();
    server.until(|state| state.wanted.messages);
    let [first, other, third, _] = records();
    let mut wanted = pcapng::header();
    wanted.extend(pcapng::packet(&first));
    wanted.extend(pcapng::packet(&third));
    for (tunnel, record) in [("center", first), ("branch", other), ("center", third)] {
        server.tell(StreamEvent::Message { tunnel: tunnel.into(), record });
    }
    let otherwise = || "the file does not hold the two messages".to_owned();
    wait_until(|| std::fs::read(&file).unwrap() == wanted, otherwise);
    child.kill().unwrap();
    child.wait().unwrap();
    server.until(|state| !state.wanted.messages);
    std::fs::remove_file(&file).unwrap();
    let (code, _, err) = run(&["-s", server.path.to_str().unwrap(), "trace", "center", "/nowhere/x"]);
    assert_eq!((code, err.contains("/nowhere/x")), (1, true), "{err}");
}

#[test]
fn the_end_of_the_daemon_ends_a_stream() {
    let server = Server::start(sample::report());
    let words = ["-s", server.path.to_str().unwrap(), "watch"];
    let mut child = l2tpctl(&words).stderr(Stdio::piped()).spawn().unwrap();
    server.until(|state| state.wanted.events);
    drop(server);
    assert_eq!(child.wait().unwrap().code(), Some(3));
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(text.contains("the daemon closed the connection"), "{text}");
}
