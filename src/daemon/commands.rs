//! Other programs that the daemon has run: event commands, and this program as a child that looks up a name. The daemon
//! that runs cannot start anything itself ([`seccomp`](crate::sys::seccomp)); a helper does it that was forked at the
//! start and is asked through a socket. It does not take the daemon's word for what to run: an event command has to
//! stand in the configuration, which it reads itself. With `seccomp off` the daemon is its own helper.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use mio::net::UnixStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};

use super::reading::{self, Readers};
use super::{confine, look_up};
use crate::config::model::Seccomp;
use crate::config::{Config, Defaults};
use crate::gather;
use crate::saved::{saved, Reader, Saved, Writer};
use crate::sys::process::{self, Ended, Process};
use crate::sys::signal::Signals;
use crate::sys::{clock, daemonize, error_text, file, privilege, stream, trust};

/// The mio token of the socket to the helper.
pub const TOKEN: Token = Token(2);
const SIGNALS: Token = Token(1);
/// No message between the two is longer.
const LONGEST: usize = 16 * 1024 * 1024;

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// A command of `on-event`: the program and its arguments, and its whole environment.
    Event(Vec<String>, Vec<(String, String)>),
    /// A lookup of this name.
    LookUp(String),
}
saved!(
    enum Program {
        Event(words, environment),
        LookUp(name),
    }
);

impl Program {
    /// Starts it, or says in words why it cannot be started.
    fn start(&self, confined: bool) -> Result<Process, String> {
        match self {
            Program::LookUp(name) => {
                let argument = if confined { look_up::ARGUMENT } else { look_up::UNCONFINED };
                let own = process::own_program().map(|path| path.to_string_lossy().into_owned());
                let start = |own| Process::start(&[own, argument.to_owned(), name.clone()], &[], true);
                own.and_then(start).map_err(|error| error_text(&error))
            }
            Program::Event(words, environment) => {
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

/// What the helper is asked for.
enum Order {
    /// To start a program, which has this number from now on. The answer is the number and the [`Outcome`].
    Start(u64, Program),
    Kill(u64),
    /// To read the configuration again.
    Read,
}
saved!(
    enum Order {
        Start(id, program),
        Kill(id),
        Read,
    }
);

/// The programs that run, by the numbers that the daemon has given them.
#[derive(Debug, Default)]
struct Children {
    running: BTreeMap<u64, Box<Process>>,
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
    ended: BTreeMap<u64, Box<Outcome>>,
    next: u64,
}

impl Commands {
    /// Forks the helper of a daemon with this configuration, read from `file`. Must be called while there is one thread,
    /// and before anything is opened that commands must not inherit. Without a filter the daemon needs none.
    pub fn fork(file: &str, config: &Config) -> io::Result<Commands> {
        if config.seccomp == Seccomp::Off {
            return Ok(Commands::default());
        }
        let user = confine::user(config).map(|name| privilege::user(&name)).transpose()?;
        let (ours, theirs) = UnixStream::pair()?;
        if daemonize::fork_keeping(theirs.as_raw_fd(), false)? {
            return Ok(Commands { helper: Some(Link::new(ours)), ..Commands::default() });
        }
        let mut helper = Helper {
            link: Link::new(theirs),
            children: Children::default(),
            file: file.to_owned(),
            system: config.system.clone(),
            known: commands_of(config),
        };
        let dropped = match user {
            Some(user) => privilege::drop_to(user, &[]),
            None => privilege::no_new_privileges(),
        };
        let status = dropped.and_then(|()| privilege::no_dumps()).and_then(|()| helper.run()).is_err();
        // The rest of this process is the daemon's, and must not be dropped twice.
        daemonize::end_fork(i32::from(status))
    }

    /// Tells the loop of the helper's answers.
    pub fn register(&mut self, registry: &Registry) -> io::Result<()> {
        match &mut self.helper {
            Some(link) => registry.register(&mut link.stream, TOKEN, Interest::READABLE | Interest::WRITABLE),
            None => Ok(()),
        }
    }

    /// Has a program started; what became of it comes out of [`take_ended`](Commands::take_ended) under this number.
    pub fn start(&mut self, program: Program) -> u64 {
        let id = self.next;
        self.next += 1;
        match &mut self.helper {
            Some(link) => link.send(&Order::Start(id, program)),
            None => match program.start(false) {
                Ok(process) => drop(self.here.running.insert(id, Box::new(process))),
                Err(why) => drop(self.ended.insert(id, Box::new(Err(why)))),
            },
        }
        id
    }

    /// Kills a program and what it started.
    pub fn kill(&mut self, id: u64) {
        match &mut self.helper {
            Some(link) => link.send(&Order::Kill(id)),
            None => self.here.kill(id),
        }
    }

    /// The configuration was read again, and may have other commands.
    pub fn reloaded(&mut self) {
        if let Some(link) = &mut self.helper {
            link.send(&Order::Read);
        }
    }

    /// Takes note of what has ended.
    pub fn turn(&mut self) {
        self.ended.extend(self.here.ended().into_iter().map(|(id, ended)| (id, Box::new(Ok(ended)))));
        let Some(link) = &mut self.helper else { return };
        while let Some(answer) = link.receive::<(u64, Box<Outcome>)>() {
            self.ended.extend([answer]);
        }
    }

    /// Whether there is something to be taken.
    pub fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// How a program ended, if it has.
    pub fn take_ended(&mut self, id: u64) -> Option<Outcome> {
        match &self.helper {
            Some(link) if link.gone => {
                let ended = self.ended.remove(&id).map(|outcome| *outcome);
                Some(ended.unwrap_or_else(|| Err("the helper that starts it is gone".to_owned())))
            }
            _ => self.ended.remove(&id).map(|outcome| *outcome),
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
    fn send<T: Saved>(&mut self, message: &T) {
        let mut body = Writer::new(clock::now());
        message.save(&mut body);
        let body = body.finish();
        self.output.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.output.extend_from_slice(&body);
        self.flush();
    }

    fn flush(&mut self) {
        self.gone |= stream::send(&mut self.stream, &mut self.output).is_err();
    }

    /// The next message, if a whole one has come.
    fn receive<T: Saved>(&mut self) -> Option<T> {
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
        let length = usize::try_from(u32::from_be_bytes(*self.input.first_chunk::<4>()?)).ok()?;
        self.gone |= length > LONGEST;
        let body = self.input.get(4..4 + length)?;
        let message = Reader::new(body, clock::now()).and_then(|mut reader| {
            let message = T::restore(&mut reader);
            reader.end().map(|()| message)
        });
        self.input.drain(..4 + length);
        self.gone |= message.is_err();
        message.ok()
    }
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
            while let Some(order) = self.link.receive() {
                self.serve(order);
            }
            for (id, ended) in self.children.ended() {
                self.link.send::<(u64, Outcome)>(&(id, Ok(ended)));
            }
        }
        Ok(())
    }

    fn serve(&mut self, order: Order) {
        match order {
            Order::Start(id, program) => match self.start(&program) {
                Ok(process) => drop(self.children.running.insert(id, Box::new(process))),
                Err(why) => self.link.send::<(u64, Outcome)>(&(id, Err(why))),
            },
            Order::Kill(id) => self.children.kill(id),
            Order::Read => self.read(),
        }
    }

    fn start(&mut self, program: &Program) -> Result<Process, String> {
        if let Program::Event(words, _) = program {
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
        let read = reading::read(&self.file, Duration::ZERO, &self.system, Readers::Nobody);
        if let Some(config) = read.ok().and_then(|(parsed, _)| parsed.config.ok()) {
            self.known.extend(commands_of(&config));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

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
        let event =
            |words: &[&str]| Program::Event(words.iter().map(|word| word.to_string()).collect(), Vec::new());
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
    fn messages_of_any_size_arrive_as_they_were_sent() {
        let (one, other) = UnixStream::pair().unwrap();
        let (mut one, mut other) = (Link::new(one), Link::new(other));
        let long = vec!["/bin/hook".to_owned(), "a b".repeat(1_000_000), String::new()];
        let environment = vec![("L2TPD_REASON".to_owned(), String::new())];
        let sent = [Program::Event(long, environment), Program::LookUp("peer.example".to_owned())];
        sent.iter().for_each(|program| one.send(program));
        let mut received: Vec<Program> = Vec::new();
        while received.len() < 2 {
            received.extend(other.receive());
            one.flush();
        }
        assert_eq!(received, sent);
        let ended = Ended { success: true, how: "exit status: 0".into(), output: "192.0.2.1\n".into() };
        for outcome in [Ok(ended), Err("No such file or directory".to_owned())] {
            other.send::<Outcome>(&outcome);
            assert_eq!(one.receive::<Outcome>(), Some(outcome));
        }
        drop(one);
        // A program that another test starts has the end of `one`, too, until it runs.
        while !other.gone {
            assert_eq!(other.receive::<Program>(), None);
        }
    }

    #[test]
    fn one_that_says_what_cannot_be_is_as_good_as_gone() {
        let (mut one, other) = UnixStream::pair().unwrap();
        let mut other = Link::new(other);
        one.write_all(&[0, 0, 0, 5, b'e', b'v', b'e', b'n', b't']).unwrap();
        assert_eq!(other.receive::<Program>(), None);
        assert!(other.gone);
    }
}
