//! Every line of the log that is ours: remarks, which the routers' catalogue lacks. A remark begins with two blanks,
//! so that nobody takes it for a message of the catalogue; only the two errors of the configuration that the routers
//! do not have stand at the beginning of their line ([`LogLine::error`](super::LogLine::error)).
//!
//! What each means and what to do about it stands in `admin/explain/texts.txt`, in the same order.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::catalogue::{by, fill, Name, Template};
use super::Level;
use crate::wire::{Ccid, MessageType};

/// Tags of the configuration as they are logged, with commas between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tags(pub Vec<&'static str>);

impl fmt::Display for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

macro_rules! remarks {
    ($($id:literal $level:ident $($by:ident)? $text:literal => $variant:ident { $($field:ident : $ty:ty),* };)*) => {
        /// A remark with what it tells. The names of its row stand for the fields, in their order.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(missing_docs)] // the text of each variant is its documentation
        pub enum Remark {
            $(#[doc = concat!("`", $text, "`")] $variant { $($field: $ty),* },)*
        }

        /// A remark without what it tells.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum RemarkKind {
            $(#[doc = concat!("`", $text, "`")] $variant,)*
        }

        impl Remark {
            /// Its kind.
            pub fn kind(&self) -> RemarkKind {
                match self {
                    $(Remark::$variant { .. } => RemarkKind::$variant,)*
                }
            }
        }

        impl RemarkKind {
            /// All of them, in the order of the table.
            pub const ALL: &'static [RemarkKind] = &[$(RemarkKind::$variant,)*];

            /// Name, level and text.
            pub const fn template(self) -> &'static Template {
                match self {
                    $(RemarkKind::$variant => const {
                        &Template { id: $id, level: Level::$level, by: by!($($by)?), text: $text }
                    },)*
                }
            }
        }

        /// The texts, with the fields that fill their placeholders.
        #[cfg(test)]
        const FIELDS: &[(&str, &[&str])] = &[$(($text, &[$(stringify!($field)),*]),)*];

        impl fmt::Display for Remark {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Remark::$variant { $($field),* } => fill(f, $text, &[$($field as &dyn fmt::Display),*]),)*
                }
            }
        }
    };
}

remarks! {
    // The configuration.
    "unknown-tag" Error Nobody "<tag>: Unknown tag" =>
        UnknownTag { tag: String };
    "invalid-value" Error Nobody "<tag>: Invalid value" =>
        InvalidValue { tag: String };
    "unreadable" Warn Nobody "<file>: <error>: it cannot be read again by user <user>, a reload will fail" =>
        Unreadable { file: String, error: String, user: String };
    "gone" Warn "<file>: <error>: it cannot be read again, a reload will fail" =>
        Gone { file: String, error: String };
    "no-tunnel" Warn "<file> has no tunnel: there is nothing to do" =>
        NoTunnel { file: String };
    "router-id" Info "router-id <IPaddress>: from <source>, until the next start" =>
        RouterIdDerived { id: Ipv4Addr, source: String };
    "reload-refused" Warn Nobody "the configuration in force is not changed" =>
        ReloadRefused {};
    "nothing-changed" Info Nobody "the configuration was read again: nothing changed" =>
        NothingChanged {};
    "at-start" Warn Nobody "<tags>: in force from the next start on" =>
        AtStart { tags: Tags };
    "global-changed" Info Nobody "global: changed (<tags>)" =>
        GlobalChanged { tags: Tags };
    "tunnel-added" Info Nobody "tunnel <tun_name>: added" =>
        TunnelAdded { tunnel: String };
    "tunnel-removed" Info Nobody "tunnel <tun_name>: removed" =>
        TunnelRemoved { tunnel: String };
    "tunnel-restarted" Info Nobody "tunnel <tun_name>: restarted (<tags>)" =>
        TunnelRestarted { tunnel: String, tags: Tags };
    "tunnel-changed" Info Nobody "tunnel <tun_name>: changed live (<tags>)" =>
        TunnelChanged { tunnel: String, tags: Tags };
    "session-added" Info Nobody "tunnel <tun_name> session <if_name>: added" =>
        SessionAdded { tunnel: String, interface: String };
    "session-removed" Info Nobody "tunnel <tun_name> session <if_name>: removed" =>
        SessionRemoved { tunnel: String, interface: String };
    "session-restarted" Info Nobody "tunnel <tun_name> session <if_name>: restarted (<tags>)" =>
        SessionRestarted { tunnel: String, interface: String, tags: Tags };
    "session-changed" Info Nobody "tunnel <tun_name> session <if_name>: changed live (<tags>)" =>
        SessionChanged { tunnel: String, interface: String, tags: Tags };

    // Start, end and the log itself.
    "nothing-to-start" Error "no tunnel of the configuration can be started" =>
        NothingToStart {};
    "process-1" Error "process 1 has to stay in the foreground: use -d" =>
        ProcessOne {};
    "signals" Error "signals: <error>" =>
        Signals { error: String };
    "epoll" Error "epoll: <error>" =>
        Epoll { error: String };
    "no-kernel-l2tp" Error "data-plane kernel: the kernel's l2tp: <error>: load l2tp_eth, or use data-plane tap" =>
        NoKernelL2tp { error: String };
    "admin-socket" Error "admin socket: <error>" =>
        AdminSocket { error: String };
    "user" Error "user <user>: <error>" =>
        User { user: String, error: String };
    "not-confined" Warn Nobody "<what> is not in force: <error>" =>
        NotConfined { what: String, error: String };
    "restart" Info "restart: the program is started again, to go on with everything" =>
        RestartAsked {};
    "handed-over" Info "restart: process <pid> goes on; frames waited for <delay>" =>
        HandedOver { pid: u32, delay: String };
    "not-handed-over" Error "restart: everything goes on as before: <why>" =>
        NotHandedOver { why: String };
    "taken-over" Info "restart: l2tpd <version> goes on" =>
        TakenOver { version: &'static str };
    "pid-file" Warn "the pid file could not be written: <error>" =>
        PidFile { error: String };
    "kernel-receives" Warn Nobody "the kernel's l2tp_ip is loaded and receives IP protocol 115 as well: unload it, or use UDP" =>
        KernelReceives {};
    "program-fault" Error "l2tpd ends at <place>: a fault of the program" =>
        ProgramFault { place: String };
    "suppressed" Warn "suppressed <count> similar messages: <kind> (<text>)" =>
        Suppressed { count: u64, kind: &'static str, text: String };
    "strangers" Warn Anybody "<count> messages that strangers caused were left out, one of them: <text>" =>
        Strangers { count: u64, text: String };
    "lines-lost" Warn "<count> lines of the log were lost" =>
        LinesLost { count: u64 };
    "log-level" Info "log level <level>" =>
        LogLevel { level: Level };
    "status" Info Nobody "<status>" =>
        Status { line: String };

    // The administrator's programs.
    "admin-unknown" Warn "admin socket: a client whose user is not known: <error>" =>
        AdminUnknown { error: String };
    "admin-user" Warn "admin socket: user <uid> (process <pid>) may not use it" =>
        AdminUser { uid: u32, pid: i32 };
    "admin-backlog" Info "admin socket: a client that follows does not read; it is dropped" =>
        AdminBacklog {};
    "admin-idle" Info "admin socket: a client of user <uid> that follows was idle longest; it gives way to another" =>
        AdminIdle { uid: u32 };
    "hook" Warn "on-event of <tun_name>: <program>: <why>" =>
        Hook { tunnel: String, program: String, why: String };
    "hook-killed" Warn "on-event of <tun_name>: <program>: killed, it ran longer than <n> s" =>
        HookKilled { tunnel: String, program: String, limit: u64 };
    "hook-queue" Warn "on-event of <tun_name>: too many events wait, the oldest is dropped" =>
        HookQueue { tunnel: String };

    // The protocol.
    "dropped" Info Anybody "from <IPaddress> dropped: <text>" =>
        Dropped { from: IpAddr, text: String };
    "moved" Info "[<tunnel_id>] the peer is at <end> now" =>
        Moved { tunnel: Ccid, end: SocketAddr };
    "resumed" Info "tunnel <tun_name> goes on after a crash: the peer still has connection <tunnel_id>" =>
        Resumed { tunnel: String, connection: Ccid };
    "not-resumed" Info "tunnel <tun_name> does not go on where it was before a crash: <why>" =>
        NotResumed { tunnel: String, why: String };
    "state-file" Warn "state-file: <error>: after a crash tunnels begin anew" =>
        StateFile { error: String };
    "fallback" Info "tunnel <tun_name>: no answer, now over <encapsulation>" =>
        Fallback { tunnel: String, encapsulation: Name };
    "probes-end" Info "tunnel <tun_name>: <IPaddress> ended the connection when it had got a long HELLO: it gets none any more" =>
        ProbesEnd { tunnel: String, peer: IpAddr };
    "no-route" Info "tunnel <tun_name> waits: <text>" =>
        NoRoute { tunnel: String, why: String };
    "peer-in-use" Info "tunnel <tun_name>: peer <IPaddress> is in use: <text>" =>
        PeerInUse { tunnel: String, peer: IpAddr, why: String };
    "source" Info "tunnel <tun_name> is set up anew: <text>" =>
        Source { tunnel: String, why: String };
    "source-passive" Info "tunnel <tun_name> sends from another address: <text>" =>
        SourcePassive { tunnel: String, why: String };
    "pw-type" Warn "[<tunnel_id>] session <if_name>: <failure>" =>
        PwType { tunnel: Ccid, interface: String, failure: String };
    "avp-of-cisco" Debug Anybody "[<tunnel_id>] AVP <type> of vendor 9 in <msg_type> is not known: ignored, though its M bit is set" =>
        AvpOfCisco { tunnel: Ccid, attribute: u16, message: MessageType };
    "avp-ignored" Debug Anybody "[<tunnel_id>] <AVP_name> of <len> octets in <msg_type> is malformed and not mandatory: ignored" =>
        AvpIgnored { tunnel: Ccid, avp: Name, length: usize, message: MessageType };

    // The data plane.
    "send" Warn Anybody "cannot send to <IPaddress>: <error>" =>
        Send { peer: IpAddr, error: String };
    "unreachable" Debug Anybody "what was sent to <IPaddress> does not arrive: <error>" =>
        Unreachable { peer: IpAddr, error: String };
    "frames-not-sent" Warn "<if_name>: frames are not sent: <error>" =>
        FramesNotSent { interface: String, error: String };
    "links" Warn "interfaces that go up or down are not noticed: <error>" =>
        Links { error: String };
    "routes" Warn "routes that change are not noticed: <error>" =>
        Routes { error: String };
    "interface" Warn "interface <if_name> was deleted" =>
        InterfaceDeleted { interface: String };
    "carrier" Warn "<if_name>: carrier: <error>" =>
        Carrier { interface: String, error: String };
    "up-or-down" Warn "<if_name>: <up_or_down>: <error>" =>
        UpOrDown { interface: String, wanted: Name, error: String };
    "mtu" Warn "<if_name>: mtu <mtu>: only <fitting> fit the path, longer frames <fate>" =>
        Mtu { interface: String, mtu: usize, fitting: usize, fate: Name };
    "mtu-changed" Info "<if_name>: mtu <mtu>, it was <before>: the path carries packets of <len> octets" =>
        MtuChanged { interface: String, mtu: usize, before: usize, path: usize };
    "mtu-refused" Warn "<if_name>: mtu <mtu>: <error>" =>
        MtuRefused { interface: String, mtu: usize, error: String };
    "bridge-deleted" Warn "bridge <bridge> was deleted; it gets its interfaces back when it is made again" =>
        BridgeDeleted { bridge: String };
    "bridge-left" Info "<if_name> is not in bridge <bridge> any more" =>
        BridgeLeft { interface: String, bridge: String };
    "bridge-again" Info "<if_name> is in bridge <bridge> again" =>
        BridgeAgain { interface: String, bridge: String };
    "bridge-refused" Warn "<if_name>: <not_joined>: <error>" =>
        BridgeRefused { interface: String, why: String, error: String };
    "link-local" Warn "<if_name>: link-local frames are not forwarded by bridge <bridge>: <error>" =>
        LinkLocal { interface: String, bridge: String, error: String };
    "split-horizon" Warn "<if_name>: it is not kept apart from the others of its group: <error>" =>
        SplitHorizon { interface: String, error: String };
    "loop" Warn "loop: what leaves by <if_name> comes back by <other>: <held> is held down for <n> s" =>
        Loop { left: String, came: String, interface: String, seconds: u64 };
    "loop-released" Info "<if_name> is not held down any more" =>
        LoopReleased { interface: String };
    "by-bpf" Info "<if_name>: bpf carries the frames" =>
        ByBpf { interface: String };
    "not-by-bpf" Info "<if_name>: the daemon carries the frames, bpf does not: <why>" =>
        NotByBpf { interface: String, why: String };
    "auto-plane" Info "data-plane auto: <plane>: <why>" =>
        AutoPlane { plane: String, why: String };
    "no-bpf" Warn "data-plane bpf: <error>: the daemon carries all frames" =>
        NoBpf { error: String };
    "kernel-session" Warn "<if_name>: <failure>" =>
        KernelSession { interface: String, failure: String };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::catalogue::{pieces, Piece};
    use crate::log::LogLine;

    #[test]
    fn each_placeholder_has_a_field() {
        for (text, fields) in FIELDS {
            let placeholders = pieces(text).filter(|piece| matches!(piece, Piece::Placeholder(_))).count();
            assert_eq!(placeholders, fields.len(), "{text}");
        }
    }

    #[test]
    fn a_remark_begins_with_two_blanks_an_error_of_the_configuration_does_not() {
        let line = LogLine::remark(&Remark::NoTunnel { file: "/etc/l2tpd.conf".into() });
        let text = "  /etc/l2tpd.conf has no tunnel: there is nothing to do";
        assert_eq!((line.text.as_str(), line.level, line.kind), (text, Level::Warn, "no-tunnel"));
        let line = LogLine::error(&Remark::UnknownTag { tag: "retri".into() });
        assert_eq!(
            (line.text.as_str(), line.level, line.kind),
            ("retri: Unknown tag", Level::Error, "unknown-tag")
        );
        let remark = Remark::AtStart { tags: Tags(vec!["user", "pid-file"]) };
        assert_eq!(remark.to_string(), "user, pid-file: in force from the next start on");
    }
}
