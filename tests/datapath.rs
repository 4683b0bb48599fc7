//! The data plane with real sockets and interfaces: two nodes, each a process in its own network namespace, joined
//! by a veth pair. A node takes commands on its standard input. Needs root; without it these tests say that they
//! did not run.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use l2tpd::config::model::{Device, Mtu, Oversize, StormLimit, TcpMss, Tos, Via};
use l2tpd::daemon::datapath::{DataPlane, Interface, SocketKey};
use l2tpd::proto::{Attachment, Path, SequenceLevel};
use l2tpd::sys::clock;
use l2tpd::sys::socket::Fragmentation;
use l2tpd::wire::{Ccid, Cookie, Encapsulation, SessionId};
use support::wait::wait_for;

/// What a node is told on its command line (in the environment, because the test harness owns the arguments).
const ROLE: &str = "L2TPD_TEST_NODE";
/// That of the session.
const CONNECTION: Ccid = Ccid(5);

fn run(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Tells why the tests of this file cannot run here.
fn skip() -> bool {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/possible.sh");
    let output = Command::new("sh").arg(script).output().unwrap();
    let possible = output.status.success();
    if !possible {
        eprintln!("SKIPPED: the data path: {}", String::from_utf8_lossy(&output.stdout).trim());
    }
    !possible
}

/// Whether a new namespace has IPv6.
fn has_ipv6() -> bool {
    let add = ["-n", "ip", "addr", "add", "fd99::1/64", "dev", "lo", "nodad"];
    Command::new("unshare").args(add).output().is_ok_and(|output| output.status.success())
}

/// Two namespaces, PREFIXa (10.99.0.1, fd99::1) and PREFIXb (10.99.0.2, fd99::2), joined by veth.
struct Hosts {
    prefix: String,
}

impl Hosts {
    fn new(name: &str) -> Hosts {
        let prefix = format!("dp{}{name}", std::process::id());
        let p = &prefix;
        let ipv6 = if has_ipv6() { "" } else { ": not " };
        run(&format!(
            "ip netns add {p}a; ip netns add {p}b
             ip link add v0 netns {p}a type veth peer name v0 netns {p}b
             for n in a b; do i=1; [ $n = b ] && i=2
               ip -n {p}$n link set lo up; ip -n {p}$n addr add 10.99.0.$i/24 dev v0
               {ipv6}ip -n {p}$n addr add fd99::$i/64 dev v0 nodad; ip -n {p}$n link set v0 up
             done"
        ));
        Hosts { prefix }
    }

    fn shell(&self, side: char, command: &str) -> String {
        run(&format!("ip netns exec {}{side} sh -c '{command}'", self.prefix))
    }

    /// Until the neighbour's address is looked up again, a frame or two may be lost.
    fn reach(&self) {
        self.shell(
            'a',
            "for i in 1 2 3 4 5 6 7 8; do ping -q -c 1 -W 1 192.168.9.2 && exit 0; sleep 0.3; done; exit 1",
        );
    }

    fn node(&self, side: char, role: &str) -> Node {
        let mut child = Command::new("ip")
            .args(["netns", "exec", &format!("{}{side}", self.prefix)])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "node", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut node = Node { child, input: Some(input), output };
        node.answer(); // "ready"
        node
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        let p = &self.prefix;
        let _ = Command::new("sh").args(["-c", &format!("ip netns del {p}a; ip netns del {p}b")]).status();
    }
}

struct Node {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Node {
    fn answer(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the node ended");
            if let Some(answer) = line.split_once("> ") {
                return answer.1.trim_end().to_string();
            }
        }
    }

    fn ask(&mut self, command: &str) -> String {
        writeln!(self.input.as_mut().unwrap(), "{command}").unwrap();
        self.answer()
    }

    fn counter(&mut self, name: &str) -> u64 {
        let all = self.ask("counters");
        let found = all.split(' ').find_map(|c| c.strip_prefix(&format!("{name}=")));
        found.unwrap_or_else(|| panic!("no {name} in {all}")).parse().unwrap()
    }

    /// Asks until the answer contains `text`.
    fn wait(&mut self, command: &str, text: &str) -> String {
        wait_for(text, || Some(self.ask(command)).filter(|answer| answer.contains(text)))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}

/// `udp|ip LOCAL REMOTE LOCAL-ID REMOTE-ID COOKIE-LENGTH SUBLAYER MTU`, `LOCAL` also `any`.
#[test]
fn node() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let words: Vec<&str> = role.split(' ').collect();
    let [encapsulation, local, remote, local_id, remote_id, cookie, sublayer, mtu] = words[..] else {
        panic!("{role}")
    };
    let encapsulation = if encapsulation == "udp" { Encapsulation::Udp } else { Encapsulation::Ip };
    let port = if encapsulation == Encapsulation::Udp { 1701 } else { 0 };
    let remote: std::net::IpAddr = remote.parse().unwrap();
    let bound = local.parse().ok();
    let any = if remote.is_ipv4() { "0.0.0.0" } else { "::" };
    let cookie = Cookie::new(&[0xc0; 8][..cookie.parse().unwrap()]).unwrap();
    let sublayer = sublayer == "1";

    let mut poll = mio::Poll::new().unwrap();
    let mut plane = DataPlane::new(poll.registry().try_clone().unwrap());
    let key = |local| SocketKey::new(encapsulation, local, remote, port, Device::NONE);
    plane.open_socket(key(bound)).unwrap();
    let mut interface = Interface {
        name: "pw0".into(),
        tunnel: "t".into(),
        mtu: mtu.parse().map_or(Mtu::Auto, Mtu::Value),
        tcp_mss: TcpMss::Off,
        oversize: Oversize::Fragment,
        bridge: None,
        split_horizon: None,
        loop_detection: true,
        storm_limit: StormLimit::Off,
        forwards_link_local: false,
        mac_address: [2, 0, 0, 0, 0, local_id.parse().unwrap()],
        follow_link_state: true,
        tagged: false,
        dont_fragment: false,
        ttl: 64,
        tos: Tos::Copy,
    };
    plane.configure_interface(&interface).unwrap();
    let path = Path {
        encapsulation,
        local: SocketAddr::new(bound.unwrap_or(any.parse().unwrap()), port),
        remote: SocketAddr::new(remote, port),
        via: Via::ANY,
    };
    let attachment = Attachment {
        interface: "pw0".into(),
        tunnel: "t".into(),
        connection: Some(CONNECTION),
        local: SessionId(local_id.parse().unwrap()),
        remote: SessionId(remote_id.parse().unwrap()),
        cookie_expected: cookie.clone(),
        cookie_to_send: cookie,
        sublayer_expected: sublayer,
        sublayer_to_send: sublayer,
        sequence_send: if sublayer { SequenceLevel::All } else { SequenceLevel::None },
        sequence_receive: sublayer,
        fragments_to_send: None,
        fragments_expected: None,
        path,
    };
    plane.attach(&attachment).unwrap();
    plane.gate(attachment.local, true, true, true);

    let (lines, input) = mpsc::channel();
    let waker = std::sync::Arc::new(mio::Waker::new(poll.registry(), mio::Token(1)).unwrap());
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            lines.send(line.unwrap()).unwrap();
            waker.wake().unwrap();
        }
        drop(lines);
        waker.wake().unwrap();
    });
    let mut events = mio::Events::with_capacity(64);
    let (mut happened, mut control, mut more) = (String::new(), String::new(), false);
    println!("> ready");
    loop {
        poll.poll(&mut events, more.then_some(Duration::ZERO)).unwrap();
        events.iter().for_each(|e| plane.ready(e.token()));
        let mut on_control = |path: Path, octets: &[u8]| {
            control.push_str(&format!(
                "{} {} {}; ",
                path.local,
                path.remote,
                String::from_utf8_lossy(octets)
            ));
        };
        more = plane.turn(clock::now(), &mut on_control);
        // The daemon looks closer whose path it is about.
        for _ in plane.take_net_events() {
            plane.path_changed(clock::now(), path.remote.ip());
        }
        for event in plane.take_events() {
            happened.push_str(&format!("{event:?}; "));
        }
        let line = match input.try_recv() {
            Ok(line) => line,
            Err(mpsc::TryRecvError::Empty) => continue,
            Err(mpsc::TryRecvError::Disconnected) => return,
        };
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match words[..] {
            ["counters"] => {
                let counters = plane.counters("pw0").unwrap();
                let list: Vec<String> = counters.entries().map(|(n, _, v)| format!("{n}={v}")).collect();
                format!("{} stray={}", list.join(" "), plane.unmatched().unknown_session)
            }
            ["events"] => std::mem::take(&mut happened),
            ["control"] => std::mem::take(&mut control),
            ["send", text] => {
                format!("{:?}", plane.send_control(&path, text.as_bytes(), (64, Fragmentation::Allowed)))
            }
            ["gate", receive, send, carrier] => {
                plane.gate(attachment.local, receive == "1", send == "1", carrier == "1");
                "ok".into()
            }
            ["attach"] => format!("{:?}", plane.attach(&attachment).map(|_| ())),
            ["detach"] => {
                plane.detach(attachment.local);
                "ok".into()
            }
            ["dont-fragment"] => {
                interface.dont_fragment = true;
                format!("{:?}", plane.configure_interface(&interface))
            }
            ["bridge", name] => {
                interface.bridge = Some(name.into());
                format!("{:?}", plane.configure_interface(&interface))
            }
            ["open", address] => {
                let address: std::net::IpAddr = address.parse().unwrap();
                format!("{:?}", plane.open_socket(key(Some(address))).map_err(|e| e.kind()))
            }
            ["mtu"] => format!("{:?}", plane.interface_state("pw0").map(|state| state.mtu)),
            ["heard"] => match plane.heard(CONNECTION) {
                Some(at) => format!("{}", Instant::elapsed(&at).as_millis()),
                None => "never".into(),
            },
            _ => panic!("{line}"),
        };
        println!("> {answer}");
    }
}

fn pair(hosts: &Hosts, kind: &str, any: bool, v6: bool, rest: &str) -> (Node, Node) {
    let (a, b) = if v6 { ("fd99::1", "fd99::2") } else { ("10.99.0.1", "10.99.0.2") };
    let node_a = hosts.node('a', &format!("{kind} {} {b} 11 22 {rest}", if any { "any" } else { a }));
    let node_b = hosts.node('b', &format!("{kind} {} {a} 22 11 {rest}", if any { "any" } else { b }));
    hosts.shell('a', "ip addr add 192.168.9.1/24 dev pw0");
    hosts.shell('b', "ip addr add 192.168.9.2/24 dev pw0");
    (node_a, node_b)
}

/// Both encapsulations, both families (C-033), cookies, sublayer; the MTU that fits (C-031, C-334); octets compared
/// (C-330).
#[test]
fn frames_pass_unchanged() {
    if skip() {
        return;
    }
    let hosts = Hosts::new("f");
    for (kind, v6, rest, mtu) in [
        ("udp", false, "0 0 auto", 1450),
        ("udp", true, "8 1 auto", 1418),
        ("ip", false, "4 0 auto", 1458),
        ("ip", true, "8 1 auto", 1430),
    ] {
        if v6 && !has_ipv6() {
            eprintln!("SKIPPED: the data path over IPv6: no IPv6 here");
            continue;
        }
        let (mut a, mut b) = pair(&hosts, kind, v6, v6, rest);
        assert_eq!(a.ask("mtu"), format!("Some({mtu})"), "{kind} {rest}");
        // DF: each of these is one frame of the longest length.
        hosts.shell('a', &format!("ping -q -c 20 -i 0.01 -M do -s {} 192.168.9.2", mtu - 28));
        assert!(a.counter("rx_frames") >= 20 && b.counter("rx_frames") >= 20);
        assert!(a.ask("heard").parse::<u32>().unwrap() < 5000);
        transfer(&hosts);
        let drops =
            "rx_drop_short rx_drop_cookie rx_drop_source rx_drop_sequence rx_drop_sublayer tx_drop_error";
        for name in drops.split(' ') {
            assert_eq!((name, b.counter(name)), (name, 0));
            assert_eq!((name, a.counter(name)), (name, 0));
        }
    }
}

/// Sends 8 MB over TCP in each direction and compares them.
fn transfer(hosts: &Hosts) {
    let p = &hosts.prefix;
    for (from, to, address) in [('a', 'b', "192.168.9.2"), ('b', 'a', "192.168.9.1")] {
        let file = format!("/tmp/{p}{to}");
        run(&format!(
            "head -c 8000000 /dev/urandom >{file}.in
             ip netns exec {p}{to} python3 -c 'import socket as s
l=s.create_server((\"{address}\",5001)); c,_=l.accept(); f=open(\"{file}.out\",\"wb\")
while d:=c.recv(65536): f.write(d)' &
             # Until the one that listens is there.
             for try in $(seq 200); do ip netns exec {p}{from} python3 -c 'import socket as s
c=s.create_connection((\"{address}\",5001)); c.sendall(open(\"{file}.in\",\"rb\").read())' 2>/dev/null && break; done
             wait; cmp {file}.in {file}.out; r=$?; rm -f {file}.in {file}.out; exit $r"
        ));
    }
}

/// Gates, standby, carrier (C-328, C-344); what comes in the meantime is counted by its reason.
#[test]
fn gates_carrier_and_interface() {
    if skip() {
        return;
    }
    let hosts = Hosts::new("g");
    let (mut a, mut b) = pair(&hosts, "udp", false, false, "0 0 auto");
    // Whatever ARP knows or waits for: a frame leaves at once.
    let ping = "ip neigh flush dev pw0; ping -q -c 1 -W 0.5 192.168.9.2 || true";
    a.ask("gate 1 0 1");
    hosts.shell('a', ping);
    assert!(a.counter("tx_drop_circuit") > 0);
    a.ask("gate 1 1 1");
    b.ask("gate 0 1 1");
    hosts.shell('a', ping);
    assert!(b.counter("rx_drop_standby") > 0);
    // As the engine closes a session whose peer is on standby: the reason stays the same, the carrier is off.
    b.ask("gate 0 0 0");
    let before = b.counter("rx_drop_standby");
    hosts.shell('a', ping);
    assert!(b.counter("rx_drop_standby") > before);
    assert_eq!(b.counter("rx_drop_closed"), 0);
    assert!(hosts.shell('b', "ip link show pw0").contains("NO-CARRIER"));
    // Attached, but not established yet.
    assert_eq!(b.ask("attach"), "Ok(())");
    hosts.shell('a', ping);
    assert!(b.counter("rx_drop_closed") > 0);
    b.ask("gate 1 1 1");
    assert!(!hosts.shell('b', "ip link show pw0").contains("NO-CARRIER"));
    hosts.reach();

    hosts.shell('b', "ip link set pw0 down");
    b.wait("events", "AdminState { interface: \"pw0\", up: false }");
    hosts.shell('a', ping);
    assert!(b.counter("rx_drop_interface") > 0);
    hosts.shell('b', "ip link set pw0 up");
    b.wait("events", "AdminState { interface: \"pw0\", up: true }");

    hosts.shell('b', "ip link del pw0");
    let gone = b.wait("events", "InterfaceGone");
    assert_eq!(gone.matches("InterfaceGone { interface: \"pw0\", session: Some(SessionId(22)) }").count(), 1);
    assert_eq!(b.ask("attach"), "Ok(())");
    b.ask("gate 1 1 1");
    hosts.shell('b', "ip addr add 192.168.9.2/24 dev pw0");
    hosts.reach();

    assert_eq!(b.ask("bridge br9"), "Ok(())");
    assert!(hosts.shell('b', "ip link show pw0").contains("master br9"));
    b.ask("detach");
    hosts.shell('a', ping);
    assert!(b.counter("stray") > 0);
    assert!(hosts.shell('b', "ip link show pw0").contains("NO-CARRIER"));
}

/// Control messages leave from the address that the peer's came to; ICMP is reported; an absent address fails.
#[test]
fn control_messages_and_errors() {
    if skip() {
        return;
    }
    let hosts = Hosts::new("c");
    for (kind, port) in [("udp", 1701), ("ip", 0)] {
        let (mut a, mut b) = pair(&hosts, kind, true, false, "0 0 auto");
        // Over UDP the first bit must be set: control.
        assert_eq!(a.ask("send \u{20ac}uro"), "Ok(())");
        let got = b.wait("control", "\u{20ac}uro");
        assert_eq!(got, format!("10.99.0.2:{port} 10.99.0.1:{port} \u{20ac}uro;"));
        // A second socket, bound to one address, beside that for any address: still one copy.
        assert_eq!(b.ask("open 10.99.0.2"), "Ok(())");
        assert_eq!(b.ask("open 10.99.0.77"), "Err(AddrNotAvailable)");
        assert_eq!(a.ask("send \u{20ac}2"), "Ok(())");
        let got = b.wait("control", "\u{20ac}2");
        // The next one comes after all copies of it.
        assert_eq!(a.ask("send \u{20ac}5"), "Ok(())");
        let got = got + &b.wait("control", "\u{20ac}5");
        assert_eq!(got.matches("\u{20ac}2").count(), 1);
        hosts.reach();
        drop(b);
        assert_eq!(a.ask("send \u{20ac}3"), "Ok(())");
        let refused = if kind == "udp" { "Connection refused" } else { "Protocol not available" };
        a.wait("events", refused);
        assert_eq!(a.ask("send \u{20ac}4"), "Ok(())");
    }
}

/// What is wrong with received data is counted by its reason, and nothing of it is delivered. C-142 C-307 C-308 C-309 C-310
/// C-024 C-315 C-316 C-318
#[test]
fn wrong_data_is_counted_by_its_reason() {
    if skip() {
        return;
    }
    let hosts = Hosts::new("w");
    let mut b = hosts.node('b', "udp 10.99.0.2 10.99.0.1 22 11 8 1 auto");
    let frame = "ffffffffffff020000000001".to_string() + "88b5" + "00";
    let cookie = "c0".repeat(8);
    let message = |sublayer: u32, frame: &str| format!("0003000000000016{cookie}{sublayer:08x}{frame}");
    let numbered = |n: u32| message(0x4000_0000 | n, &frame);
    let (good, whole) = (numbered(0), numbered(0).len());
    let stranger = good.replace("00000016", "00000018");
    let send = |b: &mut Node, source: &str, datagrams: &[String]| {
        let before = b.counter("stray");
        let list = datagrams.join(" ") + " " + &stranger;
        hosts.shell(
            'a',
            &format!(
                "python3 -c \"import socket as s
u=s.socket(s.AF_INET,s.SOCK_DGRAM); u.bind(({source})); [u.sendto(bytes.fromhex(d),(\\\"10.99.0.2\\\",1701)) for d in \\\"{list}\\\".split()]\""
            ),
        );
        // Each is followed by one for which there is no session: that is counted when all are through.
        let end = before + 1 + datagrams.iter().filter(|d| d.contains("00000017")).count() as u64;
        wait_for("the last datagram", || (b.counter("stray") == end).then_some(()));
    };
    let peer = "\\\"10.99.0.1\\\",1701";
    // Every truncation; the flags' other bits and the reserved octets do not matter.
    let cuts: Vec<String> = (2..whole - 2).step_by(2).map(|end| good[..end].to_string()).collect();
    send(&mut b, peer, &cuts);
    assert_eq!(b.counter("rx_frames"), 0);
    // Shorter than the session's header: no session can be told. From there on: short, down to 13 octets of frame.
    assert_eq!(b.counter("rx_drop_short"), (20 + 14 - 8) as u64);
    assert_eq!(b.ask("heard"), "never");
    send(&mut b, peer, &[good.replace("c0c0c0c0c0c0c0c0", "c0c0c0c0c0c0c0c1")]);
    send(&mut b, peer, &[good.replace("00000016", "00000017")]);
    send(&mut b, peer, &[message(0x8000_0000, &frame), message(0x1000_0000, &frame)]);
    send(&mut b, "\\\"10.99.0.1\\\",1702", std::slice::from_ref(&good));
    hosts.shell('a', "ip addr add 10.99.0.7/24 dev v0");
    send(&mut b, "\\\"10.99.0.7\\\",1701", std::slice::from_ref(&good));
    assert_eq!(b.counter("rx_drop_cookie"), 1);
    assert_eq!(b.counter("stray"), 1 + 6, "and one at the end of each");
    assert_eq!(b.counter("rx_drop_sublayer"), 2);
    assert_eq!(b.counter("rx_drop_source"), 2);
    assert_eq!(b.counter("rx_frames"), 0);
    send(&mut b, peer, &[good.replacen("00030000", "4b03ffff", 1)]);
    assert_eq!(b.counter("rx_frames"), 1);
    assert!(b.ask("heard").parse::<u32>().unwrap() < 2000);
    // 3 comes before 2; without the S bit there is no number.
    send(&mut b, peer, &[1, 3, 2, 4].map(numbered));
    send(&mut b, peer, &[message(0x0000_0001, &frame)]);
    assert_eq!((b.counter("rx_frames"), b.counter("rx_drop_sequence")), (5, 1));
    // The sender has started over: after a run of old numbers in order traffic resumes.
    send(&mut b, peer, &(0..40).map(numbered).collect::<Vec<_>>());
    assert!(b.counter("rx_frames") > 10, "{}", b.ask("counters"));
}

/// Octet by octet what leaves: header, the peer's id and cookie, numbers from 0 without gaps. C-022 C-023 C-306 C-312
/// C-313 C-329 C-333
#[test]
fn what_leaves_looks_as_it_should() {
    if skip() {
        return;
    }
    let hosts = Hosts::new("o");
    let _b = hosts.node('b', "udp 10.99.0.2 10.99.0.1 22 11 8 1 1400");
    let receive = Command::new("ip")
        .args(["netns", "exec", &format!("{}a", hosts.prefix), "python3", "-c"])
        .arg("import socket as s\nu=s.socket(s.AF_INET,s.SOCK_DGRAM); u.bind((\"10.99.0.1\",1701)); u.settimeout(9)\nprint(*[u.recv(2000).hex() for _ in range(30)])")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Port 1701 in the list of UDP sockets.
    let listens = || hosts.shell('a', "cat /proc/net/udp").contains(":06A5 ");
    wait_for("the receiver", || listens().then_some(()));
    // Frames of their own type, the shortest without any payload.
    hosts.shell(
        'b',
        "python3 -c \"import socket as s
r=s.socket(s.AF_PACKET,s.SOCK_RAW); r.bind((\\\"pw0\\\",0))
[r.send(bytes.fromhex(\\\"ffffffffffff02000000000188b5\\\")+bytes([n])*n) for n in range(30)]\"",
    );
    let output = receive.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut seen = 0;
    let mut numbers = Vec::new();
    for datagram in text.split_whitespace() {
        assert_eq!(&datagram[..32], "000300000000000bc0c0c0c0c0c0c0c0");
        let sublayer = u32::from_str_radix(&datagram[32..40], 16).unwrap();
        assert_eq!(sublayer >> 24, 0x40);
        numbers.push(sublayer & 0xff_ffff);
        if let Some(payload) = datagram[40..].strip_prefix("ffffffffffff02000000000188b5") {
            assert_eq!(payload, format!("{seen:02x}").repeat(seen), "no padding");
            seen += 1;
        }
    }
    assert!(seen > 15, "{text}");
    // The system's own frames may have been the first.
    let first = numbers[0];
    assert!(first < 16 && numbers.iter().zip(first..).all(|(n, expected)| *n == expected), "{numbers:?}");
}

/// `mtu auto` follows the interface towards the peer.
#[test]
fn the_mtu_follows_the_path() {
    if skip() {
        return;
    }
    let hosts = Hosts::new("m");
    let (mut a, _b) = pair(&hosts, "udp", false, false, "0 0 auto");
    assert_eq!(a.ask("mtu"), "Some(1450)");
    hosts.shell('a', "ip link set v0 mtu 1400");
    a.wait("mtu", "Some(1350)");
    assert!(hosts.shell('a', "ip link show pw0").contains("mtu 1350"));
}

/// C-032: frames that are longer than the path allows, whatever is in them, travel as fragments, or are counted with `dont-fragment`.
#[test]
fn long_frames_are_fragmented_or_counted() {
    if skip() {
        return;
    }
    let hosts = Hosts::new("l");
    for kind in ["udp", "ip"] {
        let (mut a, _b) = pair(&hosts, kind, false, false, "0 0 3000");
        a.wait("events", "travel as fragments");
        hosts.shell('a', "ping -q -c 3 -i 0.05 -M do -s 2900 192.168.9.2");
        transfer(&hosts);
        assert_eq!(a.ask("dont-fragment"), "Ok(())");
        hosts.shell('a', "ping -q -c 1 -W 1 -M do -s 2900 192.168.9.2 || true");
        assert!(a.counter("tx_drop_size") > 0);
        hosts.shell('a', "ping -q -c 1 -W 1 -s 1300 192.168.9.2");
    }
}
