//! A report with something in every field, hostile text included.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use l2tpd::admin::report::{Identity, Interface, Report};
use l2tpd::counters::Counters;
use l2tpd::log::{Level, WallTime};
use l2tpd::proto::connection::table::State;
use l2tpd::proto::snapshot::{
    Cause, ControlCounters, DroppedFrom, Drops, Failure, SessionSnapshot, SessionState, Snapshot,
    TunnelSnapshot,
};
use l2tpd::proto::Path;
use l2tpd::wire::{Ccid, Cookie, Encapsulation, SessionId, PW_ETHERNET};

pub const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 254, 122));
pub const REMOTE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 254, 120));

/// A tunnel that is not up and never was.
pub fn idle_tunnel(name: &str) -> TunnelSnapshot {
    TunnelSnapshot {
        name: name.to_owned(),
        disabled: false,
        manual: false,
        passive: false,
        problem: None,
        peer: None,
        path: None,
        state: State::Idle,
        since: Duration::from_secs(100),
        remote_hostname: None,
        remote_router_id: None,
        remote_vendor: None,
        local_ccid: Ccid(0),
        remote_ccid: Ccid(0),
        ns: 0,
        nr: 0,
        queued: 0,
        peer_window: 0,
        authenticated: false,
        cisco: false,
        next_try: None,
        last_failure: None,
        counters: ControlCounters::default(),
        sessions: Vec::new(),
    }
}

/// A session that is not up and never was.
pub fn idle_session(interface: &str) -> SessionSnapshot {
    SessionSnapshot {
        interface: interface.to_owned(),
        disabled: false,
        manual: false,
        problem: None,
        remote_end_id: b"lan1".to_vec(),
        state: SessionState::Idle,
        since: Duration::from_secs(100),
        local: SessionId(0),
        remote: SessionId(0),
        serial: 0,
        local_cookie: Cookie::NONE,
        remote_cookie: Cookie::NONE,
        sublayer: (false, false),
        sequencing: (false, false),
        pw_type: PW_ETHERNET,
        remote_circuit: None,
        remote_mtu: None,
        next_try: None,
        last_failure: None,
    }
}

fn established() -> TunnelSnapshot {
    let session = SessionSnapshot {
        state: SessionState::Established,
        since: Duration::from_secs(40),
        local: SessionId(15358),
        remote: SessionId(56664),
        serial: 1,
        local_cookie: Cookie::new(&1_680_488_994_u32.to_be_bytes()).unwrap(),
        remote_cookie: Cookie::new(&1_286_572_484_u32.to_be_bytes()).unwrap(),
        remote_circuit: Some(1),
        remote_mtu: Some(1462),
        ..idle_session("l2tp0")
    };
    TunnelSnapshot {
        peer: Some(REMOTE),
        path: Some(Path {
            encapsulation: Encapsulation::Ip,
            local: SocketAddr::new(LOCAL, 0),
            remote: SocketAddr::new(REMOTE, 0),
        }),
        state: State::Established,
        since: Duration::from_secs(50),
        remote_hostname: Some(b"center".to_vec()),
        remote_router_id: Some([10, 0, 0, 120]),
        remote_vendor: Some(b"evil\x1b[2J\nState :idle".to_vec()),
        local_ccid: Ccid(8655),
        remote_ccid: Ccid(23486),
        ns: 4,
        nr: 2,
        peer_window: 8,
        authenticated: true,
        counters: ControlCounters { tx_messages: 4, rx_messages: 2, ..ControlCounters::default() },
        sessions: vec![session],
        ..idle_tunnel("center")
    }
}

fn failing() -> TunnelSnapshot {
    let failure = Failure {
        check: "hostname".into(),
        expected: "\"branch\"".into(),
        received: "\"b\\x1branch\"".into(),
        cause: Cause::HostName,
    };
    TunnelSnapshot {
        peer: Some("192.168.254.121".parse().unwrap()),
        state: State::Idle,
        next_try: Some(Duration::from_secs(7)),
        last_failure: Some((failure, Duration::from_secs(5))),
        sessions: vec![idle_session("l2tp1")],
        ..idle_tunnel("bran\"ch\\ 2\n")
    }
}

pub fn report() -> Report {
    let counters = Counters { rx_frames: 12, tx_octets: 86, rx_cookie: 3, tx_size: 2, ..Counters::default() };
    let interface = Interface {
        present: true,
        link_up: true,
        admin_up: true,
        mtu: 1462,
        data_plane: "tap",
        bridge: Some(("br0".to_owned(), "out")),
        problem: None,
        counters,
    };
    Report {
        version: "0.1.0",
        pid: 4711,
        uptime: Duration::from_millis(93_784_500),
        time: WallTime(1_795_347_000_123_456),
        identity: Identity {
            hostname: b"center".to_vec(),
            hostname_source: "the configuration".to_owned(),
            router_id: Some([240, 1, 2, 3]),
            router_id_source: "host name and machine id".to_owned(),
        },
        log_level: Level::Info,
        snapshot: Snapshot {
            tunnels: vec![established(), failing()],
            drops: Drops { version: 5, ..Drops::default() },
            dropped_from: vec![DroppedFrom {
                address: "192.168.254.9".parse().unwrap(),
                what: "an SCCRQ of \"x\\n\", router-id 10.0.0.9: no tunnel has this remote-address".into(),
                count: 3,
                ago: Duration::from_secs(8),
            }],
            dropped_others: 2,
        },
        interfaces: [("l2tp0".to_owned(), interface)].into(),
        unmatched: Counters::default(),
    }
}
