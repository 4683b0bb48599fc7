//! A report with something in every field, hostile text included.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use std::collections::BTreeMap;
use std::ops::Range;

use l2tpd::admin::display::{Display, Form};
use l2tpd::admin::report::{Dropped, Identity, Interface, Overview};
use l2tpd::admin::request::Selection;
use l2tpd::admin::Source;
use l2tpd::config::model::Via;
use l2tpd::counters::Counters;
use l2tpd::log::{Level, WallTime};
use l2tpd::proto::connection::table::State;
use l2tpd::proto::history::Change;
use l2tpd::proto::snapshot::{
    Cause, ControlCounters, DroppedFrom, Drops, Failure, PathFound, PeerSnapshot, PeerState, SessionBrief,
    SessionSnapshot, SessionState, TunnelBrief, TunnelSnapshot,
};
use l2tpd::proto::{Path, TunnelEvent};
use l2tpd::wire::{Ccid, Cookie, Encapsulation, SessionId, PW_ETHERNET};

use super::snapshot::Snapshot;

pub const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 254, 122));
pub const REMOTE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 254, 120));

/// What a daemon might tell of itself.
#[derive(Clone)]
pub struct Report {
    pub edition: u64,
    pub overview: Overview,
    pub snapshot: Snapshot,
    pub interfaces: BTreeMap<String, Interface>,
    pub unmatched: Counters,
}

impl Report {
    fn session_at(&self, tunnel: usize, session: usize) -> Option<&SessionSnapshot> {
        self.snapshot.tunnels.get(tunnel)?.sessions.get(session)
    }

    /// A display of one go; `None` if the selection means nothing.
    pub fn display(&self, form: Form, selection: &Selection) -> Option<String> {
        Some(self.whole(Display::new(form, selection, self).ok()?))
    }

    /// All that a display shows.
    pub fn whole(&self, mut display: Display) -> String {
        let mut text = String::new();
        while !display.is_over() {
            display.step(self, &mut text).expect("nothing changes");
        }
        text
    }

    /// Whether a display says that something is down; `None` if the selection means nothing.
    pub fn judge(&self, form: Form, selection: &Selection) -> Option<bool> {
        let mut display = Display::new(form, selection, self).ok()?;
        while !display.is_over() {
            display.step(self, &mut String::new()).expect("nothing changes");
        }
        Some(display.is_down())
    }

    pub fn status(&self, selection: &Selection) -> Option<String> {
        self.display(Form::Status, selection)
    }

    pub fn explain(&self, selection: &Selection) -> Option<String> {
        self.display(Form::Explain, selection)
    }

    pub fn json(&self, selection: &Selection) -> Option<String> {
        self.display(Form::StatusJson, selection)
    }

    pub fn all(&self, form: Form) -> String {
        self.display(form, &Selection::All).unwrap()
    }
}

impl Source for Report {
    fn edition(&self) -> u64 {
        self.edition
    }
    fn overview(&self) -> Overview {
        self.overview.clone()
    }
    fn dropped(&self) -> Dropped {
        Dropped {
            drops: self.snapshot.drops,
            from: self.snapshot.dropped_from.clone(),
            others: self.snapshot.dropped_others,
            unmatched: self.unmatched,
        }
    }
    fn tunnels(&self) -> usize {
        self.snapshot.tunnels.len()
    }
    fn tunnel_place(&self, name: &str) -> Option<usize> {
        self.snapshot.tunnels.iter().position(|tunnel| tunnel.name == name)
    }
    fn session_place(&self, interface: &str) -> Option<(usize, usize)> {
        let of = |tunnel: &TunnelSnapshot| tunnel.sessions.iter().position(|s| s.interface == interface);
        self.snapshot.tunnels.iter().enumerate().find_map(|(at, tunnel)| Some((at, of(tunnel)?)))
    }
    fn tunnel(&self, tunnel: usize) -> Option<TunnelBrief<'_>> {
        let tunnel = self.snapshot.tunnels.get(tunnel)?;
        Some(TunnelBrief {
            name: &tunnel.name,
            disabled: tunnel.disabled,
            manual: tunnel.manual,
            state: tunnel.state,
            round_trip: tunnel.round_trip,
            path_search: tunnel.path_search,
            has_backup: !tunnel.peers.is_empty(),
            peer_changes: tunnel.peer_changes,
            counters: tunnel.counters,
            sessions: tunnel.sessions.len(),
        })
    }
    fn session(&self, tunnel: usize, session: usize) -> Option<SessionBrief<'_>> {
        let session = self.session_at(tunnel, session)?;
        let (disabled, state) = (session.disabled, session.state);
        Some(SessionBrief { interface: &session.interface, disabled, state })
    }
    fn counters(&self, tunnel: usize, session: usize) -> Counters {
        let session = self.session_at(tunnel, session);
        session.and_then(|s| Some(self.interfaces.get(&s.interface)?.counters)).unwrap_or_default()
    }
    fn part(
        &self,
        tunnel: usize,
        sessions: Range<usize>,
    ) -> Option<(TunnelSnapshot, Vec<Option<Interface>>)> {
        let whole = self.snapshot.tunnels.get(tunnel)?;
        let sessions = whole.sessions.get(sessions)?.to_vec();
        let interfaces = sessions.iter().map(|s| self.interfaces.get(&s.interface).cloned()).collect();
        let (name, problem) = (whole.name.clone(), whole.problem.clone());
        let tunnel = TunnelSnapshot {
            name,
            problem,
            remote_hostname: whole.remote_hostname.clone(),
            remote_vendor: whole.remote_vendor.clone(),
            last_failure: whole.last_failure.clone(),
            history: whole.history.clone(),
            peers: whole.peers.clone(),
            peer_why: whole.peer_why.clone(),
            sessions,
            ..*whole
        };
        Some((tunnel, interfaces))
    }
}

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
        changes: 0,
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
        round_trip: None,
        path_search: None,
        history: Vec::new(),
        counters: ControlCounters::default(),
        peers: Vec::new(),
        peer_why: String::new(),
        peer_changes: 0,
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
        bridge: None,
        state: SessionState::Idle,
        since: Duration::from_secs(100),
        changes: 0,
        local: SessionId(0),
        remote: SessionId(0),
        serial: 0,
        local_cookie: Cookie::NONE,
        remote_cookie: Cookie::NONE,
        sublayer: (false, false),
        fragments: (true, false),
        sequencing: (false, false),
        pw_type: PW_ETHERNET,
        remote_circuit: None,
        remote_mtu: None,
        next_try: None,
        last_failure: None,
        history: Vec::new(),
    }
}

fn established() -> TunnelSnapshot {
    let session = SessionSnapshot {
        state: SessionState::Established,
        since: Duration::from_secs(40),
        changes: 1,
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
            via: Via::ANY,
        }),
        state: State::Established,
        since: Duration::from_secs(50),
        changes: 3,
        remote_hostname: Some(b"center".to_vec()),
        remote_router_id: Some([10, 0, 0, 120]),
        remote_vendor: Some(b"evil\x1b[2J\nState :idle".to_vec()),
        local_ccid: Ccid(8655),
        remote_ccid: Ccid(23486),
        ns: 4,
        nr: 2,
        peer_window: 8,
        authenticated: true,
        round_trip: Some(Duration::from_micros(12_345)),
        path_search: Some(PathFound { mtu: Some(1400), state: "searching" }),
        counters: ControlCounters { tx_messages: 4, rx_messages: 2, ..ControlCounters::default() },
        sessions: vec![session],
        ..idle_tunnel("center")
    }
}

fn change(what: TunnelEvent, count: u32, ago: u64) -> Change {
    Change { what, reason: "the \"peer\" does not answer".to_owned(), ago: Duration::from_secs(ago), count }
}

/// Three peers, the second in use.
fn peers() -> Vec<PeerSnapshot> {
    let peer = |remote: &str, addresses: &[&str], state| PeerSnapshot {
        remote: remote.to_owned(),
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        state,
    };
    vec![
        peer("192.168.254.121", &["192.168.254.121"], PeerState::WithinReach(Duration::from_secs(20))),
        peer("hub.example.net", &["192.0.2.9", "2001:db8::9"], PeerState::InUse),
        peer("192.0.2.10", &["192.0.2.10"], PeerState::Idle),
    ]
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
        peers: peers(),
        peer_why: "192.168.254.121: the \"peer\" does not answer".to_owned(),
        peer_changes: 3,
        state: State::Idle,
        next_try: Some(Duration::from_secs(7)),
        last_failure: Some((failure, Duration::from_secs(5))),
        history: vec![
            Change { reason: String::new(), ..change(TunnelEvent::TunnelFailed, 3, 5) },
            change(TunnelEvent::TunnelDown, 1, 60),
        ],
        sessions: vec![idle_session("l2tp1")],
        ..idle_tunnel("bran\"ch\\ 2\n")
    }
}

pub fn report() -> Report {
    let counters = Counters { rx_frames: 12, tx_octets: 86, rx_cookie: 3, tx_size: 2, ..Counters::default() };
    let interface = Interface {
        why_not_bpf: None,
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
        edition: 1,
        overview: Overview {
            version: env!("CARGO_PKG_VERSION"),
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
        },
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
