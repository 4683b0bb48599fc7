//! `user`: a daemon that is not root.

use std::os::unix::fs::PermissionsExt;

use crate::daemon::{write_config, Daemon};
use crate::net::{stderr, Net};
use crate::pair::{host, pair_of, source, up, Flood};
use crate::tests;

tests!(own_user_end_to_end, capabilities_of_the_unit_suffice, unprivileged_user,);

/// `user`: not root, with two capabilities; tunnels come up, TAP interfaces can be made on reload, and a file that
/// this user may not read changes nothing.
fn own_user_end_to_end() {
    let net = Net::new();
    let text = |session: &str| host(1, "user nobody\n", "", session);
    let second = "    remote-end-id e\n  session l1\n    remote-end-id f\n";
    let (mut a, mut b) = pair_of(&net, &text(""), &host(2, "", "", second));
    let status = std::fs::read_to_string(format!("/proc/{}/status", a.pid())).expect("status");
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(field("Uid:"), ["65534"; 4], "{status}");
    assert_eq!(field("Gid:"), ["65534"; 4]);
    assert!(field("Groups:").is_empty(), "{status}");
    for set in ["CapEff:", "CapPrm:", "CapBnd:"] {
        assert_eq!(field(set), ["0000000000003000"], "NET_ADMIN and NET_RAW in {set}");
    }
    assert_eq!(field("NoNewPrivs:"), ["1"]);
    // A new session on reload: another TAP interface, made without root.
    let flood = Flood::start(&net, 3);
    write_config(&a.config, &text(second));
    std::fs::set_permissions(&a.config, std::fs::Permissions::from_mode(0o644)).expect("mode");
    a.ctl_ok(&["reload"]);
    up(&mut a, 2);
    net.batch(&net.a, "addr add 10.9.8.1/24 dev l1\n");
    net.batch(&net.b, "addr add 10.9.8.2/24 dev l1\n");
    net.ping(&net.a, "10.9.8.2", 1000);
    // Nobody else may read it now, the daemon neither.
    std::fs::set_permissions(&a.config, std::fs::Permissions::from_mode(0o600)).expect("mode");
    let output = a.ctl(&["reload"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("Permission denied"), "{}", stderr(&output));
    a.expect("error Can't open config file");
    flood.lost_nothing();
    a.ctl_ok(&["clear", "tunnel", "t"]);
    up(&mut a, 4);
    a.stop();
    b.stop();
    // Told at the start, where there is still time to change it: the harness makes the file readable for us alone.
    let mut a = crate::daemon::Daemon::start(&net, &net.a, &text(""));
    a.expect("warn   *.conf: Permission denied: chgrp 65534 *: it cannot be read again by user nobody, a reload will fail");
    a.stop();
}

/// What the systemd unit leaves to the daemon is enough: with `user` and `admin-group`, and as root.
fn capabilities_of_the_unit_suffice() {
    if !crate::net::have("setpriv") {
        crate::runner::skip("no setpriv");
    }
    let unit = std::fs::read_to_string(source("man/service/l2tpd.service")).expect("unit");
    let line =
        unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).expect("its capabilities");
    let set: String =
        line.split(' ').map(|name| format!(",+{}", name.trim_start_matches("CAP_").to_lowercase())).collect();
    assert!(unit.contains("DeviceAllow=/dev/net/tun rw"));
    let families =
        unit.lines().find_map(|line| line.strip_prefix("RestrictAddressFamilies=")).expect("families");
    for family in ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"] {
        assert!(families.split(' ').any(|word| word == family), "{families}");
    }
    let bounding = format!("-all{set}");
    let before = ["setpriv", "--no-new-privs", "--bounding-set", &bounding];
    let net = Net::new();
    // What `data-plane auto` can do with all capabilities it can do with these.
    let mut free = crate::daemon::Daemon::start(&net, &net.a, &host(1, "", "", ""));
    let choice = free.expect("info   data-plane auto: *");
    let choice = choice.split_once("data-plane auto: ").map_or("", |(_, choice)| choice).to_owned();
    free.stop();
    let top = "user nobody\nadmin-group nogroup\n";
    let mut b = crate::daemon::Daemon::start_under(&net, &net.b, &host(2, top, "", ""), &before, &[]);
    let mut a = crate::daemon::Daemon::start_under(&net, &net.a, &host(1, "", "", ""), &before, &[]);
    for daemon in [&mut a, &mut b] {
        daemon.expect(&format!("info   data-plane auto: {choice}"));
    }
    up(&mut a, 1);
    up(&mut b, 1);
    net.batch(&net.a, "addr add 10.9.9.1/24 dev l0\n");
    net.batch(&net.b, "addr add 10.9.9.2/24 dev l0\n");
    net.ping(&net.a, "10.9.9.2", 56);
    a.stop();
    b.stop();
}

/// `user`: after start-up only the capabilities that are needed, and the tunnel can still be taken down and up.
fn unprivileged_user() {
    let net = Net::new();
    let text = |number| format!("user nobody\n{}", host(number, "", "", "    bridge br0\n"));
    let mut b = Daemon::start(&net, &net.b, &text(2));
    let mut a = Daemon::start(&net, &net.a, &text(1));
    up(&mut a, 1);
    up(&mut b, 1);
    let status = std::fs::read_to_string(format!("/proc/{}/status", a.pid())).expect("status");
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).unwrap_or_default().to_owned()
    };
    assert_ne!(field("Uid:"), "0", "still root");
    let capabilities = u64::from_str_radix(&field("CapPrm:"), 16).expect("hex");
    let needed = 1 << 12 | 1 << 13 | 1 << 10; // NET_ADMIN, NET_RAW, NET_BIND_SERVICE
    assert_eq!(capabilities & !needed, 0, "capabilities {capabilities:x}");
    a.ctl_ok(&["clear", "all"]);
    a.expect("debug [*] delete tunnel");
    up(&mut a, 2);
    a.stop();
    b.stop();
}
