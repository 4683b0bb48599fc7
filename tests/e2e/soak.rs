//! Two daemons with a bad network between them and one mishap after the other; in between it must all come back.
//! `make soak SECONDS=n` goes on for so long, each run with another seed (`SOAK_SEED=n` repeats one).

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::daemon::{write_config, Daemon};
use crate::dice::Dice;
use crate::net::Net;
use crate::pair::{host, wait_until};
use crate::runner::note;
use crate::sys::in_netns;
use crate::tests;

tests!(everything_comes_back);

/// The network's addresses, in `b`: that of `b` as `a` sees it, and the other way round.
const FOR_A: &str = "192.0.2.3";
const FOR_B: &str = "198.51.100.1";

/// Forwards datagrams, and loses, repeats, delays and damages so many of 100; 100: loses all.
struct Network {
    badness: Arc<AtomicUsize>,
    ends: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Network {
    fn start(net: &Net, seed: u64) -> Network {
        net.batch(&net.b, &format!("addr add {FOR_A}/24 dev wire\naddr add {FOR_B}/32 dev lo\n"));
        let bind = |address: &str| {
            let socket = in_netns(&net.b, || UdpSocket::bind((address, 1701)).expect("UDP socket"));
            socket.set_read_timeout(Some(Duration::from_millis(5))).expect("time-out");
            socket
        };
        let [for_a, for_b] = [bind(FOR_A), bind(FOR_B)];
        let (badness, ends) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let again = |socket: &UdpSocket| socket.try_clone().expect("descriptor");
        let ways = [
            (again(&for_a), again(&for_b), "192.0.2.2", Dice(seed)),
            (for_b, for_a, "192.0.2.1", Dice(!seed)),
        ];
        let threads = ways.map(|(from, out, to, dice)| {
            let (badness, ends) = (Arc::clone(&badness), Arc::clone(&ends));
            let to = SocketAddr::new(to.parse().expect("address"), 1701);
            std::thread::spawn(move || forward(&from, &out, to, dice, &badness, &ends))
        });
        Network { badness, ends, threads: threads.into() }
    }

    fn set(&self, percent: usize) {
        self.badness.store(percent, Ordering::Relaxed);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// One direction.
fn forward(
    from: &UdpSocket,
    out: &UdpSocket,
    to: SocketAddr,
    mut dice: Dice,
    badness: &AtomicUsize,
    ends: &AtomicBool,
) {
    let mut buffer = vec![0; 70_000];
    let mut waiting: BTreeMap<(Instant, usize), Vec<u8>> = BTreeMap::new();
    let mut count = 0;
    while !ends.load(Ordering::Relaxed) {
        let percent = badness.load(Ordering::Relaxed) as u64;
        if let Ok((length, _)) = from.recv_from(&mut buffer) {
            let mut bad = || dice.below(100) < percent;
            let (lost, repeated, damaged, late) = (bad(), bad(), bad(), bad());
            let mut datagram = buffer[..length].to_vec();
            if damaged && length > 0 {
                let bit = dice.below(8 * length as u64) as usize;
                datagram[bit / 8] ^= 1 << (bit % 8);
            }
            let delay = if late { dice.below(60) } else { 0 };
            for _ in 0..if lost { 0 } else { 1 + usize::from(repeated) } {
                count += 1;
                waiting.insert((Instant::now() + Duration::from_millis(delay), count), datagram.clone());
            }
        }
        let now = Instant::now();
        while let Some(entry) = waiting.first_entry().filter(|entry| entry.key().0 <= now) {
            let _ = out.send_to(&entry.remove(), to);
        }
    }
}

fn text(number: u8, more: &str) -> String {
    let peer = [FOR_A, FOR_B][usize::from(number) - 1];
    let tunnel = format!("  encapsulation udp\n  remote-address {peer}\n  password sesame\n{more}");
    host(number, "", &tunnel, "    cookie 8\n")
}

/// Descriptors of a daemon that does well; one that is not root keeps 64 for interfaces to come.
const DESCRIPTORS: usize = 40 + 64;

/// The two ends, in any state.
struct Ends {
    net: Net,
    network: Network,
    daemons: [Daemon; 2],
}

impl Ends {
    fn start(net: &Net, end: usize) -> Daemon {
        let mut daemon = Daemon::start(net, [&net.a, &net.b][end], &text(end as u8 + 1, ""));
        daemon.expect("debug l2tpd start");
        daemon
    }

    /// Lets some time pass, while frames are sent.
    fn meanwhile(&self, tenths: u64) {
        let count = (tenths + 1).to_string();
        self.net
            .try_exec(&self.net.a, &["ping", "-n", "-q", "-c", &count, "-i", "0.1", "-W", "1", "10.9.9.2"]);
    }

    /// One mishap.
    fn mishap(&mut self, dice: &mut Dice) {
        let end = dice.below(2) as usize;
        let name = [&self.net.a, &self.net.b][end].clone();
        match dice.below(8) {
            0 => {
                self.daemons[end].kill();
                self.meanwhile(dice.below(20));
                self.daemons[end] = Ends::start(&self.net, end);
            }
            1 => {
                self.daemons[end].signal(libc::SIGSTOP);
                self.meanwhile(dice.below(20));
                self.daemons[end].signal(libc::SIGCONT);
            }
            2 => {
                let more = ["  receive-window 16\n", "  hello-interval 2\n", ""][dice.below(3) as usize];
                write_config(&self.daemons[end].config, &text(end as u8 + 1, more));
                self.daemons[end].ctl(&["reload"]);
            }
            3 => drop(self.daemons[end].ctl(&["clear", "all"])),
            4 => drop(self.daemons[end].ctl(&["clear", "session", "l0"])),
            5 => drop(self.net.try_exec(&name, &["ip", "link", "del", "l0"])),
            6 => {
                self.network.set(100);
                self.meanwhile(dice.below(40));
            }
            _ => {
                self.daemons[end].signal(libc::SIGTERM);
                self.daemons[end].wait_exit();
                self.daemons[end] = Ends::start(&self.net, end);
            }
        }
        self.network.set(dice.below(12) as usize);
        self.meanwhile(dice.below(10));
    }

    /// Without faults of the network all comes back, and nothing has piled up.
    fn comes_back(&mut self, seed: u64) {
        self.network.set(0);
        for (end, daemon) in self.daemons.iter().enumerate() {
            write_config(&daemon.config, &text(end as u8 + 1, ""));
            daemon.ctl(&["reload"]);
        }
        let answers = || {
            for (number, name) in [(1, &self.net.a), (2, &self.net.b)] {
                let words = ["ip", "addr", "replace", &format!("10.9.9.{number}/24"), "dev", "l0"];
                self.net.try_exec(name, &words);
            }
            self.net.answers(&self.net.a, "10.9.9.2")
        };
        let tails = || [0, 1].map(|end| self.daemons[end].tail(40)).join("\n--\n");
        // Twice the usual patience: a stopped daemon may have just begun its longest pause.
        let deadline = Instant::now() + Duration::from_secs(40);
        while !answers() && Instant::now() < deadline {}
        wait_until(answers, || format!("SOAK_SEED={seed}: no frames pass\n{}", tails()));
        for daemon in &self.daemons {
            let open = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("descriptors").count();
            assert!(open < DESCRIPTORS, "SOAK_SEED={seed}: {open} descriptors");
            let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("status");
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("memory");
            let size: usize = line.trim().trim_end_matches(" kB").parse().expect("number");
            assert!(size < 60_000, "SOAK_SEED={seed}: {size} kB");
        }
    }
}

/// How long, in seconds.
pub fn seconds() -> u64 {
    std::env::var("SOAK_SECONDS").ok().and_then(|n| n.parse().ok()).unwrap_or(10)
}

fn everything_comes_back() {
    let seed = std::env::var("SOAK_SEED")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or_else(|| u64::from(std::process::id()));
    let mut dice = Dice(seed);
    let mut net = Net::new();
    // What a bad network makes of messages nobody can judge.
    net.unrecorded();
    let network = Network::start(&net, seed);
    let daemons = [0, 1].map(|end| Ends::start(&net, end));
    let mut ends = Ends { net, network, daemons };
    ends.comes_back(seed);
    let end = Instant::now() + Duration::from_secs(seconds());
    let mut mishaps = 0;
    while Instant::now() < end {
        for _ in 0..1 + dice.below(4) {
            ends.mishap(&mut dice);
            mishaps += 1;
        }
        ends.comes_back(seed);
    }
    note(format!("soak: {mishaps} mishaps in {} s, seed {seed}", seconds()));
    ends.daemons.iter_mut().for_each(Daemon::stop);
}
