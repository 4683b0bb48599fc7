//! Who the daemon is towards its peers where the configuration does not say it.

use crate::daemon::Daemon;
use crate::net::{run, Net};
use crate::peer::*;
use crate::tests;

tests!(router_id_without_an_ipv4_address, identity_stays_until_the_restart,);

/// Host Name and Router ID in an SCCRQ.
const HOST_NAME: u16 = 7;

const ROUTER_ID: u16 = 60;

/// A tunnel over IPv6, and nothing of our own identity.
fn over_ipv6(tunnel: &str) -> String {
    let ends = "  local-address 2001:db8::1\n  remote-address 2001:db8::2\n";
    let text = config(&format!("{ends}{tunnel}"), SESSION);
    text.replace("hostname dut\n", "").replace("router-id 10.0.0.1\n", "")
}

/// It starts all the same, and is the same after each start.
fn router_id_without_an_ipv4_address() {
    let net = Net::new();
    net.batch(&net.a, "addr del 192.0.2.1/24 dev wire\n");
    let mut seen = Vec::new();
    for _ in 0..2 {
        let mut peer = Peer::open(&net, false, true);
        let mut daemon = Daemon::start(&net, &net.a, &over_ipv6(""));
        daemon.expect("info   router-id 2*: from host name and machine id, *");
        peer.acknowledge = false;
        let id = peer.expect(SCCRQ).u32(ROUTER_ID);
        assert!((0xf000_0000..0xffff_ffff).contains(&id), "{id:#x}");
        seen.push(id);
        let address = std::net::Ipv4Addr::from(id);
        let status = daemon.ctl_ok(&["status"]);
        assert!(
            status.contains(&format!("\nrouter id {address}: from host name and machine id")),
            "{status}"
        );
        daemon.kill();
    }
    assert_eq!(seen[0], seen[1]);
}

/// Host name and addresses change while it runs: a reload of the same file touches nothing.
fn identity_stays_until_the_restart() {
    let net = Net::new();
    let mut peer = Peer::open(&net, false, true);
    // In a container /proc/sys may be read-only.
    let set = |name: &str| format!("hostname {name} 2>/dev/null || echo {name} > /proc/sys/kernel/hostname");
    let script = format!("{}; exec \"$@\"", set("first"));
    let before = ["unshare", "-u", "sh", "-c", &script, "sh"];
    let mut daemon = Daemon::start_under(&net, &net.a, &over_ipv6("  role passive\n"), &before, &[]);
    daemon.expect("info   router-id 192.0.2.1: from the system's first IPv4 address at the start, *");
    daemon.expect("debug l2tpd start");
    peer.send(&peer.set_up(SCCRQ));
    peer.acknowledge = false;
    let reply = peer.expect(SCCRP);
    peer.acknowledge = true;
    assert_eq!((reply.avp(HOST_NAME), reply.u32(ROUTER_ID)), (Some(&b"first"[..]), 0xc000_0201));
    peer.send(&Out::new(SCCCN));
    peer.expect_ack();
    run(&["nsenter", "-t", &daemon.pid().to_string(), "-u", "sh", "-c", &set("second")]);
    net.batch(&net.a, "addr del 192.0.2.1/24 dev wire\naddr add 198.51.100.7/24 dev wire\n");
    daemon.signal(libc::SIGHUP);
    daemon.expect("info   the configuration was read again: nothing changed");
    let status = daemon.ctl_ok(&["status"]);
    for line in [
        "\nhost name first: from the system's host name at the start\n",
        "\nrouter id 192.0.2.1: from the system's first IPv4 address at the start\n",
    ] {
        assert!(status.contains(line), "{status}");
    }
    let json = daemon.ctl_ok(&["--json", "status"]);
    assert!(
        json.contains("\"hostname\":\"first\"") && json.contains("\"router_id\":\"192.0.2.1\""),
        "{json}"
    );
    peer.send(&Out::new(HELLO));
    peer.expect_ack();
    assert_eq!(daemon.count("*StopCCN*"), 0, "{}", daemon.tail(20));
}
