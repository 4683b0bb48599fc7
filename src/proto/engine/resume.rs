//! A program that begins after a crash goes on with the connections of the one before, as far as their peers still have
//! them. What is known of them comes from a file ([`record`](crate::proto::record)), which may be old or somebody else's: so
//! nothing is believed of it before the peer has answered a HELLO of the connection. A peer that does not answer is told
//! that the connection is over, should it have it all the same, and the tunnel is set up anew.

use std::time::{Duration, Instant};

use super::failover;
use crate::config::diff::{print_of_session, print_of_tunnel};
use crate::log::Remark;
use crate::proto::action::Path;
use crate::proto::connection::keepalive;
use crate::proto::connection::transport::asking;
use crate::proto::connection::{Connection, Member};
use crate::proto::context::Context;
use crate::proto::record::{Record, Resumes, SessionRecord};
use crate::proto::result::result;
use crate::proto::session::slot::Slot;
use crate::proto::session::table::State;
use crate::proto::session::Session;
use crate::proto::snapshot::{Cause, Failure};
use crate::proto::tunnel::Tunnel;
use crate::wire::code::{cdn, stopccn};
use crate::wire::message::{Cdn, SessionIds};
use crate::wire::{Ccid, CircuitStatus, Message, MessageType, SessionId};

/// What events and the history say of what goes on.
const GOES_ON: &str = "goes on after a crash: the peer still had it";
/// What the peer is told of a connection that does not.
const OVER: &str = "the program that had it is gone";

/// The peer may not have been told of the circuit.
const UNKNOWN: CircuitStatus = CircuitStatus(u16::MAX);

// ----- what is written -----

/// What a program has to know to go on with the tunnel's connection. `sequence` tells the number of the next frame of a
/// session.
pub fn record_of(
    tunnel: &Tunnel,
    moment: Instant,
    sequence: &dyn Fn(SessionId) -> Option<u32>,
) -> Option<Record> {
    let Some(main) = tunnel.members.main() else { return tunnel.kept.as_deref().cloned() };
    let mut record = Record::new(main, print_of_tunnel(&tunnel.config))?;
    let told = !main.transport.channel.has(MessageType::SLI);
    for slot in tunnel.slots.iter().filter(|slot| slot.is_of(main.ccid())) {
        let Some(session) = &slot.session else { continue };
        if session.state != State::Established {
            record.unfinished.extend((session.remote != SessionId(0)).then(|| session.ids()));
            continue;
        }
        let mut kept = session.to_record(moment);
        if !told {
            kept.advertised = UNKNOWN;
        }
        record.sessions.push(SessionRecord {
            interface: slot.config.interface.clone(),
            print: print_of_session(&slot.config),
            sequence: sequence(session.local).unwrap_or(session.first_sequence),
            session: kept,
        });
    }
    Some(record)
}

// ----- what is read -----

/// The tunnel had this connection before the crash. Its next attempt begins with that.
pub fn keep(tunnel: &mut Tunnel, cx: &mut Context, record: Box<Record>) {
    let peer = record.path.remote.ip();
    let named = tunnel.addresses.contains(peer)
        || tunnel.config.is_for_any()
        || tunnel.config.names().next().is_some();
    match (tunnel.is_usable() && tunnel.members.is_empty(), named) {
        (true, true) => tunnel.kept = Some(record),
        (true, false) => refused(tunnel, cx, &format!("{peer} is not its peer any more")),
        (false, _) => {}
    }
}

/// There is something in the file that the tunnel cannot go on with.
pub fn refused(tunnel: &mut Tunnel, cx: &mut Context, why: &str) {
    let remark = Remark::NotResumed { tunnel: tunnel.config.name.clone(), why: why.to_owned() };
    cx.remark(&remark);
    let failure = Failure::new(format!("state-file: {why}"), Cause::Other);
    tunnel.fail(cx, failure);
}

/// There is a socket: the peer is asked. `false`: there is nothing to ask for.
pub fn ask(tunnel: &mut Tunnel, cx: &mut Context, prepared: Path) -> bool {
    match tunnel.kept.take() {
        Some(record) => ask_for(tunnel, cx, prepared, *record),
        None => false,
    }
}

fn ask_for(tunnel: &mut Tunnel, cx: &mut Context, prepared: Path, record: Record) -> bool {
    // An address of ours that the configuration does not name may be another one today; the peer follows.
    let mut path = Path { encapsulation: record.path.encapsulation, remote: record.path.remote, ..prepared };
    path.local.set_port(tunnel.config.ports_of(path.encapsulation).0);
    let known = tunnel.config.each_encapsulation().any(|way| way == path.encapsulation);
    let free = !cx.ids.has(record.ccid) && cx.alive < cx.max_tunnels;
    if tunnel.members.main_ccid().is_some() || !known || !free {
        return false;
    }
    let Some(connection) = record.connection(cx, tunnel.key, &tunnel.config, path) else {
        refused(tunnel, cx, "it was set up with another password");
        return false;
    };
    let ends = (record.print != print_of_tunnel(&tunnel.config))
        .then(|| "the configuration has changed since".to_owned());
    // What was being set up begins anew.
    let mut gone = record.unfinished;
    for session in record.sessions {
        match block_of(tunnel, cx, &session).filter(|_| ends.is_none()) {
            Some(slot) => {
                let (connection, first_sequence) = (Some(connection.ccid()), session.sequence);
                slot.file(cx, Session { connection, path, first_sequence, ..session.session });
            }
            None => gone.push(session.session.ids()),
        }
    }
    let ccid = connection.ccid();
    tunnel.resumes = Some(Box::new(Resumes { ccid, ends, gone }));
    tunnel.members.set_main(ccid);
    tunnel.attempt.cancel(cx);
    let filed = tunnel.file(cx, connection);
    if !filed.is_some_and(|connection| asking::ask(&mut connection.transport, cx)) {
        unanswered(tunnel, cx, ccid, "the HELLO could not be built");
    }
    true
}

/// The session block of a session of then, if it says the same now.
fn block_of<'a>(tunnel: &'a mut Tunnel, cx: &Context, session: &SessionRecord) -> Option<&'a mut Slot> {
    let slot = tunnel.slots.named(&session.interface)?;
    let usable = slot.is_dynamic() && slot.is_usable() && slot.session.is_none();
    let same = usable && print_of_session(&slot.config) == session.print;
    let room = cx.ids.session_count() < cx.max_sessions && !cx.ids.has_session(session.session.local);
    (same && room).then_some(slot)
}

// ----- what the peer says -----

/// The peer has answered, if it was asked: it still has the connection.
pub fn answered(tunnel: &mut Tunnel, cx: &mut Context, ccid: Ccid) {
    let Tunnel { resumes, members, .. } = tunnel;
    let answers = members.main().filter(|main| main.ccid() == ccid && !main.transport.has_deadline());
    if let Some(member) = answers.map(Connection::member) {
        match resumes.take_if(|resumes| resumes.ccid == ccid).map(|resumes| *resumes) {
            Some(Resumes { ends: Some(why), .. }) => end(tunnel, cx, ccid, &why),
            Some(Resumes { gone, .. }) => go_on(tunnel, cx, member, &gone),
            None => {}
        }
    }
}

/// The peer has it, but it is of no use any more.
fn end(tunnel: &mut Tunnel, cx: &mut Context, ccid: Ccid, why: &str) {
    tunnel.slots.forget_sessions(cx, ccid, why);
    tunnel.members.leave_service(ccid);
    tunnel.close_connection(cx, ccid, result(stopccn::GENERAL, None, OVER));
    refused(tunnel, cx, why);
    tunnel.schedule(cx, Duration::ZERO);
}

fn go_on(tunnel: &mut Tunnel, cx: &mut Context, member: Member, gone: &[SessionIds]) {
    let name = tunnel.config.name.clone();
    cx.remark(&Remark::Resumed { tunnel: name, connection: member.ccid });
    tunnel.backup.because(|| "it was in use before the crash".to_owned());
    failover::serve(tunnel, cx, member, GOES_ON);
    tunnel.addresses.doubt(cx, tunnel.key, &tunnel.config);
    let Some(connection) = tunnel.members.main_mut() else { return cx.missing() };
    keepalive::serve(connection, cx);
    for ids in gone {
        let code = result(cdn::ADMIN, None, "it begins anew after a crash");
        // What cannot be sent the peer learns from its own next message for this session.
        let _ = connection.transport.enqueue(cx, &Message::Cdn(Cdn { ids: *ids, result: Some(code) }));
    }
    tunnel.slots.resume(cx);
    tunnel.slots.begin(cx, connection, Duration::ZERO);
}

/// The peer does not answer: it has forgotten the connection, or cannot be reached. It is told, once, and the tunnel is set
/// up anew.
pub fn unanswered(tunnel: &mut Tunnel, cx: &mut Context, ccid: Ccid, why: &str) {
    if let Some(connection) = tunnel.members.main().filter(|main| main.ccid() == ccid) {
        connection.send_stopccn_once(cx, OVER);
    }
    tunnel.resumes = None;
    tunnel.slots.forget_sessions(cx, ccid, why);
    tunnel.delete(cx, ccid);
    refused(tunnel, cx, why);
    tunnel.schedule(cx, Duration::ZERO);
}
