//! A scripted peer: it sends what a test tells it, signed and numbered, and reads what comes back.

use std::net::SocketAddr;
use std::time::Duration;

use l2tpd::wire::digest::{self, Secret};
use l2tpd::wire::header::{self, Header};
use l2tpd::wire::message::{
    decode, encode, Cdn, DecodeOptions, Dialect, EncodeOptions, Iccn, Icrp, Icrq, ResultCode, SessionAvps,
    SessionIds, SetUp, Sli, StopCcn,
};
use l2tpd::wire::{avp, Ccid, CircuitStatus, Encapsulation, Message, MessageType, SessionId};

use crate::net::{address, tunnel};
use crate::world::World;

/// The peer's own id.
pub const CCID: Ccid = Ccid(0x1122_3344);
/// The peer's nonce.
const NONCE: &[u8] = b"the peer's nonce";

/// Node 1, as far as node 0 can tell.
pub struct Peer {
    pub encapsulation: Encapsulation,
    /// Where it sends from; the port is 0 over IP.
    pub from: SocketAddr,
    /// Its own id.
    pub own: Ccid,
    /// The daemon's id, once known.
    pub theirs: Ccid,
    pub ns: u16,
    pub nr: u16,
    pub secret: Option<Secret>,
    /// It sends a nonce.
    pub with_nonce: bool,
    pub nonce: &'static [u8],
    pub their_nonce: Vec<u8>,
    pub tie: Option<[u8; 8]>,
    pub window: Option<u16>,
    pub pw_types: Vec<u16>,
    pub host_name: Vec<u8>,
    pub router_id: [u8; 4],
}

/// What came from the daemon.
pub struct Received {
    pub header: Header,
    pub octets: Vec<u8>,
    pub message: Message,
}

impl Peer {
    /// A peer over IP without a password.
    pub fn new() -> Peer {
        Peer {
            encapsulation: Encapsulation::Ip,
            from: SocketAddr::new(address(1), 0),
            own: CCID,
            theirs: Ccid(0),
            ns: 0,
            nr: 0,
            secret: None,
            with_nonce: false,
            nonce: NONCE,
            their_nonce: Vec::new(),
            tie: None,
            window: Some(8),
            pw_types: vec![5, 4],
            host_name: b"b".to_vec(),
            router_id: [10, 0, 0, 2],
        }
    }

    /// A peer with a password.
    pub fn with_password(password: &str) -> Peer {
        Peer { secret: Some(Secret::new(password.as_bytes())), with_nonce: true, ..Peer::new() }
    }

    /// A node with these tags and sessions, and this peer, not connected yet. Unless `tags` say otherwise the node
    /// only answers.
    pub fn and_world(self, tags: &str, interfaces: &[&str]) -> (Peer, World) {
        let mut world = World::new(5);
        let role = if tags.contains("role") { "" } else { ";role passive" };
        world.add(&tunnel(0, 1, &format!("{tags}{role}"), interfaces));
        world.start(0);
        (self, world)
    }

    /// The same, and established.
    pub fn and_established(self, tags: &str, interfaces: &[&str]) -> (Peer, World) {
        let (mut peer, mut world) = self.and_world(tags, interfaces);
        peer.establish(&mut world);
        (peer, world)
    }

    pub fn establish(&mut self, world: &mut World) {
        self.request(world);
        self.take_reply(world);
        self.send(world, &Message::Scccn);
        assert_eq!(world.tunnel(0).state.status_name(), "established", "{}", world.transcript(0));
        self.receive(world);
    }

    pub fn set_up(&self) -> SetUp {
        SetUp {
            host_name: self.host_name.clone(),
            router_id: self.router_id,
            assigned_ccid: self.own,
            pw_capabilities: self.pw_types.clone(),
            receive_window: self.window,
            tie_breaker: None,
            nonce: self.with_nonce.then(|| self.nonce.to_vec()),
            vendor_name: None,
            dialect: Dialect::IETF,
        }
    }

    /// Sends an SCCRQ.
    pub fn request(&mut self, world: &mut World) {
        let message = Message::Sccrq(SetUp { tie_breaker: self.tie, ..self.set_up() });
        self.send(world, &message);
    }

    /// Starts over without a word: only its id is as before, and its SCCRQ.
    pub fn start_over(&mut self, world: &mut World) {
        self.receive(world);
        (self.theirs, self.ns, self.nr) = (Ccid(0), 0, 0);
        self.request(world);
    }

    /// Takes the daemon's SCCRP.
    pub fn take_reply(&mut self, world: &mut World) {
        let received = self.receive(world);
        let reply = received.iter().find_map(|r| match &r.message {
            Message::Sccrp(reply) => Some(reply),
            _ => None,
        });
        let reply = reply.unwrap_or_else(|| panic!("no SCCRP\n{}", world.transcript(0)));
        self.theirs = reply.assigned_ccid;
        self.their_nonce = reply.nonce.clone().unwrap_or_default();
    }

    /// Answers the daemon's SCCRQ, which must be waiting, and establishes the connection.
    pub fn answer(&mut self, world: &mut World) {
        self.take_request(world);
        let reply = Message::Sccrp(self.set_up());
        self.send(world, &reply);
        assert_eq!(world.tunnel(0).state.status_name(), "established", "{}", world.transcript(0));
        self.receive(world);
    }

    /// Takes the daemon's SCCRQ.
    pub fn take_request(&mut self, world: &mut World) -> SetUp {
        let received = self.receive(world);
        let request = received.iter().rev().find_map(|r| match &r.message {
            Message::Sccrq(request) => Some(request.clone()),
            _ => None,
        });
        let request = request.unwrap_or_else(|| panic!("no SCCRQ\n{}", world.transcript(0)));
        self.theirs = request.assigned_ccid;
        self.their_nonce = request.nonce.clone().unwrap_or_default();
        self.nr = 1;
        request
    }

    /// A message as it would be sent now; nothing is used up.
    pub fn octets(&self, message: &Message) -> Vec<u8> {
        let options = EncodeOptions { digest: self.secret.is_some(), hide: None, dialect: Dialect::IETF };
        let mut octets = encode(message, &options).unwrap();
        self.finish(&mut octets, message.message_type());
        octets
    }

    /// Stamps and signs an encoded message.
    pub fn finish(&self, octets: &mut [u8], kind: MessageType) {
        let ccid = if kind == MessageType::SCCRQ { Ccid(0) } else { self.theirs };
        header::stamp(octets, ccid, self.ns, self.nr);
        self.sign(octets, kind);
    }

    /// Signs a stamped message.
    pub fn sign(&self, octets: &mut [u8], kind: MessageType) {
        let Some(secret) = &self.secret else { return };
        let own: &[u8] = if self.with_nonce { self.nonce } else { b"" };
        match kind {
            MessageType::SCCRQ => digest::sign(octets, secret, b"", b""),
            _ => digest::sign(octets, secret, own, &self.their_nonce),
        }
    }

    /// Sends a message; acknowledgements use up no Ns.
    pub fn send(&mut self, world: &mut World, message: &Message) {
        let octets = self.octets(message);
        if *message != Message::Ack {
            self.ns = self.ns.wrapping_add(1);
        }
        self.raw(world, octets);
    }

    /// Sends octets that stand for the next message: CCID, Ns and Nr are filled in, not signed.
    pub fn patched(&mut self, world: &mut World, mut octets: Vec<u8>) {
        header::stamp(&mut octets, self.theirs, self.ns, self.nr);
        self.ns = self.ns.wrapping_add(1);
        self.raw(world, octets);
    }

    /// Sends octets as they are, and lets them and the answer arrive.
    pub fn raw(&mut self, world: &mut World, octets: Vec<u8>) {
        let to = SocketAddr::new(address(0), if self.encapsulation == Encapsulation::Udp { 1701 } else { 0 });
        world.send(self.encapsulation, self.from, to, octets);
        world.run(Duration::from_millis(5));
    }

    pub fn acknowledge(&mut self, world: &mut World) {
        self.send(world, &Message::Ack);
    }

    /// Everything that has come. What is in order raises Nr.
    pub fn receive(&mut self, world: &mut World) -> Vec<Received> {
        let mut all = Vec::new();
        for datagram in std::mem::take(&mut world.inbox) {
            let (header, octets) = header::parse(&datagram.octets, false).expect("a sound header");
            let octets = octets.to_vec();
            let options = DecodeOptions { secrets: &[], cisco: true, version_2: false };
            let message = match avp::check_structure(&octets, true).expect("a sound structure") {
                avp::MessageTypeAvp::Zlb => Message::Ack,
                avp::MessageTypeAvp::Type { .. } => {
                    decode(&octets, &options).message.expect("a complete message")
                }
            };
            if message != Message::Ack && header.ns == self.nr {
                self.nr = self.nr.wrapping_add(1);
            }
            all.push(Received { header, octets, message });
        }
        all
    }

    /// The types of what has come, for a quick comparison; `ACK` for ZLBs too.
    pub fn kinds(&mut self, world: &mut World) -> String {
        let kinds: Vec<String> =
            self.receive(world).iter().map(|r| r.message.message_type().to_string()).collect();
        kinds.join(" ")
    }

    /// What has come, in short: the types, with result and error code of StopCCN and CDN.
    pub fn answers(&mut self, world: &mut World) -> String {
        let code = |c: &Option<ResultCode>| match c {
            Some(ResultCode { result, error: None | Some(0), .. }) => format!(" {result}"),
            Some(ResultCode { result, error: Some(error), .. }) => format!(" {result}/{error}"),
            None => " without code".to_owned(),
        };
        let words: Vec<String> = self
            .receive(world)
            .iter()
            .map(|r| match &r.message {
                Message::StopCcn(stop) => format!("StopCCN{}", code(&stop.result)),
                Message::Cdn(cdn) => format!("CDN{}", code(&cdn.result)),
                other => other.message_type().to_string(),
            })
            .collect();
        words.join(", ")
    }
}

/// The peer's Session ID in these messages.
pub const SESSION: SessionId = SessionId(0x0a0b_0c0d);

/// An ICRQ for end id `end_id`.
pub fn icrq(end_id: &str) -> Icrq {
    Icrq {
        ids: SessionIds { local: SESSION, remote: SessionId(0) },
        serial: 1,
        pw_type: 5,
        end_id: end_id.as_bytes().to_vec(),
        circuit_status: CircuitStatus(CircuitStatus::ACTIVE | CircuitStatus::NEW),
        tie_breaker: None,
        avps: SessionAvps::default(),
    }
}

/// The ids of a message for the daemon's session `theirs`.
pub fn ids(theirs: SessionId) -> SessionIds {
    SessionIds { local: SESSION, remote: theirs }
}

pub fn icrp(theirs: SessionId) -> Message {
    let circuit_status = CircuitStatus(CircuitStatus::ACTIVE | CircuitStatus::NEW);
    Message::Icrp(Icrp { ids: ids(theirs), circuit_status, avps: SessionAvps::default() })
}

pub fn iccn(theirs: SessionId) -> Message {
    Message::Iccn(Iccn { ids: ids(theirs), circuit_status: None, avps: SessionAvps::default() })
}

pub fn sli(theirs: SessionId, status: u16) -> Message {
    Message::Sli(Sli { ids: ids(theirs), circuit_status: Some(CircuitStatus(status)) })
}

pub fn cdn(theirs: SessionId, result: u16) -> Message {
    let result = Some(ResultCode { result, error: None, message: None });
    Message::Cdn(Cdn { ids: ids(theirs), result })
}

pub fn stop(own: Ccid, result: u16) -> Message {
    let result = Some(ResultCode { result, error: None, message: None });
    Message::StopCcn(StopCcn { result, assigned_ccid: Some(own) })
}
