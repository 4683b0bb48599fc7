//! `top`: the summary again and again. On a terminal it has the screen; elsewhere, and where the terminal knows no escape
//! sequences, it is text that is repeated.

use std::io::{self, IsTerminal};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::client::{self, Client, Waiting};
use super::outcome::{print, write_out, CtlOutcome, Failure};
use super::screen::Screen;
use super::summary::{self, Line, Sample};
use super::width::cut;
use crate::admin::request::AdminOrder;
use crate::admin::summary::{Column, Totals};
use crate::sys::clock;
use crate::sys::signal::{self, Signals};
use crate::sys::terminal::{self, Keys};

const SIGNALS: Token = Token(0);
const KEYS: Token = Token(1);
const SCREEN: Token = Token(2);
const QUERY: Token = Token(3);

/// Between the two answers of a `summary`.
const MEASURED: Duration = Duration::from_secs(1);

/// What is asked, and how it is shown.
pub(super) struct View<'a> {
    pub socket: &'a str,
    pub order: &'a AdminOrder,
    pub sort: Column,
}

/// What the variable says, if it says anything.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether the standard output is a terminal that knows escape sequences.
fn has_escapes() -> bool {
    io::stdout().is_terminal() && variable("TERM").is_some_and(|term| term != "dumb")
}

/// Whether there are to be colours; `NO_COLOR` says no (no-color.org).
fn has_colours() -> bool {
    has_escapes() && variable("NO_COLOR").is_none()
}

/// The terminal's width; `None` where the output is none: nothing is cut then.
fn columns() -> Option<usize> {
    io::stdout().is_terminal().then(|| terminal::size(&io::stdout()).map_or(80, |(columns, _)| columns))
}

/// One line that tells of all.
fn title(totals: &Totals, sort: Column) -> String {
    let Totals { version, tunnels_up, tunnels, sessions_up, sessions, .. } = totals;
    format!(
        "l2tpd {version}: {tunnels_up} of {tunnels} tunnels, {sessions_up} of {sessions} sessions up; by {} (s: other, \
         q: quit)",
        sort.name()
    )
}

impl View<'_> {
    fn sample(&self) -> Result<Sample, Failure> {
        let (command, body) = self.order.encode();
        let mut daemon = Waiting::new(self.socket, (command, &body), false)?;
        self.understood(daemon.for_what(Client::answer)?)
    }

    fn understood(&self, (_, answer): (CtlOutcome, Vec<u8>)) -> Result<Sample, Failure> {
        let why = "the answer is no summary: is this l2tpctl of another version than l2tpd?";
        let sample = Sample::new(&String::from_utf8_lossy(&answer), clock::now());
        sample.ok_or_else(|| Failure::unreachable(self.socket, why))
    }

    /// `summary`.
    pub fn once(&self) -> Result<CtlOutcome, Failure> {
        let before = self.sample()?;
        client::pause(MEASURED)?;
        let now = self.sample()?;
        let mut lines = summary::lines(Some(&before), &now);
        summary::sort(&mut lines, self.sort);
        match self.order.json {
            true => print(&summary::to_json(&lines, &now.totals)),
            false => print(&(summary::table(&lines, columns(), has_colours()).join("\n") + "\n")),
        }
    }

    /// `top`.
    pub fn follow(&self, interval: Duration) -> Result<CtlOutcome, Failure> {
        match has_escapes() {
            true => Top::new(self, interval)?.run().map(|()| CtlOutcome::Done),
            false => self.repeat(interval),
        }
    }

    /// Text that is repeated, until somebody ends it or nobody reads it.
    fn repeat(&self, interval: Duration) -> Result<CtlOutcome, Failure> {
        let mut before = None;
        loop {
            let now = self.sample()?;
            let mut lines = summary::lines(before.as_ref(), &now);
            summary::sort(&mut lines, self.sort);
            let text = summary::table(&lines, columns(), false).join("\n") + "\n\n";
            write_out(text.as_bytes())?;
            before = Some(now);
            client::pause(interval)?;
        }
    }
}

/// On a terminal's screen.
struct Top<'a> {
    view: &'a View<'a>,
    interval: Duration,
    sort: Column,
    poll: Poll,
    signals: Signals,
    /// `None`: the standard input is no terminal.
    keys: Option<Keys>,
    screen: Screen,
    query: Option<Client>,
    /// When the next one begins.
    next: Instant,
    last: Option<Sample>,
    lines: Vec<Line>,
    /// The screen is to show something else than it does.
    stale: bool,
}

impl<'a> Top<'a> {
    fn new(view: &'a View<'a>, interval: Duration) -> Result<Top<'a>, Failure> {
        // Before the screen is taken: the first failure is told on the one that was there.
        let first = view.sample()?;
        let lines = summary::lines(None, &first);
        let poll = Poll::new()?;
        let signals = Signals::of_screen()?;
        let keys = Keys::take_over().ok();
        let screen = Screen::enter()?;
        let registry = poll.registry();
        registry.register(&mut SourceFd(&signals.as_raw_fd()), SIGNALS, Interest::READABLE)?;
        if let Some(keys) = &keys {
            registry.register(&mut SourceFd(&keys.as_raw_fd()), KEYS, Interest::READABLE)?;
        }
        let writes = Interest::WRITABLE;
        registry.register(&mut SourceFd(&screen.as_raw_fd()), SCREEN, writes)?;
        // The first rates come after a second, however long the others take.
        let next = clock::now() + interval.min(MEASURED);
        Ok(Top {
            view,
            interval,
            sort: view.sort,
            poll,
            signals,
            keys,
            screen,
            query: None,
            next,
            last: Some(first),
            lines,
            stale: true,
        })
    }

    fn run(&mut self) -> Result<(), Failure> {
        let mut events = Events::with_capacity(8);
        loop {
            if self.is_over() {
                return Ok(());
            }
            self.ask()?;
            // A terminal that is gone needs no message.
            if self.draw().is_err() {
                return Ok(());
            }
            let until = self.query.as_ref().map_or(Some(self.next), |query| query.deadline);
            client::wait(&mut self.poll, &mut events, until)?;
        }
    }

    /// Hears signals and keys.
    fn is_over(&mut self) -> bool {
        while let Some(signal) = self.signals.take() {
            match signal {
                signal::SIGWINCH => {
                    self.screen.clear();
                    self.stale = true;
                }
                signal::SIGTSTP => {
                    if self.suspend().is_err() {
                        return true;
                    }
                }
                _ => return true,
            }
        }
        while let Some(keys) = &self.keys {
            match keys.take() {
                Ok(Some(b'q' | b'Q' | 4)) | Err(_) => return true,
                Ok(Some(b's' | b'S')) => {
                    self.sort = self.sort.next();
                    self.stale = true;
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
            }
        }
        false
    }

    /// Ctrl-Z: the terminal is the shell's until it gives it back.
    fn suspend(&mut self) -> io::Result<()> {
        self.screen.leave();
        self.keys.iter().for_each(Keys::give_back);
        signal::stop();
        self.keys.iter().try_for_each(Keys::again)?;
        self.stale = true;
        self.screen.again()
    }

    /// Begins a request when it is time, and takes its answer when that is there.
    fn ask(&mut self) -> Result<(), Failure> {
        if self.query.is_none() && self.next <= clock::now() {
            self.next = clock::now() + self.interval;
            let (command, body) = self.view.order.encode();
            self.query = Some(Client::new(self.view.socket, (command, &body), (&self.poll, QUERY), false)?);
        }
        let Some(answer) = self.query.as_mut().and_then(|query| query.answer().transpose()) else {
            return Ok(());
        };
        self.query = None;
        match answer.and_then(|answer| self.view.understood(answer)) {
            Ok(sample) => {
                self.lines = summary::lines(self.last.as_ref(), &sample);
                self.last = Some(sample);
                self.stale = true;
                Ok(())
            }
            // The configuration changed meanwhile: the next one tells of it.
            Err(Failure { outcome: CtlOutcome::Refused, .. }) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Shows what there is, if the terminal has taken what was shown before.
    fn draw(&mut self) -> io::Result<()> {
        self.screen.flush()?;
        if !self.stale || !self.screen.is_idle() {
            return Ok(());
        }
        self.stale = false;
        let (columns, rows) = self.screen.size();
        // Terminals differ in what they do after the last column.
        let columns = columns.saturating_sub(1);
        summary::sort(&mut self.lines, self.sort);
        let totals = self.last.as_ref().map(|sample| title(&sample.totals, self.sort)).unwrap_or_default();
        let shown = self.lines.get(..rows.saturating_sub(2)).unwrap_or(&self.lines);
        let mut picture = vec![cut(&totals, columns)];
        picture.extend(summary::table(shown, Some(columns), has_colours()));
        picture.truncate(rows);
        self.screen.show(picture)
    }
}
