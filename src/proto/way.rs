//! The ways to the peers: what becomes of tunnels when an address of ours goes, a route appears, or the system would
//! send from another address than before.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::action::{Action, Path};
use super::connection::table::State;
use super::connection::Connection;
use super::context::{Context, TunnelKey};
use super::snapshot::{Cause, Failure};
use super::tunnel::Tunnel;
use crate::config::model::{Remote, Role};
use crate::log::Remark;
use crate::wire::Ccid;

/// A peer's address, and that of ours which is used with it; `None`: the one that the system chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ends {
    /// The peer's address.
    pub remote: IpAddr,
    /// Ours.
    pub local: Option<IpAddr>,
}

/// Where packets go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop {
    /// Index of the interface that they leave through.
    pub device: i32,
    /// The router there, if they need one.
    pub gateway: Option<IpAddr>,
}

/// How packets between two [`Ends`] would travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// Where they go first; `None`: there is no route, or our address is gone.
    pub hop: Option<Hop>,
    /// The source address that the system would choose; `None`: no route.
    pub source: Option<IpAddr>,
    /// Our address is (still) one of this host.
    pub own: bool,
    /// It is there, but nothing new is to use it.
    pub deprecated: bool,
}

/// Who watches a way: a tunnel, for its next attempt, or one of its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct User(pub TunnelKey, pub Option<Ccid>);

/// The ways that are watched.
#[derive(Debug, Default)]
pub struct Ways {
    watched: BTreeMap<Ends, Watched>,
    /// Tunnels that may work once this host has got (another) address: those whose peer's address is not known.
    pub offline: BTreeSet<TunnelKey>,
}

#[derive(Debug, Default)]
struct Watched {
    users: BTreeSet<User>,
    way: Option<Way>,
}

impl Ways {
    /// The way is now like this. Its users and how it was before; nobody, if that is no news.
    pub fn update(&mut self, ends: Ends, way: Way) -> (Vec<User>, Option<Way>) {
        let Some(watched) = self.watched.get_mut(&ends) else { return (Vec::new(), None) };
        let old = watched.way.replace(way);
        match old == Some(way) {
            true => (Vec::new(), old),
            false => (watched.users.iter().copied().collect(), old),
        }
    }
}

/// A user's hold on the way that it watches.
#[derive(Debug)]
pub struct Watch {
    user: User,
    ends: Option<Ends>,
}

impl Watch {
    /// Nothing is watched yet.
    pub fn new(user: User) -> Watch {
        Watch { user, ends: None }
    }

    /// Watches the way between these addresses from now on; `None`: none.
    pub fn set(&mut self, cx: &mut Context, remote: Option<IpAddr>, local: Option<IpAddr>) {
        let new = remote.and_then(|remote| ends(remote, local));
        if self.ends == new {
            return;
        }
        if let Some(old) = std::mem::replace(&mut self.ends, new) {
            if let Some(watched) = cx.ways.watched.get_mut(&old) {
                watched.users.remove(&self.user);
                if watched.users.is_empty() {
                    cx.ways.watched.remove(&old);
                    cx.act(Action::Unwatch { ends: old });
                }
            }
        }
        if let Some(ends) = new {
            let watched = cx.ways.watched.entry(ends).or_default();
            watched.users.insert(self.user);
            if watched.users.len() == 1 {
                cx.act(Action::Watch { ends });
            }
        }
    }
}

/// Link-local addresses mean nothing without an interface, of which routes know nothing.
fn ends(remote: IpAddr, local: Option<IpAddr>) -> Option<Ends> {
    let link_local = match remote {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    (!link_local && !remote.is_unspecified()).then_some(Ends { remote, local })
}

impl Tunnel {
    /// The answer to `Action::Prepare` where nothing can be sent to the peer at present: the tunnel is tried when that
    /// changes, and now and then. `peer` is not known while there is not even a network to look its name up in.
    pub fn no_way(&mut self, cx: &mut Context, peer: Option<IpAddr>, why: &str) {
        self.preparing = false;
        let text = match peer {
            Some(peer) => format!("no route to {peer}: {why}"),
            None => why.to_owned(),
        };
        if self.attempt.failure().is_none_or(|failure| failure.check != text) {
            cx.remark(&Remark::NoWay { tunnel: self.config.name.clone(), why: text.clone() });
            self.attempt.fail(cx.now, Failure::new(text, Cause::Route));
        }
        self.watch_next(cx, peer, true);
        self.retry(cx);
    }

    /// Watches the way that the next attempt takes. Without a known peer a failed one may succeed once this host has
    /// another address.
    pub fn watch_next(&mut self, cx: &mut Context, peer: Option<IpAddr>, failed: bool) {
        self.watch.set(cx, peer, self.config.local_address);
        match peer.is_none() && failed {
            true => cx.ways.offline.insert(self.key),
            false => cx.ways.offline.remove(&self.key),
        };
    }

    /// Makes the next attempt at once, if one waits for its time.
    pub fn try_now(&mut self, cx: &mut Context) {
        if self.members.main_ccid().is_none() && self.attempt.is_scheduled() {
            self.schedule(cx, Duration::ZERO);
        }
    }

    /// A way of the tunnel (or of this connection) has changed, or is known now.
    pub fn way(&mut self, cx: &mut Context, ccid: Option<Ccid>, ends: Ends, old: Option<Way>, way: Way) {
        match (ccid, old) {
            (Some(ccid), _) => self.connection_way(cx, ccid, ends, way),
            (None, Some(_)) => self.next_way(cx, ends, way),
            // It was looked at before this attempt.
            (None, None) => {}
        }
    }

    /// The way that the next attempt would take has changed.
    fn next_way(&mut self, cx: &mut Context, ends: Ends, way: Way) {
        if way.hop.is_none() {
            return self.attempt.fail(cx.now, Failure::new(lost_way(ends, way), Cause::Route));
        }
        let main = self.members.main_ccid().and_then(|ccid| self.members.get_mut(ccid));
        match main.map(|c| (c.state, c)) {
            None => self.try_now(cx),
            // What was sent before went nowhere.
            Some((State::WaitCtlReply, connection)) => connection.transport.repeat_oldest(cx),
            Some((
                State::Idle | State::WaitCtlConn | State::Established | State::Stopping | State::Linger,
                _,
            )) => {}
        }
    }

    /// The way that a connection takes has changed, or is seen for the first time.
    fn connection_way(&mut self, cx: &mut Context, ccid: Ccid, ends: Ends, way: Way) {
        let free = self.config.local_address.is_none();
        let Some(connection) = self.members.get_mut(ccid) else { return cx.missing() };
        let had_way = std::mem::replace(&mut connection.has_way, way.hop.is_some());
        if way.source == ends.local {
            connection.hop = way.hop;
        }
        // Packets from our address take another way than when it was chosen: providers drop foreign addresses. That
        // the system has a new favourite alone is no reason.
        let strayed = connection.hop.is_some() && connection.hop != way.hop;
        // While no address at all leads to the peer nothing is better than what there is: it may come back.
        let another = way.source.is_some() && way.source != ends.local;
        let leaves = if free { another && (strayed || way.deprecated || !way.own) } else { !way.own };
        match (leaves, way.hop) {
            (true, _) => self.leave_source(cx, ccid, ends, way),
            (false, None) => self.attempt.fail(cx.now, Failure::new(lost_way(ends, way), Cause::Route)),
            (false, Some(_)) if !had_way => {
                self.attempt.forget(Cause::Route);
                self.probe(cx, ccid);
            }
            (false, Some(_)) => {}
        }
    }

    /// The address of ours that a connection uses is gone, or the system prefers another one now. Where we may
    /// begin, the tunnel is set up anew from there; else the peer is greeted from there.
    fn leave_source(&mut self, cx: &mut Context, ccid: Ccid, ends: Ends, way: Way) {
        let answers_only = self.config.role == Role::Passive || self.config.remote == Some(Remote::Any);
        let fixed = self.config.local_address.is_some();
        let failure = Failure::new(lost_way(ends, way), Cause::Route);
        let (tunnel, why) = (self.config.name.clone(), failure.check.clone());
        let Some(connection) = self.members.get_mut(ccid) else { return cx.missing() };
        match connection.state {
            State::Idle | State::Stopping | State::Linger => {}
            State::WaitCtlConn => self.delete(cx, ccid),
            State::Established if answers_only && !fixed => {
                cx.remark(&Remark::SourcePassive { tunnel, why });
                let path = connection.send_from_anywhere(cx);
                self.attempt.fail(cx.now, failure);
                self.slots.move_to(cx, ccid, path);
                self.probe(cx, ccid);
            }
            State::WaitCtlReply | State::Established => {
                cx.remark(&Remark::Source { tunnel, why });
                // By another way, nobody would take a message from that address.
                if way.deprecated && connection.state == State::Established {
                    connection.say_good_bye(cx);
                }
                self.lose(cx, ccid, failure);
                self.schedule(cx, Duration::ZERO);
            }
        }
    }
}

impl Connection {
    /// Watches the way that it takes, once it is known from which address of ours.
    pub fn watch_path(&mut self, cx: &mut Context) {
        let path = self.transport.path;
        let local = Some(path.local.ip()).filter(|local| !local.is_unspecified());
        self.watch.set(cx, local.and(Some(path.remote.ip())), local);
    }

    /// From now on the system chooses the source address; the path is then this.
    fn send_from_anywhere(&mut self, cx: &mut Context) -> Path {
        let mut path = self.transport.path;
        let any: IpAddr = match path.local.is_ipv4() {
            true => Ipv4Addr::UNSPECIFIED.into(),
            false => Ipv6Addr::UNSPECIFIED.into(),
        };
        path.local.set_ip(any);
        self.hop = None;
        self.move_to(cx, path);
        path
    }
}

/// What is wrong with a way.
fn lost_way(ends: Ends, way: Way) -> String {
    match (ends.local, way.source) {
        (Some(local), _) if !way.own => format!("{local} is not an address of this host any more"),
        (Some(local), Some(source)) if source != local => {
            format!("the route to {} takes the source address {source}, not {local} any more", ends.remote)
        }
        (_, _) => format!("no route to {} any more", ends.remote),
    }
}
