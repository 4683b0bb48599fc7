//! Syslog over `/dev/log`, never waiting: a line that the socket does not take is counted, and the count told when
//! it takes lines again. Lines have the form of syslog(3): priority, local time, ident and pid.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::clock;
use crate::log::Level;

/// Facility `daemon`.
const FACILITY: u8 = 3 << 3;
/// How long a syslog that is not there is left in peace.
const RETRY: Duration = Duration::from_secs(5);

/// The connection to syslog.
#[derive(Debug)]
pub struct Syslog {
    path: PathBuf,
    socket: Option<UnixDatagram>,
    retry_at: Option<Instant>,
    lost: u64,
}

fn severity(level: Level) -> u8 {
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
        Syslog { path: path.to_path_buf(), socket: None, retry_at: None, lost: 0 }
    }

    /// Writes one line (without line end), or counts it as lost.
    pub fn write(&mut self, now: Instant, level: Level, text: &str) {
        if self.lost > 0 {
            let told = format!("  {} lines of the log were lost", self.lost);
            if self.send(now, Level::Warn, &told).is_ok() {
                self.lost = 0;
            }
        }
        if self.send(now, level, text).is_err() {
            self.lost += 1;
        }
    }

    /// Lines that were not taken and are not told of yet.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn send(&mut self, now: Instant, level: Level, text: &str) -> io::Result<()> {
        let line = format!(
            "<{}>{} l2tpd[{}]: {text}",
            FACILITY | severity(level),
            clock::local_stamp(),
            std::process::id()
        );
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
        let sent = connect(&self.path).and_then(|socket| {
            socket.send(line.as_bytes())?;
            Ok(socket)
        });
        match sent {
            Ok(socket) => {
                self.socket = Some(socket);
                self.retry_at = None;
                Ok(())
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
        assert_eq!(syslog.lost(), 2);
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
        assert_eq!(syslog.lost(), 0);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_full_socket_does_not_block() {
        let path = std::env::temp_dir().join(format!("l2tpd-syslog-full-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let _receiver = UnixDatagram::bind(&path).unwrap();
        let mut syslog = Syslog::new(&path);
        for _ in 0..10_000 {
            syslog.write(clock::now(), Level::Info, "more than it holds");
        }
        assert!(syslog.lost() > 0);
        std::fs::remove_file(&path).unwrap();
    }
}
