//! The one table of configuration tags: the parser reads by it, and the manual page, the example file and the
//! completions are tested against it. A tag is added here, in `apply`, in `diff`, and in the documents.

use super::alike;

/// The kind of block that a tag stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Block {
    /// Before the first tunnel.
    Global,
    /// Behind `tunnel NAME`.
    Tunnel,
    /// Behind `session IFNAME`.
    Session,
}

/// What a tag's parameters must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `tunnel`: opens a block.
    TunnelName,
    /// `session` (opens a block) and `bridge`: the name of an interface.
    InterfaceName,
    /// No parameter.
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
    /// One of these words, or a whole number in this range.
    Number(&'static [&'static str], u64, u64),
    /// Seconds with up to three decimals, 0.05-60.
    Seconds,
    /// Any octets, 1-255 of them.
    Octets,
    /// `any` or octets, 1-255 of them.
    OctetsOrAny,
    /// Dotted quad.
    RouterId,
    /// `any` or dotted quad.
    RouterIdOrAny,
    /// `auto` or an address.
    LocalAddress,
    /// `any`, an address or a host name.
    RemoteAddress,
    /// A path of at most this many octets.
    Path(usize),
    /// The name (or number) of a user or group.
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

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Tag {
    /// The tag as it is written.
    pub name: &'static str,
    /// Where it stands.
    pub block: Block,
    /// What its parameters must look like.
    pub kind: Kind,
    /// What holds where the tag is not given, in words.
    pub default: &'static str,
    /// One line of help.
    pub help: &'static str,
    /// The parameter is never printed.
    pub secret: bool,
}

const ON_OFF: &[&str] = &["on", "off"];
const COOKIE: &[&str] = &["off", "on", "4", "8"];

/// Rows are written `name kind "default" "help"`.
macro_rules! rows {
    ($($block:ident: $($name:literal $kind:expr, $default:literal, $help:literal;)*)*) => {
        &[$($(Tag {
            name: $name, block: Block::$block, kind: $kind, default: $default, help: $help,
            secret: is_secret($name),
        },)*)*]
    };
}

/// All tags, in the order of the manual.
pub static TAGS: &[Tag] = {
    use Kind::*;
    rows! {
        Global:
        "hostname" Octets, "the system's host name", "our Host Name";
        "router-id" RouterId, "derived from the first local IPv4 address", "our Router ID";
        "log-level" Word(&["error", "warn", "info", "debug"]), "info", "the least severe messages that are logged";
        "log-buffer" Number(&[], 0, usize::MAX as u64), "1000", "messages kept in memory for `l2tpctl log`";
        "pid-file" Path(4095), "/run/l2tpd.pid", "where the process id is written";
        "admin-socket" Path(107), "/run/l2tpd.sock", "the socket that l2tpctl talks to";
        "admin-group" Account, "none", "group that may use the admin socket besides root";
        "restart-interval" Number(&[], 1, 3600), "10", "seconds between two attempts to set up, 25 % more or less";
        "max-tunnels" Number(&[], 1, 0xffff_ffff), "65535", "control connections at once";
        "max-sessions" Number(&[], 1, 0xffff_ffff), "65535", "sessions at once";
        "user" Account, "root", "whom to run as after start-up, with the capabilities needed";
        "data-plane" Word(&["auto", "tap", "kernel"]), "auto", "what carries the frames";
        "tunnel" TunnelName, "", "opens the block of a tunnel, a control connection to one peer";

        Tunnel:
        "local-address" LocalAddress, "auto", "our address";
        "remote-address" RemoteAddress, "required", "the peer's address; any: answer only";
        "local-hostname" Octets, "hostname", "our Host Name towards this peer";
        "local-router-id" RouterId, "router-id", "our Router ID towards this peer";
        "remote-hostname" OctetsOrAny, "required", "the Host Name that the peer must give";
        "remote-router-id" RouterIdOrAny, "required", "the Router ID that the peer must give";
        "password" Octets, "none", "shared secret: every control message is authenticated";
        "password-old" Octets, "none", "another secret accepted on receipt, while passwords are changed";
        "digest" Word(&["auto", "md5", "none"]), "auto", "Message Digest: with a password; md5 also without one";
        "cookie" Word(COOKIE), "off", "octets of the cookie of data messages, in both directions; on is 4";
        "retry" Number(&[], 1, 99), "10", "retransmissions of a control message before the peer counts as lost";
        "retry-interval" Seconds, "1", "seconds before the first retransmission; each gap doubles the last one";
        "retry-interval-max" Seconds, "8", "the longest gap between retransmissions, in seconds";
        "hello-interval" Number(&["none"], 1, 3600), "60", "seconds of silence before HELLO is sent";
        "receive-window" Number(&[], 1, 65535), "8", "control messages that the peer may have under way";
        "setup-timeout" Number(&[], 1, 3600), "31", "seconds that one set-up may take";
        "restart-interval" Number(&[], 1, 3600), "the global one",
            "seconds between two attempts to set up, 25 % more or less";
        "linger" Number(&[], 1, 3600), "31", "seconds that a closed tunnel still acknowledges";
        "encapsulation" Word(&["ip", "udp"]), "ip", "IP protocol 115, or UDP";
        "udp-port" Ports, "1701 1701", "local port and remote port";
        "compatibility" Word(&["auto", "cisco", "rfc"]), "auto", "which AVPs are spoken";
        "reserved-bits" Word(&["discard", "ignore"]), "discard", "what becomes of a message with reserved bits set";
        "role" Word(&["both", "active", "passive"]), "both", "who may begin";
        "hidden" Word(ON_OFF), "off", "hide the AVPs that may be hidden";
        "dont-fragment" Word(ON_OFF), "off", "set the DF bit of outer IPv4 packets";
        "ttl" Number(&[], 1, 255), "64", "TTL or hop limit of outer packets";
        "tos" Number(&["copy"], 0, 255), "0", "TOS or traffic class of outer data packets";
        "on-event" Command, "none", "command run when the tunnel or one of its sessions changes";
        "disable" Flag, "", "the tunnel is not set up";
        "session" InterfaceName, "", "opens the block of a session, a pseudowire that ends at this interface";

        Session:
        "remote-end-id" Octets, "required", "names the pseudowire; the same at both ends";
        "pseudowire" Word(&["ethernet", "vlan"]), "ethernet", "the pseudowire type that is signalled";
        "cookie" Word(COOKIE), "the tunnel's", "octets of the cookie of data messages, in both directions; on is 4";
        "l2-sublayer" Word(&["none", "default"]), "none", "the L2-specific sublayer of data messages";
        "sequencing" Word(&["off", "send", "receive", "both"]), "off", "sequence numbers in data messages";
        "mtu" Number(&["auto"], 68, 65521), "auto", "MTU of the interface";
        "tcp-mss" Number(&["off", "auto"], 536, 65495), "off", "upper limit of the MSS of TCP connections that pass";
        "bridge" InterfaceName, "none", "bridge that the interface joins; created where it is missing";
        "mac-address" Mac, "derived from the names", "Ethernet address of the interface";
        "link-state" Word(&["follow", "up"]), "follow", "whether the interface has a carrier only while the session is up";
        "manual" SessionIds, "none", "local and remote session id, without control protocol";
        "local-cookie" Hex, "none", "cookie that incoming frames must carry (manual only)";
        "remote-cookie" Hex, "none", "cookie that outgoing frames carry (manual only)";
        "disable" Flag, "", "the session is not set up";
    }
};

/// Whether the parameter of the tag `name` must not be printed: secrets, and cookies, which guard against frames
/// sent blindly.
const fn is_secret(name: &str) -> bool {
    matches!(name.as_bytes(), b"password" | b"password-old" | b"local-cookie" | b"remote-cookie")
}

/// The tag `name` of a block.
pub fn find(block: Block, name: &[u8]) -> Option<&'static Tag> {
    TAGS.iter().find(|t| t.block == block && t.name.as_bytes() == name)
}

/// The known tag nearest to `name`, if one is like it: those of `block` first, then the others.
pub fn nearest(block: Block, name: &[u8]) -> Option<&'static str> {
    let tags = |here: bool| TAGS.iter().filter(move |tag| (tag.block == block) == here).map(|tag| tag.name);
    alike::nearest(name, tags(true).chain(tags(false)))
}

impl Kind {
    /// The least and the greatest number of parameters.
    pub fn count(self) -> (usize, usize) {
        match self {
            Kind::Flag => (0, 0),
            Kind::Ports => (1, 2),
            Kind::SessionIds => (2, 2),
            Kind::Command => (1, usize::MAX),
            _ => (1, 1),
        }
    }

    /// The words that may stand as parameter, for completion.
    pub fn words(self) -> &'static [&'static str] {
        match self {
            Kind::Word(words) | Kind::Number(words, _, _) => words,
            Kind::OctetsOrAny | Kind::RouterIdOrAny | Kind::RemoteAddress => &["any"],
            Kind::LocalAddress => &["auto"],
            _ => &[],
        }
    }

    /// What is allowed, in words.
    pub fn allowed(self) -> String {
        match self {
            Kind::TunnelName => "1-32 characters of A-Z a-z 0-9 _ . -, but not \"all\"".into(),
            Kind::InterfaceName => "1-15 characters of A-Z a-z 0-9 _ . -, but not \".\" or \"..\"".into(),
            Kind::Flag => "no parameter".into(),
            Kind::Word(words) => words.join(", "),
            Kind::Number(&[], min, max) => format!("{min}-{max}"),
            Kind::Number(words, min, max) => format!("{}, {min}-{max}", words.join(", ")),
            Kind::Seconds => "0.05-60".into(),
            Kind::Octets => "1-255 octets".into(),
            Kind::OctetsOrAny => "any, 1-255 octets".into(),
            Kind::RouterId => "a dotted quad such as 192.0.2.1".into(),
            Kind::RouterIdOrAny => "any, a dotted quad such as 192.0.2.1".into(),
            Kind::LocalAddress => "auto, an IPv4 or IPv6 address".into(),
            Kind::RemoteAddress => "any, an IPv4 or IPv6 address, a host name".into(),
            Kind::Path(max) => format!("a path of 1-{max} octets"),
            Kind::Account => "1-32 characters of A-Z a-z 0-9 _ . -".into(),
            Kind::Command => "a command and its arguments".into(),
            Kind::Ports => "1-65535 for the local port, the same for the remote port".into(),
            Kind::Mac => "six octets in hex such as 02:00:5e:00:53:01, not a group address".into(),
            Kind::SessionIds => "two numbers, 1-4294967295: the local and the remote session id".into(),
            Kind::Hex => "8 or 16 hex digits".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_tag_is_the_one_that_was_meant() {
        assert_eq!(nearest(Block::Tunnel, b"hello-intervall"), Some("hello-interval"));
        assert_eq!(nearest(Block::Tunnel, b"HOSTNAME"), Some("hostname"));
        assert_eq!(nearest(Block::Global, b"tunel"), Some("tunnel"));
        assert_eq!(nearest(Block::Session, b"remote-endid"), Some("remote-end-id"));
        for unlike in [&b"}"[..], b"secret", &[b'x'; 1 << 20]] {
            assert_eq!(nearest(Block::Session, unlike), None);
        }
    }

    #[test]
    fn no_tag_stands_twice_in_a_block() {
        for (i, tag) in TAGS.iter().enumerate() {
            let twin = TAGS.iter().skip(i + 1).find(|t| t.name == tag.name && t.block == tag.block);
            assert!(twin.is_none(), "{}", tag.name);
        }
    }
}
