//! How packets are carried: `encapsulation` and `udp-port`.

use crate::config::field::{words, Field};
use crate::config::value::Value;
use crate::wire::Encapsulation;

words! { Encapsulation { Ip = "ip", Udp = "udp" } }

/// How packets are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Encapsulations {
    /// This way.
    pub first: Encapsulation,
    /// This way, where nothing answers the first one.
    pub second: Option<Encapsulation>,
}

impl Field for Encapsulations {
    const WORDS: &'static [&'static str] = Encapsulation::WORDS;

    fn from_value(value: Value) -> Option<Encapsulations> {
        let (first, second) = match value {
            Value::Words(first, second) => (first, Encapsulation::from_value(Value::Word(second))),
            Value::Word(first) => (first, None),
            _ => return None,
        };
        Some(Encapsulations { first: Encapsulation::from_value(Value::Word(first))?, second })
    }
}

/// UDP ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ports {
    /// Ours.
    pub local: u16,
    /// The peer's.
    pub remote: u16,
}

impl Field for Ports {
    fn from_value(value: Value) -> Option<Ports> {
        match value {
            Value::Ports(local, remote) => Some(Ports { local, remote }),
            _ => None,
        }
    }
}
