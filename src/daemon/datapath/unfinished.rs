//! Sessions with fragments that wait for the rest of their frame: they are given up after a time.

use std::collections::VecDeque;
use std::time::Instant;

use super::ports::Ports;
use super::session::Sessions;
use crate::frame::fragments::PATIENCE;
use crate::wire::SessionId;

/// Each such session once, with the time to look at it.
#[derive(Debug, Default)]
pub(super) struct Unfinished(VecDeque<(Instant, SessionId)>);

impl Unfinished {
    /// These have one from now on.
    pub(super) fn add(&mut self, now: Instant, sessions: &mut Vec<SessionId>) {
        self.0.extend(sessions.drain(..).map(|session| (now + PATIENCE, session)));
    }

    /// When the first is to be looked at.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.front().map(|(at, _)| *at)
    }

    fn due(&mut self, now: Instant) -> Option<SessionId> {
        self.next().filter(|at| *at <= now)?;
        self.0.pop_front().map(|(_, session)| session)
    }

    /// Gives up fragments whose frames have not become complete in time, and the memory that they take.
    pub(super) fn give_up(&mut self, now: Instant, sessions: &mut Sessions, ports: &mut Ports) {
        // Those that are looked at again wait behind the others.
        while let Some(id) = self.due(now) {
            let Some(session) = sessions.find_mut(id) else { continue };
            match session.reassembly.waits_since() {
                Some(since) if now.saturating_duration_since(since) < PATIENCE => {
                    self.add(since, &mut vec![id]);
                }
                Some(_) | None => {
                    session.looked_after = false;
                    let lost = session.reassembly.clear();
                    if let Some(port) = ports.get_mut(session.port) {
                        port.counters.rx_incomplete += lost;
                    }
                }
            }
        }
    }
}
