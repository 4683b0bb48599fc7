//! `l2tpctl trace`.

use crate::daemon::Daemon;
use crate::follow::Follower;
use crate::net::{have, Net};
use crate::pair::{host, pair, up};
use crate::runner::skip;
use crate::tests;
use crate::wait::wait_for;

tests!(trace_with_digests, trace_can_be_read,);

/// The kernel chooses the source; a trace has it all the same.
const AUTO: &str = "  local-address auto\n";

/// Whether a message of this type is in the file: its first AVP, not hidden.
fn holds(file: &std::path::Path, kind: u8) -> bool {
    let octets = std::fs::read(file).unwrap_or_default();
    octets.windows(8).any(|found| found == [0x80, 8, 0, 0, 0, 0, 0, kind])
}

/// `trace` from the first SCCRQ on: tshark reads it and finds every digest right, with the right secret only.
fn trace_with_digests() {
    if !have("tshark") {
        skip("no tshark");
    }
    for (name, encapsulation) in [("ip", ""), ("udp", "  encapsulation udp\n")] {
        let net = Net::new();
        let tunnel = format!("  password sesame\n{encapsulation}");
        let mut b =
            Daemon::start(&net, &net.b, &host(2, "", &format!("{tunnel}  role passive\n"), "    cookie 8\n"));
        let mut a = Daemon::start(
            &net,
            &net.a,
            &host(1, "", &format!("{tunnel}{AUTO}  disable\n"), "    cookie 8\n"),
        );
        a.expect("debug l2tpd start");
        b.expect("debug l2tpd start");
        let file = net.dir.join(format!("{name}.pcapng"));
        let path = file.to_str().expect("path").to_owned();
        let trace = Follower::start(&a, &["trace", "t", &path]);
        wait_for("the head of the file", || {
            std::fs::metadata(&file).is_ok_and(|m| m.len() > 40).then_some(())
        });
        a.ctl_ok(&["start", "t"]);
        up(&mut a, 1);
        wait_for("the last message", || holds(&file, 12).then_some(()));
        crate::sys::kill(trace.0.id(), libc::SIGINT);
        drop(trace);
        let show = |secret: &str, filter: &str| {
            let secret = format!("l2tp.shared_secret:{secret}");
            let words = [
                "tshark",
                "-n",
                "-r",
                &path,
                "-o",
                &secret,
                "-Y",
                filter,
                "-T",
                "fields",
                "-e",
                "l2tp.avp.message_type",
                "-e",
                "ip.src",
            ];
            crate::net::run(&words).lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let all = show("sesame", "l2tp.type == 1");
        for (kind, from) in [(1, 1), (2, 2), (3, 1), (10, 1), (11, 2), (12, 1)] {
            let line = format!("{kind}\t192.0.2.{from}");
            assert!(all.contains(&line), "{name}: no message {line:?} in {all:?}");
        }
        assert!(all.iter().all(|line| line.contains("\t192.0.2.")), "{name}: {all:?}");
        for wrong in ["l2tp.incorrect_digest", "_ws.malformed", "_ws.expert.severity >= 6291456"] {
            let found = show("sesame", wrong);
            assert!(found.is_empty(), "{name}: {wrong}: {found:?}");
        }
        assert!(show("another", "l2tp.incorrect_digest").len() >= 6, "tshark looks at the digests");
        a.stop();
        b.stop();
    }
}

/// `l2tpctl trace`: a pcapng file that tshark reads.
fn trace_can_be_read() {
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "", "");
    let file = net.dir.join("trace.pcapng");
    let mut trace = Follower::start(&a, &["trace", "t", file.to_str().expect("path")]);
    a.ctl_ok(&["clear", "session", "l0"]); // a CDN, and an acknowledgement of it
    b.expect("info receive CDN, state --> IDLE");
    wait_for("the next ICRQ", || holds(&file, 10).then_some(()));
    crate::sys::kill(trace.0.id(), libc::SIGINT);
    let _ = trace.0.wait();
    let size = std::fs::metadata(&file).map(|data| data.len()).unwrap_or_default();
    assert!(size > 100, "the trace has {size} octets");
    if crate::net::have("tshark") {
        let text = crate::net::run(&["tshark", "-n", "-r", file.to_str().expect("path"), "-Y", "l2tp"]);
        assert!(text.lines().count() >= 2 && !text.contains("Malformed"), "{text}");
    }
    a.stop();
    b.stop();
}
