//! `link-local-frames`: what passes from a station at one bridge to a station at the other, of all frames that bridges
//! keep to themselves.

use std::time::{Duration, Instant};

use crate::daemon::{write_config, Daemon, PATIENCE};
use crate::net::Net;
use crate::pair::{host, up};
use crate::sys::{in_netns, FrameSocket};
use crate::tests;
use crate::wait::wait_for;

tests!(frames_through_two_bridges, bridges_are_left_as_they_were, bridges_that_come_and_go,);

const BRIDGE: &str = "    bridge br7\n";
const FORWARD: &str = "    bridge br7\n    link-local-frames forward\n";
/// A bridge and a station at it. Nobody but the tests sends anything.
const LAN: &str =
    "link add lan0 type veth peer name lan1\nlink add br7 type bridge\nlink set lan0 master br7 up\n\
                   link set br7 up\nlink set lan1 up\n";

/// The last octet of the address of 802.1X, LLDP and so on: all that a bridge without spanning tree forwards anyway,
/// and what it forwards when it is told to.
const STP: u8 = 0;
const PAUSE: u8 = 1;
const LACP: u8 = 2;
const DROPPED: [u8; 1] = [STP];
const FORWARDED: [u8; 14] = [STP, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

fn lan(net: &Net, netns: &str) -> FrameSocket {
    net.exec(netns, &["sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6"]);
    net.batch(netns, LAN);
    in_netns(netns, || FrameSocket::open("lan1"))
}

/// A frame of station `from`: 802.1X, LLDP, LACP, spanning tree or a protocol of nobody.
fn frame(to: [u8; 6], from: u8, number: u8) -> Vec<u8> {
    let protocol: [u8; 2] = match to {
        [1, 0x80, 0xc2, 0, 0, STP] => [0, 38],
        [1, 0x80, 0xc2, 0, 0, PAUSE] => [0x88, 8],
        [1, 0x80, 0xc2, 0, 0, LACP] => [0x88, 9],
        [1, 0x80, 0xc2, 0, 0, 3] => [0x88, 0x8e],
        [1, 0x80, 0xc2, 0, 0, 14] => [0x88, 0xcc],
        _ => [0x88, 0xb5],
    };
    let mut frame = [&to[..], &[2, 0, 0, 0, 0x77, from], &protocol].concat();
    frame.resize(60, number);
    frame
}

/// Whether a frame arrives; all that come before it go to `before`.
fn arrives(socket: &FrameSocket, frame: &[u8], patience: Duration, before: &mut Vec<Vec<u8>>) -> bool {
    let deadline = Instant::now() + patience;
    while let Some(got) = socket.receive(deadline) {
        if got == frame {
            return true;
        }
        before.push(got);
    }
    false
}

/// The numbers of the link-local addresses whose frames pass from one station to the other.
#[track_caller]
fn passing(from: &FrameSocket, to: &FrameSocket, station: u8) -> Vec<u8> {
    let mark = |number: u8| frame([0xff; 6], station, number);
    let deadline = Instant::now() + PATIENCE;
    let mut before = Vec::new();
    loop {
        assert!(Instant::now() < deadline, "no frame passes");
        from.send(&mark(99));
        if arrives(to, &mark(99), Duration::from_millis(300), &mut before) {
            break;
        }
    }
    let mut passed = Vec::new();
    for number in 0..16 {
        let link_local = frame([1, 0x80, 0xc2, 0, 0, number], station, number);
        from.send(&link_local);
        let mut before = Vec::new();
        // What comes after it shows that it does not come; the second one, that it was not overtaken by the first.
        for mark in [mark(number), mark(100 + number)] {
            from.send(&mark);
            assert!(arrives(to, &mark, PATIENCE, &mut before), "a frame is missing");
        }
        if before.contains(&link_local) {
            passed.push(number);
        }
    }
    passed
}

/// The masks of the bridge and of a port of it.
fn masks(net: &Net, port: &str) -> (String, String) {
    let mask = |device: &str| {
        let text = net.exec(&net.a, &["ip", "-d", "link", "show", device]);
        let mut words = text.split_whitespace().skip_while(|word| *word != "group_fwd_mask");
        words.nth(1).unwrap_or("none").to_owned()
    };
    (mask("br7"), mask(port))
}

fn set_of(bridge: &str, port: &str) -> (String, String) {
    (bridge.to_owned(), port.to_owned())
}

fn reload(daemon: &Daemon, text: &str) {
    write_config(&daemon.config, text);
    // As another user it has to read it too.
    let all = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&daemon.config, all).expect("mode");
    daemon.ctl_ok(&["reload"]);
}

fn start(net: &Net, a: &str, b: &str) -> (Daemon, Daemon) {
    let mut b = Daemon::start(net, &net.b, b);
    b.expect("debug l2tpd start");
    let mut a = Daemon::start(net, &net.a, a);
    up(&mut a, 1);
    up(&mut b, 1);
    (a, b)
}

/// 802.1X, LLDP and the others, in both directions; what the kernel keeps, and how LACP passes nevertheless.
fn frames_through_two_bridges() {
    let net = Net::new();
    let (near, far) = (lan(&net, &net.a), lan(&net, &net.b));
    let (mut a, mut b) = start(&net, &host(1, "", "", BRIDGE), &host(2, "", "", BRIDGE));
    assert_eq!([passing(&near, &far, 1), passing(&far, &near, 2)], [DROPPED, DROPPED]);
    reload(&a, &host(1, "", "", FORWARD));
    assert_eq!(passing(&near, &far, 1), DROPPED, "the other bridge keeps them");
    reload(&b, &host(2, "", "", FORWARD));
    assert_eq!([passing(&near, &far, 1), passing(&far, &near, 2)], [FORWARDED, FORWARDED]);
    // The kernel takes the bit of LACP at ports only: ours has it, that of the LAN is the administrator's.
    net.batch(&net.a, "link set lan0 type bridge_slave group_fwd_mask 4\n");
    let passed = passing(&near, &far, 1);
    assert!(passed.contains(&LACP) && !passed.contains(&PAUSE), "{passed:?}");
    assert!(!passing(&far, &near, 2).contains(&LACP));
    // A bridge that takes part in spanning tree keeps its frames.
    net.batch(&net.a, "link set br7 type bridge stp_state 1 forward_delay 200\n");
    assert!(!passing(&near, &far, 1).contains(&STP));
    assert!(!passing(&far, &near, 2).contains(&STP));
    assert_eq!(a.count("*cleanup session*") + b.count("*cleanup session*"), 0, "the session stays");
    a.stop();
    b.stop();
}

/// What the administrator has set stays, and what we have set is taken back: with a reload when the last session of
/// the bridge does not want it any more, and at the end.
fn bridges_are_left_as_they_were() {
    for user in ["", "user nobody\n"] {
        let net = Net::new();
        lan(&net, &net.a);
        net.batch(&net.a, "link set br7 type bridge group_fwd_mask 0x4000\n");
        let more = |text: &str| {
            let second = "  session l9\n    manual 7 8\n";
            host(1, user, "", &format!("{FORWARD}{second}{text}"))
        };
        let (mut a, mut b) = start(&net, &more(FORWARD), &host(2, "", "", ""));
        assert_eq!(masks(&net, "l0"), set_of("0xfff8", "0xfffc"));
        assert_eq!(masks(&net, "l9"), set_of("0xfff8", "0xfffc"));
        reload(&a, &more(BRIDGE));
        assert_eq!((masks(&net, "l0"), masks(&net, "l9").1), (set_of("0xfff8", "0xfffc"), "0".to_owned()));
        reload(&a, &host(1, user, "", BRIDGE));
        assert_eq!(masks(&net, "l0"), set_of("0x4000", "0"));
        reload(&a, &host(1, user, "", FORWARD));
        assert_eq!(masks(&net, "l0"), set_of("0xfff8", "0xfffc"));
        a.stop();
        b.stop();
        assert_eq!(masks(&net, "lan0"), set_of("0x4000", "0"));
    }
}

/// Taken out and put in again; deleted and made again.
fn bridges_that_come_and_go() {
    let net = Net::new();
    let (near, far) = (lan(&net, &net.a), lan(&net, &net.b));
    let (mut a, mut b) = start(&net, &host(1, "", "", FORWARD), &host(2, "", "", FORWARD));
    net.batch(&net.a, "link set l0 nomaster\n");
    a.expect("info   l0 is not in bridge br7 any more");
    wait_for("the old mask", || (masks(&net, "lan0").0 == "0").then_some(()));
    net.batch(&net.a, "link set l0 master br7\n");
    a.expect("info   l0 is in bridge br7 again");
    wait_for("the mask", || (masks(&net, "l0") == set_of("0xfff8", "0xfffc")).then_some(()));
    net.batch(&net.a, "link del br7\n");
    a.expect("warn   bridge br7 was deleted; it gets its interfaces back when it is made again");
    net.batch(&net.a, "link add br7 type bridge\nlink set lan0 master br7\nlink set br7 up\n");
    a.expect("info   l0 is in bridge br7 again");
    wait_for("the mask", || (masks(&net, "l0") == set_of("0xfff8", "0xfffc")).then_some(()));
    assert_eq!([passing(&near, &far, 1), passing(&far, &near, 2)], [FORWARDED, FORWARDED]);
    net.batch(&net.a, "link del l0\n");
    up(&mut a, 2);
    wait_for("the mask", || (masks(&net, "l0") == set_of("0xfff8", "0xfffc")).then_some(()));
    reload(&a, &host(1, "", "", "    link-local-frames forward\n"));
    assert_eq!(masks(&net, "lan0").0, "0", "no session of the bridge is left");
    a.stop();
    b.stop();
}
