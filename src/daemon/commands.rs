//! Other programs that the daemon has run: event commands, and this program as a child that looks up a name. The daemon
//! that runs cannot start anything itself ([`seccomp`](crate::sys::seccomp)); a helper does it that was forked at the
//! start and is asked through a socket. It does not take the daemon's word for what to run: an event command has to
//! stand in the configuration, which it reads itself. With `seccomp off` the daemon is its own helper.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use mio::net::UnixStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};

use super::reload::{self, Readers};
use super::resolve;
use crate::config::{Config, Defaults};
use crate::gather;
use crate::sys::process::{self, Ended, Process};
use crate::sys::signal::Signals;
use crate::sys::{daemonize, error_text, file, trust};

/// The mio token of the socket to the helper.
pub const TOKEN: Token = Token(2);
const SIGNALS: Token = Token(1);
/// No message between the two is longer.
const LONGEST: usize = 16 * 1024 * 1024;

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// A command of `on-event`, with its whole environment.
    Event {
        /// The program and its arguments.
        words: Vec<String>,
        /// Names and values.
        environment: Vec<(String, String)>,
    },
    /// A lookup of this name.
    LookUp(String),
}

impl Program {
    /// Starts it, or says in words why it cannot be started.
    fn start(&self, confined: bool) -> Result<Process, String> {
        match self {
            Program::LookUp(name) => {
                let argument = if confined { resolve::ARGUMENT } else { resolve::UNCONFINED };
                let own = process::own_program().map(|path| path.to_string_lossy().into_owned());
                let start = |own| Process::start(&[own, argument.to_owned(), name.clone()], &[], true);
                own.and_then(start).map_err(|error| error_text(&error))
            }
            Program::Event { words, environment } => {
                let name = Path::new(words.first().map_or("", String::as_str));
                // Others must not be able to change what is run, no more than the file that names it.
                let trusted = if name.is_absolute() { trust::program(name) } else { Ok(()) };
                trusted.and_then(|()| Process::start(words, environment, false)).map_err(|error| {
                    let what = file::no_file(name).map(|what| format!(", it is {what}")).unwrap_or_default();
                    error_text(&error) + &what
                })
            }
        }
    }
}

/// How a program ended, or why it did not start.
pub type Outcome = Result<Ended, String>;

/// The programs that run, by the numbers that the daemon has given them.
#[derive(Debug, Default)]
struct Children {
    running: BTreeMap<u64, Process>,
}

impl Children {
    /// Those that have ended.
    fn ended(&mut self) -> Vec<(u64, Ended)> {
        let ended: Vec<(u64, Ended)> =
            self.running.iter_mut().filter_map(|(id, process)| Some((*id, process.ended()?))).collect();
        for (id, _) in &ended {
            self.running.remove(id);
        }
        ended
    }

    fn kill(&mut self, id: u64) {
        if let Some(process) = self.running.get_mut(&id) {
            process.kill();
        }
    }
}

/// The daemon's side.
#[derive(Debug, Default)]
pub struct Commands {
    helper: Option<Link>,
    here: Children,
    ended: BTreeMap<u64, Outcome>,
    next: u64,
}

impl Commands {
    /// Those that the helper runs.
    pub fn of_helper(helper: Link) -> Commands {
        Commands { helper: Some(helper), ..Commands::default() }
    }

    /// Tells the loop of the helper's answers.
    pub fn register(&mut self, registry: &Registry) -> io::Result<()> {
        match &mut self.helper {
            Some(link) => registry.register(&mut link.stream, TOKEN, Interest::READABLE | Interest::WRITABLE),
            None => Ok(()),
        }
    }

    /// Has a program started; what became of it comes out of [`take_ended`](Commands::take_ended) under this number.
    pub fn start(&mut self, program: &Program) -> u64 {
        let id = self.next;
        self.next += 1;
        match &mut self.helper {
            Some(link) => link.send(&fields_of(id, program)),
            None => match program.start(false) {
                Ok(process) => drop(self.here.running.insert(id, process)),
                Err(why) => drop(self.ended.insert(id, Err(why))),
            },
        }
        id
    }

    /// Kills a program and what it started.
    pub fn kill(&mut self, id: u64) {
        match &mut self.helper {
            Some(link) => link.send(&[b"kill".to_vec(), id.to_be_bytes().to_vec()]),
            None => self.here.kill(id),
        }
    }

    /// The configuration was read again, and may have other commands.
    pub fn reloaded(&mut self) {
        if let Some(link) = &mut self.helper {
            link.send(&[b"read".to_vec()]);
        }
    }

    /// Takes note of what has ended.
    pub fn turn(&mut self) {
        self.ended.extend(self.here.ended().into_iter().map(|(id, ended)| (id, Ok(ended))));
        let Some(link) = &mut self.helper else { return };
        while let Some(answer) = link.receive() {
            self.ended.extend(outcome_of(&answer));
        }
    }

    /// Whether there is something to be taken.
    pub fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// How a program ended, if it has.
    pub fn take_ended(&mut self, id: u64) -> Option<Outcome> {
        match &self.helper {
            Some(link) if link.gone => Some(
                self.ended.remove(&id).unwrap_or_else(|| Err("the helper that starts it is gone".to_owned())),
            ),
            _ => self.ended.remove(&id),
        }
    }
}

/// One end of the socket between the daemon and its helper. Nothing waits in it.
#[derive(Debug)]
pub struct Link {
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    gone: bool,
}

impl Link {
    fn new(stream: UnixStream) -> Link {
        Link { stream, input: Vec::new(), output: Vec::new(), gone: false }
    }

    /// Sends a message, as far as the socket takes it.
    fn send(&mut self, fields: &[Vec<u8>]) {
        let mut body = Vec::new();
        for field in fields {
            body.extend(u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
            body.extend(field);
        }
        self.output.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.output.extend(body);
        self.flush();
    }

    fn flush(&mut self) {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(octets) => drop(self.output.drain(..octets)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.gone |= error.kind() != io::ErrorKind::WouldBlock;
                    return;
                }
            }
        }
    }

    /// The next message, if a whole one has come.
    fn receive(&mut self) -> Option<Vec<Vec<u8>>> {
        self.flush();
        let mut room = [0; 4096];
        loop {
            match self.stream.read(&mut room) {
                Ok(0) => self.gone = true,
                Ok(octets) => {
                    self.input.extend(room.get(..octets).unwrap_or_default());
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => self.gone |= error.kind() != io::ErrorKind::WouldBlock,
            }
            break;
        }
        let length = length_at(&self.input)?;
        self.gone |= length > LONGEST;
        let body = self.input.get(4..4 + length)?.to_vec();
        self.input.drain(..4 + length);
        let mut rest = body.as_slice();
        let mut fields = Vec::new();
        while let Some(length) = length_at(rest) {
            fields.push(rest.get(4..4 + length)?.to_vec());
            rest = rest.get(4 + length..)?;
        }
        Some(fields)
    }
}

fn length_at(octets: &[u8]) -> Option<usize> {
    usize::try_from(u32::from_be_bytes(*octets.first_chunk::<4>()?)).ok()
}

fn number(field: Option<&Vec<u8>>) -> Option<u64> {
    Some(u64::from_be_bytes(field?.as_slice().try_into().ok()?))
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field).into_owned()
}

/// The message that asks for a program.
fn fields_of(id: u64, program: &Program) -> Vec<Vec<u8>> {
    let id = id.to_be_bytes().to_vec();
    match program {
        Program::LookUp(name) => vec![b"look-up".to_vec(), id, name.clone().into_bytes()],
        Program::Event { words, environment } => {
            let mut fields = vec![b"event".to_vec(), id, (words.len() as u64).to_be_bytes().to_vec()];
            fields.extend(words.iter().map(|word| word.clone().into_bytes()));
            let pairs = environment.iter().flat_map(|(name, value)| [name, value]);
            fields.extend(pairs.map(|text| text.clone().into_bytes()));
            fields
        }
    }
}

/// What a message asks for.
fn program_of(fields: &[Vec<u8>]) -> Option<Program> {
    match fields.first()?.as_slice() {
        b"look-up" => Some(Program::LookUp(text(fields.get(2)?))),
        b"event" => {
            let count = usize::try_from(number(fields.get(2))?).ok()?;
            let (words, pairs) = fields.get(3..)?.split_at_checked(count)?;
            let pairs =
                pairs.chunks_exact(2).filter_map(|pair| Some((text(pair.first()?), text(pair.get(1)?))));
            Some(Program::Event {
                words: words.iter().map(|word| text(word)).collect(),
                environment: pairs.collect(),
            })
        }
        _ => None,
    }
}

/// The message that tells what became of a program.
fn answer_of(id: u64, outcome: &Outcome) -> Vec<Vec<u8>> {
    let id = id.to_be_bytes().to_vec();
    match outcome {
        Ok(Ended { success, how, output }) => {
            vec![id, vec![u8::from(*success)], how.clone().into_bytes(), output.clone().into_bytes()]
        }
        Err(why) => vec![id, why.clone().into_bytes()],
    }
}

fn outcome_of(answer: &[Vec<u8>]) -> Option<(u64, Outcome)> {
    let id = number(answer.first())?;
    Some(match answer.get(1..)? {
        [why] => (id, Err(text(why))),
        [success, how, output] => {
            (id, Ok(Ended { success: success.first() == Some(&1), how: text(how), output: text(output) }))
        }
        _ => return None,
    })
}

/// The helper: a process that starts what it is asked for, as long as the daemon lives.
struct Helper {
    link: Link,
    children: Children,
    file: String,
    system: Defaults,
    /// Every command that was in the configuration since the start.
    known: BTreeSet<Vec<String>>,
}

/// Forks the helper of a daemon with this configuration, read from `file`. Must be called while there is one thread, and
/// before anything is opened that commands must not inherit. `prepare` gives up what the helper does not need.
pub fn fork_helper(
    file: &str,
    config: &Config,
    prepare: impl FnOnce() -> io::Result<()>,
) -> io::Result<Link> {
    let (ours, theirs) = UnixStream::pair()?;
    if daemonize::fork_keeping(theirs.as_raw_fd(), false)? {
        return Ok(Link::new(ours));
    }
    let mut helper = Helper {
        link: Link::new(theirs),
        children: Children::default(),
        file: file.to_owned(),
        system: config.system.clone(),
        known: commands_of(config),
    };
    let status = prepare().and_then(|()| helper.run()).is_err();
    // The rest of this process is the daemon's, and must not be dropped twice.
    daemonize::end_fork(i32::from(status))
}

fn commands_of(config: &Config) -> BTreeSet<Vec<String>> {
    gather::set(config.tunnels.iter().filter_map(|tunnel| tunnel.on_event.clone()))
}

impl Helper {
    fn run(&mut self) -> io::Result<()> {
        let mut signals = Signals::install()?;
        let mut poll = Poll::new()?;
        let mut events = Events::with_capacity(8);
        poll.registry().register(&mut SourceFd(&signals.as_raw_fd()), SIGNALS, Interest::READABLE)?;
        poll.registry().register(&mut self.link.stream, TOKEN, Interest::READABLE | Interest::WRITABLE)?;
        while !self.link.gone {
            // What ended between the last look and now had its signal, which waits in the pipe.
            match poll.poll(&mut events, None::<Duration>) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                Ok(()) | Err(_) => {}
            }
            while signals.take().is_some() {}
            while let Some(fields) = self.link.receive() {
                self.serve(&fields);
            }
            for (id, ended) in self.children.ended() {
                self.link.send(&answer_of(id, &Ok(ended)));
            }
        }
        Ok(())
    }

    fn serve(&mut self, fields: &[Vec<u8>]) {
        let Some(id) = number(fields.get(1)) else { return self.read() };
        match program_of(fields) {
            Some(program) => match self.start(&program) {
                Ok(process) => drop(self.children.running.insert(id, process)),
                Err(why) => self.link.send(&answer_of(id, &Err(why))),
            },
            None => self.children.kill(id),
        }
    }

    fn start(&mut self, program: &Program) -> Result<Process, String> {
        if let Program::Event { words, .. } = program {
            if !self.known.contains(words) {
                self.read();
            }
            if !self.known.contains(words) {
                return Err("the configuration has no such command".to_owned());
            }
        }
        program.start(true)
    }

    /// Looks which commands the configuration has now. Those that it had before stay: the daemon may be on its way.
    fn read(&mut self) {
        let read = reload::read(&self.file, Duration::ZERO, &self.system, Readers::Nobody);
        if let Some(config) = read.ok().and_then(|parsed| parsed.config.ok()) {
            self.known.extend(commands_of(&config));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_as_they_were_sent() {
        let words = ["/bin/hook", "a b", ""].map(str::to_owned).to_vec();
        let environment =
            vec![("PATH".to_owned(), "/bin".to_owned()), ("L2TPD_REASON".to_owned(), String::new())];
        for program in [Program::Event { words, environment }, Program::LookUp("peer.example".to_owned())] {
            assert_eq!(program_of(&fields_of(7, &program)), Some(program));
        }
        let ended = Ended { success: true, how: "exit status: 0".into(), output: "192.0.2.1\n".into() };
        for outcome in [Ok(ended), Err("No such file or directory".to_owned())] {
            assert_eq!(outcome_of(&answer_of(7, &outcome)), Some((7, outcome)));
        }
        assert_eq!(program_of(&[b"event".to_vec(), vec![0; 8], u64::MAX.to_be_bytes().to_vec()]), None);
        assert_eq!(program_of(&[]), None);
    }

    #[test]
    fn the_helper_runs_what_the_configuration_names_and_nothing_else() {
        let file = std::env::temp_dir().join(format!("l2tpd-commands-{}.conf", std::process::id()));
        std::fs::write(&file, "tunnel t\n on-event /bin/true\n").unwrap();
        let (_, socket) = UnixStream::pair().unwrap();
        let mut helper = Helper {
            link: Link::new(socket),
            children: Children::default(),
            file: file.to_string_lossy().into_owned(),
            system: Defaults::default(),
            known: BTreeSet::new(),
        };
        let event = |words: &[&str]| Program::Event {
            words: words.iter().map(|word| word.to_string()).collect(),
            environment: Vec::new(),
        };
        for wrong in [&["/bin/false"][..], &["/bin/true", "x"], &[]] {
            assert_eq!(helper.start(&event(wrong)).unwrap_err(), "the configuration has no such command");
        }
        let mut process = helper.start(&event(&["/bin/true"])).unwrap();
        // Another command now; the old one may still be wanted by a daemon that has not read it yet.
        std::fs::write(&file, "tunnel t\n on-event /bin/false\n").unwrap();
        for known in ["/bin/false", "/bin/true"] {
            helper.start(&event(&[known])).unwrap().kill();
        }
        process.kill();
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn messages_of_any_size_pass_the_socket() {
        let (one, other) = UnixStream::pair().unwrap();
        let (mut one, mut other) = (Link::new(one), Link::new(other));
        let long = vec![vec![1; 3_000_000], vec![], vec![2; 5]];
        one.send(&long);
        one.send(&[b"kill".to_vec()]);
        let mut received = Vec::new();
        while received.len() < 2 {
            received.extend(other.receive());
            one.flush();
        }
        assert_eq!(received, [long, vec![b"kill".to_vec()]]);
        drop(one);
        // A program that another test starts has the end of `one`, too, until it runs.
        while !other.gone {
            assert_eq!(other.receive(), None);
        }
    }
}
