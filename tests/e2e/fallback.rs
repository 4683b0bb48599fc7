//! `encapsulation ip udp` between two hosts with a router that passes no IP protocol 115.

use crate::daemon::Daemon;
use crate::net::Net;
use crate::pair::up;
use crate::tests;

tests!(a_router_drops_protocol_115,);

fn config(of: u8, tags: &str) -> String {
    let address = |n: u8| if n == 1 { "198.51.100.1" } else { "203.0.113.2" };
    let other = 3 - of;
    format!(
        "hostname h{of}\nrouter-id 10.0.0.{of}\nrestart-interval 1\ntunnel t\n  local-address {}\n  remote-address {}\n  \
         remote-hostname h{other}\n  remote-router-id 10.0.0.{other}\n{tags}  session l0\n    remote-end-id e\n",
        address(of),
        address(other)
    )
}

fn a_router_drops_protocol_115() {
    let mut net = Net::new();
    let router = net.host();
    net.cable((&net.a, "out", "198.51.100.1/24"), (&router, "west", "198.51.100.254/24"));
    net.cable((&net.b, "out", "203.0.113.2/24"), (&router, "east", "203.0.113.254/24"));
    net.batch(&net.a, "route add default via 198.51.100.254\n");
    net.batch(&net.b, "route add default via 203.0.113.254\n");
    net.exec(&router, &["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
    net.batch(&router, "rule add pref 1 ipproto 115 blackhole\n");
    let both = "  encapsulation ip udp\n";
    let mut b = Daemon::start(&net, &net.b, &config(2, both));
    b.expect("debug l2tpd start");
    let mut a = Daemon::start(&net, &net.a, &config(1, both));
    up(&mut a, 1);
    up(&mut b, 1);
    assert!(a.ctl_ok(&["status"]).contains("Encapsulation    :udp"), "{}", a.ctl_ok(&["status"]));
    assert!(
        a.count("info   tunnel t: no answer, now over UDP")
            + b.count("info   tunnel t: no answer, now over UDP")
            > 0
    );
    for (number, netns) in [(1, &net.a), (2, &net.b)] {
        net.batch(netns, &format!("addr replace 10.9.9.{number}/24 dev l0\n"));
    }
    net.ping(&net.a, "10.9.9.2", 56);
    // What worked comes first from now on, although the other one would pass, too.
    net.batch(&router, "rule del pref 1\n");
    a.skip_log();
    b.skip_log();
    a.ctl_ok(&["clear", "tunnel", "t"]);
    b.expect("info * ICCN, state --> ESTABLISHED");
    assert!(a.ctl_ok(&["status"]).contains("Encapsulation    :udp"));
    // Without that memory, it is the first again.
    a.stop();
    b.stop();
    let mut b = Daemon::start(&net, &net.b, &config(2, both));
    b.expect("debug l2tpd start");
    let mut a = Daemon::start(&net, &net.a, &config(1, both));
    up(&mut a, 1);
    assert!(a.ctl_ok(&["status"]).contains("Encapsulation    :ip"));
    a.stop();
}
