//! Many sessions, and many interfaces that lead to peers.

use std::time::{Duration, Instant};

use crate::daemon::{write_config, Daemon};
use crate::net::Net;
use crate::sys::tcx_programs;
use crate::tests;
use crate::wait::wait_until;

tests!(auto_takes_so_many_interfaces, hundreds_begin_and_end_without_a_halt);

/// Peers behind many interfaces: `data-plane auto` puts the program at some of them.
fn auto_takes_so_many_interfaces() {
    let net = Net::new();
    let mut config = "hostname h1\nrouter-id 10.0.0.1\n".to_owned();
    for number in 1..=18 {
        let commands = format!(
            "link add u{number} type veth peer name v{number}\naddr add 198.18.{number}.1/24 dev u{number}\n\
             link set u{number} up\nlink set v{number} up\n"
        );
        net.batch(&net.a, &commands);
        net.exec(&net.a, &["ethtool", "-K", &format!("u{number}"), "tx", "off"]);
        config += &format!(
            "tunnel t{number}\n  encapsulation udp\n  local-address 198.18.{number}.1\n  remote-address \
             198.18.{number}.2\n  session pw{number}\n    manual {number} {number}\n"
        );
    }
    let mut daemon = Daemon::start(&net, &net.a, &config);
    wait_until(|| planes(&daemon) == [16, 2], || daemon.tail(30));
    let status = daemon.ctl_ok(&["status"]);
    assert_eq!(status.matches("tap (not bpf: auto puts the program at no more interfaces").count(), 2);
    daemon.stop();
}

/// How many sessions have `bpf`, and `tap`. The daemon's socket comes later than it starts.
fn planes(daemon: &Daemon) -> [usize; 2] {
    let text = String::from_utf8_lossy(&daemon.ctl(&["status"]).stdout).into_owned();
    ["Data Plane       :bpf\n", "Data Plane       :tap"].map(|words| text.matches(words).count())
}

/// No session waits for the kernel when the programs take it: many take about as long as with `tap`, when they begin, when
/// a policy takes all of them back and gives them on, and when they end.
fn hundreds_begin_and_end_without_a_halt() {
    const SESSIONS: usize = 200;
    let net = Net::new();
    net.exec(&net.a, &["ethtool", "-K", "wire", "tx", "off"]);
    let config = |plane: &str, sessions: usize| {
        let head = format!(
            "hostname h1\nrouter-id 10.0.0.1\ndata-plane {plane}\ntunnel t\n  encapsulation udp\n  local-address \
             192.0.2.1\n  remote-address 192.0.2.2\n"
        );
        head + &(1..=sessions).map(|n| format!("  session pw{n}\n    manual {n} {n}\n")).collect::<String>()
    };
    let measured = |plane: &str, [bpf, tap]: [usize; 2]| {
        let mut daemon = Daemon::start(&net, &net.a, &config(plane, SESSIONS));
        let mut times = Vec::new();
        let mut until = |before: &dyn Fn(), counts: [usize; 2]| {
            let start = Instant::now();
            before();
            wait_until(|| planes(&daemon) == counts, || daemon.tail(30));
            times.push(start.elapsed());
        };
        until(&|| (), [bpf, tap]);
        let policy = |word, more| format!("xfrm policy {word} dir out dst 192.0.2.2/32 proto 47 {more}\n");
        let template = "tmpl src 192.0.2.1 dst 192.0.2.2 proto esp mode transport";
        until(&|| net.batch(&net.a, &policy("add", template)), [0, SESSIONS]);
        until(&|| net.batch(&net.a, &policy("delete", "")), [bpf, tap]);
        until(
            &|| {
                write_config(&daemon.config, &config(plane, 1));
                daemon.ctl_ok(&["reload"]);
            },
            [bpf, tap].map(|count| count / SESSIONS),
        );
        daemon.kill();
        times
    };
    let with_tap = measured("tap", [0, SESSIONS]);
    // The kernel waits 12 ms and more for all processors, twice for each session on its way there and back if it waits.
    let most = Duration::from_millis(15) * SESSIONS as u32;
    for (with_bpf, with_tap) in measured("bpf", [SESSIONS, 0]).iter().zip(&with_tap) {
        assert!(*with_bpf < *with_tap * 2 + most, "{with_bpf:?}, {with_tap:?} with tap");
    }
    let none = |what: &dyn Fn() -> bool| wait_until(what, || net.exec(&net.a, &["ip", "link"]));
    none(&|| tcx_programs(&net.a, "wire", true) == 0);
    none(&|| !net.exec(&net.a, &["ip", "-br", "link"]).contains("pw"));
}
