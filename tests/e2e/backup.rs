//! A branch with two hubs, of which one is in use: stations of the hubs' LAN and of the branch's ping each other every
//! 10 ms while the hub in use is killed, cut off, stopped or held.
//!
//!     branch (namespace a): br0 with l0 ── wire  ── hub 1 (b):    br0 with l0 and lan ── core
//!                                       ── wire2 ── hub 2:        br0 with l0 and lan ── core (namespace with a bridge)

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::daemon::Daemon;
use crate::net::Net;
use crate::pair::wait_for;
use crate::runner::note;
use crate::sys;
use crate::tests;

tests!(
    the_next_hub_serves,
    the_hub_that_stands_by_serves,
    the_hub_in_use_is_held,
    the_administrator_moves_a_tunnel_and_it_comes_back,
    a_hub_that_stands_by_hears_no_frames,
    another_program_goes_on_with_a_hub_that_stands_by,
);

/// Frames a second are 100: what is lost within a second of silence, and four times as much for a loaded machine, which
/// may give a daemon no turn for as long. A hub that only fails to answer is lost for a minute.
const MOST_LOST: usize = 500;

struct Star {
    first: Net,
    second: Net,
    branch: Daemon,
    hubs: [Daemon; 2],
}

const HUBS: [&str; 2] = ["192.0.2.2", "198.51.100.2"];

fn hub(number: usize) -> String {
    format!(
        "hostname hub{number}\nrouter-id 10.0.0.{}\nrestart-interval 1\ntunnel t\n  remote-address any\n  \
         remote-hostname branch\n  remote-router-id 10.0.0.1\n  password secret\n  linger 1\n  session l0\n    \
         remote-end-id e\n    bridge br0\n",
        number + 1
    )
}

impl Star {
    /// Everything is up, the first hub in use.
    fn new(tags: &str) -> Star {
        let (first, second) = (Net::new(), Net::new());
        let (hub1, hub2, core) = (&first.b, &second.b, &second.a);
        first.batch(
            &first.a,
            &format!(
                "link add wire2 type veth peer name wire2 netns {hub2}\nlink set wire2 up\n\
                 addr add 198.51.100.1/24 dev wire2\nlink add br0 type bridge\naddr add 10.9.9.1/24 dev br0\n\
                 link set br0 up\n"
            ),
        );
        second.batch(hub2, "link set wire2 up\naddr add 198.51.100.2/24 dev wire2\n");
        first.batch(core, "link add core type bridge\nlink set core up\naddr add 10.9.9.2/24 dev core\n");
        for (number, hub) in [hub1, hub2].into_iter().enumerate() {
            let port = format!("port{number}");
            first.batch(
                core,
                &format!(
                    "link add {port} type veth peer name lan netns {hub}\nlink set {port} master core\nlink set {port} up\n"
                ),
            );
            first.batch(
                hub,
                "link add br0 type bridge\nlink set lan master br0\nlink set lan up\nlink set br0 up\n",
            );
        }
        let hubs = [Daemon::start(&first, hub1, &hub(1)), Daemon::start(&second, hub2, &hub(2))];
        let [one, two] = HUBS;
        let text = format!(
            "hostname branch\nrouter-id 10.0.0.1\nrestart-interval 1\ntunnel t\n  remote-address {one}\n  remote-address {two}\n  \
             remote-hostname any\n  remote-router-id any\n  password secret\n  hello-interval 0.1\n{tags}  session l0\n    \
             remote-end-id e\n    bridge br0\n"
        );
        let [mut hub1, mut hub2] = hubs;
        hub1.expect("debug l2tpd start");
        hub2.expect("debug l2tpd start");
        let branch = Daemon::start(&first, &first.a, &text);
        let star = Star { first, second, branch, hubs: [hub1, hub2] };
        star.serves(0);
        star.first.ping(&star.second.a, "10.9.9.1", 56);
        star
    }

    /// Waits until this hub is in use, and everything is up.
    #[track_caller]
    fn serves(&self, hub: usize) {
        wait_for("the hub in use", || {
            let up = self.branch.ctl(&["health"]).status.success();
            let peer = format!("{} {}, in-use", hub + 1, HUBS[hub]);
            (up && self.branch.ctl_ok(&["status"]).contains(&peer)).then_some(())
        });
    }

    /// The network that a hub's namespace is of, and that namespace.
    fn of_hub(&self, hub: usize) -> (&Net, &str) {
        let net = [&self.first, &self.second][hub];
        (net, &net.b)
    }

    /// The cable between the branch and a hub.
    fn cable(&self, hub: usize, state: &str) {
        let (net, netns) = self.of_hub(hub);
        net.batch(netns, &format!("link set {} {state}\n", ["wire", "wire2"][hub]));
    }

    /// A station of the hubs' LAN pings one of the branch's while `harm` is done to the hub in use; frames that were lost
    /// before the other one served.
    fn lost(&mut self, harm: impl FnOnce(&mut Star)) -> usize {
        let mut pings = Pings::start(&self.second.a, "10.9.9.1");
        pings.pass();
        harm(self);
        self.serves(1);
        pings.pass();
        pings.end()
    }
}

/// Pings, 100 a second.
pub struct Pings {
    child: Child,
    replies: BufReader<std::process::ChildStdout>,
    /// The numbers of those that were answered.
    numbers: Vec<usize>,
}

impl Pings {
    pub fn start(netns: &str, to: &str) -> Pings {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", netns, "ping", "-n", "-i", "0.01", "-W", "1", to]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("ping");
        let replies = BufReader::new(child.stdout.take().expect("standard output"));
        Pings { child, replies, numbers: Vec::new() }
    }

    /// Reads one answer; `false`: there are no more.
    fn read(&mut self) -> bool {
        let mut line = String::new();
        if self.replies.read_line(&mut line).expect("ping") == 0 {
            return false;
        }
        let number = line.split_once("icmp_seq=").and_then(|(_, rest)| rest.split_once(' '));
        self.numbers.extend(
            number.filter(|_| line.contains("bytes from")).and_then(|(n, _)| n.parse::<usize>().ok()),
        );
        true
    }

    /// Some are answered.
    pub fn pass(&mut self) {
        let wanted = self.numbers.len() + 50;
        while self.numbers.len() < wanted {
            assert!(self.read(), "ping ended");
        }
    }

    /// How many were lost in a row, at most.
    pub fn end(mut self) -> usize {
        sys::kill(self.child.id(), libc::SIGINT);
        while self.read() {}
        let _ = self.child.wait();
        self.numbers.sort_unstable();
        self.numbers.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0).saturating_sub(1)
    }
}

#[track_caller]
fn tell(what: &str, lost: usize) {
    note(format!("{what}: {lost} frames lost in a row, {} ms", lost * 10));
    assert!(lost < MOST_LOST, "{what}: {lost}");
}

/// What is done to the hub in use, and how it is made good.
#[derive(Clone, Copy)]
enum Harm {
    Killed,
    CutOff,
    /// An orderly end: the hub says good-bye.
    Stopped,
    /// `l2tpctl failover`.
    Left,
}

impl Harm {
    const ALL: [(&'static str, Harm); 4] = [
        ("hub killed", Harm::Killed),
        ("hub cut off", Harm::CutOff),
        ("hub stopped", Harm::Stopped),
        ("failover by the administrator", Harm::Left),
    ];

    fn befall(self, star: &mut Star, hub: usize) {
        match self {
            Harm::Killed => star.hubs[hub].kill(),
            Harm::CutOff => star.cable(hub, "down"),
            Harm::Stopped => star.hubs[hub].signal(libc::SIGTERM),
            Harm::Left => _ = star.branch.ctl_ok(&["failover", "t"]),
        }
    }

    fn is_made_good(self, star: &mut Star, hub: usize) {
        match self {
            Harm::Killed | Harm::Stopped => {
                if matches!(self, Harm::Stopped) {
                    star.hubs[hub].wait_exit();
                }
                let (net, netns) = star.of_hub(hub);
                let mut new = Daemon::start(net, netns, &self::hub(hub + 1));
                new.expect("debug l2tpd start");
                star.hubs[hub] = new;
            }
            Harm::CutOff => star.cable(hub, "up"),
            Harm::Left => {}
        }
    }
}

/// Each harm is done so often; the median counts.
const TIMES: usize = 5;

/// One line of the table for each harm: what is lost until the other hub serves. The medians.
fn table(name: &str, tags: &str, ready: impl Fn(&Star, usize)) -> Vec<usize> {
    let mut star = Star::new(&format!("{tags}  revert-after never\n"));
    ready(&star, 1);
    let mut in_use = 0;
    let medians = Harm::ALL.map(|(what, harm)| {
        let mut all: Vec<usize> = (0..TIMES)
            .map(|_| {
                let mut pings = Pings::start(&star.second.a, "10.9.9.1");
                pings.pass();
                harm.befall(&mut star, in_use);
                star.serves(1 - in_use);
                pings.pass();
                harm.is_made_good(&mut star, in_use);
                ready(&star, in_use);
                in_use = 1 - in_use;
                pings.end()
            })
            .collect();
        all.sort_unstable();
        let median = all[TIMES / 2];
        note(format!(
            "{name}, {what}: {median} frames lost, {} ms (median of {TIMES}; {} to {})",
            median * 10,
            all[0],
            all[TIMES - 1]
        ));
        assert!(median < MOST_LOST, "{name}, {what}: {all:?}");
        all[0]
    });
    medians.to_vec()
}

fn the_next_hub_serves() {
    table("next hub", "", |_, _| ());
}

/// `standby hot`: less than 100 ms, and as much with a hub that dies as it takes to find that out.
fn the_hub_that_stands_by_serves() {
    let best = table("standby hot", "  standby hot\n", stands_by);
    // Nothing has to be found out where it is told.
    assert!(best[2..].iter().all(|lost| *lost < 10), "{best:?}");
}

/// The hub's daemon hangs: nothing tells that it is gone, and its interface is still there.
fn the_hub_in_use_is_held() {
    let mut star = Star::new("");
    let lost = star.lost(|star| star.hubs[0].signal(libc::SIGSTOP));
    star.hubs[0].signal(libc::SIGCONT);
    tell("hub held", lost);
}

/// `failover`, and the way back after the first hub was gone for a while.
fn the_administrator_moves_a_tunnel_and_it_comes_back() {
    let mut star = Star::new("  revert-after 1\n");
    let lost = star.lost(|star| _ = star.branch.ctl_ok(&["failover", "t"]));
    tell("failover by the administrator", lost);
    star.branch.expect(
        "info   tunnel t: peer 198.51.100.2 is in use: the administrator moved the tunnel from 192.0.2.2",
    );
    let json = star.branch.ctl_ok(&["--json", "status"]);
    assert!(json.contains("\"state\":\"in-use\""), "{json}");
    star.first.batch(&star.first.b, "link set wire down\n");
    // It is asked, and does not answer.
    star.branch.expect("info send SCCRQ, state --> WAIT-CTL-REPLY");
    star.branch.expect("* state --> *");
    star.branch.expect("info send SCCRQ, state --> WAIT-CTL-REPLY");
    let mut pings = Pings::start(&star.second.a, "10.9.9.1");
    pings.pass();
    star.first.batch(&star.first.b, "link set wire up\n");
    star.serves(0);
    pings.pass();
    tell("back to the better hub", pings.end());
    star.branch.expect("info   tunnel t: peer 192.0.2.2 is in use: better, and within reach for *");
}

/// Waits until this hub stands by.
#[track_caller]
fn stands_by(star: &Star, hub: usize) {
    let standby = format!("{} {}, standby", hub + 1, HUBS[hub]);
    wait_for("the hub that stands by", || star.branch.ctl_ok(&["status"]).contains(&standby).then_some(()));
    wait_for("its session", || star.hubs[hub].ctl(&["health"]).status.success().then_some(()));
}

/// What the LAN floods reaches the branch once: the hub that stands by sends nothing, and nothing is sent to it.
fn a_hub_that_stands_by_hears_no_frames() {
    let star = Star::new("  standby hot\n");
    stands_by(&star, 1);
    star.first.ping(&star.second.a, "10.9.9.1", 56);
    let carried = |number: usize| {
        let text = star.hubs[number].ctl_ok(&["--json", "counters"]);
        let count = |name: &str| {
            let (_, rest) = text.split_once(&format!("\"{name}\":")).expect("a counter");
            rest.split([',', '}']).next().and_then(|n| n.parse::<u64>().ok()).expect("a number")
        };
        (count("rx_frames"), count("tx_frames"))
    };
    let (received, sent) = carried(0);
    assert!(received > 0 && sent > 0, "{received} {sent}");
    assert_eq!(carried(1), (0, 0));
}

fn another_program_goes_on_with_a_hub_that_stands_by() {
    let star = Star::new("  standby hot\n");
    stands_by(&star, 1);
    let before = star.hubs[1].ctl_ok(&["--json", "status", "session", "l0"]);
    star.branch.ctl_ok(&["restart"]);
    star.first.ping(&star.second.a, "10.9.9.1", 56);
    stands_by(&star, 1);
    star.branch.ctl_ok(&["failover", "t"]);
    stands_by(&star, 0);
    star.first.ping(&star.second.a, "10.9.9.1", 56);
    let id = |text: &str| {
        let (_, rest) = text.split_once("\"local_session_id\":").expect("an id");
        rest.split([',', '}']).next().map(str::to_owned)
    };
    let after = star.hubs[1].ctl_ok(&["--json", "status", "session", "l0"]);
    assert_eq!(id(&before), id(&after), "the session of before");
}
