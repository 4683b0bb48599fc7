//! When a HELLO has to leave: where the peer was not heard for a while; and where an address translator (NAT) is between
//! us and the peer, as far as the addresses tell, which forgets a connection on which nothing is sent.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::config::model::{NatKeepalive, TunnelConfig};
use crate::proto::action::Path;
use crate::proto::context::Context;
use crate::wire::Encapsulation;

/// With so many connections their HELLOs are spread from the first one on.
const MANY: usize = 100;

/// Translators keep what was answered for 30 s or longer.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// When the next one has to leave, if any: the peer was `heard`, and something was `sent` to it, at these times. A little
/// earlier than configured: connections must not act in step (C-076).
pub fn next_hello(
    cx: &mut Context,
    config: &TunnelConfig,
    path: Path,
    heard: Instant,
    sent: Instant,
) -> Option<Instant> {
    let times = [(config.hello_interval, heard), (of_translators(config, path), sent)];
    let first = times.into_iter().filter_map(|(interval, from)| {
        let interval = interval?;
        let early = cx.jitter(interval.mul_f32(0.05));
        from.checked_add(interval.saturating_sub(early))
    });
    first.min()
}

/// Many connections may have begun together: each sends its first HELLO at any moment of its interval, after this time, so
/// that neither this one nor all later ones come together. `None`: there are few.
pub fn first_hello(cx: &mut Context, config: &TunnelConfig, path: Path) -> Option<Duration> {
    let delay = cx.part_of(config.hello_interval.filter(|_| cx.alive >= MANY)?);
    Some(of_translators(config, path).map_or(delay, |keepalive| delay.min(keepalive)))
}

/// The time after which something has to be sent on this path, so that translators keep it.
pub fn of_translators(config: &TunnelConfig, path: Path) -> Option<Duration> {
    match config.nat_keepalive {
        NatKeepalive::None => None,
        NatKeepalive::Every(interval) => Some(interval),
        NatKeepalive::Auto => is_translated(config, path).then_some(KEEPALIVE),
    }
}

/// The peer sends from another port than it was said to, or our address is a private one and its is not.
fn is_translated(config: &TunnelConfig, path: Path) -> bool {
    let other_port = path.encapsulation == Encapsulation::Udp && path.remote.port() != config.udp_port.remote;
    other_port || (is_private(path.local.ip()) && !is_private(path.remote.ip()))
}

/// RFC 1918, RFC 6598; RFC 4193.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            address.is_private() || (first == 100 && second & 0xc0 == 64)
        }
        IpAddr::V6(address) => {
            let [first, ..] = address.octets();
            first & 0xfe == 0xfc
        }
    }
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use super::*;
    use crate::config::model::Via;

    #[test]
    fn addresses_tell_of_a_translator() {
        let config = TunnelConfig::new("t");
        let translated = |encapsulation, local: &str, remote: &str| {
            let end = |text: &str| text.parse().expect("an address and a port");
            is_translated(
                &config,
                Path { encapsulation, local: end(local), remote: end(remote), via: Via::ANY },
            )
        };
        for (local, remote, expected) in [
            ("10.0.0.1:1701", "198.51.100.1:1701", true),
            ("100.64.0.1:1701", "198.51.100.1:1701", true),
            ("[fd00::1]:1701", "[2001:db8::1]:1701", true),
            ("10.0.0.1:1701", "192.168.3.4:1701", false),
            ("100.128.0.1:1701", "198.51.100.1:1701", false),
            ("198.51.100.2:1701", "10.0.0.1:1701", false),
            ("0.0.0.0:1701", "198.51.100.1:1701", false),
            ("198.51.100.2:1701", "198.51.100.1:40000", true),
        ] {
            assert_eq!(translated(Encapsulation::Udp, local, remote), expected, "{local} {remote}");
        }
        assert!(translated(Encapsulation::Ip, "10.0.0.1:0", "198.51.100.1:0"));
        assert!(!translated(Encapsulation::Ip, "198.51.100.2:0", "198.51.100.1:0"));
    }
}
