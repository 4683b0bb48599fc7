//! A display in the making. It is made step by step, and each step is a bounded piece of work: the loop has other
//! things to do between two of them, and what a client reads slowly is not made before it is read.

use std::ops::Range;

use super::metrics::Metrics;
use super::part::Part;
use super::report::{Health, Source};
use super::request::{AdminRequest, Selection};
use super::show::Cookies;
use super::summary::{Filter, Summary};
use super::{json, show, why};
use crate::log::escape;

/// Sessions shown in one step.
const SESSIONS: usize = 16;
/// Sessions (or tunnels, if those have none) only looked at in one step.
const LOOKED_AT: usize = 256;
/// A row of a summary takes as long as so many sessions that are only looked at.
const ROW: usize = 8;

/// What is displayed, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `status`.
    Status,
    /// `status --json`, and `explain --json`.
    StatusJson,
    /// `explain`.
    Explain,
    /// `health`.
    Health,
    /// `health --json`.
    HealthJson,
    /// `counters`.
    Counters,
    /// `counters --json`.
    CountersJson,
    /// `metrics`.
    Metrics,
    /// `summary`: one form, of which the client makes what was asked for.
    Summary,
}

impl Form {
    /// The form of the display that a request asks for; `None` if it asks for something else.
    pub fn of(request: &AdminRequest, json: bool) -> Option<(Form, Selection)> {
        let by_form = |text: Form, as_json: Form| if json { as_json } else { text };
        Some(match request {
            AdminRequest::Status(selection) => (by_form(Form::Status, Form::StatusJson), selection.clone()),
            AdminRequest::Explain(selection) => (by_form(Form::Explain, Form::StatusJson), selection.clone()),
            AdminRequest::Health => (by_form(Form::Health, Form::HealthJson), Selection::All),
            AdminRequest::Counters { reset: false } => {
                (by_form(Form::Counters, Form::CountersJson), Selection::All)
            }
            AdminRequest::Metrics => (Form::Metrics, Selection::All),
            AdminRequest::Summary { .. } | AdminRequest::Top { .. } => (Form::Summary, Selection::All),
            _ => return None,
        })
    }

    /// Whether the answer also says if all that is shown is up.
    fn is_judged(self) -> bool {
        matches!(self, Form::Status | Form::StatusJson | Form::Explain | Form::Health | Form::HealthJson)
    }
}

/// Why a display cannot go on: the numbers of tunnels and sessions mean others now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Is everything up? `explain` says so before anything else.
    Look,
    Head,
    Tunnels,
    Tail,
    Over,
}

/// See [the module](self).
#[derive(Debug)]
pub struct Display {
    form: Form,
    cookies: Cookies,
    stage: Stage,
    edition: u64,
    /// All, not one tunnel or session.
    all: bool,
    /// The tunnels that are shown, and of each of them these sessions.
    tunnels: Range<usize>,
    sessions: Range<usize>,
    /// How far it is: the next tunnel and its next session.
    next: (usize, usize),
    health: Health,
    explain: why::Explain,
    metrics: Metrics,
    summary: Summary,
}

impl Display {
    /// A display of which nothing is made yet; in words, if the selection means nothing.
    pub fn new(form: Form, selection: &Selection, source: &dyn Source) -> Result<Display, String> {
        let every = 0..usize::MAX;
        let (tunnels, sessions) = match selection {
            Selection::All => (0..source.tunnels(), every),
            Selection::Tunnel(name) => {
                let place = source.tunnel_place(name).ok_or_else(|| no_tunnel(name))?;
                (place..place + 1, every)
            }
            Selection::Session(name) => {
                let (tunnel, place) = source.session_place(name).ok_or_else(|| no_interface(name))?;
                (tunnel..tunnel + 1, place..place + 1)
            }
        };
        Ok(Display {
            form,
            cookies: Cookies::Shown,
            stage: if form == Form::Explain && *selection == Selection::All {
                Stage::Look
            } else {
                Stage::Head
            },
            edition: source.edition(),
            all: *selection == Selection::All,
            next: (tunnels.start, sessions.start),
            tunnels,
            sessions,
            health: Health::default(),
            explain: why::Explain::default(),
            metrics: Metrics::default(),
            summary: Summary::default(),
        })
    }

    /// For the log, and for others than root.
    pub fn masked(self) -> Display {
        Display { cookies: Cookies::Masked, ..self }
    }

    /// Only these tunnels, where it is a summary.
    pub fn filtered(self, filter: Filter) -> Display {
        Display { summary: Summary::new(filter), ..self }
    }

    /// Whether it is complete.
    pub fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Whether something that was shown is enabled and not up, where that matters.
    pub fn is_down(&self) -> bool {
        self.form.is_judged() && !self.health.is_up()
    }

    /// Appends the next piece to `out`: some kilobytes, or nothing at all where there is only something to be looked at.
    pub fn step(&mut self, source: &dyn Source, out: &mut String) -> Result<(), Changed> {
        if source.edition() != self.edition {
            return Err(Changed);
        }
        match self.stage {
            Stage::Look => {
                let look = |display: &mut Display, tunnel, sessions, _| {
                    display.explain.look_at(source, tunnel, sessions);
                };
                if !self.look_at(source, 1, look) {
                    self.next = (self.tunnels.start, self.sessions.start);
                    self.stage = Stage::Head;
                }
            }
            Stage::Head => {
                self.head(source, out);
                self.stage = Stage::Tunnels;
            }
            Stage::Tunnels => {
                let more = match self.form {
                    Form::Metrics => self.metrics.step(source, out),
                    Form::Health | Form::HealthJson => {
                        self.look_at(source, 1, |display, tunnel, sessions, _| {
                            display.judge(source, tunnel, sessions);
                        })
                    }
                    Form::Summary => self.look_at(source, ROW, |display, tunnel, sessions, ends| {
                        display.judge(source, tunnel, sessions.clone());
                        display.summary.sessions(source, (tunnel, sessions), ends, out);
                    }),
                    Form::Status | Form::StatusJson | Form::Explain => self.tunnels(source, out),
                    Form::Counters | Form::CountersJson => self.tunnels(source, out),
                };
                if !more {
                    self.stage = Stage::Tail;
                }
            }
            Stage::Tail => {
                self.tail(source, out);
                self.stage = Stage::Over;
            }
            Stage::Over => {}
        }
        Ok(())
    }

    fn head(&self, source: &dyn Source, out: &mut String) {
        match self.form {
            Form::Status if self.all => show::status_head(out, &source.overview()),
            Form::StatusJson => json::status_head(out, &source.overview()),
            Form::CountersJson => json::counters_head(out, &source.overview()),
            Form::Explain => self.explain.head(out, self.all),
            Form::Summary => self.summary.head(out),
            Form::Status | Form::Counters | Form::Health | Form::HealthJson | Form::Metrics => {}
        }
    }

    fn tail(&self, source: &dyn Source, out: &mut String) {
        match self.form {
            Form::StatusJson => json::status_tail(out, &source.dropped()),
            Form::Explain => self.explain.tail(out, self.all, &source.dropped()),
            Form::Health => show::health(out, &self.health),
            Form::HealthJson => json::health(out, &source.overview(), &self.health),
            Form::Counters => show::counters_tail(out, &source.dropped()),
            Form::CountersJson => json::counters_tail(out, &source.dropped()),
            Form::Summary => self.summary.tail(&source.overview(), &self.health, out),
            Form::Status | Form::Metrics => {}
        }
    }

    /// The next sessions, at most so many: their tunnel, and which of it. The last of a tunnel may be none at all.
    fn advance(&mut self, source: &dyn Source, most: usize) -> Option<(usize, Range<usize>, bool)> {
        let (tunnel, from) = self.next;
        if tunnel >= self.tunnels.end {
            return None;
        }
        let count = source.tunnel(tunnel)?.sessions.min(self.sessions.end);
        let to = from.saturating_add(most).min(count);
        let ends = to >= count;
        self.next = if ends { (tunnel + 1, self.sessions.start) } else { (tunnel, to) };
        Some((tunnel, from..to, ends))
    }

    /// Does with the next sessions what needs no more than a look at them; one call takes as long as `least` of them.
    /// `false`: there is nothing left.
    fn look_at(
        &mut self,
        source: &dyn Source,
        least: usize,
        mut look: impl FnMut(&mut Display, usize, Range<usize>, bool),
    ) -> bool {
        let mut room = LOOKED_AT;
        while room > 0 {
            let Some((tunnel, sessions, ends)) = self.advance(source, room) else { return false };
            room = room.saturating_sub(sessions.len().max(least));
            look(self, tunnel, sessions, ends);
        }
        true
    }

    fn judge(&mut self, source: &dyn Source, tunnel: usize, sessions: Range<usize>) {
        let Some(brief) = source.tunnel(tunnel) else { return };
        if sessions.start == self.sessions.start {
            self.health.count_tunnel(&brief);
        }
        for session in sessions.filter_map(|session| source.session(tunnel, session)) {
            self.health.count_session(&brief, &session);
        }
    }

    /// Shows some sessions. `false`: there is nothing left.
    fn tunnels(&mut self, source: &dyn Source, out: &mut String) -> bool {
        let Some((tunnel, sessions, ends)) = self.advance(source, SESSIONS) else { return false };
        let begins = sessions.start == self.sessions.start;
        self.judge(source, tunnel, sessions.clone());
        if self.form == Form::Explain && begins {
            self.explain.begin(source, tunnel, self.all);
        }
        if self.form == Form::Explain && self.explain.is_skipped() {
            return true;
        }
        let Some((snapshot, interfaces)) = source.part(tunnel, sessions) else { return false };
        let first = begins && tunnel == self.tunnels.start;
        let part = Part { tunnel: snapshot, interfaces, begins, ends, first };
        match self.form {
            Form::Status => show::part(out, &source.overview(), &part, self.cookies),
            Form::StatusJson => json::status_part(out, &part, self.cookies),
            Form::Explain => self.explain.part(out, source.overview().uptime, &part),
            Form::Counters => show::counters_part(out, &part),
            Form::CountersJson => json::counters_part(out, &part),
            Form::Health | Form::HealthJson | Form::Metrics | Form::Summary => {}
        }
        true
    }
}

/// What to say of a tunnel that there is not.
pub fn no_tunnel(name: &str) -> String {
    format!("no such tunnel: {}\n", escape(name.as_bytes()))
}

/// What to say of a session that there is not.
pub fn no_interface(name: &str) -> String {
    format!("no such if_name: {}\n", escape(name.as_bytes()))
}
