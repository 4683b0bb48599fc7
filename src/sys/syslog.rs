//! Syslog over `/dev/log`, never waiting. The socket's queue is short (ten lines on most systems): what it does not
//! take at once waits here; what finds no room, or no syslog at all, is counted, and the count told when lines are
//! taken again. Lines have the form of syslog(3): priority, local time, ident and pid.

use std::collections::VecDeque;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{clock, system};
use crate::log::{Level, LogLine, Remark};

/// The socket of syslog.
pub const SOCKET: &str = system::SYSLOG;
/// Facility `daemon`.
const FACILITY: u8 = 3 << 3;
/// How long a syslog that is not there is left in peace.
const RETRY: Duration = Duration::from_secs(5);
/// How soon a full socket is tried again.
const SOON: Duration = Duration::from_millis(20);
/// Lines that wait.
const WAITING: usize = 1000;

/// The connection to syslog.
#[derive(Debug)]
pub struct Syslog {
    path: PathBuf,
    socket: Option<UnixDatagram>,
    retry_at: Option<Instant>,
    /// Lines as they are sent, oldest first.
    waiting: VecDeque<String>,
    lost: u64,
}

/// The number of a level in syslog.
pub fn severity(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug => 7,
    }
}

impl Syslog {
    /// Lines will go to the socket at `path` (`/dev/log`).
    pub fn new(path: &Path) -> Syslog {
        Syslog { path: path.to_path_buf(), socket: None, retry_at: None, waiting: VecDeque::new(), lost: 0 }
    }

    /// Writes one line (without line end).
    pub fn write(&mut self, now: Instant, level: Level, text: &str) {
        let count = self.lost;
        let lost = LogLine::remark(&Remark::LinesLost { count });
        if count > 0 && self.put(now, lost.level, &lost.text) {
            self.lost = self.lost.saturating_sub(count);
        }
        if !self.put(now, level, text) {
            self.lost += 1;
        }
    }

    /// Sends a line or lets it wait; `false` if it can do neither.
    fn put(&mut self, now: Instant, level: Level, text: &str) -> bool {
        let line = format!(
            "<{}>{} l2tpd[{}]: {text}",
            FACILITY | severity(level),
            clock::local_stamp(),
            std::process::id()
        );
        self.flush(now);
        if self.waiting.is_empty() {
            match self.send(now, &line) {
                Ok(()) => return true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return false,
            }
        }
        let room = self.waiting.len() < WAITING;
        if room {
            self.waiting.push_back(line);
        }
        room
    }

    /// Sends what waits, as far as the socket takes it.
    pub fn flush(&mut self, now: Instant) {
        while let Some(line) = self.waiting.pop_front() {
            match self.send(now, &line) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.waiting.push_front(line);
                    return;
                }
                // Syslog is gone, and so is what waited for it.
                Err(_) => self.lost += 1,
            }
        }
    }

    /// When [`flush`](Syslog::flush) should be called.
    pub fn next(&self, now: Instant) -> Option<Instant> {
        if self.waiting.is_empty() {
            return None;
        }
        now.checked_add(SOON)
    }

    fn send(&mut self, now: Instant, line: &str) -> io::Result<()> {
        if let Some(socket) = &self.socket {
            match socket.send(line.as_bytes()) {
                Ok(_) => return Ok(()),
                // Full: it is there, and slow.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                // It was restarted, or it is gone.
                Err(_) => self.socket = None,
            }
        }
        if self.retry_at.is_some_and(|at| now < at) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        match connect(&self.path) {
            Ok(socket) => {
                self.retry_at = None;
                let sent = socket.send(line.as_bytes());
                self.socket = Some(socket);
                sent.map(|_| ())
            }
            Err(error) => {
                self.retry_at = now.checked_add(RETRY);
                Err(error)
            }
        }
    }
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(path)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).unwrap();
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        // `<30>Nov 22 11:30:00 l2tpd[1]: hello`: the time is the test's only moving part.
        let stamp = text.find('>').unwrap() + 1;
        assert_eq!(text[stamp + 3..stamp + 4], *" ");
        format!("{}{}", &text[..stamp], &text[stamp + 16..])
    }

    #[test]
    fn lines_are_counted_while_syslog_is_away() {
        let path = std::env::temp_dir().join(format!("l2tpd-syslog-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let (start, pid) = (clock::now(), std::process::id());
        let mut syslog = Syslog::new(&path);
        syslog.write(start, Level::Error, "nobody there");
        syslog.write(start, Level::Error, "nobody there");
        assert_eq!(syslog.lost, 2);
        let receiver = UnixDatagram::bind(&path).unwrap();
        syslog.write(start + RETRY, Level::Info, "hello");
        assert_eq!(receive(&receiver), format!("<28>l2tpd[{pid}]:   2 lines of the log were lost"));
        assert_eq!(receive(&receiver), format!("<30>l2tpd[{pid}]: hello"));
        // It is restarted: the next line finds the new one.
        drop(receiver);
        std::fs::remove_file(&path).unwrap();
        let receiver = UnixDatagram::bind(&path).unwrap();
        syslog.write(start + RETRY, Level::Debug, "again");
        assert_eq!(receive(&receiver), format!("<31>l2tpd[{pid}]: again"));
        assert_eq!(syslog.lost, 0);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_full_socket_does_not_block_and_loses_no_burst() {
        let path = std::env::temp_dir().join(format!("l2tpd-syslog-full-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let receiver = UnixDatagram::bind(&path).unwrap();
        receiver.set_nonblocking(true).unwrap();
        let mut syslog = Syslog::new(&path);
        let now = clock::now();
        for number in 0..10_000 {
            syslog.write(now, Level::Info, &format!("line {number}"));
        }
        assert!(syslog.lost > 0 && syslog.next(now).is_some());
        // It is read: what waited comes, in order.
        let mut expected = 0;
        let mut buffer = [0; 512];
        while syslog.next(now).is_some() {
            while let Ok(length) = receiver.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                assert!(text.ends_with(&format!(": line {expected}")), "{text}");
                expected += 1;
            }
            syslog.flush(now);
        }
        assert!(expected >= WAITING, "{expected}");
        std::fs::remove_file(&path).unwrap();
    }
}
