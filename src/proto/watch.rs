//! How tunnels and connections watch the ways that they take.

use std::net::IpAddr;

use super::action::Action;
use super::context::Context;
use super::way::{Ends, User};

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
            if cx.ways.unwatch(old, self.user) {
                cx.act(Action::Unwatch { ends: old });
            }
        }
        if let Some(ends) = new {
            if cx.ways.watch(ends, self.user) {
                cx.act(Action::Watch { ends });
            }
        }
    }

    /// Watches the way that a tunnel's next attempt takes. Without a known peer a failed one may succeed once this host
    /// has another address.
    pub fn set_next(&mut self, cx: &mut Context, peer: Option<IpAddr>, local: Option<IpAddr>, failed: bool) {
        self.set(cx, peer, local);
        let User(key, _) = self.user;
        match peer.is_none() && failed {
            true => cx.ways.offline.insert(key),
            false => cx.ways.offline.remove(&key),
        };
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
