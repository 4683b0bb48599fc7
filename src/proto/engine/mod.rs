//! The engine: whose is a datagram, a timer, an answer of the daemon? It finds the tunnel once and hands the matter down.

mod callers;
mod command;
mod failover;
mod loss;
mod prepare;
mod receive;
mod reconfigure;
mod request;
mod resume;
mod route_change;
mod sccrq;
mod show;
mod tunnels;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::Instant;

use super::action::{Action, Path, Received};
use super::connection::Connection;
use super::context::{Context, Random, Timer, TunnelKey};
use super::dropped::DropCause;
use super::guard::Guard;
use super::record::Record;
use super::route::{Route, RouteKey, User};
use super::session::setup;
use super::session::slot::Slot;
use super::snapshot::{DroppedFrom, Drops, SessionBrief, TunnelBrief, TunnelSnapshot};
use super::tunnel::Tunnel;
use crate::config::diff::Change;
use crate::config::model::TunnelConfig;
use crate::config::Config;
use crate::log::Event;
use crate::saved::{Broken, Reader, Saved, Writer};
use crate::wire::avp;
use crate::wire::code::stopccn;
use crate::wire::header::{self, HeaderError};
use crate::wire::{Ccid, Encapsulation, SessionId};

pub use command::{Command, CommandError};
use tunnels::Tunnels;

/// The place in the product's source that the messages about headers name.
const FUNC: &str = "recv_packet";

/// Timers that run before the caller has its turn: there may be thousands at once, and frames do not wait for all.
const TIMERS: usize = 64;

/// What a file is to hold of a tunnel.
#[derive(Debug)]
pub struct TunnelRecord<'a> {
    /// Its block of the configuration.
    pub config: &'a TunnelConfig,
    /// What is to be kept of its connection, if that is established.
    pub record: Option<Record>,
}

/// All tunnels, what they share, and what strangers may cost.
pub struct Engine {
    cx: Context,
    tunnels: Tunnels,
    guard: Option<Guard>,
}

impl Engine {
    /// An engine without tunnels.
    pub fn new(now: Instant, random: Box<dyn Random>) -> Engine {
        Engine { cx: Context::new(now, random), tunnels: Tunnels::default(), guard: None }
    }

    /// Writes all that it knows, but for the configuration. To be called when nothing is left to do.
    pub fn save(&self, to: &mut Writer) {
        let Engine { cx, tunnels, guard } = self;
        cx.save(to);
        tunnels.save(to);
        guard.save(to);
    }

    /// An engine that goes on where another one was, at the same moment, with the configuration that was in force.
    pub fn restore(
        from: &mut Reader<'_>,
        now: Instant,
        config: &Config,
        random: Box<dyn Random>,
    ) -> Result<Engine, Broken> {
        let cx = Context::restore_with(from, now, random, VecDeque::new());
        Ok(Engine { cx, tunnels: Tunnels::restore(from, config)?, guard: Saved::restore(from) })
    }

    /// From now on what has to be known to go on after a crash is kept ready: first of all tunnels.
    pub fn keep_records(&mut self) {
        self.tunnels.touch_all();
    }

    /// Nobody wants records any more.
    pub fn keep_no_records(&mut self) {
        self.tunnels.touch_none();
    }

    /// Whether a tunnel may have changed since its record was taken.
    pub fn has_records(&self) -> bool {
        self.tunnels.has_touched()
    }

    /// A tunnel that may have changed: a number that it keeps as long as it is there, and unless it is gone its name and the
    /// record of its connection, if it has one. `sequence` tells the number of the next frame of a session.
    pub fn take_record(
        &mut self,
        now: Instant,
        sequence: &dyn Fn(SessionId) -> Option<u32>,
    ) -> Option<(u32, Option<TunnelRecord<'_>>)> {
        let key = self.tunnels.take_touched()?;
        let tunnel = self.tunnels.get(key).map(|tunnel| TunnelRecord {
            config: &tunnel.config,
            record: resume::record_of(tunnel, now, sequence),
        });
        Some((key.0, tunnel))
    }

    /// What a file says of a tunnel: the connection that it had before a crash, or in words why that is of no use. To be
    /// told before the first timers run.
    pub fn resume(&mut self, now: Instant, tunnel: &str, found: Result<Box<Record>, &str>) {
        self.with_named(now, tunnel, |tunnel, cx| match found {
            Ok(record) => resume::keep(tunnel, cx, record),
            Err(why) => resume::refused(tunnel, cx, why),
        });
    }

    /// The next thing to do, or `None` when there is nothing left.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.cx.next_action()
    }

    /// When [`handle_timeout`](Engine::handle_timeout) wants to be called next.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.cx.next_timeout()
    }

    /// Takes over a configuration, the first or another one: see `Tunnels::apply`.
    pub fn apply(&mut self, now: Instant, config: &Config) {
        self.cx.now = now;
        self.cx.max_tunnels = config.max_tunnels;
        self.cx.max_sessions = config.max_sessions;
        self.tunnels.apply(&mut self.cx, config);
    }

    /// Begins to take over another configuration, which differs so from the one in force: [`go_on`](Engine::go_on) does it.
    pub fn begin(&mut self, config: &Config, changes: Vec<Change>) {
        self.cx.max_tunnels = config.max_tunnels;
        self.cx.max_sessions = config.max_sessions;
        self.tunnels.begin(config, changes);
    }

    /// Takes over at most so many changes; `true` if there are more. Tunnels are as before until theirs have come.
    pub fn go_on(&mut self, now: Instant, most: usize) -> bool {
        self.cx.now = now;
        self.tunnels.go_on(&mut self.cx, most)
    }

    /// Does what the administrator wants.
    pub fn command(&mut self, now: Instant, command: Command) -> Result<(), CommandError> {
        self.cx.now = now;
        command.run(&mut self.cx, &mut self.tunnels)
    }

    /// Runs some of the timers that are due; harmless when none is. [`next_timeout`](Engine::next_timeout) tells whether
    /// there are more. `heard` tells when valid data of the sessions of
    /// a connection came last.
    pub fn handle_timeout(&mut self, now: Instant, heard: &dyn Fn(Ccid) -> Option<Instant>) {
        self.cx.now = now;
        for _ in 0..TIMERS {
            let Some(Timer(key, due)) = self.cx.next_due() else { break };
            self.with(key, |tunnel, cx| receive::due(tunnel, cx, due, heard));
        }
    }

    /// A control message came in, from the T bit on.
    pub fn handle_datagram(&mut self, now: Instant, path: Path, message: &[u8]) {
        self.cx.now = now;
        if let Some(received) = self.check_header(path, message) {
            self.receive(received);
        }
    }

    fn receive(&mut self, received: Received<'_>) {
        let Engine { cx, tunnels, guard } = self;
        let Received { path, header, message } = received;
        if header.ccid == Ccid(0) || header.version != 3 {
            return request::receive(cx, tunnels, guard, received);
        }
        match cx.ids.tunnel_of(header.ccid) {
            Some(key) => self.with(key, |tunnel, cx| receive::receive(tunnel, cx, received)),
            None if sccrq::complete(cx, tunnels, received) => {}
            None => {
                cx.drop_message(&path, DropCause::Connection(header.ccid));
                // The peer may mean a connection of former times, or send back the id that it found in our message, which
                // is its own. What acknowledges another id is for a StopCCN of ours that refused an SCCRQ.
                let known = || cx.peers.known_as(path.remote, header.ccid).next().is_some();
                let kind = avp::check_structure(message, false);
                if kind.is_ok_and(|kind| !kind.is_acknowledgement() || known()) {
                    tunnels.hint(cx, path.remote);
                }
            }
        }
    }

    /// The header checks, in the order of the catalogue's advice; the first that fails is logged.
    fn check_header<'a>(&mut self, path: Path, message: &'a [u8]) -> Option<Received<'a>> {
        let error = match header::parse(message, path.encapsulation == Encapsulation::Udp) {
            Ok((header, message)) => return Some(Received { path, header, message }),
            Err(error) => error,
        };
        match error {
            HeaderError::Short(_) => {}
            HeaderError::NoT => self.cx.log(Event::TBitNotSet { func: FUNC }),
            HeaderError::Version(_) => self.cx.log(Event::OnlyL2tpv3 { func: FUNC }),
            HeaderError::NoL => self.cx.log(Event::LBitNotSet { func: FUNC }),
            HeaderError::NoS => self.cx.log(Event::SBitNotSet { func: FUNC }),
            HeaderError::Length(length) => {
                self.cx.log(Event::WrongSize { tunnel: Ccid(0), func: FUNC, length });
            }
        }
        self.cx.drop_message(&path, DropCause::Header(error));
        None
    }

    /// Hands something down to a tunnel, unless it is not configured any more.
    fn with_named(&mut self, now: Instant, name: &str, call: impl FnOnce(&mut Tunnel, &mut Context)) {
        self.cx.now = now;
        if let Some(tunnel) = self.tunnels.named(name) {
            call(tunnel, &mut self.cx);
        }
    }

    /// Hands something down to a tunnel, which may be gone after it.
    fn with(&mut self, key: TunnelKey, call: impl FnOnce(&mut Tunnel, &mut Context)) {
        let Some(tunnel) = self.tunnels.get_mut(key) else { return self.cx.missing() };
        call(tunnel, &mut self.cx);
        self.tunnels.release(key);
    }

    /// Hands something down to the block of a session, with the session's connection. It may have ended meanwhile.
    fn with_slot(
        &mut self,
        now: Instant,
        session: SessionId,
        call: impl FnOnce(&mut Slot, &mut Context, Option<&mut Connection>),
    ) {
        self.cx.now = now;
        if let Some((key, slot)) = self.cx.ids.slot_of(session) {
            self.with(key, |tunnel, cx| match tunnel.slot_mut(slot) {
                Some((slot, connection)) => call(slot, cx, connection),
                None => cx.missing(),
            });
        }
    }

    /// Answers `Action::Resolve`: the addresses that the name of a tunnel's peer means, the best first, or in words
    /// why there are none.
    pub fn resolved(
        &mut self,
        now: Instant,
        tunnel: &str,
        name: &str,
        addresses: Result<Vec<IpAddr>, String>,
    ) {
        self.cx.now = now;
        let Engine { cx, tunnels, .. } = self;
        let kept = tunnels.change(tunnel, |tunnel| {
            prepare::resolved(tunnel, cx, name, addresses);
            tunnel.addresses.take_kept()
        });
        if let Some((path, request)) = kept.flatten() {
            self.handle_datagram(now, path, &request);
        }
    }

    /// Answers `Action::Prepare`: the path to the peer (with an unspecified remote address where any may
    /// connect), or in words why there is none yet. A tunnel that is not configured any more has no use for it.
    pub fn prepared(&mut self, now: Instant, tunnel: &str, path: Result<Path, String>) {
        self.with_named(now, tunnel, |tunnel, cx| prepare::prepared(tunnel, cx, path));
    }

    /// Answers `Action::Prepare` for a peer that is to be asked whether it could serve: the path, or `None` where there
    /// is none at present.
    pub fn prepared_to_ask(&mut self, now: Instant, tunnel: &str, peer: Option<IpAddr>, path: Option<Path>) {
        self.with_named(now, tunnel, |tunnel, cx| failover::prepared_to_ask(tunnel, cx, peer, path));
    }

    /// Answers `Action::Prepare` where nothing can be sent to the peer at present, for the reason given in the
    /// system's words. `peer` is not known while there is not even a network to look its name up in.
    pub fn no_route(&mut self, now: Instant, tunnel: &str, peer: Option<IpAddr>, why: &str) {
        self.with_named(now, tunnel, |tunnel, cx| route_change::no_route(tunnel, cx, peer, why));
    }

    /// Answers `Action::Watch`, and tells of each change until `Action::Unwatch`.
    pub fn route(&mut self, now: Instant, key: RouteKey, route: Route) {
        self.cx.now = now;
        let (users, old) = self.cx.routes.update(key, route);
        for User(user, ccid) in users {
            self.with(user, |tunnel, cx| route_change::changed(tunnel, cx, ccid, key, old, route));
        }
    }

    /// Answers `Action::MeasurePath`: the longest packet, IP header included, that the system lets leave on the path of
    /// this connection, which may have ended meanwhile; `None`: there is no route.
    pub fn path_measured(&mut self, now: Instant, connection: Ccid, limit: Option<usize>) {
        self.cx.now = now;
        if let Some(key) = self.cx.ids.tunnel_of(connection) {
            self.with(key, |tunnel, cx| receive::path_measured(tunnel, cx, connection, limit));
        }
    }

    /// Whether a tunnel waits for [`online`](Engine::online).
    pub fn is_offline(&self) -> bool {
        !self.cx.routes.offline.is_empty()
    }

    /// This host's addresses changed: tunnels that wait for one are tried.
    pub fn online(&mut self, now: Instant) {
        self.cx.now = now;
        for key in std::mem::take(&mut self.cx.routes.offline) {
            self.with(key, route_change::try_now);
        }
    }

    /// Answers `Action::Attach`: the session's interface is ready, or in words why not. The session may have ended
    /// meanwhile.
    pub fn attached(&mut self, now: Instant, session: SessionId, outcome: Result<(), String>) {
        self.with_slot(now, session, |slot, cx, connection| setup::attached(slot, cx, connection, outcome));
    }

    /// The interface of an attached session failed (it was deleted, say): the session goes down and is retried.
    pub fn data_plane_failed(&mut self, now: Instant, session: SessionId, why: &str) {
        self.with_slot(now, session, |slot, cx, connection| slot.interface_failed(cx, connection, why));
    }

    /// Data of a session came on another path than its own, with the right cookie. That moves nothing: the peer is asked
    /// there.
    pub fn heard_elsewhere(&mut self, now: Instant, session: SessionId, path: Path) {
        self.cx.now = now;
        if let Some((key, slot)) = self.cx.ids.slot_of(session) {
            self.with(key, |tunnel, cx| {
                let path = Some(tunnel.marked(path));
                let connection = tunnel.slot_mut(slot).and_then(|(_, connection)| Some(connection?.ccid()));
                connection.into_iter().for_each(|ccid| receive::probe(tunnel, cx, ccid, path));
            });
        }
    }

    /// The local circuit (the interface, as the administrator sees it) went up or down.
    pub fn circuit(&mut self, now: Instant, interface: &str, up: bool) {
        self.cx.now = now;
        if let Some(tunnel) = self.tunnels.with_interface_mut(interface) {
            tunnel.set_circuit(&mut self.cx, interface, up);
        }
    }

    /// The network reports (ICMP) that what we sent to `remote` did not arrive; with `refused` there is no such port or
    /// protocol. Anybody can forge that: it is shown, and it is a hint.
    pub fn unreachable(&mut self, now: Instant, remote: SocketAddr, error: &str, refused: bool) {
        self.cx.now = now;
        if self.cx.peers.heeds_report(now, remote) {
            let connections: Vec<(Ccid, TunnelKey)> = self.cx.peers.at(remote).collect();
            for (ccid, key) in connections {
                self.with(key, |tunnel, cx| prepare::unreachable(tunnel, cx, ccid, error));
            }
        }
        if refused {
            self.tunnels.hint(&mut self.cx, remote);
        }
    }

    /// The data plane has dropped data from this address that belongs to no session, so often.
    pub fn dropped(&mut self, now: Instant, address: IpAddr, cause: DropCause, count: u64) {
        self.cx.now = now;
        self.cx.note_dropped(address, cause, count, String::new);
    }

    /// Orderly end: StopCCN to every peer. [`is_idle`](Engine::is_idle) tells when all have acknowledged it.
    pub fn shutdown(&mut self, now: Instant) {
        self.cx.now = now;
        self.cx.shutting_down = true;
        let Engine { cx, tunnels, .. } = self;
        tunnels.for_each(|tunnel| tunnel.close(cx, stopccn::SHUTDOWN, "shutting down"));
    }

    /// Whether a connection with the peer at this address and port is established.
    pub fn is_established_with(&self, remote: SocketAddr) -> bool {
        self.cx.peers.has_established(remote)
    }

    /// Whether a control message with this id is for one of our connections, or for an SCCRP that was sent without one.
    pub fn has_connection(&self, id: Ccid) -> bool {
        self.cx.ids.has(id) || self.cx.unproven.get(id).is_some()
    }

    /// Our ids of the control connections, in order.
    pub fn connection_ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.cx.ids.connections().map(|id| id.0)
    }

    /// Whether a StopCCN of ours waits for its acknowledgement.
    pub fn is_stopping(&self) -> bool {
        self.cx.stopping > 0
    }

    /// Whether no message waits for an acknowledgement any more. Lingering connections only answer.
    pub fn is_idle(&self) -> bool {
        self.cx.ids.connection_count() == self.cx.lingering
    }

    /// Messages dropped before they were known to belong to a tunnel, by reason.
    pub fn drops(&self) -> Drops {
        self.cx.drops
    }

    /// Who sends them, the newest first, and how much came from addresses that are not told apart.
    pub fn dropped_from(&self, now: Instant) -> (Vec<DroppedFrom>, u64) {
        self.cx.dropped_from.shown(now)
    }

    /// The name of a tunnel that has its peer there: with a connection, or else by its configuration.
    pub fn tunnel_towards(&self, remote: SocketAddr) -> Option<&str> {
        let connected = self.cx.peers.at(remote).find_map(|(_, key)| self.tunnels.get(key));
        let named = || self.tunnels.towards(remote.ip());
        Some(&connected.or_else(named)?.config.name)
    }

    /// Another number after each change of the configuration: places of before mean others then.
    pub fn edition(&self) -> u64 {
        self.tunnels.edition()
    }

    /// How many tunnels are configured. They are counted from 0, in the order of the configuration, and so are the
    /// sessions of each.
    pub fn tunnel_count(&self) -> usize {
        self.tunnels.count()
    }

    /// The place of the tunnel with this name.
    pub fn tunnel_place(&self, name: &str) -> Option<usize> {
        self.tunnels.place_of(name)
    }

    /// The places of the tunnel and of the session with this interface.
    pub fn session_place(&self, interface: &str) -> Option<(usize, usize)> {
        let tunnel = self.tunnels.with_interface(interface)?;
        Some((tunnel.place, tunnel.slots.place_of(interface)?))
    }

    /// The tunnel at this place, without copying anything.
    pub fn tunnel_brief(&self, tunnel: usize) -> Option<TunnelBrief<'_>> {
        self.tunnels.at(tunnel).map(show::tunnel_brief)
    }

    /// The session at this place of that tunnel, without copying anything.
    pub fn session_brief(&self, tunnel: usize, session: usize) -> Option<SessionBrief<'_>> {
        let tunnel = self.tunnels.at(tunnel)?;
        Some(show::session_brief(tunnel, tunnel.slots.at(session)?))
    }

    /// A tunnel with some of its sessions.
    pub fn tunnel_snapshot(
        &self,
        now: Instant,
        tunnel: usize,
        sessions: Range<usize>,
    ) -> Option<TunnelSnapshot> {
        Some(show::tunnel(&self.cx, self.tunnels.at(tunnel)?, now, sessions))
    }
}
