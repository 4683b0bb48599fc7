//! Three sites that are joined each with each, in one LAN: loops are found and broken, or there are none for the sake of
//! `split-horizon`; and `storm-limit`.

use std::time::{Duration, Instant};

use crate::daemon::{write_config, Daemon};
use crate::net::Net;
use crate::pair::{need_python, pair, python, up, wait_for, wait_until};
use crate::sys::{in_netns, FrameSocket};
use crate::tests;

tests!(
    a_loop_is_seen_and_broken,
    a_full_mesh_with_split_horizon,
    groups_need_a_bridge,
    broadcasts_are_limited,
);

/// The networks between the sites 1, 2 and 3; 192.0.2.0/24 is that between 1 and 2.
fn address(of: usize, to: usize) -> String {
    let network = if of + to == 3 { "192.0.2".to_owned() } else { format!("198.51.{}", of + to) };
    format!("{network}.{of}")
}

/// The configuration of a site: a tunnel to each of the others, the session's interface in the bridge.
fn config(of: usize, session: &str) -> String {
    let mut text = format!("hostname h{of}\nrouter-id 10.0.0.{of}\nrestart-interval 1\n");
    for to in (1..=3).filter(|to| *to != of) {
        text += &format!(
            "tunnel t{to}\n  local-address {}\n  remote-address {}\n  remote-hostname h{to}\n  remote-router-id 10.0.0.{to}\n  \
             retry-interval 0.2\n  session l{to}\n    remote-end-id e\n    bridge br0\n{session}",
            address(of, to),
            address(to, of)
        );
    }
    text
}

/// Three sites with their daemons; at each bridge there is a host, `host`, with 10.7.7.N.
struct Sites {
    names: [String; 3],
    daemons: Vec<Daemon>,
    net: Net,
}

impl Sites {
    fn start(session: &str) -> Sites {
        let mut net = Net::new();
        let c = net.host();
        let names = [net.a.clone(), net.b.clone(), c];
        for (one, other) in [(1, 3), (2, 3)] {
            let end = |of: usize, to: usize| format!("{}/24", address(of, to));
            let device = format!("w{one}");
            net.cable((&names[one - 1], "wire3", &end(one, other)), (&names[2], &device, &end(other, one)));
        }
        for (site, name) in names.iter().enumerate() {
            net.batch(
                name,
                &format!(
                    "link add br0 type bridge\nlink set br0 up\nlink add lan type veth peer name host\nlink set lan up master br0\n\
                     link set host up\naddr add 10.7.7.{}/24 dev host\n",
                    site + 1
                ),
            );
        }
        let daemons =
            names.iter().enumerate().map(|(n, name)| Daemon::start(&net, name, &config(n + 1, session)));
        let mut daemons: Vec<Daemon> = daemons.collect();
        daemons.iter_mut().for_each(|daemon| up(daemon, 2));
        Sites { names, daemons, net }
    }

    /// How often a line stands in the logs of all three.
    fn count(&self, pattern: &str) -> usize {
        self.daemons.iter().map(|daemon| daemon.count(pattern)).sum()
    }

    /// Every host reaches the two others.
    fn reach_each_other(&self) {
        for from in &self.names {
            for to in 1..=3 {
                self.net.ping(from, &format!("10.7.7.{to}"), 56);
            }
        }
    }

    /// How often each of the other hosts receives one broadcast of the first one.
    fn copies(&self) -> [usize; 2] {
        let open = |n: usize| in_netns(&self.names[n], || FrameSocket::open("host"));
        let (from, hosts) = (open(0), [open(1), open(2)]);
        let mut frame = [0xff; 60];
        frame[6..14].copy_from_slice(&[2, 0, 0, 0, 0, 7, 0x88, 0xb6]);
        frame[14..18].copy_from_slice(&Instant::now().elapsed().subsec_nanos().to_be_bytes());
        from.send(&frame);
        hosts.map(|host| {
            let end = Instant::now() + Duration::from_millis(700);
            let mut copies = 0;
            while let Some(got) = host.receive(end) {
                copies += usize::from(got[..18] == frame[..18]);
            }
            copies
        })
    }
}

/// The hosts' own traffic (IPv6's, if nothing else) goes round; one session of the three is held down, and then every frame
/// arrives once.
fn a_loop_is_seen_and_broken() {
    need_python();
    let mut sites = Sites::start("");
    wait_until(
        || sites.count("warn   loop: what leaves by * comes back by *: * is held down for 60 s") > 0,
        || "no loop is seen".to_owned(),
    );
    wait_until(|| sites.copies() == [1, 1], || "frames do not arrive once".to_owned());
    sites.reach_each_other();
    assert_eq!(sites.count("warn   loop: *"), 1);
    // It stands in the status and in explain, and the peer knows that the circuit is down.
    let words = "held down: a loop goes through it and ";
    let site = sites.daemons.iter().position(|daemon| daemon.count("warn   loop: *") > 0).expect("one");
    let holder = &mut sites.daemons[site];
    assert_eq!(holder.ctl_ok(&["status"]).matches(words).count(), 1);
    let held = "[s['interface'] for t in v['tunnels'] for s in t['sessions'] if s['interface_problem']][0]";
    let held = python(&holder.ctl_ok(&["--json", "status"]), held);
    let other: usize = held[1..].parse().expect("the number of a site");
    assert!(holder.ctl_ok(&["explain", "tunnel", &format!("t{other}")]).contains(words));
    let name = &sites.names[other - 1];
    wait_until(
        || !sites.net.carrier(name, &format!("l{}", site + 1)),
        || "the peer has a carrier".to_owned(),
    );
    for daemon in &mut sites.daemons {
        daemon.stop();
    }
}

/// Without any loop, for the interfaces are isolated ports; and they are so again after a reload that takes it away and
/// brings it back.
fn a_full_mesh_with_split_horizon() {
    let mut sites = Sites::start("    split-horizon mesh\n");
    let isolated = |sites: &Sites| -> Vec<String> {
        let read = |name: &String, port: &str| {
            let file = format!("/sys/class/net/{port}/brport/isolated");
            let output = sites.net.try_exec(name, &["cat", &file]);
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        let ports = [["l2", "l3"], ["l1", "l3"], ["l1", "l2"]];
        sites.names.iter().zip(ports).flat_map(|(name, ports)| ports.map(|port| read(name, port))).collect()
    };
    assert_eq!(isolated(&sites), ["1"; 6]);
    sites.reach_each_other();
    wait_until(|| sites.copies() == [1, 1], || "frames do not arrive once".to_owned());
    assert_eq!(sites.count("warn   loop: *"), 0);
    // Another bridge of that name gets isolated ports, too.
    let first = sites.names[0].clone();
    sites
        .net
        .batch(&first, "link del br0\nlink add br0 type bridge\nlink set br0 up\nlink set lan master br0\n");
    wait_until(|| isolated(&sites) == ["1"; 6], || format!("{:?}", isolated(&sites)));
    for (site, session) in [(0, "    loop-detection off\n"), (0, "    split-horizon other\n")] {
        write_config(&sites.daemons[site].config, &config(site + 1, session));
        sites.daemons[site].ctl_ok(&["reload"]);
        let expected = if session.contains("split") { "1" } else { "0" };
        let now = wait_for("the ports change", || Some(isolated(&sites)).filter(|now| now[0] == expected));
        assert_eq!(now[1], expected);
    }
    for daemon in &mut sites.daemons {
        daemon.stop();
    }
}

fn groups_need_a_bridge() {
    let net = Net::new();
    let mut a = Daemon::start(&net, &net.a, &config(1, ""));
    a.expect("debug l2tpd start");
    for (session, error) in [
        ("    split-horizon x\n", "it keeps ports of a bridge apart, and there is no bridge"),
        ("    bridge br1\n    split-horizon y\n", "has the group x in bridge br1: a bridge has one group"),
    ] {
        let text = config(1, "    bridge br1\n    split-horizon x\n").replace("    bridge br0\n", "");
        let (head, last) = text.rsplit_once("    bridge br1\n    split-horizon x\n").expect("two sessions");
        write_config(&a.config, &format!("{head}{session}{last}"));
        let output = a.ctl(&["reload", "--check"]);
        let told = crate::net::stderr(&output) + &String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && told.contains(error), "{told}");
    }
    a.stop();
}

/// A flood of broadcasts is cut at the sender's limit, or at the receiver's; what goes to one host is not touched.
fn broadcasts_are_limited() {
    need_python();
    for (sender, counter) in [(true, "tx_drop_storm"), (false, "rx_drop_storm")] {
        let net = Net::new();
        let (mut a, mut b) = pair(&net, "", "");
        let limited = if sender { &a } else { &b };
        let number = if sender { 1 } else { 2 };
        write_config(&limited.config, &crate::pair::host(number, "", "", "    storm-limit 20\n"));
        assert!(limited.ctl_ok(&["reload"]).contains("changed live (storm-limit)"));
        let from = in_netns(&net.a, || FrameSocket::open("l0"));
        let to = in_netns(&net.b, || FrameSocket::open("l0"));
        for broadcast in [true, false] {
            let mut frame = [if broadcast { 0xff } else { 0x02 }; 60];
            frame[6..14].copy_from_slice(&[2, 0, 0, 0, 0, 7, 0x88, 0xb6]);
            let begin = Instant::now();
            (0..300).for_each(|_| from.send(&frame));
            let mut received = 0;
            while let Some(got) = to.receive(Instant::now() + Duration::from_millis(500)) {
                received += usize::from(got[..14] == frame[..14]);
            }
            // A full bucket, less what the hosts' own multicasts took of it, and 20 for each second that it took.
            let most = 20 + 20 * (1 + begin.elapsed().as_secs() as usize);
            if broadcast {
                assert!(received >= 10 && received <= most, "{received} of {most}");
            } else {
                assert!(received > 200, "{received} to one host");
            }
        }
        let limited = if sender { &a } else { &b };
        let dropped = format!("v['tunnels'][0]['sessions'][0]['counters']['{counter}'] >= 200");
        let status = limited.ctl_ok(&["--json", "status"]);
        assert_eq!(python(&status, &dropped), "True", "{status}");
        assert!(
            limited.ctl_ok(&["counters"]).contains(counter) && limited.ctl_ok(&["metrics"]).contains("storm")
        );
        a.stop();
        b.stop();
    }
}
