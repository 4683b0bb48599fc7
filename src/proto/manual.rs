//! Manual sessions: ids and cookies stand in the configuration, nothing is negotiated.

use std::time::Instant;

use super::action::SequenceLevel;
use super::snapshot::Failure;
use super::tunnel::{SlotKey, TunnelKey};
use super::Engine;
use crate::log::Event;
use crate::wire::Ccid;

impl Engine {
    /// Attaches the manual sessions of a tunnel whose path is known.
    pub(super) fn start_manual_sessions(&mut self, now: Instant, key: TunnelKey) {
        let Some(tunnel) = self.tunnels.get(&key) else { return };
        let Some(path) = tunnel.path.filter(|p| !p.remote.ip().is_unspecified()) else { return };
        let (slots, name) = (tunnel.slots.iter(), tunnel.config.name.clone());
        let wanted: Vec<SlotKey> = slots
            .filter(|s| !s.is_dynamic() && s.is_usable() && s.session.is_none())
            .map(|s| s.key)
            .collect();
        for slot in wanted {
            let Some(mut session) = self.new_session(now, key, slot, Ccid(0)) else {
                self.reschedule_slot(now, key, slot);
                continue;
            };
            let Some(entry) = self.tunnels.get(&key).and_then(|t| t.slot(slot)) else { continue };
            let Some(manual) = entry.config.manual else { continue };
            if self.sessions.contains_key(&manual.local) {
                let why = format!("session id {} is in use by another session", manual.local);
                self.log_detail(Event::NewSessionFailed {}, format!("tunnel {name}: {why}"));
                self.fail_session(now, key, slot, Failure::new(why, "M-012"));
                self.reschedule_slot(now, key, slot);
                continue;
            }
            session.connection = None;
            session.local = manual.local;
            session.remote = manual.remote;
            session.cookie_expected = entry.config.local_cookie;
            session.cookie_to_send = entry.config.remote_cookie;
            session.sublayer_to_send = session.sublayer_expected;
            session.attaching = true;
            if entry.config.sequencing.sends() {
                session.sequence_send = SequenceLevel::All;
            }
            self.file_session(session);
            self.push_attachment(manual.local, path);
        }
    }
}
