//! The kinds of parameters, and the parameters of one tag -> a value of its kind, or what is wrong with them. One
//! kind is read the same way wherever it stands; what a value means beside other tags is `check`'s business.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use super::error::Fault;
use super::lex::Word;
use crate::wiped::Wiped;
use crate::wire::Cookie;

/// What the parameters of a tag must look like, besides the words that its field's type has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `tunnel`: opens a block.
    TunnelName,
    /// `session` (opens a block), `bridge` and others: the name of an interface.
    InterfaceName,
    /// No parameter.
    Flag,
    /// One of the words.
    Word,
    /// One of the words, or two different ones.
    OneOrTwoWords,
    /// A whole number in this range.
    Number(u64, u64),
    /// A number of 32 bits that is not 0, in decimal or in hex.
    Mark,
    /// Seconds with up to three decimals, in this range of milliseconds.
    Seconds(u64, u64),
    /// Any octets, 1-255 of them.
    Octets,
    /// Dotted quad.
    RouterId,
    /// An address.
    Address,
    /// An address or a host name.
    AddressOrName,
    /// A path of at most this many octets.
    Path(usize),
    /// The name (or number) of a user or group, or of a group of sessions.
    Account,
    /// A command and its arguments.
    Command,
    /// One port, or two.
    Ports,
    /// An Ethernet address.
    Mac,
    /// Two session ids.
    SessionIds,
    /// 8 or 16 hex digits.
    Hex,
}

impl Kind {
    /// The least and the greatest number of parameters.
    pub fn count(self) -> (usize, usize) {
        match self {
            Kind::Flag => (0, 0),
            Kind::Ports | Kind::OneOrTwoWords => (1, 2),
            Kind::SessionIds => (2, 2),
            Kind::Command => (1, usize::MAX),
            _ => (1, 1),
        }
    }

    /// What is allowed besides the words, for people; empty where it is words alone.
    fn shape(self) -> Cow<'static, str> {
        match self {
            Kind::TunnelName => "1-32 characters of A-Z a-z 0-9 _ . -, but not \"all\"".into(),
            Kind::InterfaceName => "1-15 characters of A-Z a-z 0-9 _ . -, but not \".\" or \"..\"".into(),
            Kind::Flag => "no parameter".into(),
            Kind::Word => "".into(),
            Kind::OneOrTwoWords => "or two of them, the second where the first is not answered".into(),
            Kind::Number(min, max) => format!("{min}-{max}").into(),
            Kind::Mark => "1-4294967295, or 0x1-0xffffffff".into(),
            Kind::Seconds(min, max) => format!("{}-{}", decimal(min), decimal(max)).into(),
            Kind::Octets => "1-255 octets".into(),
            Kind::RouterId => "a dotted quad such as 192.0.2.1".into(),
            Kind::Address => "an IPv4 or IPv6 address".into(),
            Kind::AddressOrName => "an IPv4 or IPv6 address, a host name".into(),
            Kind::Path(max) => format!("a path of 1-{max} octets").into(),
            Kind::Account => "1-32 characters of A-Z a-z 0-9 _ . -".into(),
            Kind::Command => "a command and its arguments".into(),
            Kind::Ports => "1-65535 for the local port, the same for the remote port".into(),
            Kind::Mac => "six octets in hex such as 02:00:5e:00:53:01, not a group address".into(),
            Kind::SessionIds => "two numbers, 1-4294967295: the local and the remote session id".into(),
            Kind::Hex => "8 or 16 hex digits".into(),
        }
    }

    /// What is allowed, for people: `words`, or what fits the kind.
    pub fn allowed(self, words: &[&str]) -> String {
        let shape = self.shape();
        let all = words.iter().copied().chain((!shape.is_empty()).then_some(&*shape));
        all.collect::<Vec<_>>().join(", ")
    }
}

/// A parameter that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// The tag stands there.
    Flag,
    /// A word of the tag's list.
    Word(&'static str),
    /// Two words of the tag's list.
    Words(&'static str, &'static str),
    /// A number within the range of its kind.
    Number(u64),
    /// Seconds, to the millisecond.
    Time(Duration),
    /// Octets as they were written. They may be a password.
    Octets(Wiped),
    /// Text, UTF-8.
    Text(String),
    /// A command and its arguments.
    Command(Vec<String>),
    /// A dotted quad that is no address.
    RouterId([u8; 4]),
    /// An address.
    Address(IpAddr),
    /// A name that is to be looked up.
    HostName(String),
    /// Local and remote port.
    Ports(u16, u16),
    /// An Ethernet address.
    Mac([u8; 6]),
    /// Local and remote session id.
    SessionIds(u32, u32),
    /// 4 or 8 octets.
    Cookie(Cookie),
}

/// Why parameters are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The error of the interface.
    pub fault: Fault,
    /// The index of the parameter that is wrong.
    pub at: usize,
    /// What is wrong beyond "allowed: ...", if there is something to say.
    pub reason: Option<String>,
}

type Read = Result<Value, Refusal>;

fn refuse(fault: Fault) -> Refusal {
    Refusal { fault, at: 0, reason: None }
}

fn because(fault: Fault, reason: &str) -> Refusal {
    Refusal { fault, at: 0, reason: Some(reason.to_owned()) }
}

/// The first and the only parameter of most kinds; the caller has counted them.
fn first(params: &[Word]) -> &[u8] {
    params.first().map_or(&[], |w| &*w.octets)
}

/// Reads `params`, whose number fits the kind, as one of the words or as a value of `kind`.
pub fn read(kind: Kind, words: &[&'static str], params: &[Word]) -> Read {
    let octets = first(params);
    let word = |param: &Word| words.iter().find(|w| w.as_bytes() == &*param.octets);
    if let ([first, second], Kind::OneOrTwoWords) = (params, kind) {
        let [first, second] = [word(first), word(second)];
        return match (first, second) {
            (Some(first), Some(second)) if first != second => Ok(Value::Words(first, second)),
            (first, _) => Err(Refusal { at: usize::from(first.is_some()), ..refuse(Fault::InvalidValue) }),
        };
    }
    if let Some(word) = params.first().and_then(word) {
        return Ok(Value::Word(word));
    }
    let invalid = || refuse(Fault::InvalidValue);
    match kind {
        Kind::Flag => Ok(Value::Flag),
        Kind::Word | Kind::OneOrTwoWords => Err(invalid()),
        Kind::Number(min, max) => {
            number(octets).filter(|n| (min..=max).contains(n)).map(Value::Number).ok_or_else(invalid)
        }
        Kind::Mark => mark(octets).map(Value::Number).ok_or_else(invalid),
        Kind::Seconds(min, max) => seconds(octets, min, max).map(Value::Time).ok_or_else(invalid),
        Kind::Octets => match octets.len() {
            1..=255 => Ok(Value::Octets(octets.into())),
            length => Err(because(Fault::InvalidValue, &format!("these are {length} octets"))),
        },
        Kind::RouterId => router_id(octets),
        Kind::Address => address(octets),
        Kind::AddressOrName => remote_address(octets),
        Kind::TunnelName => name(octets, 32).filter(|n| n != "all").map(Value::Text).ok_or_else(invalid),
        Kind::InterfaceName => {
            name(octets, 15).filter(|n| n != "." && n != "..").map(Value::Text).ok_or_else(invalid)
        }
        Kind::Account => name(octets, 32).map(Value::Text).ok_or_else(invalid),
        Kind::Path(max) => path(octets, max).map(Value::Text).ok_or_else(invalid),
        Kind::Command => command(params),
        Kind::Ports => ports(params),
        Kind::Mac => mac(octets),
        Kind::SessionIds => session_ids(params),
        Kind::Hex => hex(octets).and_then(|h| Cookie::new(&h)).map(Value::Cookie).ok_or_else(invalid),
    }
}

/// Decimal digits and nothing else.
fn number(octets: &[u8]) -> Option<u64> {
    if !octets.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(octets).ok()?.parse().ok()
}

/// Decimal digits, or `0x` and hex digits.
fn mark(octets: &[u8]) -> Option<u64> {
    let number = match octets.strip_prefix(b"0x") {
        Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => {
            u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
        }
        Some(_) => return None,
        None => number(octets)?,
    };
    (1..=u64::from(u32::MAX)).contains(&number).then_some(number)
}

/// Milliseconds as seconds, for people.
fn decimal(milliseconds: u64) -> String {
    let text = format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Seconds, at most three decimals; `min` and `max` are milliseconds.
pub fn seconds(octets: &[u8], min: u64, max: u64) -> Option<Duration> {
    let (whole, decimals) = match octets.iter().position(|&o| o == b'.') {
        Some(dot) => (octets.get(..dot)?, octets.get(dot.checked_add(1)?..)?),
        None => (octets, &b"0"[..]),
    };
    if decimals.is_empty() || decimals.len() > 3 {
        return None;
    }
    let scale = [100, 10, 1].get(decimals.len().checked_sub(1)?)?;
    let milliseconds =
        number(whole)?.checked_mul(1000)?.checked_add(number(decimals)?.checked_mul(*scale)?)?;
    (min..=max).contains(&milliseconds).then(|| Duration::from_millis(milliseconds))
}

/// 1-`max` characters that are safe in a path, a log line and a command.
fn name(octets: &[u8], max: usize) -> Option<String> {
    let fits = |o: &u8| o.is_ascii_alphanumeric() || matches!(o, b'_' | b'.' | b'-');
    if octets.is_empty() || octets.len() > max || !octets.iter().all(fits) {
        return None;
    }
    String::from_utf8(octets.to_vec()).ok()
}

fn path(octets: &[u8], max: usize) -> Option<String> {
    let text = std::str::from_utf8(octets).ok()?;
    let fits = !text.is_empty() && text.len() <= max && !text.contains(char::is_control);
    fits.then(|| text.to_owned())
}

/// One parameter is cut at its blanks, several are taken as they stand.
fn command(params: &[Word]) -> Read {
    let mut words = Vec::new();
    for (at, param) in params.iter().enumerate() {
        match path(&param.octets, 4095) {
            Some(word) => words.push(word),
            None if param.octets.is_empty() && at > 0 => words.push(String::new()),
            None => return Err(Refusal { at, ..refuse(Fault::InvalidValue) }),
        }
    }
    if let [only] = words.as_slice() {
        words = only.split_whitespace().map(str::to_owned).collect();
    }
    match words.is_empty() {
        true => Err(refuse(Fault::InvalidValue)),
        false => Ok(Value::Command(words)),
    }
}

fn router_id(octets: &[u8]) -> Read {
    let text = std::str::from_utf8(octets).unwrap_or_default();
    match text.parse::<std::net::Ipv4Addr>() {
        Ok(id) => Ok(Value::RouterId(id.octets())),
        Err(_) => Err(refuse(Fault::InvalidAddress)),
    }
}

fn address(octets: &[u8]) -> Read {
    let text = std::str::from_utf8(octets).unwrap_or_default();
    let reason = match text.parse::<IpAddr>() {
        Err(_) if text.contains('%') => "an address without zone (`%...`) is wanted here",
        Err(_) => return Err(refuse(Fault::InvalidAddress)),
        Ok(address) if address.is_unspecified() => "the unspecified address names no host",
        Ok(address) if address.is_multicast() => "a multicast address names no host",
        Ok(IpAddr::V4(address)) if address.is_broadcast() => "the broadcast address names no host",
        Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => "write this as an IPv4 address",
        Ok(address) => return Ok(Value::Address(address)),
    };
    Err(because(Fault::InvalidAddress, reason))
}

/// An address or a host name. What ends in a number or has a colon can only be meant as an address (RFC 1123 2.1).
fn remote_address(octets: &[u8]) -> Read {
    let text = std::str::from_utf8(octets).unwrap_or_default();
    let name = text.strip_suffix('.').unwrap_or(text);
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|o| o.is_ascii_digit()) || text.contains([':', '%', '/']) {
        return address(octets);
    }
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|o| o.is_ascii_alphanumeric() || matches!(o, b'-' | b'_'))
    };
    match name.len() <= 253 && name.split('.').all(label) {
        true => Ok(Value::HostName(text.to_owned())),
        false => Err(refuse(Fault::InvalidAddress)),
    }
}

fn ports(params: &[Word]) -> Read {
    let port = |at: usize| match params.get(at) {
        None => Ok(1701),
        Some(word) => number(&word.octets)
            .and_then(|n| u16::try_from(n).ok())
            .filter(|&n| n != 0)
            .ok_or(Refusal { at, ..refuse(Fault::InvalidValue) }),
    };
    Ok(Value::Ports(port(0)?, port(1)?))
}

fn session_ids(params: &[Word]) -> Read {
    let id = |at: usize| {
        params
            .get(at)
            .and_then(|word| number(&word.octets))
            .and_then(|n| u32::try_from(n).ok())
            .filter(|&n| n != 0)
            .ok_or(Refusal { at, ..refuse(Fault::InvalidValue) })
    };
    Ok(Value::SessionIds(id(0)?, id(1)?))
}

fn mac(octets: &[u8]) -> Read {
    let pairs: Option<Vec<u8>> = octets
        .split(|&o| o == b':')
        .map(|pair| match &*hex(pair)? {
            [octet] => Some(*octet),
            _ => None,
        })
        .collect();
    let Some(mac) = pairs.and_then(|p| <[u8; 6]>::try_from(p).ok()) else {
        return Err(refuse(Fault::InvalidAddress));
    };
    let [head, ..] = mac;
    if head & 1 != 0 {
        return Err(because(Fault::InvalidValue, "this is a group address (its first octet is odd)"));
    }
    if mac == [0; 6] {
        return Err(because(Fault::InvalidValue, "this address belongs to nobody"));
    }
    Ok(Value::Mac(mac))
}

/// Pairs of hex digits.
fn hex(octets: &[u8]) -> Option<Wiped> {
    if octets.is_empty() || octets.len() % 2 != 0 {
        return None;
    }
    let digit = |o: u8| char::from(o).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let mut found = Wiped::with_capacity(octets.len() / 2);
    for pair in octets.chunks_exact(2) {
        found.extend(&[digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?]);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(kind: Kind, text: &str) -> Read {
        read(kind, &[], &[Word { column: 1, octets: text.as_bytes().into() }])
    }

    #[test]
    fn seconds_have_at_most_three_decimals_and_a_range() {
        let time = |text| match one(Kind::Seconds(50, 60_000), text) {
            Ok(Value::Time(time)) => Some(time.as_millis()),
            _ => None,
        };
        assert_eq!(time("1"), Some(1000));
        assert_eq!(time("0.05"), Some(50));
        assert_eq!(time("60.000"), Some(60_000));
        assert_eq!(time("2.5"), Some(2500));
        for wrong in ["0.049", "60.001", "1.", ".5", "1.0000", "1,5", "-1", "1e1", "", "18446744073709551615"]
        {
            assert_eq!(time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn two_words_are_different_ones_of_the_list() {
        let read = |text: &str| {
            let params: Vec<Word> =
                text.split(' ').map(|t| Word { column: 1, octets: t.as_bytes().into() }).collect();
            read(Kind::OneOrTwoWords, &["ip", "udp"], &params).map_err(|refusal| refusal.at)
        };
        assert_eq!(read("udp"), Ok(Value::Word("udp")));
        assert_eq!(read("udp ip"), Ok(Value::Words("udp", "ip")));
        assert_eq!(
            [read("ip ip"), read("ip tcp"), read("tcp ip"), read("tcp")],
            [Err(1), Err(1), Err(0), Err(0)]
        );
    }

    #[test]
    fn marks_are_decimal_or_hex() {
        let mark = |text| match one(Kind::Mark, text) {
            Ok(Value::Number(mark)) => Some(mark),
            _ => None,
        };
        assert_eq!((mark("1"), mark("4294967295")), (Some(1), Some(0xffff_ffff)));
        assert_eq!((mark("0x10"), mark("0xffFFffff")), (Some(16), Some(0xffff_ffff)));
        for wrong in ["0", "0x0", "0x", "0x100000000", "4294967296", "ff", "-1", "0x-1", "0x+1", "+1", ""] {
            assert_eq!(mark(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_looks_like_an_address_is_no_host_name() {
        let host = |text| matches!(one(Kind::AddressOrName, text), Ok(Value::HostName(_)));
        let address = |text| matches!(one(Kind::AddressOrName, text), Ok(Value::Address(_)));
        for good in ["192.0.2.1", "2001:db8::1", "127.0.0.1", "fe80::1"] {
            assert!(address(good), "{good}");
        }
        for good in ["peer.example.net", "peer.example.net.", "a", "1and1.example", "my_peer"] {
            assert!(host(good), "{good}");
        }
        let long = "a.".repeat(127) + "aa";
        for wrong in [
            "300.1.2.3",
            "1.2.3",
            "1.2.3.4.5",
            "0x1.2",
            "2001:db8::g",
            "fe80::1%eth0",
            "192.0.2.0/24",
            "",
            ".",
            "a..b",
            "-a",
            "a-",
            "a b",
            "ü",
            "224.0.0.1",
            "0.0.0.0",
            "::",
            "ff02::1",
            "255.255.255.255",
            "::ffff:192.0.2.1",
            &"a".repeat(64),
            &long,
        ] {
            let fault = one(Kind::AddressOrName, wrong).map_err(|r| r.fault);
            assert_eq!(fault, Err(Fault::InvalidAddress), "{wrong}");
        }
    }

    #[test]
    fn a_command_is_cut_into_words() {
        let expected = Ok(Value::Command(vec!["/bin/hook".into(), "a".into()]));
        assert_eq!(one(Kind::Command, "/bin/hook  a"), expected);
        let words = ["/bin/hook", "a b", ""].map(|t| Word { column: 1, octets: t.as_bytes().into() });
        let expected = Value::Command(vec!["/bin/hook".into(), "a b".into(), String::new()]);
        assert_eq!(read(Kind::Command, &[], &words), Ok(expected));
        assert!(one(Kind::Command, "  ").is_err());
        assert!(one(Kind::Command, "").is_err());
    }

    #[test]
    fn ethernet_addresses() {
        assert_eq!(one(Kind::Mac, "02:00:5E:00:53:ff"), Ok(Value::Mac([2, 0, 0x5e, 0, 0x53, 0xff])));
        for wrong in
            ["02:00:5e:00:53", "02:00:5e:00:53:01:02", "2:0:5e:0:53:1", "02-00-5e-00-53-01", "", ":::::"]
        {
            assert_eq!(one(Kind::Mac, wrong).map_err(|r| r.fault), Err(Fault::InvalidAddress), "{wrong}");
        }
        for wrong in ["01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"] {
            assert_eq!(one(Kind::Mac, wrong).map_err(|r| r.fault), Err(Fault::InvalidValue), "{wrong}");
        }
    }
}
