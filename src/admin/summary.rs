//! `summary`: one row a tunnel. The daemon tells what it has, as text with a tab between two fields; the client asks
//! twice, and makes rates of it, sorts the rows and sets them in columns. The form is described in l2tpd-admin(5).

use std::fmt::Write;
use std::ops::Range;
use std::time::Duration;

use super::report::{Health, Overview, Source};
use crate::log::is_deceptive;
use crate::named::named;
use crate::proto::connection::table::State;
use crate::proto::snapshot::{SessionBrief, SessionSnapshot, SessionState, TunnelBrief, TunnelSnapshot};

/// How a tunnel stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// It and all of its sessions that are enabled are established.
    Up,
    /// It is enabled, and something of it is not up.
    #[default]
    Down,
    /// It is disabled.
    Disabled,
}

named! { Standing { Up = "up", Down = "down", Disabled = "disabled" } }

/// Which tunnels are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Those that stand so.
    pub standing: Option<Standing>,
    /// Those whose name holds this.
    pub name: String,
}

/// What rows are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // each is named after its word
pub enum Column {
    Name,
    Peer,
    State,
    Since,
    Sessions,
    Octets,
    Frames,
    Drops,
    RoundTrip,
}

named! {
    Column {
        Name = "name", Peer = "peer", State = "state", Since = "since", Sessions = "sessions", Octets = "octets",
        Frames = "frames", Drops = "drops", RoundTrip = "round-trip"
    }
}

impl Column {
    /// The one that follows it; the first after the last.
    pub fn next(self) -> Column {
        let mut names = Column::NAMES.iter().cycle().skip(self as usize + 1);
        names.next().and_then(|name| Column::from_name(name)).unwrap_or(self)
    }
}

/// A line of the summary: a tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row {
    /// The name after `tunnel`.
    pub name: String,
    /// The peer's address; empty if it is not known.
    pub peer: String,
    /// The state's word.
    pub state: String,
    /// How it stands.
    pub standing: Standing,
    /// How long it has been in this state, in seconds.
    pub since: u64,
    /// How many of its sessions are established.
    pub sessions_up: u64,
    /// How many of them are enabled.
    pub sessions: u64,
    /// Octets, frames and drops of all sessions so far.
    pub counted: Counted,
    /// How long the peer takes to acknowledge, in microseconds; once that was measured.
    pub round_trip: Option<u64>,
    /// Why it is not up, or what happened to it last.
    pub reason: String,
}

/// What was counted for all sessions of a tunnel; or of that, so much in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)] // as in `Counters`
pub struct Counted {
    pub rx_octets: u64,
    pub tx_octets: u64,
    pub rx_frames: u64,
    pub tx_frames: u64,
    /// Frames of both directions that were dropped, for whatever reason.
    pub drops: u64,
}

impl Counted {
    /// Each number with its name in JSON.
    pub fn entries(&self) -> [(&'static str, u64); 5] {
        let Counted { rx_octets, tx_octets, rx_frames, tx_frames, drops } = *self;
        [
            ("rx_octets", rx_octets),
            ("tx_octets", tx_octets),
            ("rx_frames", rx_frames),
            ("tx_frames", tx_frames),
            ("dropped", drops),
        ]
    }
}

/// The daemon, and how much of all its tunnels is up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs)] // a field whose name says all has no more
pub struct Totals {
    pub version: String,
    /// In seconds.
    pub uptime: u64,
    pub tunnels_up: u64,
    pub tunnels: u64,
    pub sessions_up: u64,
    pub sessions: u64,
}

/// The first line: what stands in the others.
const FIELDS: &str =
    "name\tpeer\tstate\tstanding\tsince\tsessions_up\tsessions\trx_octets\ttx_octets\trx_frames\t\
                      tx_frames\tdrops\tround_trip\treason\n";

/// Text that can neither end a field nor deceive a terminal.
fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match is_deceptive(c) {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    out
}

impl Row {
    fn write(&self, out: &mut String) {
        let Row { since, sessions_up, sessions, counted, .. } = self;
        for text in [&self.name, &self.peer, &self.state, self.standing.name()] {
            let _ = write!(out, "{}\t", clean(text));
        }
        let Counted { rx_octets, tx_octets, rx_frames, tx_frames, drops } = counted;
        for number in [since, sessions_up, sessions, rx_octets, tx_octets, rx_frames, tx_frames, drops] {
            let _ = write!(out, "{number}\t");
        }
        let trip = self.round_trip.map_or_else(String::new, |micros| micros.to_string());
        let _ = writeln!(out, "{trip}\t{}", clean(&self.reason));
    }

    /// A row as the daemon wrote it; further fields may follow those that are known.
    fn read(line: &str) -> Option<Row> {
        let mut fields = line.split('\t');
        let mut text = || fields.next().map(clean);
        let (name, peer, state) = (text()?, text()?, text()?);
        let standing = Standing::from_name(&text()?)?;
        let mut number = || fields.next()?.parse().ok();
        let (since, sessions_up, sessions) = (number()?, number()?, number()?);
        let counted = Counted {
            rx_octets: number()?,
            tx_octets: number()?,
            rx_frames: number()?,
            tx_frames: number()?,
            drops: number()?,
        };
        let round_trip = fields.next()?.parse().ok();
        let reason = fields.next().map(clean)?;
        Some(Row { name, peer, state, standing, since, sessions_up, sessions, counted, round_trip, reason })
    }
}

/// The daemon's answer: the rows, and the last line. `None` if it is something else.
pub fn read(answer: &str) -> Option<(Vec<Row>, Totals)> {
    let lines = answer.strip_prefix(FIELDS)?.trim_end_matches('\n');
    let (rows, last) = lines.rsplit_once('\n').unwrap_or(("", lines));
    let rows: Option<Vec<Row>> = rows.lines().map(Row::read).collect();
    let mut fields = last.strip_prefix('\t')?.split('\t');
    let version = clean(fields.next()?);
    let mut number = || fields.next()?.parse().ok();
    let totals = Totals {
        version,
        uptime: number()?,
        tunnels_up: number()?,
        tunnels: number()?,
        sessions_up: number()?,
        sessions: number()?,
    };
    Some((rows?, totals))
}

/// A summary in the making.
#[derive(Debug, Default)]
pub struct Summary {
    filter: Filter,
    /// The tunnel that is gone through at present.
    row: Row,
    /// Of its sessions, the first that is enabled and not up.
    first_down: Option<usize>,
}

impl Summary {
    /// A summary of these tunnels.
    pub fn new(filter: Filter) -> Summary {
        Summary { filter, ..Summary::default() }
    }

    /// What stands before the first row.
    pub fn head(&self, out: &mut String) {
        out.push_str(FIELDS);
    }

    /// The next sessions of a tunnel; the last of it, if it `ends` here.
    pub fn sessions(
        &mut self,
        source: &dyn Source,
        (tunnel, sessions): (usize, Range<usize>),
        ends: bool,
        out: &mut String,
    ) {
        let Some(brief) = source.tunnel(tunnel) else { return };
        if brief.name.contains(&self.filter.name) {
            for at in sessions {
                self.count(&brief, source.session(tunnel, at), at);
                let of_session = source.counters(tunnel, at);
                let counted = &mut self.row.counted;
                counted.rx_octets = counted.rx_octets.saturating_add(of_session.rx_octets);
                counted.tx_octets = counted.tx_octets.saturating_add(of_session.tx_octets);
                counted.rx_frames = counted.rx_frames.saturating_add(of_session.rx_frames);
                counted.tx_frames = counted.tx_frames.saturating_add(of_session.tx_frames);
                counted.drops = counted.drops.saturating_add(of_session.dropped());
            }
            let standing = self.standing(&brief);
            if ends && self.filter.standing.is_none_or(|wanted| wanted == standing) {
                self.finish(source, tunnel, standing, out);
            }
        }
        if ends {
            self.row = Row::default();
            self.first_down = None;
        }
    }

    fn count(&mut self, tunnel: &TunnelBrief<'_>, session: Option<SessionBrief<'_>>, at: usize) {
        let Some(session) = session.filter(|session| !session.disabled && !tunnel.disabled) else { return };
        self.row.sessions += 1;
        if session.state == SessionState::Established {
            self.row.sessions_up += 1;
        } else if self.first_down.is_none() {
            self.first_down = Some(at);
        }
    }

    fn standing(&self, tunnel: &TunnelBrief<'_>) -> Standing {
        if tunnel.disabled {
            Standing::Disabled
        } else if (tunnel.manual || tunnel.state == State::Established) && self.first_down.is_none() {
            Standing::Up
        } else {
            Standing::Down
        }
    }

    fn finish(&mut self, source: &dyn Source, tunnel: usize, standing: Standing, out: &mut String) {
        let down = self.first_down.map_or(0..0, |at| at..at + 1);
        let Some((snapshot, interfaces)) = source.part(tunnel, down) else { return };
        let uptime = source.overview().uptime;
        self.row.name.clone_from(&snapshot.name);
        self.row.peer = snapshot.peer.map_or_else(String::new, |peer| peer.to_string());
        self.row.state = super::show::state(&snapshot).to_owned();
        self.row.standing = standing;
        self.row.since = snapshot.since.min(uptime).as_secs();
        self.row.round_trip = snapshot.round_trip.map(micros);
        let interface = interfaces.first().and_then(Option::as_ref).and_then(|i| i.problem.as_deref());
        self.row.reason = reason(&snapshot, standing, interface);
        self.row.write(out);
    }

    /// What stands after the last row.
    pub fn tail(&self, daemon: &Overview, health: &Health, out: &mut String) {
        let _ = writeln!(
            out,
            "\t{}\t{}\t{}\t{}\t{}\t{}",
            daemon.version,
            daemon.uptime.as_secs(),
            health.tunnels_up,
            health.tunnels,
            health.sessions_up,
            health.sessions
        );
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Why a tunnel is not up, or else what happened to it last.
fn reason(tunnel: &TunnelSnapshot, standing: Standing, interface: Option<&str>) -> String {
    if standing == Standing::Disabled {
        return String::new();
    }
    if let Some(problem) = &tunnel.problem {
        return format!("configuration: {problem}");
    }
    let up = tunnel.manual || tunnel.state == State::Established;
    if let Some((failure, _)) = tunnel.last_failure.as_ref().filter(|_| !up) {
        return failure.to_string();
    }
    if let Some(session) = tunnel.sessions.first().filter(|_| up) {
        if let Some(why) = reason_of_session(session, interface) {
            return format!("{}: {why}", session.interface);
        }
    }
    let past = tunnel.history.iter().find(|change| !change.reason.is_empty());
    match past {
        Some(change) if standing == Standing::Up => format!("earlier: {}", change.reason),
        Some(change) => change.reason.clone(),
        None => String::new(),
    }
}

fn reason_of_session(session: &SessionSnapshot, interface: Option<&str>) -> Option<String> {
    let failure = session.last_failure.as_ref().map(|(failure, _)| failure.to_string());
    let problem = session.problem.map(|problem| format!("configuration: {problem}"));
    problem.or(interface.map(str::to_owned)).or(failure)
}
