//! A network between two daemons that is a program of the test: it loses, repeats, delays and damages, and gives
//! attackers what they want to know.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::dice::Dice;
use crate::net::Net;
use crate::sys::in_netns;

/// The network's addresses, in `b`: that of `b` as `a` sees it, and the other way round.
pub const FOR_A: &str = "192.0.2.3";
pub const FOR_B: &str = "198.51.100.1";

/// What the directions share.
#[derive(Default)]
struct State {
    /// Loses, repeats, delays and damages so many of 100; 100: loses all.
    badness: AtomicUsize,
    /// Milliseconds that each datagram takes.
    delay: AtomicUsize,
    ends: AtomicBool,
}

/// One direction.
struct Way {
    from: UdpSocket,
    out: UdpSocket,
    to: SocketAddr,
    /// The SCCRQs that went this way.
    requests: Mutex<Vec<Vec<u8>>>,
}

/// Forwards datagrams.
pub struct Network {
    state: Arc<State>,
    /// To `b`, to `a`.
    ways: [Arc<Way>; 2],
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Network {
    pub fn start(net: &Net, seed: u64) -> Network {
        net.batch(&net.b, &format!("addr add {FOR_A}/24 dev wire\naddr add {FOR_B}/32 dev lo\n"));
        let bind = |address: &str| {
            let socket = in_netns(&net.b, || UdpSocket::bind((address, 1701)).expect("UDP socket"));
            socket.set_read_timeout(Some(Duration::from_millis(5))).expect("time-out");
            socket
        };
        let [for_a, for_b] = [bind(FOR_A), bind(FOR_B)];
        let again = |socket: &UdpSocket| socket.try_clone().expect("descriptor");
        let way = |from, out, to: &str| {
            let to = SocketAddr::new(to.parse().expect("address"), 1701);
            Arc::new(Way { from, out, to, requests: Mutex::default() })
        };
        let ways = [way(again(&for_a), again(&for_b), "192.0.2.2"), way(for_b, for_a, "192.0.2.1")];
        let state = Arc::new(State::default());
        let seeds = [seed, !seed].into_iter().zip(&ways);
        let threads = seeds.map(|(seed, way)| {
            let (state, way) = (Arc::clone(&state), Arc::clone(way));
            std::thread::spawn(move || forward(&way, Dice(seed), &state))
        });
        let threads = threads.collect();
        Network { state, ways, threads }
    }

    pub fn set(&self, percent: usize) {
        self.state.badness.store(percent, Ordering::Relaxed);
    }

    /// From now on a datagram and its answer take this time together.
    pub fn round_trip(&self, time: Duration) {
        self.state.delay.store(time.as_millis() as usize / 2, Ordering::Relaxed);
    }

    /// The newest SCCRQ that went to `a`, and the one to `b`.
    pub fn requests(&self) -> Option<[Vec<u8>; 2]> {
        let newest = |way: &Way| way.requests.lock().expect("requests").last().cloned();
        Some([newest(&self.ways[1])?, newest(&self.ways[0])?])
    }

    /// Sends a datagram to `a`, and one to `b`, as if each came from the other.
    pub fn inject(&self, [to_a, to_b]: &[Vec<u8>; 2]) {
        for (way, datagram) in [(&self.ways[1], to_a), (&self.ways[0], to_b)] {
            let _ = way.out.send_to(datagram, way.to);
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.state.ends.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Whether it is a control message whose first AVP says SCCRQ.
fn is_request(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|octet| octet & 0x80 != 0) && datagram.get(16..20) == Some(&[0, 0, 0, 1])
}

fn forward(way: &Way, mut dice: Dice, state: &State) {
    let mut buffer = vec![0; 70_000];
    let mut waiting: BTreeMap<(Instant, usize), Vec<u8>> = BTreeMap::new();
    let mut count = 0;
    while !state.ends.load(Ordering::Relaxed) {
        let percent = state.badness.load(Ordering::Relaxed) as u64;
        if let Ok((length, _)) = way.from.recv_from(&mut buffer) {
            let mut bad = || dice.below(100) < percent;
            let (lost, repeated, damaged, late) = (bad(), bad(), bad(), bad());
            let mut datagram = buffer[..length].to_vec();
            if is_request(&datagram) {
                way.requests.lock().expect("requests").push(datagram.clone());
            }
            if damaged && length > 0 {
                let bit = dice.below(8 * length);
                datagram[bit / 8] ^= 1 << (bit % 8);
            }
            let delay = state.delay.load(Ordering::Relaxed) as u64 + if late { dice.below(60) } else { 0 };
            for _ in 0..if lost { 0 } else { 1 + usize::from(repeated) } {
                count += 1;
                waiting.insert((Instant::now() + Duration::from_millis(delay), count), datagram.clone());
            }
        }
        let now = Instant::now();
        while let Some(entry) = waiting.first_entry().filter(|entry| entry.key().0 <= now) {
            let _ = way.out.send_to(&entry.remove(), way.to);
        }
    }
}
