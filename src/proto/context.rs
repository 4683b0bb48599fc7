//! What the engine hands down to each object: the time, the timers, the actions to do, random octets, and the ids in
//! use. Objects draw ids here and give them back; only the engine asks whose an id is.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::action::{Action, Notification, Path};
use super::connection::table::State;
use super::dropped::{DropCause, Sources};
use super::ids::Ids;
use super::peers::Peers;
use super::route::Routes;
use super::snapshot::{count, Drops};
use super::unproven::Unproven;
use crate::log::{Event, LogLine, Remark};
use crate::saved::saved;
use crate::wheel::{TimerId, Wheel};
use crate::wire::{Ccid, SessionId};

pub use super::ids::{SlotKey, TunnelKey};

/// Where random octets come from: the system, or a seeded generator in tests.
pub trait Random {
    /// Fills `octets`, or says in the system's words why it cannot.
    fn fill(&mut self, octets: &mut [u8]) -> Result<(), String>;
}

/// A timer: the tunnel whose it is, and what it is for there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timer(pub TunnelKey, pub Due);
saved!(tuple Timer(tunnel, due));

saved! {
    /// What is due in a tunnel.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Due {
        /// The next attempt at the tunnel.
        Attempt,
        /// The peers' names are to be looked up again.
        LookUp,
        /// A better peer is to be asked whether it can be reached.
        Backup,
        /// Something of one of its connections.
        Connection(ccid: Ccid, due: ConnectionDue),
        /// Something of one of its session blocks.
        Slot(key: SlotKey, due: SlotDue),
    }

    /// What is due in a connection.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum ConnectionDue {
        /// The oldest message in flight is not acknowledged.
        Retransmit,
        /// Nothing heard from the peer.
        Hello,
        /// An acknowledgement found no message to carry it.
        Acknowledge,
        /// The set-up takes too long, or the linger time is over.
        Guard,
        /// The path is to be probed, or its probe was not answered.
        PathProbe,
        /// What waits after a crash may leave.
        Release,
    }

    /// What is due in a session block.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum SlotDue {
        /// The next attempt at the session.
        Attempt,
        /// The peer does not answer an ICRQ or ICRP.
        Guard,
        /// A change of the circuit waits to be advertised.
        CircuitStatus,
        /// Where our stations are is announced once more to the switches of another peer than before.
        Announce,
    }
}

/// Room for so many actions stays when all are done; a reload may need much more.
const MOST_ROOM: usize = 1024;

/// With so many connections what each of them repeats is spread from the first time on.
const MANY: usize = 100;

/// What is due within this part of its interval is done at one moment: 0.12 s of a minute.
const TOGETHER: f32 = 0.002;

saved! {
    /// What all objects share.
    pub struct Context {
        /// Control Connection IDs and Session IDs of ours.
        pub ids: Ids,
        /// The addresses of the peers.
        pub peers: Peers,
        /// The routes that are watched.
        pub routes: Routes,
        /// `max-tunnels`: connections that are not closed.
        pub max_tunnels: usize,
        /// `max-sessions`, of all tunnels together.
        pub max_sessions: usize,
        /// Connections that serve or may come to serve their tunnel.
        pub alive: usize,
        /// Those of them that answer a peer and wait for its SCCCN.
        pub half_open: usize,
        /// Peers that were answered without a connection.
        pub unproven: Unproven,
        /// Connections whose StopCCN waits for its acknowledgement.
        pub stopping: usize,
        /// Connections that only acknowledge what is repeated.
        pub lingering: usize,
        /// Messages that belong to no tunnel.
        pub drops: Drops,
        /// Who sends them.
        pub dropped_from: Sources,
        /// The daemon ends: nothing begins any more.
        pub shutting_down: bool,
        wheel: Wheel<Timer>,
    } given {
        /// The time of the event that is handled.
        pub now: Instant,
        random: Box<dyn Random>,
        actions: VecDeque<Action>,
    }
}

impl Context {
    /// Nothing is in use yet.
    pub fn new(now: Instant, random: Box<dyn Random>) -> Context {
        Context {
            now,
            ids: Ids::default(),
            peers: Peers::default(),
            routes: Routes::default(),
            max_tunnels: 0,
            max_sessions: 0,
            alive: 0,
            half_open: 0,
            unproven: Unproven::default(),
            stopping: 0,
            lingering: 0,
            drops: Drops::default(),
            dropped_from: Sources::default(),
            shutting_down: false,
            random,
            wheel: Wheel::new(now),
            actions: VecDeque::new(),
        }
    }

    // ----- actions -----

    /// Asks the daemon to do something.
    pub fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    /// The oldest action that is not done yet.
    pub fn next_action(&mut self) -> Option<Action> {
        let next = self.actions.pop_front();
        if next.is_none() && self.actions.capacity() > MOST_ROOM {
            self.actions = VecDeque::new();
        }
        next
    }

    /// Logs a message of the catalogue.
    pub fn log(&mut self, event: Event) {
        self.act(Action::Log(LogLine::new(&event)));
    }

    /// Logs a message of the catalogue with a further line of ours.
    pub fn log_detail(&mut self, event: Event, detail: impl Into<String>) {
        self.act(Action::Log(LogLine::with_detail(&event, detail)));
    }

    /// Logs a line of our own.
    pub fn remark(&mut self, remark: &Remark) {
        self.act(Action::Log(LogLine::remark(remark)));
    }

    /// Tells watchers and hooks.
    pub fn notify(&mut self, notification: Notification) {
        self.act(Action::Notify(notification));
    }

    /// A connection enters a state, or is gone.
    pub fn moved(&mut self, from: Option<State>, to: Option<State>) {
        let moved = |counter: &mut usize, is: fn(State) -> bool| {
            let (was, is) = (usize::from(from.is_some_and(is)), usize::from(to.is_some_and(is)));
            *counter = counter.saturating_sub(was).saturating_add(is);
        };
        moved(&mut self.alive, State::is_alive);
        moved(&mut self.half_open, |state| state == State::WaitCtlConn);
        moved(&mut self.stopping, |state| state == State::Stopping);
        moved(&mut self.lingering, |state| state == State::Linger);
    }

    /// An id that should be known is not: a fault of the engine, which goes on.
    pub fn missing(&mut self) {
        count(&mut self.drops.missing);
    }

    // ----- what is dropped -----

    /// A message is dropped before it is known to belong to a tunnel: it is counted and logged.
    pub fn drop_message(&mut self, path: &Path, cause: DropCause) {
        self.drop_request(path, cause, String::new);
    }

    /// The same of an SCCRQ; `why` tells whose it is, and more than the cause does.
    pub fn drop_request(&mut self, path: &Path, cause: DropCause, why: impl FnOnce() -> String) {
        if let Some(counter) = cause.counter(&mut self.drops) {
            count(counter);
        }
        self.note_dropped(path.remote.ip(), cause, 1, why);
    }

    /// What came from this address was dropped, so often.
    pub fn note_dropped(
        &mut self,
        address: IpAddr,
        cause: DropCause,
        count: u64,
        why: impl FnOnce() -> String,
    ) {
        let words = || why() + &cause.words();
        if let Some(text) = self.dropped_from.note(self.now, address, (cause, count), words) {
            self.remark(&Remark::Dropped { from: address, text });
        }
    }

    // ----- timers -----

    /// Arms a timer anew, `delay` from now.
    pub fn arm(&mut self, timer: &mut Option<TimerId>, delay: Duration, what: Timer) {
        // Beyond what a clock can show: at once.
        self.arm_at(timer, self.now.checked_add(delay).unwrap_or(self.now), what);
    }

    /// Arms a timer anew, for this moment.
    pub fn arm_at(&mut self, timer: &mut Option<TimerId>, at: Instant, what: Timer) {
        if let Some(old) = timer.replace(self.wheel.arm(at, what)) {
            self.wheel.cancel(old);
        }
    }

    /// Arms a timer anew of what is repeated in this interval. It is due a little before `at`, together with those of
    /// other connections.
    pub fn arm_repeated(
        &mut self,
        timer: &mut Option<TimerId>,
        at: Instant,
        interval: Duration,
        what: Timer,
    ) {
        let id = self.wheel.arm_early(at, interval.mul_f32(TOGETHER), what);
        if let Some(old) = timer.replace(id) {
            self.wheel.cancel(old);
        }
    }

    /// Stops a timer.
    pub fn cancel(&mut self, timer: &mut Option<TimerId>) {
        if let Some(timer) = timer.take() {
            self.wheel.cancel(timer);
        }
    }

    /// When a timer is due.
    pub fn when(&self, timer: Option<TimerId>) -> Option<Instant> {
        self.wheel.when(timer?)
    }

    /// When the first timer is due.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.wheel.next()
    }

    /// A timer that is due.
    pub fn next_due(&mut self) -> Option<Timer> {
        self.wheel.pop(self.now)
    }

    // ----- randomness and ids -----

    /// Random octets; on failure the catalogue's message is logged and the caller gives up what it wanted to do.
    pub fn random<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut octets = [0; N];
        match self.random.fill(&mut octets) {
            Ok(()) => Some(octets),
            Err(error) => {
                self.log(Event::RandomOpenError { error });
                None
            }
        }
    }

    /// Random octets for what works without them too, only predictably.
    pub fn random_or_zero<const N: usize>(&mut self) -> [u8; N] {
        let mut octets = [0; N];
        let _ = self.random.fill(&mut octets);
        octets
    }

    /// A random Control Connection ID that is free, never 0 (C-282).
    pub fn draw_ccid(&mut self) -> Option<Ccid> {
        self.draw(|cx, id| cx.ids.has(Ccid(id)) || cx.unproven.get(Ccid(id)).is_some()).map(Ccid)
    }

    /// A random Session ID that no session of ours uses, never 0: over IP nothing else tells sessions apart (C-132).
    pub fn draw_session_id(&mut self) -> Option<SessionId> {
        self.draw(|cx, id| cx.ids.has_session(SessionId(id))).map(SessionId)
    }

    /// A random number other than 0 that no id has.
    fn draw(&mut self, is_used: impl Fn(&Context, u32) -> bool) -> Option<u32> {
        for _ in 0..64 {
            let id = u32::from_be_bytes(self.random()?);
            if id != 0 && !is_used(self, id) {
                return Some(id);
            }
        }
        None
    }

    /// `base` plus or minus up to a quarter of it: many tunnels must not act in step.
    #[allow(clippy::arithmetic_side_effects)] // divisions by constants
    pub fn jitter(&mut self, base: Duration) -> Duration {
        let mut octet = [128];
        // Without randomness the exact interval still serves.
        let _ = self.random.fill(&mut octet);
        let [octet] = octet;
        base.saturating_mul(3).saturating_add(base.saturating_mul(u32::from(octet)) / 128) / 4
    }

    /// Any part of `whole`.
    #[allow(clippy::arithmetic_side_effects)] // division by a constant
    pub fn part_of(&mut self, whole: Duration) -> Duration {
        let part = u16::from_be_bytes(self.random_or_zero());
        whole.saturating_mul(u32::from(part)) / 65_536
    }

    /// When something is done for the first time that each connection repeats in this interval: many may have begun
    /// together, and neither these nor all later ones are to come together. `None`: there are few.
    pub fn any_moment(&mut self, interval: Duration) -> Option<Duration> {
        (self.alive >= MANY).then(|| self.part_of(interval))
    }

    /// `base` and up to a quarter of it more.
    #[allow(clippy::arithmetic_side_effects)] // division by a constant
    pub fn spread(&mut self, base: Duration) -> Duration {
        let [octet]: [u8; 1] = self.random_or_zero();
        base.saturating_add(base.saturating_mul(u32::from(octet)) / 1024)
    }

    /// 0.2 to 2 s: two ends that drew must not begin in step again (C-093).
    pub fn redraw_delay(&mut self) -> Duration {
        let value = u64::from(u16::from_be_bytes(self.random_or_zero()));
        Duration::from_millis(200_u64.saturating_add(value % 1800))
    }
}
