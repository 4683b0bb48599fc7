//! What a service manager wants to hear, as sd_notify(3) has it: datagrams with lines of the form `NAME=VALUE` to
//! the socket that `NOTIFY_SOCKET` names. Nothing here waits: what a full socket does not take is sent later.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use super::{clock, system};

/// How soon a full socket is tried again.
const SOON: Duration = Duration::from_millis(100);
/// Messages that wait; of more the oldest are dropped.
const WAITING: usize = 16;

/// The service manager that started the daemon, if there is one that wants to be told.
#[derive(Debug, Default)]
pub struct Notifier {
    to: Option<(UnixDatagram, SocketAddr)>,
    /// Messages that the socket did not take, oldest first.
    waiting: VecDeque<String>,
    retry_at: Option<Instant>,
    /// How often a sign of life is sent.
    period: Option<Duration>,
    sign_at: Option<Instant>,
}

impl Notifier {
    /// What the environment asks for. `pid` is the process whose signs of life count if they are sent.
    pub fn from_environment(now: Instant, pid: u32) -> Notifier {
        Notifier::new(now, pid, |name| std::env::var_os(name))
    }

    fn new(now: Instant, pid: u32, variable: impl Fn(&str) -> Option<OsString>) -> Notifier {
        let Some(to) = variable("NOTIFY_SOCKET").as_deref().and_then(address) else {
            return Notifier::default();
        };
        let socket = UnixDatagram::unbound().and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
        let Ok(socket) = socket else { return Notifier::default() };
        let period =
            watchdog(variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"), pid).map(|limit| limit / 2);
        let sign_at = period.map(|period| now + period);
        Notifier { to: Some((socket, to)), waiting: VecDeque::new(), retry_at: None, period, sign_at }
    }

    /// The start, or a reload, is through.
    pub fn ready(&mut self, now: Instant) {
        self.report(now, "READY=1".into());
    }

    /// A reload begins; [`ready`](Notifier::ready) ends it.
    pub fn reloading(&mut self, now: Instant) {
        // The time tells the manager that this reload is none that began before it asked (`Type=notify-reload`).
        self.report(now, format!("RELOADING=1\nMONOTONIC_USEC={}", clock::monotonic().as_micros()));
    }

    /// Whether there is a manager that wants to be told.
    pub fn is_there(&self) -> bool {
        self.to.is_some()
    }

    /// Another process goes on in place of this one.
    pub fn main_process(&mut self, now: Instant, pid: u32) {
        self.report(now, format!("MAINPID={pid}"));
    }

    /// The end begins.
    pub fn stopping(&mut self, now: Instant) {
        self.report(now, "STOPPING=1".into());
    }

    /// Sends what is due.
    pub fn turn(&mut self, now: Instant) {
        if self.retry_at.is_some_and(|at| at <= now) {
            self.send(now);
        }
        if let Some(period) = self.period.filter(|_| self.sign_at.is_some_and(|at| at <= now)) {
            self.sign_at = Some(now + period);
            self.report(now, "WATCHDOG=1".into());
        }
    }

    /// When [`turn`](Notifier::turn) has something to do.
    pub fn next(&self) -> Option<Instant> {
        self.retry_at.into_iter().chain(self.sign_at).min()
    }

    fn report(&mut self, now: Instant, message: String) {
        if self.to.is_none() {
            return;
        }
        if self.waiting.len() >= WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(message);
        self.send(now);
    }

    fn send(&mut self, now: Instant) {
        self.retry_at = None;
        let Some((socket, to)) = &self.to else { return };
        while let Some(message) = self.waiting.front() {
            match socket.send_to_addr(message.as_bytes(), to) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.retry_at = Some(now + SOON);
                    return;
                }
                // A manager that has gone away is not worth a word.
                Ok(_) | Err(_) => self.waiting.pop_front(),
            };
        }
    }
}

/// The address that `NOTIFY_SOCKET` stands for: a path, or `@` and the name of an abstract socket. Other kinds (a
/// virtual machine's `vsock:`) are for an init system itself.
fn address(name: &OsStr) -> Option<SocketAddr> {
    match name.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(name).ok(),
        [b'@', name @ ..] if !name.is_empty() => system::abstract_address(name),
        _ => None,
    }
}

/// How long the manager waits for a sign of life of process `pid`; `None` when it does not, or waits for another's.
fn watchdog(limit: Option<OsString>, of: Option<OsString>, pid: u32) -> Option<Duration> {
    let number = |text: OsString| text.to_str()?.parse::<u64>().ok();
    if of.is_some_and(|of| number(of) != Some(u64::from(pid))) {
        return None;
    }
    // The greatest number stands for "never".
    limit.and_then(number).filter(|limit| (1..u64::MAX).contains(limit)).map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PID: u32 = 4711;

    /// A manager at `name`, and who tells it.
    fn manager(name: &str, variables: &[(&str, &str)]) -> (UnixDatagram, Notifier, Instant) {
        let socket = UnixDatagram::bind_addr(&address(OsStr::new(name)).unwrap()).unwrap();
        socket.set_nonblocking(true).unwrap();
        let now = clock::now();
        let notifier = Notifier::new(now, PID, |variable| match variable {
            "NOTIFY_SOCKET" => Some(name.into()),
            _ => variables.iter().find(|(name, _)| *name == variable).map(|(_, value)| value.into()),
        });
        (socket, notifier, now)
    }

    fn own(name: &str) -> String {
        format!("{name}-{}", std::process::id())
    }

    /// What the manager hears next.
    fn heard(socket: &UnixDatagram) -> Option<String> {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
    }

    #[test]
    fn path_and_abstract_socket_are_told() {
        let path = std::env::temp_dir().join(own("l2tpd-notify"));
        for name in [path.to_str().unwrap(), &own("@l2tpd-notify")] {
            let (socket, mut notifier, now) = manager(name, &[]);
            assert_eq!(heard(&socket), None);
            notifier.ready(now);
            assert_eq!(heard(&socket).unwrap(), "READY=1");
            notifier.reloading(now);
            let text = heard(&socket).unwrap();
            let time = text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
            assert!(time.parse::<u64>().unwrap() > 0);
            notifier.stopping(now);
            assert_eq!(heard(&socket).unwrap(), "STOPPING=1");
            assert_eq!(notifier.next(), None, "no watchdog, nothing waits");
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn signs_of_life_come_twice_in_the_time_asked_for() {
        let asked = [("WATCHDOG_USEC", "2000000"), ("WATCHDOG_PID", "4711")];
        let (socket, mut notifier, now) = manager(&own("@l2tpd-watchdog"), &asked);
        let second = Duration::from_secs(1);
        assert_eq!(notifier.next(), Some(now + second));
        notifier.turn(now + second / 2);
        assert_eq!(heard(&socket), None);
        for turn in 1..4 {
            notifier.turn(now + second * turn);
            assert_eq!(heard(&socket).as_deref(), Some("WATCHDOG=1"));
            assert_eq!(heard(&socket), None);
            assert_eq!(notifier.next(), Some(now + second * (turn + 1)));
        }
    }

    #[test]
    fn only_the_process_that_is_meant_sends_signs_of_life() {
        let some = |text: &str| Some(OsString::from(text));
        let second = Some(Duration::from_secs(1));
        assert_eq!(watchdog(some("1000000"), some("4711"), PID), second);
        assert_eq!(watchdog(some("1000000"), None, PID), second);
        assert_eq!(watchdog(some("1000000"), some("4712"), PID), None);
        assert_eq!(watchdog(some("1000000"), some("all"), PID), None);
        for limit in [None, some("0"), some("soon"), some("-1"), some("18446744073709551615")] {
            assert_eq!(watchdog(limit, None, PID), None);
        }
    }

    #[test]
    fn what_a_full_socket_does_not_take_comes_later_in_order() {
        let (socket, mut notifier, now) = manager(&own("@l2tpd-full"), &[]);
        // Until the queue of the socket is full.
        for _ in 0..10_000 {
            notifier.ready(now);
            if notifier.next().is_some() {
                break;
            }
        }
        assert_eq!(notifier.next(), Some(now + SOON));
        notifier.stopping(now);
        while heard(&socket).is_some() {}
        notifier.turn(now);
        assert_eq!(heard(&socket), None, "not yet");
        notifier.turn(now + SOON);
        assert_eq!(heard(&socket).as_deref(), Some("READY=1"));
        assert_eq!(heard(&socket).as_deref(), Some("STOPPING=1"));
        assert_eq!(heard(&socket), None);
        assert_eq!(notifier.next(), None);
    }

    #[test]
    fn a_manager_that_is_gone_or_none_at_all_costs_nothing() {
        let (socket, mut notifier, now) = manager(&own("@l2tpd-gone"), &[]);
        drop(socket);
        notifier.ready(now);
        assert_eq!(notifier.next(), None);
        for name in ["", "@", "relative", "vsock:2:1234"] {
            let mut notifier = Notifier::new(now, PID, |variable| match variable {
                "NOTIFY_SOCKET" => Some(name.into()),
                _ => Some("1000000".into()),
            });
            notifier.ready(now);
            assert_eq!(notifier.next(), None, "{name}");
        }
        assert_eq!(address(OsStr::new(&format!("/{}", "x".repeat(200)))).map(|_| ()), None);
    }
}
