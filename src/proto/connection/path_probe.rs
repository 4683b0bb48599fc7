//! Probes of the path (RFC 8899): HELLOs that are made as long as a packet of the length that is tried, and must not be
//! fragmented. Only the first transmission of such a HELLO is long: if it is lost, what is sent again comes through, and
//! reliable delivery goes on as if nothing had been.

use std::time::{Duration, Instant};

use super::channel::Channel;
use super::path_search::{PathSearch, Pause};
use crate::proto::action::{Action, Path};
use crate::proto::context::{Context, Timer};
use crate::saved::saved;
use crate::wheel::TimerId;
use crate::wire::demux::IP_CONTROL_PREFIX;
use crate::wire::{Ccid, Encapsulation};

/// From the set-up to the first probe: the sessions come first. Also how long a probe waits while there is other work.
const WAIT: Duration = Duration::from_secs(1);

/// What was found is confirmed when HELLO is due, but not more often than this, and not more rarely than that.
const CONFIRM: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(60)];

/// The longest packet there is.
const LONGEST: usize = 65_535;

/// A probe that is not answered yet.
#[derive(Debug, Clone, Copy)]
struct Flight {
    ns: u16,
    /// Of the packet, in octets.
    size: usize,
    /// How often it was sent; the first time as a packet of that size.
    transmissions: u32,
    /// The path that it was meant for is not ours any more.
    void: bool,
}
saved!(Flight { ns, size, transmissions, void });

/// What a probe tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProbeResult {
    /// The packet came through.
    Passed(usize),
    /// It did not, and the short one after it did.
    Lost(usize),
    /// Nothing: more was lost.
    Nothing,
}

/// The probes of a connection; one at a time.
#[derive(Debug)]
pub struct PathProbe {
    path: Path,
    search: PathSearch,
    flight: Option<Flight>,
    /// What the data plane was told last.
    reported: Option<usize>,
    /// When the last one was acknowledged.
    answered: Option<Instant>,
    /// What was found is confirmed after this time.
    confirm: Duration,
    /// This was not done yet with this interval.
    first: bool,
    due: Timer,
    timer: Option<TimerId>,
}
saved!(PathProbe { path, search, flight, reported, answered, confirm, due, timer } added { first });

impl PathProbe {
    /// Begins to probe a path; `due` is its timer. A HELLO is sent when nothing was heard for so long.
    pub fn new(cx: &mut Context, path: Path, hello_interval: Duration, due: Timer) -> PathProbe {
        let mut probe = PathProbe {
            path,
            search: PathSearch::new(path.remote.is_ipv4()),
            flight: None,
            reported: None,
            answered: None,
            confirm: Duration::ZERO,
            first: true,
            due,
            timer: None,
        };
        probe.follow(hello_interval);
        probe.arm(cx, WAIT);
        probe
    }

    /// A HELLO is sent when nothing was heard for so long. The next probe is armed already; the one after it follows this.
    pub fn follow(&mut self, hello_interval: Duration) {
        let [least, most] = CONFIRM;
        let confirm = hello_interval.clamp(least, most);
        self.first |= std::mem::replace(&mut self.confirm, confirm) != confirm;
    }

    /// Ends the probes; the data plane forgets what was found.
    pub fn end(&mut self, cx: &mut Context) {
        cx.cancel(&mut self.timer);
        self.forget(cx);
    }

    /// The path is another one: nothing is known of it.
    pub fn restart(&mut self, cx: &mut Context, path: Path) {
        self.forget(cx);
        self.path = path;
        self.search = PathSearch::new(path.remote.is_ipv4());
        self.first = true;
        if let Some(flight) = &mut self.flight {
            flight.void = true;
        }
        self.arm(cx, WAIT);
    }

    /// What the data plane was told of the path is true no longer.
    fn forget(&mut self, cx: &mut Context) {
        if self.reported.take().is_some() {
            cx.act(Action::PathMtu { path: self.path, mtu: None });
        }
    }

    fn arm(&mut self, cx: &mut Context, delay: Duration) {
        cx.arm(&mut self.timer, delay, self.due);
    }

    /// Its timer fired. Whether the probe in flight is to be sent again, short, for it was not answered in time; else the
    /// next one waits for its turn, or for what the system says of the path.
    pub fn is_overdue(&mut self, cx: &mut Context, ccid: Ccid, idle: bool) -> bool {
        self.timer = None;
        match self.flight {
            Some(flight) => return flight.transmissions <= 1,
            None if idle => cx.act(Action::MeasurePath { connection: ccid, path: self.path }),
            None => self.arm(cx, WAIT),
        }
        false
    }

    /// It is known how long a packet the system lets leave, where there is a route. Whether a HELLO is to be sent that has
    /// this number; it is sent again if it is not answered within `patience`.
    pub fn begin(&mut self, cx: &mut Context, limit: Option<usize>, ns: u16, patience: Duration) -> bool {
        let Some(limit) = limit else {
            self.arm(cx, WAIT);
            return false;
        };
        let size = self.search.size(cx.now, limit.min(LONGEST));
        self.flight = Some(Flight { ns, size, transmissions: 0, void: false });
        self.arm(cx, patience);
        true
    }

    /// Whether the message of this number is one.
    pub fn is_probe(&self, ns: u16) -> bool {
        self.flight.is_some_and(|flight| flight.ns == ns)
    }

    /// A message leaves: how long it is to be made, from the T bit on, if it is a probe that leaves for the first time.
    pub fn transmitted(&mut self, ns: u16) -> Option<usize> {
        let flight = self.flight.as_mut().filter(|flight| flight.ns == ns)?;
        flight.transmissions = flight.transmissions.saturating_add(1);
        let first = flight.transmissions == 1 && !flight.void;
        first.then(|| flight.size.saturating_sub(overhead(self.path)))
    }

    /// Something was acknowledged, perhaps a probe: what it tells is concluded, and the next one is armed.
    pub fn acknowledged(&mut self, cx: &mut Context, channel: &Channel) {
        let Some(result) = self.take_result(channel) else { return };
        self.answered = Some(cx.now);
        match result {
            ProbeResult::Passed(size) => self.search.passed(cx.now, size),
            ProbeResult::Lost(size) => self.search.lost(cx.now, size),
            ProbeResult::Nothing => {}
        }
        let found = self.search.found();
        // Told again each time that it was seen: another connection between the same addresses may have ended, and taken it
        // with it. Not when a probe was lost: another one may have found out already that the path carries less.
        let seen = matches!(result, ProbeResult::Passed(_)) && found.is_some();
        if std::mem::replace(&mut self.reported, found) != found || seen {
            cx.act(Action::PathMtu { path: self.path, mtu: found });
        }
        match self.search.pause(cx.now) {
            _ if result == ProbeResult::Nothing => self.arm(cx, WAIT),
            Pause::None => self.arm(cx, Duration::ZERO),
            Pause::Usual => self.arm_usual(cx),
            Pause::Long(pause) => self.arm(cx, pause),
        }
    }

    /// A little earlier than a HELLO would be due, and not all connections at once.
    fn arm_usual(&mut self, cx: &mut Context) {
        let usual = self.confirm.saturating_sub(cx.jitter(self.confirm.mul_f32(0.1)));
        let first = std::mem::take(&mut self.first).then(|| cx.any_moment(usual)).flatten();
        if let Some(at) = cx.now.checked_add(first.unwrap_or(usual)) {
            cx.arm_repeated(&mut self.timer, at, self.confirm, self.due);
        }
    }

    /// What the probe tells, once nothing in flight or in the queue is it any more.
    fn take_result(&mut self, channel: &Channel) -> Option<ProbeResult> {
        let flight = self.flight.take_if(|flight| !channel.holds(flight.ns))?;
        Some(match flight.transmissions {
            _ if flight.void => ProbeResult::Nothing,
            1 => ProbeResult::Passed(flight.size),
            2 => ProbeResult::Lost(flight.size),
            _ => ProbeResult::Nothing,
        })
    }

    /// Whether what the peer says may be about a long message: one has left, and was acknowledged just now if at all.
    pub fn is_new(&self, now: Instant) -> bool {
        let waits = self.flight.is_some_and(|flight| flight.transmissions > 0);
        waits || self.answered.is_some_and(|at| now.saturating_duration_since(at) < WAIT)
    }

    /// What the path carries, and where the search for that stands.
    pub fn shown(&self) -> (Option<usize>, &'static str) {
        (self.search.found(), self.search.state())
    }
}

/// Octets of a packet before the T bit.
fn overhead(path: Path) -> usize {
    let ip = if path.remote.is_ipv4() { 20_usize } else { 40 };
    ip.saturating_add(match path.encapsulation {
        Encapsulation::Udp => 8,
        Encapsulation::Ip => IP_CONTROL_PREFIX.len(),
    })
}
