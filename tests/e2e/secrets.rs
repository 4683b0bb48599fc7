//! What is left of secrets in the memory of a running daemon, as whoever found a way to read it would see it.

use std::fs::File;
use std::os::unix::fs::FileExt;

use l2tpd::wire::digest::Secret;

use crate::daemon::{write_config, Daemon};
use crate::net::Net;
use crate::pair::{host, pair_of, up};
use crate::tests;
use crate::wait::wait_until;

tests!(passwords_do_not_stay_in_memory, cookies_do_not_stay_in_memory);

/// The names of the memory areas of a daemon in which `octets` stand.
fn areas_with(daemon: &Daemon, octets: &[u8]) -> Vec<String> {
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", daemon.pid())).expect("maps");
    let memory = File::open(format!("/proc/{}/mem", daemon.pid())).expect("memory");
    let mut found = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, rights) = (words.next().expect("range"), words.next().expect("rights"));
        let name = words.nth(3).unwrap_or("anonymous");
        if !rights.starts_with("rw") {
            continue; // the program itself, and what the kernel shows it
        }
        let (from, to) = range.split_once('-').expect("range");
        let number = |text: &str| u64::from_str_radix(text, 16).expect("address");
        let mut area = vec![0; (number(to) - number(from)) as usize];
        // It may be gone by now.
        if memory.read_exact_at(&mut area, number(from)).is_ok() && holds(&area, octets) {
            found.push(name.to_owned());
        }
    }
    found
}

fn holds(area: &[u8], octets: &[u8]) -> bool {
    let first = octets[0];
    let mut rest = area;
    while let Some(at) = rest.iter().position(|octet| *octet == first) {
        if rest[at..].starts_with(octets) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// The text of a password is gone as soon as the file has been read, at the start and at a reload; the keys that are
/// derived from it, when the last connection that used them is.
fn passwords_do_not_stay_in_memory() {
    let net = Net::new();
    let quoted = |number, password: &str| host(number, "", &format!("  password \"{password}\"\n"), "");
    let bare = |number, password: &str| host(number, "", &format!("  password {password}\n"), "");
    let (old, new) = ("a-first-secret-of-this-tunnel", "another-secret and the end of-this-tunnel");
    let (mut a, mut b) = pair_of(&net, &bare(1, old), &quoted(2, old));
    let (old_keys, new_keys) = (Secret::new(old.as_bytes()), Secret::new(new.as_bytes()));
    for daemon in [&a, &b] {
        assert!(areas_with(daemon, old.as_bytes()).is_empty(), "{:?}", areas_with(daemon, old.as_bytes()));
        // The search finds what is there.
        assert!(!areas_with(daemon, old_keys.digest_key()).is_empty());
    }
    // A file with errors, which has the password in a line that is no good, and then a good one.
    write_config(&a.config, &bare(1, &format!("{old} {old}")));
    assert!(!a.ctl(&["reload"]).status.success());
    assert!(areas_with(&a, old.as_bytes()).is_empty(), "{:?}", areas_with(&a, old.as_bytes()));
    for (daemon, number) in [(&a, 1), (&b, 2)] {
        write_config(&daemon.config, &quoted(number, new));
        daemon.ctl_ok(&["reload"]);
    }
    up(&mut a, 1);
    up(&mut b, 1);
    for daemon in [&a, &b] {
        for text in [old, "another-secret", "end of-this-tunnel"] {
            let areas = areas_with(daemon, text.as_bytes());
            assert!(areas.is_empty(), "{text}: {areas:?}");
        }
        assert!(!areas_with(daemon, new_keys.digest_key()).is_empty());
        for key in [old_keys.digest_key(), old_keys.hiding_key()] {
            // When the last connection that has them is gone.
            let areas = || areas_with(daemon, key);
            wait_until(|| areas().is_empty(), || format!("the old keys stay in {:?}", areas()));
        }
    }
    a.stop();
    b.stop();
}

/// Not as the words of the file.
fn cookies_do_not_stay_in_memory() {
    let net = Net::new();
    let text = "tunnel t\n  remote-address 192.0.2.2\n  session l0\n    manual 1 2\n    local-cookie c0ffee5ec2e75a1d\n    \
                remote-cookie 5a1dc0ffee5ec2e7\n";
    let mut daemon = Daemon::start(&net, &net.a, text);
    daemon.expect("debug l2tpd start");
    for cookie in ["c0ffee5ec2e75a1d", "5a1dc0ffee5ec2e7"] {
        assert!(areas_with(&daemon, cookie.as_bytes()).is_empty(), "{cookie}");
    }
    daemon.stop();
}
