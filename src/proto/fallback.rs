//! Which encapsulation an attempt uses where the configuration has two: the first, and the other one when nothing answers.
//! What worked is remembered; after a while the first is tried again.

use std::time::{Duration, Instant};

use super::action::Path;
use crate::config::model::TunnelConfig;
use crate::saved::saved;
use crate::wire::Encapsulation;

/// How long attempts begin with the second encapsulation after it worked where the first did not.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// What a tunnel knows of its encapsulations.
#[derive(Debug, Default)]
pub struct Fallback {
    /// The attempt at hand uses the other one, as the one that it began with was not answered.
    switched: bool,
    /// Until then attempts begin with the second.
    until: Option<Instant>,
}
saved!(Fallback { switched, until });

impl Fallback {
    /// The path that an attempt begins with.
    pub fn begin(&mut self, now: Instant, config: &TunnelConfig, path: Path) -> Path {
        self.switched = false;
        match config.encapsulations.second.filter(|_| self.until.is_some_and(|until| now < until)) {
            Some(second) => over(config, second, path),
            None => path,
        }
    }

    /// Whether the attempt at hand has another encapsulation left.
    pub fn has_other(&self, config: &TunnelConfig) -> bool {
        config.encapsulations.second.is_some() && !self.switched
    }

    /// Nothing was answered on this path: the same with the other encapsulation, if that was not tried yet.
    pub fn switch(&mut self, config: &TunnelConfig, path: Path) -> Option<Path> {
        let second = config.encapsulations.second.filter(|_| !std::mem::replace(&mut self.switched, true))?;
        let other = if path.encapsulation == second { config.encapsulation() } else { second };
        Some(over(config, other, path))
    }

    /// A connection is established with this encapsulation.
    pub fn works(&mut self, now: Instant, config: &TunnelConfig, encapsulation: Encapsulation) {
        let remembered = self.until.filter(|until| now < *until).or_else(|| now.checked_add(REMEMBERED));
        self.until = remembered.filter(|_| config.encapsulations.second == Some(encapsulation));
    }
}

/// The path with this encapsulation.
fn over(config: &TunnelConfig, encapsulation: Encapsulation, mut path: Path) -> Path {
    let (local, remote) = config.ports_of(encapsulation);
    path.encapsulation = encapsulation;
    path.local.set_port(local);
    path.remote.set_port(remote);
    path
}
