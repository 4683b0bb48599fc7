//! A process from before the daemon gave up its rights. It does one thing: when it is asked, it starts the program anew
//! that the daemon was started from, with the same arguments and the rights of then, and gives the daemon a connection
//! to it. It takes no argument of the daemon, so that one that was taken over by somebody gains nothing but a start of
//! the program that the administrator has installed.
//!
//! Why not execve(2) by the daemon itself, which would keep its pid? Its system calls are filtered, a filter cannot be
//! put off, and that filter forbids what every program begins with: memory that is executed. Its user may not read the
//! configuration either. What needs one pid has it all the same: see [`stand_in`](super::stand_in).

use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};

use super::args::Options;
use super::restart_message;
use crate::sys::passing::{Post, Received};
use crate::sys::process::{called_program, Successor};
use crate::sys::signal::Signals;
use crate::sys::{daemonize, error_text, trust};

/// The mio token of the socket to it.
pub const TOKEN: Token = Token(3);
const SIGNALS: Token = Token(1);
const POST: Token = Token(2);

/// What the daemon asks for.
const START: &[u8] = b"start";
const KILL: &[u8] = b"kill";
/// What it is told: the program was started (with a connection to it); it was not, or has ended, and why.
const STARTED: u8 = b's';
const FAILED: u8 = b'f';
/// Somebody has killed it, or it could not be forked.
pub const GONE: &str = "the process that starts programs is not there: stop and start";

/// What became of the program.
#[derive(Debug)]
pub enum Answer {
    /// It was started, and this leads to it.
    Started(Post),
    /// It could not be started, or has ended: why.
    Failed(String),
}

/// The daemon's side.
#[derive(Debug)]
pub struct Restarter {
    /// `None`: the process has ended.
    post: Option<Post>,
}

impl Restarter {
    /// Forks it. Must be called while there is one thread, and before the daemon gives up its rights.
    pub fn fork(options: &Options) -> io::Result<Restarter> {
        let program = called_program();
        let (ours, theirs) = Post::pair()?;
        // In the background there is nobody who reads what is written.
        if daemonize::fork_keeping(theirs.as_raw_fd(), options.foreground)? {
            return Ok(Restarter { post: Some(ours) });
        }
        let status = serve(&theirs, program, options).is_err();
        // The rest of this process is the daemon's, and must not be dropped twice.
        daemonize::end_fork(i32::from(status))
    }

    /// Tells the loop of its answers.
    pub fn register(&self, registry: &Registry) -> io::Result<()> {
        let fd = self.post.as_ref().map(AsRawFd::as_raw_fd);
        fd.map_or(Ok(()), |fd| registry.register(&mut SourceFd(&fd), TOKEN, Interest::READABLE))
    }

    /// Asks it to start the program.
    pub fn start(&self) -> io::Result<()> {
        self.post.as_ref().ok_or_else(|| io::Error::other(GONE))?.send(START, &[])
    }

    /// Asks it to kill the program.
    pub fn kill(&self) {
        // If it is gone there is nothing to be done.
        let _ = self.post.as_ref().map(|post| post.send(KILL, &[]));
    }

    /// What it tells, if anything; its own end once.
    pub fn answer(&mut self) -> Option<Answer> {
        match self.post.as_ref()?.take() {
            Ok(None) => None,
            Ok(Some((octets, descriptors))) => match (octets.split_first(), descriptors.into_iter().next()) {
                (Some((&STARTED, _)), Some(fd)) => Some(Answer::Started(Post::from_descriptor(fd))),
                (Some((_, why)), _) => Some(Answer::Failed(String::from_utf8_lossy(why).into_owned())),
                (None, _) => None,
            },
            Err(_) => {
                self.post = None;
                Some(Answer::Failed(GONE.to_owned()))
            }
        }
    }
}

fn serve(post: &Post, program: io::Result<PathBuf>, options: &Options) -> io::Result<()> {
    let mut signals = Signals::install()?;
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(8);
    poll.registry().register(&mut SourceFd(&signals.as_raw_fd()), SIGNALS, Interest::READABLE)?;
    poll.registry().register(&mut SourceFd(&post.as_raw_fd()), POST, Interest::READABLE)?;
    let mut running: Option<Successor> = None;
    loop {
        match poll.poll(&mut events, None::<Duration>) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            Ok(()) | Err(_) => {}
        }
        while signals.take().is_some() {}
        // An error: the daemon has ended.
        while let Some((request, _)) = post.take()? as Option<Received> {
            match request.as_slice() {
                START => match start(&program, options) {
                    Ok((successor, theirs)) => {
                        // One that hung is not asked for any more.
                        running.replace(successor).into_iter().for_each(Successor::end);
                        post.send(&[STARTED], &[theirs.as_raw_fd()])?;
                    }
                    Err(why) => post.send(&failed(&why), &[])?,
                },
                _ => running.iter_mut().for_each(Successor::kill),
            }
        }
        if let Some(how) = running.as_mut().and_then(Successor::ended) {
            running = None;
            post.send(&failed(&format!("it ended: {how}")), &[])?;
        }
    }
}

fn failed(why: &str) -> Vec<u8> {
    [&[FAILED], why.as_bytes()].concat()
}

/// Starts the program; the daemon's end of the connection to it.
fn start(program: &io::Result<PathBuf>, options: &Options) -> Result<(Successor, Post), String> {
    let program = program.as_ref().map_err(error_text)?;
    let about = |error: io::Error| format!("{}: {}", program.display(), error_text(&error));
    // Others must not be able to change what is run.
    trust::program(program).map_err(about)?;
    let (ours, theirs) = Post::pair().map_err(about)?;
    ours.keep_on_exec().map_err(about)?;
    let mut arguments = vec![restart_message::ARGUMENT.to_owned(), ours.as_raw_fd().to_string()];
    arguments.extend(options.to_arguments());
    let successor = Successor::start(program, &arguments).map_err(about)?;
    Ok((successor, theirs))
}
