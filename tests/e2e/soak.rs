//! Two daemons with a bad network between them and one mishap after the other; in between it must all come back.
//! `make soak SECONDS=n` goes on for so long, each run with another seed (`SOAK_SEED=n` repeats one).

use std::time::{Duration, Instant};

use crate::daemon::{write_config, Daemon};
use crate::dice::Dice;
use crate::net::Net;
use crate::network::{Network, FOR_A, FOR_B};
use crate::pair::{host, wait_until};
use crate::runner::note;
use crate::tests;

tests!(everything_comes_back);

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
