//! The real daemon in a namespace: started with a configuration, its log read line by line.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::net::{log_dir, Net};
use super::sys;
use super::wait::wait_until;
pub use super::wait::PATIENCE;

/// Lines as they come from one daemon.
#[derive(Default)]
struct Log {
    lines: Mutex<Lines>,
    news: Condvar,
}

#[derive(Default)]
struct Lines {
    /// `LEVEL MESSAGE`, without the time.
    all: Vec<String>,
    ended: bool,
}

pub struct Daemon {
    child: Option<Child>,
    reader: Option<std::thread::JoinHandle<()>>,
    log: Arc<Log>,
    /// First line that `expect` has not passed yet.
    cursor: usize,
    pub socket: PathBuf,
    pub pid_file: PathBuf,
    pub config: PathBuf,
}

impl Daemon {
    /// Starts it in the foreground, with debug logging, on a configuration.
    pub fn start(net: &Net, netns: &str, config: &str) -> Daemon {
        Daemon::start_under(net, netns, config, &[], &[])
    }

    /// As `start`, with a command (`unshare -m ...`) before the daemon's and more arguments after it.
    pub fn start_under(net: &Net, netns: &str, config: &str, before: &[&str], arguments: &[&str]) -> Daemon {
        Daemon::start_prepared(net, netns, config, (before, arguments), |_| ())
    }

    /// As `start_under`; `prepare` may change more of the command.
    pub fn start_prepared(
        net: &Net,
        netns: &str,
        config: &str,
        (before, arguments): (&[&str], &[&str]),
        prepare: impl FnOnce(&mut Command),
    ) -> Daemon {
        let file = net.dir.join(format!("{netns}.conf"));
        write_config(&file, config);
        let mut command = Command::new("ip");
        command.args(["netns", "exec", netns]).args(before).arg(program());
        command.args(["-d", "-l", "debug"]).arg("-c").arg(&file);
        command.arg("-p").arg(net.dir.join(format!("{netns}.pid")));
        command.arg("-s").arg(net.dir.join(format!("{netns}.sock")));
        command.args(arguments);
        prepare(&mut command);
        Daemon::spawn(net, netns, command)
    }

    /// As `start`, of another program file.
    pub fn start_program(net: &Net, netns: &str, config: &str, program: &std::path::Path) -> Daemon {
        let file = net.dir.join(format!("{netns}.conf"));
        write_config(&file, config);
        let mut command = Command::new("ip");
        command.args(["netns", "exec", netns]).arg(program);
        command.args(["-d", "-l", "debug"]).arg("-c").arg(&file);
        command.arg("-p").arg(net.dir.join(format!("{netns}.pid")));
        command.arg("-s").arg(net.dir.join(format!("{netns}.sock")));
        Daemon::spawn(net, netns, command)
    }

    fn spawn(net: &Net, netns: &str, mut command: Command) -> Daemon {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the daemon starts");
        let stderr = child.stderr.take().expect("standard error");
        let log = Arc::new(Log::default());
        let reader = read_log(stderr, Arc::clone(&log), log_file(netns));
        Daemon {
            child: Some(child),
            reader: Some(reader),
            log,
            cursor: 0,
            socket: net.dir.join(format!("{netns}.sock")),
            pid_file: net.dir.join(format!("{netns}.pid")),
            config: net.dir.join(format!("{netns}.conf")),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("running").id()
    }

    pub fn signal(&self, signal: i32) {
        sys::kill(self.pid(), signal);
    }

    /// Waits for the next line (`LEVEL MESSAGE`) that is like `pattern`, where `*` stands for anything, and
    /// returns it. Lines before it count as read.
    #[track_caller]
    pub fn expect(&mut self, pattern: &str) -> String {
        match self.find(pattern, PATIENCE) {
            Some((at, line)) => {
                self.cursor = at + 1;
                line
            }
            None => {
                panic!("no line `{pattern}` in the log; read up to line {}:\n{}", self.cursor, self.tail(30))
            }
        }
    }

    /// As `expect`, for lines that may come in any order.
    #[track_caller]
    pub fn expect_all(&mut self, patterns: &[&str]) {
        let mut furthest = self.cursor;
        for pattern in patterns {
            match self.find(pattern, PATIENCE) {
                Some((at, _)) => furthest = furthest.max(at + 1),
                None => panic!("no line `{pattern}` in the log:\n{}", self.tail(30)),
            }
        }
        self.cursor = furthest;
    }

    fn find(&self, pattern: &str, patience: Duration) -> Option<(usize, String)> {
        let deadline = Instant::now() + patience;
        let mut at = self.cursor;
        let mut lines = self.lock();
        loop {
            while let Some(line) = lines.all.get(at) {
                if glob(pattern, line) {
                    return Some((at, line.clone()));
                }
                at += 1;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left == Duration::ZERO || lines.ended {
                return None;
            }
            lines = self.log.news.wait_timeout(lines, left).expect("log").0;
        }
    }

    /// Whether a line like `pattern` comes within `patience`; it counts as read then.
    pub fn sees(&mut self, pattern: &str, patience: Duration) -> bool {
        match self.find(pattern, patience) {
            Some((at, _)) => {
                self.cursor = at + 1;
                true
            }
            None => false,
        }
    }

    /// How many lines of the whole log are like `pattern`.
    pub fn count(&self, pattern: &str) -> usize {
        self.lock().all.iter().filter(|line| glob(pattern, line)).count()
    }

    /// Everything up to now counts as read.
    pub fn skip_log(&mut self) {
        let read = self.lock().all.len();
        self.cursor = read;
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lock().all.clone()
    }

    /// Sends a request with `l2tpctl`.
    pub fn ctl(&self, words: &[&str]) -> Output {
        Command::new(client()).arg("-s").arg(&self.socket).args(words).output().expect("l2tpctl")
    }

    /// As `ctl`; it must succeed, also with 4: something is not up. Returns what it wrote.
    #[track_caller]
    pub fn ctl_ok(&self, words: &[&str]) -> String {
        let output = self.ctl(words);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let displays = ["status", "explain", "health"];
        let down = output.status.code() == Some(4) && words.iter().any(|word| displays.contains(word));
        assert!(output.status.success() || down, "l2tpctl {words:?}: {text}{}", super::net::stderr(&output));
        text
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait_exit(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("running");
        let mut status = None;
        wait_until(
            || {
                status = child.try_wait().expect("wait");
                status.is_some()
            },
            || format!("the daemon did not end:\n{}", self.tail(30)),
        );
        self.join();
        status.expect("it ended")
    }

    /// Waits for the end of the process that was started, where another one goes on and logs.
    #[track_caller]
    pub fn wait_exit_of_first(&mut self) -> ExitStatus {
        self.reader = None;
        self.wait_exit()
    }

    /// SIGTERM, and an orderly end.
    #[track_caller]
    pub fn stop(&mut self) {
        self.signal(libc::SIGTERM);
        let status = self.wait_exit();
        assert_eq!(status.code(), Some(0), "after SIGTERM:\n{}", self.tail(30));
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.join();
    }

    /// Processor time used so far, in seconds.
    pub fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("stat");
        let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
        let ticks = |at: usize| fields[at].parse::<f64>().expect("ticks");
        (ticks(11) + ticks(12)) / 100.0
    }

    /// The newest lines, for a message.
    pub fn tail(&self, count: usize) -> String {
        let lines = self.lock();
        let from = lines.all.len().saturating_sub(count);
        lines.all[from..].join("\n")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Lines> {
        self.log.lines.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    fn join(&mut self) {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        if !std::thread::panicking() {
            assert_eq!(self.count("*panicked at*"), 0, "the daemon panicked:\n{}", self.tail(30));
        }
    }
}

/// Reads the log of one daemon to its end, into memory and into a file.
fn read_log(
    stderr: std::process::ChildStderr,
    log: Arc<Log>,
    mut file: std::fs::File,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).split(b'\n') {
            let Ok(line) = line else { break };
            let line = String::from_utf8_lossy(&line).into_owned();
            let _ = writeln!(file, "{line}");
            let rest = match line.split_once(' ') {
                Some((time, rest)) if time.ends_with('Z') => rest.to_owned(),
                _ => line,
            };
            log.lines.lock().expect("log").all.push(rest);
            log.news.notify_all();
        }
        log.lines.lock().expect("log").ended = true;
        log.news.notify_all();
    })
}

/// A new file for one daemon's log, named after the test that runs in this thread.
fn log_file(netns: &str) -> std::fs::File {
    let test = std::thread::current().name().unwrap_or("test").replace("::", "-");
    let end = if netns.ends_with('b') { "b" } else { "a" };
    for number in 1.. {
        let path = log_dir().join(format!("{test}-{end}{number}.log"));
        if let Ok(file) = std::fs::File::create_new(&path) {
            return file;
        }
        assert!(number < 1000, "cannot create {}", path.display());
    }
    unreachable!()
}

/// Writes a configuration that only its owner, and the user of the first namespace, may read, and puts it in place
/// whole: a daemon may read meanwhile.
pub fn write_config(file: &std::path::Path, text: &str) {
    super::net::need_what_it_wants(text);
    super::record::configured(file, text);
    let new = file.with_extension("new");
    let _ = std::fs::remove_file(&new);
    let mut options = std::fs::OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create_new(true), 0o600);
    options.open(&new).and_then(|mut file| file.write_all(text.as_bytes())).expect("configuration");
    super::users::hand_over(&new);
    std::fs::rename(new, file).expect("configuration");
}

/// The daemon's program.
pub fn program() -> &'static str {
    env!("CARGO_BIN_EXE_l2tpd")
}

/// The same program under its other name.
pub fn client() -> PathBuf {
    super::net::work_dir().join("l2tpctl")
}

/// Makes that name.
pub fn make_client() {
    let _ = std::os::unix::fs::symlink(program(), client());
}

/// Whether `text` is like `pattern`, where each `*` stands for any octets, none included.
pub fn glob(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    true
}
