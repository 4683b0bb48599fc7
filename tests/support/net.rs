//! Two hosts joined by a cable: network namespaces `a` (192.0.2.1, 2001:db8::1) and `b` (192.0.2.2,
//! 2001:db8::2) with a veth pair `wire` between them. A daemon in `a` becomes the user l2tpd, one in `b` stays root
//! (`users.rs`). Everything goes away with the value.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use super::record::Recorder;
use super::users;

static COUNT: AtomicU32 = AtomicU32::new(0);
/// `ip netns add` prepares /run/netns when it first runs; two at once get in each other's way.
static MAKING: Mutex<()> = Mutex::new(());

pub struct Net {
    /// Name of the first namespace.
    pub a: String,
    /// Name of the second one.
    pub b: String,
    /// A directory for this test's files.
    pub dir: PathBuf,
    /// Further namespaces.
    more: Vec<String>,
    /// Whether something else than the daemon speaks in `b`.
    pub stranger: AtomicBool,
    recorder: Option<Recorder>,
}

impl Net {
    /// Starts tcpdump on `wire` of the first namespace; it listens when this returns.
    pub fn tcpdump(&self, file: &Path, filter: &str, options: &[&str]) -> Child {
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.a, "tcpdump", "-Z", "root", "-n", "-U", "-i", "wire"])
            .args(options)
            .arg("-w")
            .arg(file)
            .arg(filter)
            .stderr(Stdio::piped())
            .spawn()
            .expect("tcpdump");
        let mut words = String::new();
        let mut stderr = BufReader::new(child.stderr.take().expect("standard error"));
        while !words.contains("listening on") {
            assert_ne!(stderr.read_line(&mut words).expect("tcpdump"), 0, "tcpdump: {words}");
        }
        child
    }

    pub fn new() -> Net {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let base = format!("l2e{}-{number}", std::process::id());
        let mut net = Net {
            a: format!("{base}a"),
            b: format!("{base}b"),
            dir: work_dir().join(number.to_string()),
            more: Vec::new(),
            stranger: AtomicBool::new(false),
            recorder: None,
        };
        users::make_directory(&net.dir);
        users::settle(&net.a, true);
        users::settle(&net.b, false);
        {
            let _one = MAKING.lock().unwrap_or_else(|broken| broken.into_inner());
            run(&["ip", "netns", "add", &net.a]);
            run(&["ip", "netns", "add", &net.b]);
        }
        let (a, b) = (&net.a, &net.b);
        run(&["ip", "-n", a, "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", b]);
        for (name, host) in [(a, 1), (b, 2)] {
            let ipv4 = format!("link set lo up\nlink set wire up\naddr add 192.0.2.{host}/24 dev wire\n");
            let ipv6 = format!("addr add 2001:db8::{host}/64 dev wire nodad\n");
            net.batch(name, &if system_has().0 { ipv4 + &ipv6 } else { ipv4 });
        }
        net.recorder = Recorder::start(&net.a);
        net
    }

    /// One more namespace, without any cable; its name.
    pub fn host(&mut self) -> String {
        let letter = char::from(b'c' + self.more.len() as u8);
        let name = self.a.strip_suffix('a').expect("a name").to_owned() + &letter.to_string();
        {
            let _one = MAKING.lock().unwrap_or_else(|broken| broken.into_inner());
            run(&["ip", "netns", "add", &name]);
        }
        self.batch(&name, "link set lo up\n");
        self.more.push(name.clone());
        name
    }

    /// A cable: an interface of each of the two namespaces, up, each with its address and prefix length.
    pub fn cable(
        &self,
        (one, device, address): (&str, &str, &str),
        (other, far, remote): (&str, &str, &str),
    ) {
        run(&["ip", "-n", one, "link", "add", device, "type", "veth", "peer", "name", far, "netns", other]);
        self.batch(one, &format!("addr add {address} dev {device}\nlink set {device} up\n"));
        self.batch(other, &format!("addr add {remote} dev {far}\nlink set {far} up\n"));
    }

    /// The control messages are not recorded.
    pub fn unrecorded(&mut self) {
        self.recorder = None;
    }

    /// Whether there is an interface.
    pub fn has(&self, netns: &str, interface: &str) -> bool {
        self.try_exec(netns, &["ip", "link", "show", interface]).status.success()
    }

    /// Whether an interface is there and has a carrier.
    pub fn carrier(&self, netns: &str, interface: &str) -> bool {
        let file = format!("/sys/class/net/{interface}/carrier");
        self.try_exec(netns, &["cat", &file]).stdout == b"1\n"
    }

    /// Ends a tcpdump: its file holds all that passed.
    pub fn end_tcpdump(mut child: Child) {
        // What is in the kernel's buffer is lost with it, and nothing tells how much that is.
        std::thread::sleep(std::time::Duration::from_millis(300));
        super::sys::kill(child.id(), libc::SIGINT);
        let _ = child.wait();
    }

    /// Runs a list of `ip` commands inside a namespace.
    pub fn batch(&self, netns: &str, commands: &str) {
        need_what_it_wants(commands);
        let file = self.dir.join(format!("batch-{netns}"));
        std::fs::write(&file, commands).expect("batch file");
        run(&["ip", "-n", netns, "-batch", file.to_str().expect("path")]);
    }

    /// Runs a command inside a namespace; it must succeed.
    pub fn exec(&self, netns: &str, command: &[&str]) -> String {
        let mut words = vec!["ip", "netns", "exec", netns];
        words.extend(command);
        run(&words)
    }

    /// Runs a command inside a namespace and tells how it went.
    pub fn try_exec(&self, netns: &str, command: &[&str]) -> Output {
        Command::new("ip").args(["netns", "exec", netns]).args(command).output().expect("ip netns exec")
    }

    /// Sends three pings of `size` data octets; all must be answered.
    #[track_caller]
    pub fn ping(&self, netns: &str, to: &str, size: usize) {
        // The first one may be lost while ARP or the bridge's port is not ready.
        for _ in 0..3 {
            if self.answers(netns, to) {
                break;
            }
        }
        let size = size.to_string();
        let mut text = String::new();
        // After the last one ping waits only one interval: on a loaded machine an answer may come later.
        for interval in ["0.01", "0.05", "0.2", "1"] {
            let words =
                ["ping", "-n", "-q", "-c", "3", "-i", interval, "-W", "1", "-M", "do", "-s", &size, to];
            let output = self.try_exec(netns, &words);
            text = String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output);
            if text.contains(" 3 received") {
                return;
            }
        }
        panic!("ping {to} with {size} octets: {text}");
    }

    /// Whether `to` answers a ping.
    pub fn answers(&self, netns: &str, to: &str) -> bool {
        self.try_exec(netns, &["ping", "-n", "-q", "-c", "1", "-W", "1", to]).status.success()
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for name in [&self.a, &self.b].into_iter().chain(&self.more) {
            // A daemon in the background belongs to nobody; in its namespace it is surely ours.
            let pids = Command::new("ip").args(["netns", "pids", name]).output().map(|output| output.stdout);
            for pid in String::from_utf8_lossy(&pids.unwrap_or_default()).split_whitespace() {
                super::sys::kill(pid.parse().expect("pid"), libc::SIGKILL);
            }
        }
        if let Some(recorder) = self.recorder.take() {
            recorder.finish(&self.dir, !self.stranger.load(Ordering::Relaxed));
        }
        for name in [&self.a, &self.b].into_iter().chain(&self.more) {
            let _ = Command::new("ip").args(["netns", "del", name]).output();
            users::leave(name);
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Removes what tests that were cut short left behind.
pub fn remove_all() {
    let list =
        Command::new("ip").args(["netns", "list"]).output().map(|output| output.stdout).unwrap_or_default();
    let own = format!("l2e{}-", std::process::id());
    for name in String::from_utf8_lossy(&list).split_whitespace().filter(|name| name.starts_with(&own)) {
        let pids = Command::new("ip").args(["netns", "pids", name]).output().map(|output| output.stdout);
        for pid in String::from_utf8_lossy(&pids.unwrap_or_default()).split_whitespace() {
            super::sys::kill(pid.parse().expect("pid"), libc::SIGKILL);
        }
        let _ = Command::new("ip").args(["netns", "del", name]).output();
        users::leave(name);
    }
    let _ = std::fs::remove_dir_all(work_dir());
}

/// Where the files of this run live: short, because the path of a Unix socket is.
pub fn work_dir() -> PathBuf {
    std::env::temp_dir().join(format!("l2tpd-e2e-{}", std::process::id()))
}

/// Where the logs of the daemons are kept after the run: target/e2e-logs, or that of the other test program.
pub fn log_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(concat!("target/", env!("CARGO_CRATE_NAME"), "-logs"))
}

/// Whether network namespaces and interfaces can be made here; if not, what is in the way.
pub fn possible() -> Result<(), String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/possible.sh");
    let output = Command::new("sh").arg(script).output().expect("sh");
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
    }
}

/// Whether the system has IPv6, also in a new namespace, and whether it has bridges.
fn system_has() -> (bool, bool) {
    static HAS: OnceLock<(bool, bool)> = OnceLock::new();
    *HAS.get_or_init(|| {
        let made = |words: &str| {
            let mut command = Command::new("unshare");
            command.arg("-n").args(words.split(' ')).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        (made("ip addr add 2001:db8::1/64 dev lo nodad"), made("ip link add br0 type bridge"))
    })
}

/// The families that a test goes through: `false` is IPv4, `true` IPv6, where the system has it.
pub fn families() -> &'static [bool] {
    if system_has().0 {
        &[false, true]
    } else {
        &[false]
    }
}

/// Skips the test that wants what the system does not have: IPv6 addresses or bridges, in the commands or in the
/// configuration that it gives.
pub fn need_what_it_wants(text: &str) {
    let (ipv6, bridge) = system_has();
    if !ipv6 && (text.contains("2001:db8") || text.contains("fe80:")) {
        super::runner::skip("no IPv6 here");
    }
    if !bridge
        && (text.contains("type bridge") || text.lines().any(|line| line.trim_start().starts_with("bridge ")))
    {
        super::runner::skip("no bridges here");
    }
}

/// Runs a command that must succeed, and returns what it wrote.
pub fn run(words: &[&str]) -> String {
    let output = Command::new(words[0])
        .args(&words[1..])
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", words[0]));
    assert!(
        output.status.success(),
        "{words:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        stderr(&output)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a command wrote to standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Whether a program is installed.
pub fn have(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")])
        .any(|directory| directory.join(program).is_file())
}
