//! Two hosts with a cable and pseudowires: host 1 is the daemon, host 2 the daemon again or the plain reference.
//! The sessions are `manual`, so that nothing has to be negotiated with the reference.

use std::net::IpAddr;
use std::time::Instant;

use crate::build::SOURCE;
use crate::daemon::Daemon;
use crate::naive::Naive;
use crate::net::{families, Net};
use crate::packet::PacketSocket;
use crate::sys::in_netns;
use crate::wait::{wait_until, PATIENCE};

/// What is around the frames.
#[derive(Clone, Copy, Debug)]
pub struct Wire {
    pub udp: bool,
    pub ipv6: bool,
}

pub const WIRES: [Wire; 4] = [
    Wire { udp: true, ipv6: false },
    Wire { udp: false, ipv6: false },
    Wire { udp: true, ipv6: true },
    Wire { udp: false, ipv6: true },
];

impl Wire {
    /// The addresses of host 1 and host 2.
    pub fn ends(self) -> [IpAddr; 2] {
        let ends = if self.ipv6 { ["2001:db8::1", "2001:db8::2"] } else { ["192.0.2.1", "192.0.2.2"] };
        ends.map(|end| end.parse().expect("address"))
    }

    pub fn port(self) -> u16 {
        if self.udp {
            1701
        } else {
            0
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sublayer {
    None,
    Default,
    Sequenced,
}

/// One session.
#[derive(Clone, Debug)]
pub struct Variant {
    pub interface: String,
    pub cookie: usize,
    pub sublayer: Sublayer,
    number: u32,
    /// More lines of its block.
    pub settings: String,
}

impl Variant {
    pub fn new(number: u32, cookie: usize, sublayer: Sublayer) -> Variant {
        Variant { interface: format!("pw{number}"), cookie, sublayer, number, settings: String::new() }
    }

    /// Every length of the cookie with every kind of sublayer.
    pub fn all() -> Vec<Variant> {
        let sublayers = [Sublayer::None, Sublayer::Default, Sublayer::Sequenced];
        let pairs = sublayers.into_iter().flat_map(|sublayer| [0, 4, 8].map(|cookie| (cookie, sublayer)));
        pairs.zip(0..).map(|((cookie, sublayer), number)| Variant::new(number, cookie, sublayer)).collect()
    }

    /// The id that `host` gave to the session.
    fn id(&self, host: u32) -> u32 {
        host * 0x0100_0000 + 7 * self.number + 1
    }

    /// The cookie that `host` wants to see.
    fn cookie_of(&self, host: u32) -> Vec<u8> {
        (0..self.cookie as u32).map(|at| (host * 64 + self.number * 8 + at) as u8).collect()
    }

    /// What stands before the sublayer of a message to `host`.
    pub fn head(&self, wire: Wire, host: u32) -> Vec<u8> {
        let mut head = if wire.udp { vec![0, 3, 0, 0] } else { Vec::new() };
        head.extend(self.id(host).to_be_bytes());
        head.extend(self.cookie_of(host));
        head
    }

    /// The block of the configuration of `host`.
    fn config(&self, host: u32) -> String {
        let other = 3 - host;
        let mut text =
            format!("  session {}\n    manual {} {}\n", self.interface, self.id(host), self.id(other));
        if self.cookie > 0 {
            let hex = |octets: Vec<u8>| octets.iter().map(|o| format!("{o:02x}")).collect::<String>();
            text += &format!("    local-cookie {}\n", hex(self.cookie_of(host)));
            text += &format!("    remote-cookie {}\n", hex(self.cookie_of(other)));
        }
        text += match self.sublayer {
            Sublayer::None => "",
            Sublayer::Default => "    l2-sublayer default\n",
            Sublayer::Sequenced => "    l2-sublayer default\n    sequencing both\n",
        };
        text + &self.settings
    }

    /// The inner address of `host`.
    pub fn address(&self, host: u32, ipv6: bool) -> String {
        match ipv6 {
            true => format!("fd01:{}::{host}", self.number),
            false => format!("10.1.{}.{host}", self.number),
        }
    }
}

/// Who is host 2.
pub enum Other {
    Daemon(Daemon),
    Naive(Naive),
}

pub struct World {
    pub net: Net,
    pub first: Daemon,
    pub other: Other,
    pub variants: Vec<Variant>,
    wire: Wire,
    errors: u64,
}

impl World {
    /// `cable` is the MTU of the cable; that of the sessions' interfaces is the daemon's choice, or in the settings.
    pub fn new(wire: Wire, variants: Vec<Variant>, naive: bool, cable: usize) -> World {
        World::with(wire, "", variants, naive, cable)
    }

    /// As `new`, with more lines of the tunnel's block.
    pub fn with(wire: Wire, settings: &str, variants: Vec<Variant>, naive: bool, cable: usize) -> World {
        let net = Net::new();
        for name in [&net.a, &net.b] {
            net.batch(name, &format!("link set wire mtu {cable}\n"));
            // Programs send super-frames as they are where the interface can finish them; else they have them cut before.
            if ["bpf", "mixed"].contains(&crate::plane().as_str()) && wire.udp && !wire.ipv6 {
                // A real cable has no frames without checksums.
                net.exec(name, &["ethtool", "-K", "wire", "tx", "off"]);
            }
        }
        let config = |host: u32| {
            let ends = wire.ends();
            let plane = match crate::plane().as_str() {
                "mixed" => ["bpf", "tap"][host as usize - 1].to_owned(),
                same => same.to_owned(),
            };
            let mut text = format!(
                "hostname h{host}\nrouter-id 10.0.0.{host}\nrestart-interval 1\ndata-plane {plane}\ntunnel t\n{settings}"
            );
            text += &format!("  encapsulation {}\n", if wire.udp { "udp" } else { "ip" });
            text += &format!("  local-address {}\n", ends[host as usize - 1]);
            text += &format!("  remote-address {}\n", ends[2 - host as usize]);
            variants.iter().fold(text, |text, variant| text + &variant.config(host))
        };
        let first = Daemon::start(&net, &net.a, &config(1));
        let other = match naive {
            true => Other::Naive(Naive::start(&net.b, wire, &variants)),
            false => Other::Daemon(Daemon::start(&net, &net.b, &config(2))),
        };
        let mut world = World { net, first, other, variants, wire, errors: 0 };
        // Only then the interfaces have the MTU that the daemon chose.
        wait_until(|| world.first.ctl(&["health"]).stdout.starts_with(b"up:"), || world.first.tail(20));
        for variant in &world.variants {
            world.set_up(variant);
        }
        for variant in &world.variants {
            world.net.ping(&world.net.a, &variant.address(2, false), 56);
        }
        world.errors = world.checksum_errors();
        world
    }

    /// Addresses and, at the reference, the MTU that the daemon chose.
    fn set_up(&self, variant: &Variant) {
        let interface = &variant.interface;
        for name in [&self.net.a, &self.net.b] {
            let is_there = || self.net.has(name, interface);
            wait_until(is_there, || format!("no {interface}:\n{}", self.first.tail(20)));
        }
        let mtu = self.mtu(interface);
        for (name, host) in [(&self.net.a, 1), (&self.net.b, 2)] {
            let mut commands = format!("link set {interface} mtu {mtu} txqueuelen 5000 up\n");
            for &ipv6 in families() {
                let (address, length) = (variant.address(host, ipv6), if ipv6 { "64 nodad" } else { "24" });
                commands += &format!("addr add {address}/{length} dev {interface}\n");
            }
            self.net.batch(name, &commands);
        }
    }

    /// The MTU of an interface of host 1.
    pub fn mtu(&self, interface: &str) -> usize {
        let file = format!("/sys/class/net/{interface}/mtu");
        self.net.exec(&self.net.a, &["cat", &file]).trim().parse().expect("MTU")
    }

    /// A counter of host 1; those that are zero are not shown.
    pub fn counter(&self, name: &str) -> u64 {
        let text = self.first.ctl_ok(&["counters"]);
        let line = text.lines().find(|line| line.split_whitespace().nth(1) == Some(name));
        line.map_or(0, |line| line.split_whitespace().next().expect("number").parse().expect("number"))
    }

    /// Stops the daemon of host 1, calls `send`, which sends `count` of our frames at host 2, waits for them, calls
    /// `then` and lets the daemon go on: it finds all of them at once.
    #[track_caller]
    pub fn hold(&self, count: usize, send: impl FnOnce(), then: impl FnOnce()) {
        let wire = in_netns(&self.net.a, || PacketSocket::open("wire"));
        let deadline = Instant::now() + PATIENCE;
        let mut came = 0;
        hold(&self.first, || {
            let before = self.delivered();
            send();
            while came < count {
                let Some((_, packet)) = wire.receive(deadline) else { break };
                came += usize::from(packet.windows(SOURCE.len()).any(|octets| octets == SOURCE));
            }
            // From the cable to the socket: the kernel counts a packet after it queued it there.
            while self.delivered() < before + count as u64 {
                assert!(Instant::now() < deadline, "{count} frames are not all in the socket");
            }
            then();
        });
        assert_eq!(came, count, "frames of host 2 that came in");
    }

    /// Packets that the kernel of host 1 handed to its sockets, over the IP version of the pseudowires.
    fn delivered(&self) -> u64 {
        let read = |file| in_netns(&self.net.a, || std::fs::read_to_string(file).expect("statistics"));
        let count = if self.wire.ipv6 {
            let text = read("/proc/thread-self/net/snmp6");
            text.lines().find_map(|line| line.strip_prefix("Ip6InDelivers")).map(|n| n.trim().parse())
        } else {
            let text = read("/proc/thread-self/net/snmp");
            let rows: Vec<Vec<&str>> = text.lines().take(2).map(|l| l.split_whitespace().collect()).collect();
            rows[0].iter().position(|name| *name == "InDelivers").map(|column| rows[1][column].parse())
        };
        count.expect("a row of delivered packets").expect("number")
    }

    /// Both kernels' counts of packets whose checksum was wrong.
    fn checksum_errors(&self) -> u64 {
        let files = ["cat", "/proc/net/snmp", "/proc/net/netstat", "/proc/net/snmp6"];
        [&self.net.a, &self.net.b].into_iter().map(|name| count_errors(&self.net.exec(name, &files))).sum()
    }

    /// Nothing may have been dropped or found wrong meanwhile, and both ends go in order.
    #[track_caller]
    pub fn finish(self) {
        assert_eq!(self.checksum_errors(), self.errors, "packets with wrong checksums");
        self.end();
    }

    /// As `finish`, where damaged frames were sent.
    #[track_caller]
    pub fn end(mut self) {
        no_drops(&self.first);
        match self.other {
            Other::Naive(naive) => naive.stop(),
            Other::Daemon(mut daemon) => {
                no_drops(&daemon);
                daemon.stop();
            }
        }
        self.first.stop();
    }
}

/// Stops a daemon while `act` acts.
#[track_caller]
pub fn hold(daemon: &Daemon, act: impl FnOnce()) {
    daemon.signal(libc::SIGSTOP);
    let status = format!("/proc/{}/status", daemon.pid());
    let deadline = Instant::now() + PATIENCE;
    while !std::fs::read_to_string(&status).expect("status").contains("State:\tT") {
        assert!(Instant::now() < deadline, "the daemon does not stop");
    }
    act();
    daemon.signal(libc::SIGCONT);
}

/// Counters of the drops that would be a fault of the daemon here; a full queue or an interface that is not up yet
/// is none.
#[track_caller]
fn no_drops(daemon: &Daemon) {
    let text = daemon.ctl_ok(&["counters"]);
    assert!(text.contains("rx_frames") && text.contains("tx_frames"), "no counters in\n{text}");
    // Counters of nothing are not shown.
    for name in ["rx_drop_short", "rx_drop_cookie", "rx_drop_source", "rx_drop_sequence", "rx_drop_sublayer"]
    {
        assert!(!text.contains(name), "{text}");
    }
    for name in ["tx_drop_size", "tx_drop_error"] {
        assert!(!text.contains(name), "{text}");
    }
}

/// The sum of all that is about checksums in the kernel's statistics, where names stand above or before values.
fn count_errors(text: &str) -> u64 {
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let wrong = |name: &str| name.contains("Csum");
    let tables = lines.windows(2).filter(|pair| pair[0].first() == pair[1].first() && pair[0].len() > 2);
    let pairs = tables.flat_map(|pair| pair[0].iter().zip(&pair[1]).skip(1));
    let single = lines.iter().filter(|line| line.len() == 2).map(|line| (&line[0], &line[1]));
    let found: Vec<u64> = pairs
        .chain(single)
        .filter(|(name, _)| wrong(name))
        .map(|(_, n)| n.parse().expect("number"))
        .collect();
    assert!(found.len() >= 4, "the kernel counts no checksum errors:\n{text}");
    found.iter().sum()
}
