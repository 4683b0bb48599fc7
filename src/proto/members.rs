//! The control connections of a tunnel: the one that serves it, those that answer an SCCRQ, those that end.

use std::rc::Rc;

use super::connection::table::State;
use super::connection::{Connection, Member};
use super::context::Context;
use super::session::slot::Slot;
use super::snapshot::ControlCounters;
use crate::config::model::TunnelConfig;
use crate::saved::{Reader, Saved, Writer};
use crate::wire::Ccid;

/// The connections of a tunnel.
#[derive(Debug, Default)]
pub struct Members {
    /// The oldest first.
    connections: Vec<Connection>,
    /// The one that serves the tunnel: established, or our own attempt.
    main: Option<Ccid>,
    /// What was counted for the tunnel itself, and for connections that are gone.
    pub counters: ControlCounters,
}

impl Members {
    /// Writes all.
    pub fn save(&self, to: &mut Writer) {
        let Members { connections, main, counters } = self;
        main.save(to);
        counters.save(to);
        connections.len().save(to);
        connections.iter().for_each(|connection| connection.save(to));
    }

    /// Reads them, for the same tunnel block.
    pub fn restore(from: &mut Reader<'_>, config: &Rc<TunnelConfig>) -> Members {
        let (main, counters) = (Saved::restore(from), Saved::restore(from));
        let mut connections = Vec::new();
        for _ in 0..usize::restore(from) {
            connections.push(Connection::restore_with(from, Rc::clone(config)));
            if from.sound().is_err() {
                break;
            }
        }
        Members { connections, main, counters }
    }

    /// The connection with this id of ours.
    pub fn get(&self, ccid: Ccid) -> Option<&Connection> {
        self.iter().find(|c| c.ccid() == ccid)
    }

    /// The connection with this id of ours.
    pub fn get_mut(&mut self, ccid: Ccid) -> Option<&mut Connection> {
        self.iter_mut().find(|c| c.ccid() == ccid)
    }

    /// The connection of a block's session.
    pub fn of(&mut self, slot: &Slot) -> Option<&mut Connection> {
        self.get_mut(slot.connection()?)
    }

    /// The state of a connection.
    pub fn state(&self, ccid: Ccid) -> Option<State> {
        self.get(ccid).map(|c| c.state)
    }

    /// All, the oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Connection> {
        self.connections.iter()
    }

    /// All, the oldest first.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut Connection> {
        self.connections.iter_mut()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// The id of the one that serves the tunnel.
    pub fn main_ccid(&self) -> Option<Ccid> {
        self.main
    }

    /// The one that serves the tunnel.
    pub fn main(&self) -> Option<&Connection> {
        self.get(self.main?)
    }

    /// The one that serves the tunnel.
    pub fn main_mut(&mut self) -> Option<&mut Connection> {
        self.get_mut(self.main?)
    }

    /// It serves the tunnel from now on.
    pub fn set_main(&mut self, ccid: Ccid) {
        self.main = Some(ccid);
    }

    /// It does not serve the tunnel any more. `false`: it did not before.
    pub fn leave_service(&mut self, ccid: Ccid) -> bool {
        let served = self.main == Some(ccid);
        if served {
            self.main = None;
        }
        served
    }

    /// The ids of those in this state, the oldest first.
    pub fn in_state(&self, state: State) -> impl DoubleEndedIterator<Item = Ccid> + '_ {
        self.iter().filter(move |c| c.state == state).map(Connection::ccid)
    }

    /// Those that serve or may come to serve the tunnel.
    pub fn alive(&self) -> Vec<Member> {
        self.iter().filter(|c| c.state.is_alive()).map(Connection::member).collect()
    }

    /// One more; it, in its place.
    pub fn add(&mut self, cx: &mut Context, mut connection: Connection) -> Option<&mut Connection> {
        connection.file(cx);
        // Most tunnels have one; a list makes room for four.
        self.connections.reserve_exact(1);
        self.connections.push(connection);
        self.connections.last_mut()
    }

    /// One less: frees it (its id may be used again).
    pub fn delete(&mut self, cx: &mut Context, ccid: Ccid) {
        let Some(at) = self.connections.iter().position(|c| c.ccid() == ccid) else { return cx.missing() };
        let mut connection = self.connections.remove(at);
        connection.free(cx);
        self.counters.add(&connection.transport.counters);
    }

    /// A message came on a connection whose peer seemed to have started over: it still knows our id, so the SCCRQ was a
    /// repetition. The half-open connection that answers it.
    pub fn answers_repetition(&self, ccid: Ccid) -> Option<Ccid> {
        let known = self.get(ccid).filter(|c| c.answered_again && c.state == State::Established)?;
        let half_open =
            |c: &Connection| c.state == State::WaitCtlConn && c.transport.channel.awaits_acknowledgement();
        self.iter().find(|c| half_open(c) && c.answers_as(known)).map(Connection::ccid)
    }

    /// Whether the peer of a connection says that it is who the peer of the other is.
    pub fn is_same_peer(&self, ccid: Ccid, other: &Connection) -> bool {
        let same = |c: &Connection| {
            (&c.peer.host_name, c.peer.router_id) == (&other.peer.host_name, other.peer.router_id)
        };
        self.get(ccid).is_some_and(same)
    }

    /// The one that the status shows: in service, or answering the peer.
    pub fn shown(&self) -> Option<&Connection> {
        let in_state = |wanted: State| self.iter().rev().find(|c| c.state == wanted);
        self.main().or_else(|| in_state(State::WaitCtlConn)).or_else(|| in_state(State::Stopping))
    }

    /// What was counted, in all.
    pub fn counted(&self) -> ControlCounters {
        let mut sum = self.counters;
        self.iter().for_each(|c| sum.add(&c.transport.counters));
        sum
    }

    /// `counters reset`.
    pub fn reset_counters(&mut self) {
        self.counters = ControlCounters::default();
        self.iter_mut().for_each(|c| c.transport.counters = ControlCounters::default());
    }
}
