//! An SCCRQ that may be believed, and the connection that answers it.
//!
//! Where more peers call than may be half open the SCCRP is sent without a connection, and the SCCCN that comes back makes
//! one. Nothing is logged before that, for it may be a flood.

use super::receive;
use super::tunnels::Tunnels;
use crate::config::model::{Compatibility, Role};
use crate::log::Event;
use crate::proto::action::{Path, Received};
use crate::proto::connection::allowance::Allowance;
use crate::proto::connection::auth::Auth;
use crate::proto::connection::table::State;
use crate::proto::connection::{identity, Connection};
use crate::proto::context::Context;
use crate::proto::dropped::DropCause;
use crate::proto::result::{break_tie, TieBreak};
use crate::proto::snapshot::count;
use crate::proto::tunnel::Tunnel;
use crate::proto::unproven::{Answered, RequestKey};
use crate::wire::avp::{self, MessageTypeAvp};
use crate::wire::header;
use crate::wire::message::{decode, DecodeOptions, Note, Refusal, SetUp};
use crate::wire::{Encapsulation, Message, MessageType};

/// An SCCRQ that may be believed.
pub struct Request<'a> {
    /// Where it came from, and its octets.
    pub received: Received<'a>,
    /// What its digest has shown.
    pub auth: Auth,
    /// Its AVPs.
    pub set_up: SetUp,
}

impl<'a> Request<'a> {
    /// Reads an SCCRQ for a tunnel, and what there is to note of it. `None`: it is none.
    pub fn read(
        tunnel: &Tunnel,
        received: Received<'a>,
        auth: Auth,
    ) -> (Result<Option<Request<'a>>, Refusal>, Vec<Note>) {
        let Received { header, message, .. } = received;
        let secrets = auth.hiding_secrets();
        let cisco = tunnel.config.compatibility != Compatibility::Rfc;
        let options = DecodeOptions { secrets: &secrets, cisco, version_2: header.version == 2 };
        let decoded = decode(message, &options);
        let request = decoded.message.map(|message_read| match message_read {
            Message::Sccrq(set_up) => Some(Request { received, auth, set_up }),
            _ => None,
        });
        (request, decoded.notes)
    }

    /// Makes a new connection the one that answers it, with this nonce of ours.
    pub fn take(self, cx: &mut Context, connection: &mut Connection, nonce: [u8; 16]) {
        let Request { received, auth, set_up } = self;
        connection.take_peer(cx, &set_up);
        connection.tie_breaker = set_up.tie_breaker;
        let transport = &mut connection.transport;
        transport.auth = auth;
        if transport.auth.signs() && set_up.nonce.is_some() {
            transport.auth.local_nonce = nonce.to_vec();
        }
        transport.channel.begin(received.header.ns);
        transport.allowance = Allowance::new(received.message.len());
        connection.request_nonce = set_up.nonce;
    }
}

/// Answers an SCCRQ without a connection, if it is acceptable and has not lost a tie.
pub fn answer_once(cx: &mut Context, tunnel: &mut Tunnel, request: Request<'_>) {
    let acceptable = tunnel.config.role != Role::Active && identity::fits(&tunnel.config, &request.set_up);
    let Received { path, header, message } = request.received;
    if !acceptable || header.version != 3 || !wins(tunnel, &request) {
        return cx.drop_message(&path, DropCause::Limit);
    }
    let key = RequestKey::new(tunnel.key, &path, &request.set_up);
    let found = cx.unproven.find(&key).map(|answered| (answered.ccid, answered.nonce, answered.allowance));
    let known = found.or_else(|| {
        let (ccid, nonce) = (cx.draw_ccid()?, cx.random()?);
        cx.unproven.add(key.clone(), (path, message), (ccid, nonce))?;
        Some((ccid, nonce, 0))
    });
    let Some((ccid, nonce, left)) = known else { return cx.drop_message(&path, DropCause::Limit) };
    let mut connection = Connection::new(cx, tunnel.key, &tunnel.config, ccid, path);
    request.take(cx, &mut connection, nonce);
    connection.transport.allowance.keep(left);
    connection.send_reply_once(cx);
    let left = connection.transport.allowance.left();
    if let Some(answered) = cx.unproven.find(&key) {
        answered.allowance = left;
    }
}

/// Whether an SCCRQ stands against ours, if the two cross.
fn wins(tunnel: &Tunnel, request: &Request<'_>) -> bool {
    let ours = tunnel.members.main().filter(|c| c.state == State::WaitCtlReply);
    ours.is_none_or(|ours| match break_tie(ours.tie_breaker, request.set_up.tie_breaker) {
        TieBreak::Lose | TieBreak::NoTie => true,
        TieBreak::Win | TieBreak::Draw => false,
    })
}

/// A message for an id that no connection has. Whether it is that of an SCCRP which was sent without; the SCCCN that
/// answers it makes the connection.
pub fn complete(cx: &mut Context, tunnels: &mut Tunnels, received: Received<'_>) -> bool {
    let Received { path, header, message } = received;
    let answered = cx.unproven.get(header.ccid).filter(|answered| answered.is_from(path)).cloned();
    let found = answered.and_then(|answered| Some((tunnels.get_mut(answered.tunnel)?, answered)));
    let Some((tunnel, answered)) = found.filter(|(tunnel, _)| tunnel.is_usable()) else { return false };
    let path = tunnel.marked(path);
    let Ok(MessageTypeAvp::Type { vendor: 0, value, .. }) = avp::check_structure(message, false) else {
        return true; // a bare acknowledgement: the SCCCN follows
    };
    let Some(mut connection) = connection(cx, tunnel, &answered, path) else {
        cx.unproven.remove(answered.ccid);
        return false;
    };
    if !connection.transport.auth.judge(message).believed {
        cx.drop_message(&path, DropCause::Digest);
        return true;
    }
    match value {
        MessageType::SCCCN if (header.ns, header.nr) == (connection.transport.channel.nr(), 1) => {}
        MessageType::STOPCCN => {
            cx.unproven.remove(answered.ccid);
            return true;
        }
        _ => return true, // the SCCCN comes first, or comes again
    }
    cx.unproven.remove(answered.ccid);
    make_room(cx, tunnel);
    if cx.alive >= cx.max_tunnels || cx.shutting_down {
        cx.drop_message(&path, DropCause::Limit);
        return true;
    }
    if let Some(main) = tunnel.members.main().filter(|main| main.state == State::Established) {
        cx.log(Event::AlreadyHaveTunnel { tunnel: main.ccid() });
    }
    connection.transport.allowance.lift();
    resume_reply(cx, tunnel, connection);
    receive::receive(tunnel, cx, received);
    true
}

/// An SCCRQ was answered before there was a connection, and now the peer answers that.
fn resume_reply(cx: &mut Context, tunnel: &mut Tunnel, connection: Connection) {
    count(&mut tunnel.members.counters.setups);
    count(&mut tunnel.members.counters.rx_messages);
    if let Some(connection) = tunnel.file(cx, connection) {
        connection.resume_reply(cx);
    }
}

/// The connection that an SCCRQ would have had.
fn connection(cx: &mut Context, tunnel: &Tunnel, answered: &Answered, path: Path) -> Option<Connection> {
    let (header, message) =
        header::parse(&answered.message, path.encapsulation == Encapsulation::Udp).ok()?;
    let mut auth = Auth::new(&tunnel.config);
    if !auth.judge_request(message).believed {
        return None; // there is another password by now
    }
    let request = Request::read(tunnel, Received { path, header, message }, auth).0.ok()??;
    let mut connection = Connection::new(cx, tunnel.key, &tunnel.config, answered.ccid, path);
    request.take(cx, &mut connection, answered.nonce);
    Some(connection)
}

/// Who has proved that it is there goes before those who have not.
fn make_room(cx: &mut Context, tunnel: &mut Tunnel) {
    if cx.alive < cx.max_tunnels {
        return;
    }
    let oldest = tunnel.members.in_state(State::WaitCtlConn).next();
    oldest.into_iter().for_each(|oldest| tunnel.delete(cx, oldest));
}
