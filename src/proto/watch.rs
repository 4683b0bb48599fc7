//! How tunnels and connections watch the routes that they take.

use std::net::IpAddr;

use super::action::Action;
use super::context::Context;
use super::route::{RouteKey, User};
use crate::config::model::Via;
use crate::saved::saved;

/// A user's hold on the route that it watches.
#[derive(Debug)]
pub struct Watch {
    user: User,
    key: Option<RouteKey>,
}
saved!(Watch { user, key });

impl Watch {
    /// Nothing is watched yet.
    pub fn new(user: User) -> Watch {
        Watch { user, key: None }
    }

    /// Watches the route between these addresses, by what packets leave by, from now on; `None`: none.
    pub fn set(&mut self, cx: &mut Context, remote: Option<IpAddr>, local: Option<IpAddr>, via: Via) {
        let new = remote.and_then(|remote| key(remote, local, via));
        if self.key == new {
            return;
        }
        if let Some(old) = std::mem::replace(&mut self.key, new) {
            if cx.routes.unwatch(old, self.user) {
                cx.act(Action::Unwatch { key: old });
            }
        }
        if let Some(key) = new {
            if cx.routes.watch(key, self.user) {
                cx.act(Action::Watch { key });
            }
        }
    }

    /// Watches the route that a tunnel's next attempt takes. Without a known peer a failed one may succeed once this host
    /// has another address.
    pub fn set_next(
        &mut self,
        cx: &mut Context,
        peer: Option<IpAddr>,
        (local, via): (Option<IpAddr>, Via),
        failed: bool,
    ) {
        self.set(cx, peer, local, via);
        let User(key, _) = self.user;
        match peer.is_none() && failed {
            true => cx.routes.offline.insert(key),
            false => cx.routes.offline.remove(&key),
        };
    }
}

/// Link-local addresses mean nothing without an interface, of which routes know nothing.
fn key(remote: IpAddr, local: Option<IpAddr>, via: Via) -> Option<RouteKey> {
    let link_local = match remote {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    (!link_local && !remote.is_unspecified()).then_some(RouteKey { remote, local, via })
}
