//! What the world is made of: chance, datagrams, faults of the network, configurations.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use l2tpd::config::identity::DerivedId;
use l2tpd::config::{parse, Config, Defaults};
use l2tpd::wire::Encapsulation;

pub use crate::support::dice::Dice;

/// One way through the network without faults.
pub const DELAY: Duration = Duration::from_millis(1);

/// Runs `test` for each seed, or for the one in `SIM_SEED`. A failing seed is named.
pub fn seeds(count: u64, test: impl Fn(u64)) {
    if let Some(seed) = std::env::var("SIM_SEED").ok().and_then(|s| s.parse().ok()) {
        return test(seed);
    }
    for seed in 0..count {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(seed)));
        if let Err(panic) = outcome {
            eprintln!("failed with SIM_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// A datagram on the wire.
#[derive(Debug, Clone)]
pub struct Datagram {
    /// When it was sent, since the beginning.
    pub at: Duration,
    pub encapsulation: Encapsulation,
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub octets: Vec<u8>,
}

impl Datagram {
    /// The value of its Message Type AVP; 0 for a ZLB.
    pub fn kind(&self) -> u16 {
        match self.octets.get(18..20) {
            Some(&[high, low]) => u16::from_be_bytes([high, low]),
            _ => 0,
        }
    }
}

/// The delays of the copies of a datagram that arrive; none: it is lost.
pub type Fault = Box<dyn FnMut(&mut Dice, &Datagram) -> Vec<Duration>>;

/// A network without faults.
pub fn perfect() -> Fault {
    Box::new(|_, _| vec![DELAY])
}

/// Loses, repeats and reorders so many of 100 datagrams.
pub fn faulty(percent: u64) -> Fault {
    Box::new(move |rng, _| {
        let copies = match (rng.chance(percent), rng.chance(percent)) {
            (true, _) => 0,
            (false, true) => 2,
            (false, false) => 1,
        };
        let late = |rng: &mut Dice| match rng.chance(percent) {
            true => DELAY * (2 + rng.below(400) as u32),
            false => DELAY,
        };
        (0..copies).map(|_| late(rng)).collect()
    })
}

/// Reads a configuration that has no errors.
pub fn config(text: &str) -> Config {
    let defaults =
        Defaults { hostname: b"system".to_vec(), router_id: DerivedId::of_address([198, 51, 100, 1]) };
    parse(text.as_bytes(), &defaults).config.unwrap_or_else(|e| panic!("{text}\n{e:#?}"))
}

/// The address of the n-th node.
pub fn address(n: usize) -> IpAddr {
    IpAddr::from((0xc000_0201 + n as u32).to_be_bytes())
}

/// The configuration of node `me` for one tunnel `t` to node `peer`, with further tunnel tags, and a session for
/// each interface, whose Remote End ID is the number in its name.
pub fn tunnel(me: usize, peer: usize, tags: &str, interfaces: &[&str]) -> String {
    let names = ["a", "b", "c"];
    let mut text = format!(
        "hostname {}\nrouter-id 10.0.0.{}\ntunnel t\n remote-address {}\n remote-hostname {}\n remote-router-id 10.0.0.{}\n {}\n",
        names[me],
        me + 1,
        address(peer),
        names[peer],
        peer + 1,
        tags.replace(';', "\n ")
    );
    for interface in interfaces {
        let end_id = interface.trim_start_matches("l2tp");
        text.push_str(&format!(" session {interface}\n  remote-end-id {end_id}\n"));
    }
    text
}
