//! The server of the admin socket. It runs inside the daemon's loop and never delays it: every socket is
//! non-blocking, every client has a deadline and a bound on its memory, and there are at most [`CLIENTS`] of them.
//! Some places are root's, and one who follows gives way to one who comes, so that nobody is shut out by others who
//! only listen.
//!
//! The daemon passes events of the tokens [`TOKENS`] to [`AdminServer::event`], calls [`AdminServer::turn`] once in each
//! turn of its loop, after everything else, and sleeps no longer than [`AdminServer::next_deadline`].

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};

use super::admin_answer;
use super::admin_client::{AdminClient, End, Stream};
pub use super::admin_host::{Answer, Host, StreamEvent, WantedEvents};
use crate::admin::envelope::{self, reply};
use crate::admin::{json, show};
use crate::log::{Event, LogLine, Remark};
use crate::saved::saved;
use crate::sys::{admin_socket as sys, error_text, file, privilege};

/// The mio tokens of this server.
pub const TOKENS: RangeInclusive<usize> = 0x100..=0x1ff;
/// The most clients at once.
pub const CLIENTS: usize = 32;
/// Those of them that are root's alone.
pub const OF_ROOT: usize = 8;
/// How long accepting pauses after it failed: for want of descriptors, say. No new event would come.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// The most connections looked at in one turn.
const ACCEPT_BUDGET: usize = 16;

const LISTENER: Token = Token(0x100);

/// The listening socket and its clients.
#[derive(Debug)]
pub struct AdminServer {
    listener: Option<UnixListener>,
    registry: Registry,
    path: PathBuf,
    /// Device and inode of the socket's name, to remove only our own at the end.
    identity: Option<(u64, u64)>,
    group: Option<u32>,
    clients: [Option<AdminClient>; CLIENTS],
    accepting: bool,
    pause: Option<Instant>,
    wanted: WantedEvents,
    /// Time of the last turn.
    now: Option<Instant>,
}

/// What another program is told of the server.
#[derive(Debug)]
pub struct AdminState {
    path: String,
    identity: Option<(u64, u64)>,
    group: Option<u32>,
}
saved!(AdminState { path, identity, group });

impl AdminServer {
    /// Opens the socket at `path`, for the members of `group` too if there is one. A socket that nobody answers
    /// on any more is replaced. Without a path there is no socket, and nothing to be served. An error is in words.
    pub fn open(path: Option<&str>, group: Option<&str>, registry: &Registry) -> Result<AdminServer, String> {
        let is_wanted = path.is_some();
        let path = PathBuf::from(path.unwrap_or_default());
        let system = |error: io::Error| about(&path, error_text(&error));
        let group = match group.filter(|_| is_wanted).map(privilege::group) {
            Some(Ok(id)) => Some(id),
            Some(Err(error)) => {
                return Err(format!("admin-group {}: {}", group.unwrap_or_default(), error_text(&error)))
            }
            None => None,
        };
        let mut server = AdminServer::closed(registry).map_err(system)?;
        if is_wanted {
            let _held = sys::hold_directory(&path);
            make_room(&path)?;
            let listener = UnixListener::from_std(sys::listen(&path, group).map_err(system)?);
            server.listen(listener).map_err(system)?;
            server.identity = identity(&path);
        }
        (server.path, server.group) = (path, group);
        Ok(server)
    }

    /// One without a socket.
    fn closed(registry: &Registry) -> io::Result<AdminServer> {
        Ok(AdminServer {
            listener: None,
            registry: registry.try_clone()?,
            path: PathBuf::new(),
            identity: None,
            group: None,
            clients: Default::default(),
            accepting: false,
            pause: None,
            wanted: WantedEvents::default(),
            now: None,
        })
    }

    fn listen(&mut self, mut listener: UnixListener) -> io::Result<()> {
        self.registry.register(&mut listener, LISTENER, Interest::READABLE)?;
        (self.listener, self.accepting) = (Some(listener), true);
        Ok(())
    }

    /// What another program that goes on with it has to know; its descriptor is added to `descriptors`.
    pub fn state(&self, descriptors: &mut Vec<RawFd>) -> Option<AdminState> {
        let listener = self.listener.as_ref()?;
        descriptors.push(listener.as_raw_fd());
        let path = self.path.to_str()?.to_owned();
        Some(AdminState { path, identity: self.identity, group: self.group })
    }

    /// The server of another program, with the next of its descriptors. Its clients come again.
    pub fn resume(
        state: Option<AdminState>,
        descriptors: &mut VecDeque<OwnedFd>,
        registry: &Registry,
    ) -> io::Result<AdminServer> {
        let mut server = AdminServer::closed(registry)?;
        let Some(state) = state else { return Ok(server) };
        let fd = descriptors.pop_front().ok_or(io::ErrorKind::NotFound)?;
        server.listen(UnixListener::from_std(fd.into()))?;
        (server.path, server.identity, server.group) = (state.path.into(), state.identity, state.group);
        Ok(server)
    }

    /// Another program goes on with it: from now on only those who are connected already are served.
    pub fn let_go(&mut self) {
        (self.listener, self.identity, self.accepting) = (None, None, false);
    }

    /// An event of one of our tokens. Remembers only that there may be something to do; [`turn`](AdminServer::turn)
    /// does it.
    pub fn event(&mut self, token: Token) {
        if token == LISTENER {
            self.accepting = true;
        } else if let Some(Some(client)) = self.clients.get_mut(token.0.wrapping_sub(LISTENER.0 + 1)) {
            client.ready();
        }
    }

    /// When [`turn`](AdminServer::turn) wants to be called again, if nothing else happens.
    pub fn next_deadline(&self) -> Option<Instant> {
        let accept = if self.accepting { self.pause.or(self.now) } else { None };
        let clients = self.clients.iter().flatten().filter_map(|client| client.deadline(self.now?));
        clients.chain(accept).min()
    }

    /// Does what there is to do, within bounds: accepts, reads, answers, feeds those who follow, and closes.
    pub fn turn(&mut self, now: Instant, host: &mut dyn Host) {
        self.now = Some(now);
        for event in host.take_events() {
            self.broadcast(now, &event, host);
        }
        self.accept(now, host);
        self.each(host, |client, host| serve(client, now, host));
        // What the commands of this turn have caused.
        for event in host.take_events() {
            self.broadcast(now, &event, host);
        }
        self.feed_log(host);
        self.flush(now, host);
        self.tell_wanted(host);
    }

    /// Does something with each client; one whose end that is is given up.
    fn each(
        &mut self,
        host: &mut dyn Host,
        mut act: impl FnMut(&mut AdminClient, &mut dyn Host) -> Result<(), End>,
    ) {
        for slot in 0..CLIENTS {
            if let Some(mut client) = self.clients.get_mut(slot).and_then(Option::take) {
                let outcome = act(&mut client, host);
                self.keep(slot, client, outcome, host);
            }
        }
    }

    /// Passes an event to those who follow its kind; it is written in the next turn.
    pub fn broadcast(&mut self, now: Instant, event: &StreamEvent, host: &mut dyn Host) {
        self.each(host, |client, _| match (client.follows(), event) {
            (Some(Stream::Ping(ping)), StreamEvent::Pong(pong)) => {
                ping.answered(now, pong).map_or(Ok(()), |said| client.say(now, said))
            }
            (Some(Stream::Ping(ping)), StreamEvent::Echo(echo)) => {
                ping.echoed(now, echo).map_or(Ok(()), |said| client.say(now, said))
            }
            (Some(Stream::Watch { json: false }), StreamEvent::Event(time, event)) => {
                client.piece(show::event(*time, event).as_bytes())
            }
            (Some(Stream::Watch { json: true }), StreamEvent::Event(time, event)) => {
                client.piece(json::event(*time, event).as_bytes())
            }
            (Some(Stream::Trace { tunnel: wanted }), StreamEvent::Message { tunnel, record })
                if wanted == tunnel =>
            {
                client.piece(&record.encode())
            }
            (Some(Stream::Reload { number, json }), StreamEvent::Reloaded(done, outcome))
                if number == done =>
            {
                let json = *json;
                admin_answer::reloaded(client, now, outcome, json);
                Ok(())
            }
            (Some(Stream::Restart), StreamEvent::Restart(outcome)) => {
                let (kind, text) = match outcome {
                    Ok(text) => (reply::DONE, text),
                    Err(text) => (reply::REFUSED, text),
                };
                client.answer(now, kind, text.as_bytes());
                Ok(())
            }
            (Some(_) | None, _) => Ok(()),
        });
    }

    /// The lines that were logged since, for those who follow the log.
    fn feed_log(&mut self, host: &mut dyn Host) {
        self.each(host, |client, host| {
            let Some(Stream::Log { next, level, json }) = client.follows() else { return Ok(()) };
            let (mut text, ring) = (String::new(), host.ring());
            // More lines since the last turn than the ring holds.
            if ring.since(*next).next().is_some_and(|first| first.number > *next) {
                admin_answer::put_trimmed(&mut text, *json);
            }
            for entry in ring.since(*next).filter(|entry| entry.level <= *level) {
                admin_answer::put_entry(&mut text, entry, *json);
            }
            *next = ring.next_number();
            if text.is_empty() {
                Ok(())
            } else {
                client.piece(text.as_bytes())
            }
        });
    }

    /// Writes what the last steps have added.
    fn flush(&mut self, now: Instant, host: &mut dyn Host) {
        self.each(host, |client, _| if client.is_following() { client.send(now) } else { Ok(()) });
    }

    fn accept(&mut self, now: Instant, host: &mut dyn Host) {
        if self.pause.is_some_and(|until| now < until) {
            return;
        }
        self.pause = None;
        for _ in 0..ACCEPT_BUDGET {
            if !self.accepting {
                return;
            }
            let Some(listener) = &self.listener else { return };
            match listener.accept() {
                Ok((stream, _)) => self.admit(stream, now, host),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.accepting = false,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
                    ) => {}
                Err(error) => {
                    host.log(LogLine::new(&Event::AcceptFailed { error: error_text(&error) }));
                    self.pause = Some(now + ACCEPT_PAUSE);
                    return;
                }
            }
        }
    }

    /// Gives a new connection a place, or says why not.
    fn admit(&mut self, mut stream: UnixStream, now: Instant, host: &mut dyn Host) {
        let user = match self.may_enter(&stream) {
            Ok(user) => user,
            Err(why) => {
                host.log(LogLine::remark(&why));
                return refuse(stream, reply::REFUSED, "permission denied\n");
            }
        };
        let Some(slot) = self.place_for(user, host) else {
            return refuse(stream, reply::BUSY, "busy: as many clients are connected as are served\n");
        };
        let interest = Interest::READABLE | Interest::WRITABLE;
        match self.registry.register(&mut stream, Token(LISTENER.0 + 1 + slot), interest) {
            Ok(()) => self.clients[slot] = Some(AdminClient::new(stream, user, now)),
            Err(error) => host.log(LogLine::new(&Event::AcceptFailed { error: error_text(&error) })),
        }
    }

    /// A free place for a client of this user, or that of the one who has followed for longest without being sent
    /// anything: of the others, or else, for root, of root.
    fn place_for(&mut self, user: u32, host: &mut dyn Host) -> Option<usize> {
        // Root's own are the last ones, and it begins with them.
        let is_root = |user: u32| user == 0;
        let places = if is_root(user) { CLIENTS } else { CLIENTS - OF_ROOT };
        let mine = self.clients.get(..places)?;
        if let Some(slot) = mine.iter().rposition(Option::is_none) {
            return Some(slot);
        }
        let followers = mine.iter().enumerate().filter_map(|(slot, client)| {
            let client = client.as_ref().filter(|client| client.is_following())?;
            Some((is_root(client.user), client.active, slot))
        });
        let (_, _, slot) = followers.filter(|(of_root, ..)| is_root(user) || !of_root).min()?;
        let client = self.clients.get_mut(slot)?.take()?;
        self.keep(slot, client, Err(End::Idle), host);
        Some(slot)
    }

    /// Root, the user that we run as, and the members of the group. Returns the user.
    fn may_enter(&self, stream: &UnixStream) -> Result<u32, Remark> {
        let peer =
            sys::peer(stream.as_fd()).map_err(|error| Remark::AdminUnknown { error: error_text(&error) })?;
        let member = self.group.is_some_and(|group| peer.groups.contains(&group));
        if peer.uid == 0 || peer.uid == sys::own_uid() || member {
            return Ok(peer.uid);
        }
        Err(Remark::AdminUser { uid: peer.uid, pid: peer.pid })
    }

    /// Puts a client back, or closes its connection and says why where that is worth a line.
    fn keep(&mut self, slot: usize, mut client: AdminClient, outcome: Result<(), End>, host: &mut dyn Host) {
        let Err(end) = outcome else {
            if let Some(place) = self.clients.get_mut(slot) {
                *place = Some(client);
            }
            return;
        };
        let followed = client.follows().is_some();
        let _ = self.registry.deregister(&mut client.stream);
        match end {
            End::Done | End::Late => {}
            End::Malformed(error) => {
                host.log(LogLine::with_detail(&Event::InvalidAdminHeader {}, error.to_string()));
            }
            End::Receive(error) => host.log(LogLine::new(&Event::RecvFailed { error: error_text(&error) })),
            // A client that follows leaves when it has seen enough; that is no failure.
            End::Send(error) if followed && is_gone(&error) => {}
            End::Send(error) => {
                host.log(LogLine::new(&Event::SendInformationFailed { error: error_text(&error) }))
            }
            End::Backlog => host.log(LogLine::remark(&Remark::AdminBacklog {})),
            End::Idle => host.log(LogLine::remark(&Remark::AdminIdle { uid: client.user })),
        }
    }

    /// Tells the host which events somebody follows, when that has changed.
    fn tell_wanted(&mut self, host: &mut dyn Host) {
        let mut wanted = WantedEvents::default();
        for client in self.clients.iter_mut().flatten() {
            match client.follows() {
                Some(Stream::Watch { .. }) => wanted.events = true,
                Some(Stream::Trace { .. }) => wanted.messages = true,
                Some(Stream::Log { .. } | Stream::Ping(_) | Stream::Restart | Stream::Reload { .. })
                | None => {}
            }
        }
        if wanted != self.wanted {
            self.wanted = wanted;
            host.want_events(wanted);
        }
    }
}

impl Drop for AdminServer {
    /// Removes the socket's name, if it still is ours.
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// One client's share of a turn.
fn serve(client: &mut AdminClient, now: Instant, host: &mut dyn Host) -> Result<(), End> {
    client.check_time(now)?;
    if client.is_answered() {
        client.show_further(now, &*host.source(now));
        client.send(now)?;
    }
    if let Some(request) = client.receive()? {
        admin_answer::answer(client, now, &request, host);
        client.show_further(now, &*host.source(now));
    }
    if let Some(Stream::Ping(ping)) = client.follows() {
        if let Some(said) = ping.turn(now, host) {
            client.say(now, said)?;
        }
    }
    client.send(now)
}

/// A single reply for a connection that gets no place. It fits the empty buffer of a new socket.
fn refuse(mut stream: UnixStream, kind: u16, text: &str) {
    let _ = io::Write::write(&mut stream, &envelope::encode(kind, text.as_bytes()));
}

/// Whether the client has closed its end.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// Device and inode of a name.
fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

fn about(path: &Path, what: impl fmt::Display) -> String {
    format!("{}: {what}", path.display())
}

/// Removes a socket that nobody listens on any more; anything else that has the name is left alone.
fn make_room(path: &Path) -> Result<(), String> {
    let system = |error: io::Error| about(path, error_text(&error));
    if sys::too_long(path) {
        return Err(about(path, "the path is too long for a socket"));
    }
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(system(error)),
    };
    if !found.file_type().is_socket() {
        let what = file::kind(found.file_type());
        return Err(about(path, format_args!("{what} has this name, no socket")));
    }
    match UnixStream::connect(path).map_err(|error| (error.kind(), error)) {
        // WouldBlock: somebody listens, and its queue is full.
        Ok(_) | Err((io::ErrorKind::WouldBlock, _)) => Err(about(path, "another l2tpd answers here")),
        Err((io::ErrorKind::ConnectionRefused, _)) => std::fs::remove_file(path).map_err(system),
        Err((io::ErrorKind::NotFound, _)) => Ok(()),
        Err((_, error)) => Err(system(error)),
    }
}
