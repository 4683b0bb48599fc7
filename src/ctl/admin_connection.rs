//! The client's end of the admin socket: blocking, with a time limit where no stream is wanted.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::admin::envelope::{self, Envelope};
use crate::sys;

/// How long the daemon may keep us waiting: a little more than it takes to give a client up.
pub(super) const PATIENCE: Duration = Duration::from_secs(35);

/// What is said of a connection that cannot be made.
pub(super) fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            format!("{} (is l2tpd running?)", sys::error_text(error))
        }
        _ => sys::error_text(error),
    }
}

/// A connection whose request has been sent.
#[derive(Debug)]
pub(super) struct AdminConnection {
    stream: UnixStream,
}

impl AdminConnection {
    /// Connects and sends the request.
    pub fn open(socket: &str, command: u16, body: &[u8], follows: bool) -> Result<AdminConnection, String> {
        let text = |error: io::Error| in_words(&error);
        // mio's connect does not wait: a daemon that hangs, with a full queue, must not hang us.
        let stream = mio::net::UnixStream::connect(socket).map_err(text)?;
        let mut stream = UnixStream::from(OwnedFd::from(stream));
        stream.set_nonblocking(false).map_err(text)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(text)?;
        stream.set_read_timeout((!follows).then_some(PATIENCE)).map_err(text)?;
        // A daemon that refuses us has closed already, and its reason waits to be read.
        match stream.write_all(&envelope::encode(command, body)) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(text(error)),
            Ok(()) | Err(_) => Ok(AdminConnection { stream }),
        }
    }

    /// The next envelope of the answer.
    pub fn next(&mut self) -> Result<Envelope, String> {
        let mut head = [0; envelope::HEADER];
        self.fill(&mut head)?;
        let (command, length) = match envelope::header(&head, envelope::MAX_REPLY) {
            Ok(Some(header)) => header,
            Ok(None) => return Err("a reply without a header".to_owned()),
            Err(error) => return Err(error.to_string()),
        };
        let mut body = vec![0; length];
        self.fill(&mut body)?;
        Ok(Envelope { command, body })
    }

    fn fill(&mut self, room: &mut [u8]) -> Result<(), String> {
        self.stream.read_exact(room).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => "the daemon closed the connection".to_owned(),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "the daemon does not answer".to_owned(),
            _ => sys::error_text(&error),
        })
    }
}
