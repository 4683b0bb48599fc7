//! `state-file`: what the daemon has to know to go on after a crash, written down while it runs. How an entry looks, and
//! what makes one believed, stands in [`proto::record`](crate::proto::record).
//!
//! Entries are only added, those of a few tunnels at a time. When most of the file is old, the entries of all tunnels are
//! written into a second file beside it, some in each turn; then the first one is emptied, and they change places. While
//! there are entries in both, the newer ones count.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::log::WallTime;
use crate::proto::record::{self, Content, Found, Record, Stamp};
use crate::proto::Engine;
use crate::sys::state_file::StateFile;
use crate::sys::{clock, error_text, machine};
use crate::wire::digest::Secret;
use crate::wire::SessionId;

/// Tunnels that are written about at once.
const AT_ONCE: usize = 128;
/// After that, others have their turn for so long.
const PAUSE: Duration = Duration::from_millis(20);
/// What changes within this time after something was written is written together.
const INTERVAL: Duration = Duration::from_millis(200);
/// So much of a file may be old before it is written anew, and as much as is not.
const OLD: u64 = 64 * 1024;
/// A file was changed by somebody else when that was so much later than its last entry: microseconds.
const LATER: u64 = 2_000_000;

/// What a file says of a tunnel.
type FileEntry = (String, Result<Box<Record>, &'static str>);

/// What was written about a tunnel.
struct Written {
    name: String,
    /// Which edition of its record; `None`: that it has no connection.
    edition: Option<[u8; 16]>,
    octets: u64,
}

/// The file, and the second one.
pub struct StateFiles {
    files: [StateFile; 2],
    /// Which one is written to.
    current: usize,
    /// Where.
    at: u64,
    machine: Vec<u8>,
    boot: Vec<u8>,
    /// The number of the last entry.
    number: u64,
    written: BTreeMap<u32, Box<Written>>,
    /// The octets of the entries that count.
    live: u64,
    /// All tunnels are being written about; until that is done the other file counts as well.
    whole: bool,
    next: Instant,
}

impl StateFiles {
    /// Opens the file of this name and the second one, which ends in `.2`.
    pub fn open(now: Instant, path: &str) -> io::Result<StateFiles> {
        let about = |path: &Path, error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {}", path.display(), error_text(&error)))
        };
        let open = |path: PathBuf| StateFile::open(&path).map_err(|error| about(&path, error));
        Ok(StateFiles {
            files: [open(PathBuf::from(path))?, open(PathBuf::from(format!("{path}.2")))?],
            current: 0,
            at: 0,
            machine: machine::id(),
            boot: machine::boot(),
            number: 0,
            written: BTreeMap::new(),
            live: 0,
            whole: false,
            next: now,
        })
    }

    /// What the files say of the tunnels of this configuration. What is written from now on stands after it.
    pub fn read(&mut self, now: Instant, config: &Config) -> io::Result<Vec<FileEntry>> {
        let tunnels = crate::gather::map(config.tunnels.iter().map(|tunnel| (tunnel.name.as_str(), tunnel)));
        let secrets = |name: &str| tunnels.get(name).map(|tunnel| record::secrets(tunnel));
        let mut all: BTreeMap<String, Box<(u64, Content)>> = BTreeMap::new();
        let mut newest = 0;
        for place in 0..self.files.len() {
            let Some(file) = self.files.get_mut(place) else { continue };
            let (octets, changed) = file.read()?;
            let found = record::read(&octets, now, &self.machine, secrets);
            let foreign = self.is_foreign(&found, changed);
            self.number = self.number.max(found.highest);
            let last = found.last.map_or(0, |last| last.number);
            if last > newest {
                newest = last;
                (self.current, self.at) = (place, u64::try_from(found.end).unwrap_or(0));
            }
            for (name, entry) in found.entries {
                let (number, content) = *entry;
                let content = match content {
                    Content::Connection(_) if foreign => {
                        Content::Refused("the file was changed after it was written")
                    }
                    content => content,
                };
                if all.get(&name).is_none_or(|other| other.0 < number) {
                    all.insert(name, Box::new((number, content)));
                }
            }
        }
        Ok(all.into_iter().filter_map(|(name, entry)| Some((name, said(entry.1)?))).collect())
    }

    /// A copy, or an older state of the file, was put in its place. After another start of the machine that cannot be
    /// told: a file system may keep the time of a change whose octets it has lost.
    fn is_foreign(&self, found: &Found, changed: u64) -> bool {
        let last = found.last.as_ref().filter(|last| last.boot == self.boot && !self.boot.is_empty());
        last.is_some_and(|last| changed > last.time.saturating_add(LATER))
    }

    /// From now on everything is written, first of all about all tunnels.
    pub fn begin(&mut self, now: Instant, engine: &mut Engine) -> io::Result<()> {
        self.files.get_mut(self.current).map_or(Ok(()), |file| file.cut(self.at))?;
        engine.keep_records();
        (self.whole, self.next) = (true, now);
        Ok(())
    }

    /// When there is something to be written.
    pub fn next(&self, engine: &Engine) -> Option<Instant> {
        engine.has_records().then_some(self.next)
    }

    /// Writes what there is to be written, or some of it.
    pub fn turn(
        &mut self,
        now: Instant,
        engine: &mut Engine,
        sequence: &dyn Fn(SessionId) -> Option<u32>,
    ) -> io::Result<()> {
        if now < self.next || !engine.has_records() {
            return Ok(());
        }
        let mut octets = Vec::new();
        for _ in 0..AT_ONCE {
            let Some((key, tunnel)) = engine.take_record(now, sequence) else { break };
            match tunnel {
                Some(tunnel) => {
                    let secrets = record::secrets(tunnel.config);
                    let Some(secret) = secrets.first() else { continue };
                    self.add(now, &mut octets, key, (&tunnel.config.name, tunnel.record), secret);
                }
                None => self.forget(now, &mut octets, key),
            }
        }
        let more = engine.has_records();
        self.next = now + if more { PAUSE } else { INTERVAL };
        if let Some(file) = self.files.get_mut(self.current).filter(|_| !octets.is_empty()) {
            file.write(self.at, &octets)?;
            self.at = self.at.saturating_add(octets.len() as u64);
        }
        match (more, self.whole) {
            (true, _) => Ok(()),
            (false, true) => self.end_whole(),
            (false, false) if self.at > self.live.saturating_mul(2).saturating_add(OLD) => {
                (self.current, self.at, self.live) = (1 - self.current, 0, 0);
                self.written.clear();
                self.begin(now, engine)
            }
            (false, false) => Ok(()),
        }
    }

    /// Adds an entry about a tunnel, unless it would say what is written already.
    fn add(
        &mut self,
        now: Instant,
        octets: &mut Vec<u8>,
        key: u32,
        (name, mut record): (&str, Option<Record>),
        secret: &Secret,
    ) {
        let edition = record.as_mut().map(|record| record.edition(now));
        let before = self.written.get(&key);
        if before.map_or(edition.is_none() && !self.whole, |before| before.edition == edition) {
            return;
        }
        self.live = self.live.saturating_sub(before.map_or(0, |before| before.octets));
        let stamp = self.stamp();
        let entry = record::entry(now, &self.machine, &stamp, (name, record.as_ref()), secret);
        octets.extend_from_slice(&entry);
        let length = if edition.is_some() { entry.len() as u64 } else { 0 };
        self.live = self.live.saturating_add(length);
        let written = Written { name: name.to_owned(), edition, octets: length };
        self.written.insert(key, Box::new(written));
    }

    /// A tunnel is gone.
    fn forget(&mut self, now: Instant, octets: &mut Vec<u8>, key: u32) {
        let written = self.written.remove(&key).map(|written| *written);
        let Some(Written { name, edition: Some(_), octets: length }) = written else { return };
        self.live = self.live.saturating_sub(length);
        let (stamp, none) = (self.stamp(), Secret::new(b""));
        octets.extend_from_slice(&record::entry(now, &self.machine, &stamp, (&name, None), &none));
    }

    fn stamp(&mut self) -> Stamp {
        self.number = self.number.saturating_add(1);
        let WallTime(time) = clock::wall();
        Stamp { number: self.number, time, boot: self.boot.clone() }
    }

    /// All that counts is in one file.
    fn end_whole(&mut self) -> io::Result<()> {
        self.whole = false;
        self.files.get_mut(1 - self.current).map_or(Ok(()), |file| file.cut(0))
    }

    /// An orderly end: there is nothing to go on with.
    pub fn clear(&mut self) -> io::Result<()> {
        self.files.iter_mut().try_for_each(|file| file.cut(0))
    }
}

fn said(content: Content) -> Option<Result<Box<Record>, &'static str>> {
    match content {
        Content::Connection(record) => Some(Ok(record)),
        Content::Refused(why) => Some(Err(why)),
        Content::None => None,
    }
}
