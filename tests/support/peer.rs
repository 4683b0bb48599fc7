//! A scripted L2TPv3 peer: it holds what a peer has to remember (ids, Ns, Nr, nonces) and does what a test says.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::daemon::Daemon;
pub use super::message::*;
use super::net::Net;
use super::sys;
use super::wait::PATIENCE;

/// What came in.
#[derive(Clone, Debug)]
pub enum Packet {
    Control(Msg),
    /// From the Session ID on.
    Data(Vec<u8>),
}

/// A session between the peer and the daemon.
#[derive(Clone, Debug)]
pub struct Call {
    /// The peer's id.
    pub local: u32,
    /// The daemon's id.
    pub remote: u32,
    /// What the daemon wants to see in frames.
    pub cookie: Vec<u8>,
}

pub struct Peer {
    socket: UdpSocket,
    udp: bool,
    ipv6: bool,
    daemon: SocketAddr,
    /// The peer's own id.
    pub ccid: u32,
    /// The daemon's id.
    pub remote: u32,
    pub ns: u16,
    pub nr: u16,
    pub host: Vec<u8>,
    pub router_id: [u8; 4],
    pub secret: Option<Vec<u8>>,
    pub nonce: [u8; 16],
    pub their_nonce: Vec<u8>,
    pub tie: Option<[u8; 8]>,
    /// Acknowledge what `expect` reads.
    pub acknowledge: bool,
    next_session: u32,
}

impl Peer {
    /// A peer at 192.0.2.2 with protocol 115.
    pub fn new(net: &Net) -> Peer {
        Peer::open(net, false, false)
    }

    pub fn udp(net: &Net) -> Peer {
        Peer::open(net, true, false)
    }

    pub fn open(net: &Net, udp: bool, ipv6: bool) -> Peer {
        net.stranger.store(true, Ordering::Relaxed);
        let address = |host: u8| -> IpAddr {
            let text = if ipv6 { format!("2001:db8::{host}") } else { format!("192.0.2.{host}") };
            text.parse().expect("address")
        };
        super::net::need_what_it_wants(&address(2).to_string());
        let socket = sys::in_netns(&net.b, || {
            if udp {
                UdpSocket::bind((address(2), 1701)).expect("UDP socket")
            } else {
                sys::raw_socket(ipv6)
            }
        });
        Peer {
            socket,
            udp,
            ipv6,
            daemon: SocketAddr::new(address(1), if udp { 1701 } else { 0 }),
            ccid: 0x5566_7788,
            remote: 0,
            ns: 0,
            nr: 0,
            host: b"peer".to_vec(),
            router_id: [10, 0, 0, 2],
            secret: None,
            nonce: *b"0123456789abcdef",
            their_nonce: Vec::new(),
            tie: Some([0xff; 8]),
            acknowledge: true,
            next_session: 0x0a0b_0c01,
        }
    }

    /// From now on the peer's datagrams come from another UDP port, as behind a NAT that forgot the first one.
    pub fn move_to_port(&mut self, net: &Net, port: u16) {
        self.socket = sys::in_netns(&net.b, || UdpSocket::bind(("192.0.2.2", port)).expect("UDP socket"));
    }

    /// A new control connection of the same peer, as after a restart.
    pub fn restart(&mut self, ccid: u32) {
        self.ccid = ccid;
        self.remote = 0;
        self.ns = 0;
        self.nr = 0;
        self.their_nonce.clear();
        self.nonce = *b"fedcba9876543210";
    }

    // --- sending

    /// Sends octets from the T bit on.
    pub fn send_control_raw(&self, message: &[u8]) {
        let mut packet = if self.udp { Vec::new() } else { vec![0; 4] };
        packet.extend(message);
        self.send_packet(&packet);
    }

    /// Sends octets as they are.
    pub fn send_packet(&self, packet: &[u8]) {
        self.socket.send_to(packet, self.daemon).expect("the peer sends");
    }

    /// Builds a message without sending it.
    pub fn build(&self, out: &Out) -> Vec<u8> {
        let ccid = out.ccid.unwrap_or(self.remote);
        let mut message = Vec::new();
        message.extend(out.flags.to_be_bytes());
        message.extend([0, 0]);
        message.extend(ccid.to_be_bytes());
        message.extend(out.ns.unwrap_or(self.ns).to_be_bytes());
        message.extend(out.nr.unwrap_or(self.nr).to_be_bytes());
        let kind = Avp { mandatory: out.kind_mandatory, ..avp(0, &out.kind.to_be_bytes()) };
        kind.write(&mut message);
        let digest_at = message.len() + 7;
        let signed = self.secret.is_some() && out.sign != Sign::Not;
        if signed && out.sign == Sign::Type1 {
            avp(59, &[1; 21]).write(&mut message);
        } else if signed {
            avp(59, &[0; 17]).write(&mut message);
        }
        for avp in &out.avps {
            avp.write(&mut message);
        }
        let length = out.length.unwrap_or(message.len() as u16);
        message[2..4].copy_from_slice(&length.to_be_bytes());
        if let (Some(secret), Sign::Properly | Sign::Wrongly) = (&self.secret, out.sign) {
            let mut digest = if out.kind == SCCRQ {
                sign(secret, &[&message])
            } else {
                sign(secret, &[&self.nonce, &self.their_nonce, &message])
            };
            if out.sign == Sign::Wrongly {
                digest[0] ^= 0xff;
            }
            message[digest_at..digest_at + 16].copy_from_slice(&digest);
        }
        message
    }

    /// Sends a message; it uses up an Ns unless the message names its own. Returns its octets.
    pub fn send(&mut self, out: &Out) -> Vec<u8> {
        let message = self.build(out);
        self.send_control_raw(&message);
        if out.ns.is_none() && out.kind != ACK {
            self.ns = self.ns.wrapping_add(1);
        }
        message
    }

    /// Acknowledges everything up to `nr`: a ZLB, or an ACK message where messages are signed.
    pub fn send_ack(&mut self) {
        if self.secret.is_some() {
            self.send(&Out::new(ACK));
            return;
        }
        let mut message = vec![0xc8, 0x03, 0, 12];
        message.extend(self.remote.to_be_bytes());
        message.extend(self.ns.to_be_bytes());
        message.extend(self.nr.to_be_bytes());
        self.send_control_raw(&message);
    }

    // --- receiving

    /// The next packet of the daemon.
    pub fn receive(&self, patience: Duration) -> Option<Packet> {
        let deadline = Instant::now() + patience;
        let mut buffer = vec![0; 70_000];
        loop {
            if !sys::wait_readable(self.socket.as_raw_fd(), deadline) {
                return None;
            }
            let (length, from) = match self.socket.recv_from(&mut buffer) {
                Ok(got) => got,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => continue,
                Err(error) => panic!("the peer receives: {error}"),
            };
            if from.ip() != self.daemon.ip() {
                continue;
            }
            let mut packet = &buffer[..length];
            if !self.udp && !self.ipv6 {
                packet = &packet[usize::from(packet[0] & 15) * 4..];
            }
            return Some(self.read(packet));
        }
    }

    fn read(&self, packet: &[u8]) -> Packet {
        if self.udp {
            return match packet[0] & 0x80 {
                0 => Packet::Data(packet[4..].to_vec()),
                _ => Packet::Control(Msg::parse(packet)),
            };
        }
        match be32(packet, 0) {
            0 => Packet::Control(Msg::parse(&packet[4..])),
            _ => Packet::Data(packet.to_vec()),
        }
    }

    /// Takes the next packet from the socket without a look at it; false when none comes.
    pub fn receive_anything(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience.max(Duration::from_micros(200));
        sys::wait_readable(self.socket.as_raw_fd(), deadline) && {
            let _ = self.socket.recv_from(&mut [0; 2048]);
            true
        }
    }

    /// The next control message as it is, duplicates and acknowledgements included.
    pub fn receive_control(&self, patience: Duration) -> Option<Msg> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if let Packet::Control(message) = self.receive(left)? {
                return Some(message);
            }
        }
    }

    /// Waits for a message of type `kind`; others are read (and acknowledged) on the way. The digest is checked.
    #[track_caller]
    pub fn expect(&mut self, kind: u16) -> Msg {
        match self.sees(kind, PATIENCE) {
            Some(message) => message,
            None => panic!("the peer waited in vain for message type {kind}"),
        }
    }

    /// As `expect`, with a time; `None` when it passes.
    pub fn sees(&mut self, kind: u16, patience: Duration) -> Option<Msg> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut message = self.receive_control(left)?;
            let got = message.kind();
            self.learn(&mut message, got);
            if let Some(ACK) | None = got {
                if kind == ACK {
                    return Some(message);
                }
                continue;
            }
            let fresh = message.ns == self.nr;
            if fresh {
                self.nr = self.nr.wrapping_add(1);
            }
            if self.acknowledge {
                self.send_ack();
            }
            if fresh && got == Some(kind) {
                return Some(message);
            }
        }
    }

    /// Waits until the daemon has acknowledged everything.
    #[track_caller]
    pub fn expect_ack(&mut self) -> Msg {
        let deadline = Instant::now() + PATIENCE;
        while let Some(mut message) = self.receive_control(deadline.saturating_duration_since(Instant::now()))
        {
            let got = message.kind();
            self.learn(&mut message, got);
            if !matches!(got, None | Some(ACK)) && message.ns == self.nr {
                self.nr = self.nr.wrapping_add(1);
                self.send_ack();
            }
            if message.nr == self.ns {
                return message;
            }
        }
        panic!("the daemon did not acknowledge Ns {}", self.ns.wrapping_sub(1));
    }

    /// Nothing but acknowledgements (and no acknowledgement of `kind`) comes for a while.
    #[track_caller]
    pub fn expect_silence(&mut self, time: Duration) {
        if let Some(message) = self.receive_control(time) {
            panic!("the daemon answered: {message:02x?}");
        }
    }

    /// Takes nonce and ids from the daemon's messages, and checks their digest.
    fn learn(&mut self, message: &mut Msg, kind: Option<u16>) {
        if let Some(secret) = &self.secret {
            message.unhide(secret);
        }
        if let Some(SCCRQ | SCCRP) = kind {
            self.remote = message.u32(61);
            self.their_nonce = message.avp(73).unwrap_or_default().to_vec();
        }
        if let (Some(STOPCCN), 0, Some(_)) = (kind, self.remote, message.avp(61)) {
            self.remote = message.u32(61);
        }
        let Some(secret) = &self.secret else { return };
        let (_, _, attribute, value) = message.avps.get(1).expect("a digest after the message type");
        assert_eq!((*attribute, value.len(), value[0]), (59, 17, 0), "the digest AVP of {message:02x?}");
        let mut zeroed = message.raw.clone();
        zeroed[27..43].fill(0);
        let good = match kind {
            Some(SCCRQ) => sign(secret, &[&zeroed]),
            _ => sign(secret, &[&self.their_nonce, &self.nonce, &zeroed]),
        };
        assert_eq!(value[1..], good, "the digest of {message:02x?}");
    }

    // --- whole exchanges

    /// SCCRQ or SCCRP with everything that has to be in it.
    pub fn set_up(&self, kind: u16) -> Out {
        let mut out = Out::new(kind);
        out.avps.push(avp(7, &self.host));
        out.avps.push(avp(60, &self.router_id));
        out.avps.push(avp(61, &self.ccid.to_be_bytes()));
        out.avps.push(avp(62, &[0, 5, 0, 4]));
        if self.secret.is_some() {
            out.avps.push(avp(73, &self.nonce));
        }
        if let (SCCRQ, Some(tie)) = (kind, self.tie) {
            out.avps.push(avp(5, &tie));
        }
        out
    }

    /// The peer sets up the control connection.
    #[track_caller]
    pub fn connect(&mut self) {
        let request = self.send(&self.set_up(SCCRQ));
        self.acknowledge = false; // the SCCCN acknowledges the SCCRP
        let mut repetitions = 0;
        while self.sees(SCCRP, Duration::from_secs(1)).is_none() {
            repetitions += 1;
            assert!(repetitions < 20, "the peer called in vain");
            self.send_control_raw(&request);
        }
        self.acknowledge = true;
        self.send(&Out::new(SCCCN));
        self.expect_ack();
    }

    /// The daemon sets up the control connection.
    #[track_caller]
    pub fn accept(&mut self) {
        self.acknowledge = false;
        self.expect(SCCRQ);
        self.acknowledge = true;
        self.send(&self.set_up(SCCRP));
        self.expect(SCCCN);
    }

    pub fn new_session_id(&mut self) -> u32 {
        self.next_session += 1;
        self.next_session
    }

    /// An ICRQ with everything that has to be in it.
    pub fn icrq(&mut self, end_id: &str) -> Out {
        let local = self.new_session_id();
        Out::new(ICRQ)
            .with(avp(63, &local.to_be_bytes()))
            .with(avp(64, &[0; 4]))
            .with(avp(15, &[0, 0, 0, 7]))
            .with(avp(68, &[0, 5]))
            .with(avp(66, end_id.as_bytes()))
            .with(avp(71, &[0, 3]))
            .with(avp(5, &[0xff; 8]))
    }

    /// The peer sets up a session without cookie.
    #[track_caller]
    pub fn call(&mut self, end_id: &str) -> Call {
        let icrq = self.icrq(end_id);
        self.call_with(&icrq)
    }

    /// The peer sets up a session with an ICRQ of its own making.
    #[track_caller]
    pub fn call_with(&mut self, icrq: &Out) -> Call {
        let local = icrq.avps.iter().find(|avp| avp.attribute == 63).expect("Local Session ID");
        let local = be32(&local.value, 0);
        self.send(icrq);
        let icrp = self.expect(ICRP);
        let call = Call { local, remote: icrp.u32(63), cookie: icrp.avp(65).unwrap_or_default().to_vec() };
        assert_eq!(icrp.u32(64), local, "the ICRP names our id");
        self.send(&self.session_message(ICCN, &call));
        self.expect_ack();
        call
    }

    /// The daemon sets up a session.
    #[track_caller]
    pub fn answer(&mut self) -> Call {
        let icrq = self.expect(ICRQ);
        let call = Call {
            local: self.new_session_id(),
            remote: icrq.u32(63),
            cookie: icrq.avp(65).unwrap_or_default().to_vec(),
        };
        self.send(&self.session_message(ICRP, &call).with(avp(71, &[0, 3])));
        self.expect(ICCN);
        call
    }

    /// A message of a session, with both ids.
    pub fn session_message(&self, kind: u16, call: &Call) -> Out {
        Out::new(kind).with(avp(63, &call.local.to_be_bytes())).with(avp(64, &call.remote.to_be_bytes()))
    }

    /// Sends a frame through a session.
    pub fn send_frame(&self, call: &Call, frame: &[u8]) {
        let mut packet = if self.udp { vec![0, 3, 0, 0] } else { Vec::new() };
        packet.extend(call.remote.to_be_bytes());
        packet.extend(&call.cookie);
        packet.extend(frame);
        self.send_packet(&packet);
    }
}

/// The configuration of a daemon at 192.0.2.1 whose peer is the scripted one, with short times.
pub fn config(tunnel: &str, sessions: &str) -> String {
    let defaults = [
        "  local-address 192.0.2.1",
        "  remote-address 192.0.2.2",
        "  remote-hostname peer",
        "  remote-router-id 10.0.0.2",
        "  retry 7",
        "  retry-interval 0.1",
        "  hello-interval 60",
        "  linger 1",
    ];
    let head = "hostname dut\nrouter-id 10.0.0.1\nrestart-interval 1\ntunnel t1\n";
    format!("{head}{}{sessions}\n", settings(&defaults, tunnel))
}

/// Lines of a block, with those of `defaults` whose tag `own` does not set.
pub fn settings(defaults: &[&str], own: &str) -> String {
    let tag = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let set: Vec<_> = own.lines().map(tag).collect();
    let mut text: String =
        defaults.iter().filter(|line| !set.contains(&tag(line))).map(|line| format!("{line}\n")).collect();
    text += own;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// A session block for `config`.
pub const SESSION: &str = "  session l0\n    remote-end-id end1\n";

/// A while in which an answer would have come.
pub const WHILE: Duration = Duration::from_millis(250);

/// A daemon that waits for the peer.
pub fn passive(tunnel: &str, sessions: &str) -> (Net, Daemon, Peer) {
    let net = Net::new();
    let peer = Peer::new(&net);
    let mut daemon = Daemon::start(&net, &net.a, &config(&format!("  role passive\n{tunnel}"), sessions));
    daemon.expect("debug l2tpd start");
    (net, daemon, peer)
}

/// A daemon and a peer with an established control connection.
pub fn established(tunnel: &str, sessions: &str) -> (Net, Daemon, Peer) {
    let (net, mut daemon, mut peer) = passive(tunnel, sessions);
    if let Some(secret) = tunnel.trim().strip_prefix("password ") {
        peer.secret = Some(secret.trim().as_bytes().to_vec());
    }
    peer.connect();
    daemon.expect("info receive SCCCN, state --> ESTABLISHED");
    (net, daemon, peer)
}
