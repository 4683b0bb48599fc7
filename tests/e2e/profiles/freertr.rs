//! freeRtr: protocol 115, no digests, no cookies, no sublayer, one message in flight, acknowledgements by ZLB only.
//! An ACK message would take an Ns there and block the connection; a duplicate is never acknowledged again.

use std::time::{Duration, Instant};

use super::{frames_pass, PATIENCE};
use crate::daemon::Daemon;
use crate::net::Net;
use crate::peer::*;
use crate::runner::note;
use crate::tests;
use crate::wait::wait_until;

tests!(
    freertr_server,
    freertr_server_with_a_password,
    freertr_server_that_holds_an_old_connection,
    freertr_server_that_still_has_us,
    freertr_server_that_is_slow_to_forget,
    freertr_server_that_forgot_us,
    freertr_client,
);

const SETTINGS: &str = "  retry 10\n  retry-interval 0.5\n";
const SLI: u16 = 16;

struct Router {
    peer: Peer,
    /// Messages that came more than once.
    duplicates: usize,
}

impl Router {
    fn new(net: &Net) -> Router {
        Router { peer: Peer::new(net), duplicates: 0 }
    }

    /// The next new message, which must be of type `kind`. It is not acknowledged here; a duplicate is not at all.
    #[track_caller]
    fn take(&mut self, kind: u16) -> Msg {
        let deadline = Instant::now() + PATIENCE;
        while let Some(message) =
            self.peer.receive_control(deadline.saturating_duration_since(Instant::now()))
        {
            let Some(got) = message.kind() else { continue };
            assert_ne!(got, ACK, "an ACK message would block such a router");
            if message.ns != self.peer.nr {
                self.duplicates += 1;
                continue;
            }
            self.peer.nr = self.peer.nr.wrapping_add(1);
            assert_eq!(got, kind, "the type of {message:?}");
            if kind == SCCRQ || kind == SCCRP {
                self.peer.remote = message.u32(61);
            }
            return message;
        }
        panic!("the router waited in vain for message type {kind}");
    }

    /// Waits until everything sent is acknowledged: it does not send before.
    #[track_caller]
    fn acknowledged(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while let Some(message) =
            self.peer.receive_control(deadline.saturating_duration_since(Instant::now()))
        {
            assert_eq!(message.kind(), None, "only a ZLB is expected");
            if message.nr == self.peer.ns {
                return;
            }
        }
        panic!("the router's message is not acknowledged");
    }

    /// SCCRQ or SCCRP, in its order and with its M bits.
    fn set_up(&self, kind: u16) -> Out {
        let mut out = Out::new(kind)
            .with(avp(2, &[1, 0]))
            .with(avp(3, &[0, 0, 0, 3]))
            .with(avp(4, &[0, 0, 0, 3]).optional());
        if kind == SCCRQ {
            out = out.with(avp(5, &TIE).optional());
        }
        out.with(avp(7, &self.peer.host))
            .with(avp(10, &[4, 0]))
            .with(avp(60, &self.peer.router_id).optional())
            .with(avp(61, &self.peer.ccid.to_be_bytes()).optional())
            .with(avp(62, &[0, 5, 0, 4, 0, 6, 0, 7]).optional())
    }

    /// Answers as the server: control connection, session, link information.
    #[track_caller]
    fn serve(&mut self, challenge: bool) -> Call {
        self.take(SCCRQ);
        self.serve_request(challenge)
    }

    /// The same, once it has the SCCRQ.
    #[track_caller]
    fn serve_request(&mut self, challenge: bool) -> Call {
        let mut reply = self.set_up(SCCRP);
        if challenge {
            reply = reply.with(avp(11, &[0x5a; 16]));
        }
        self.peer.send(&reply);
        self.take(SCCCN);
        self.peer.send_ack();
        let icrq = self.take(ICRQ);
        assert!(icrq.avp(65).is_none(), "no cookie is configured");
        let call = Call { local: 0x1122_3344, remote: icrq.u32(63), cookie: Vec::new() };
        let reply = Out::new(ICRP)
            .with(avp(15, &[0, 0, 0, 1]))
            .with(avp(63, &call.local.to_be_bytes()).optional())
            .with(avp(64, &call.remote.to_be_bytes()).optional())
            .with(avp(66, icrq.avp(66).expect("Remote End ID")).optional())
            .with(avp(68, &[0, 5]).optional())
            .with(avp(71, &[0, 1]).optional());
        self.peer.send(&reply);
        self.take(ICCN); // acknowledges the ICRP
        self.peer.send_ack();
        self.link_information(&call);
        call
    }

    #[track_caller]
    fn link_information(&mut self, call: &Call) {
        let message = Out::new(SLI)
            .with(avp(63, &call.local.to_be_bytes()).optional())
            .with(avp(64, &call.remote.to_be_bytes()).optional())
            .with(avp(71, &[0, 1]).optional());
        self.peer.send(&message);
        self.acknowledged();
    }
}

/// It sends this constant, and never looks at the other's.
const TIE: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf0];

fn start(net: &Net, more: &str, sessions: &str) -> Daemon {
    Daemon::start(net, &net.a, &config(&format!("{SETTINGS}{more}"), sessions))
}

fn freertr_server() {
    let net = Net::new();
    let mut router = Router::new(&net);
    // What is acknowledged late on a busy machine is not sent twice.
    let patient = SETTINGS.replace("retry-interval 0.5", "retry-interval 5");
    let text = config(&format!("{patient}  hello-interval 1\n"), SESSION);
    let mut daemon = Daemon::start(&net, &net.a, &text);
    let call = router.serve(false);
    frames_pass(&net, &mut router.peer, &call, &[]);
    router.take(HELLO);
    router.peer.send_ack();
    router.peer.send(&Out::new(HELLO));
    router.acknowledged();
    assert_eq!(router.duplicates, 0, "nothing was sent twice: what it repeats is not acknowledged");
    daemon.signal(libc::SIGTERM);
    router.take(STOPCCN);
    router.peer.send_ack();
    assert_eq!(daemon.wait_exit().code(), Some(0));
}

/// Its Challenge is one of L2TPv2: passed over. (Such a router then refuses us by silence.)
fn freertr_server_with_a_password() {
    let net = Net::new();
    let mut router = Router::new(&net);
    let mut daemon = start(&net, "", SESSION);
    router.serve(true);
    daemon.expect("info send ICCN, state --> ESTABLISHED");
}

/// What a server does with a connection whose other end is silent. The times are those of the real one, except that
/// a second takes 60 ms.
struct Watch {
    hello: Vec<u8>,
    /// How often the HELLO was sent, and when it is the next time.
    hellos: u32,
    next: Instant,
}

impl Watch {
    const SILENCE: Duration = Duration::from_millis(25 * 60);
    const AGAIN: Duration = Duration::from_millis(5 * 60);

    fn new(router: &mut Router) -> Watch {
        let hello = router.peer.build(&Out::new(HELLO));
        Watch { hello, hellos: 0, next: Instant::now() + Watch::SILENCE }
    }

    /// Every packet from that address counts, also one that is dropped.
    fn heard(&mut self) {
        (self.hellos, self.next) = (0, Instant::now() + Watch::SILENCE);
    }

    /// Sends what is due; whether the connection is forgotten now.
    fn is_over(&mut self, router: &Router) -> bool {
        if Instant::now() < self.next {
            return false;
        }
        if self.hellos == 8 {
            return true;
        }
        router.peer.send_control_raw(&self.hello);
        self.hellos += 1;
        self.next = Instant::now() + Watch::AGAIN;
        false
    }
}

/// We crash. While it holds the old connection from our address it drops every SCCRQ, and it holds that connection as
/// long as it hears any. Our attempts, which nothing answers, space out until it has forgotten.
fn freertr_server_that_holds_an_old_connection() {
    let net = Net::new();
    let mut router = Router::new(&net);
    let settings = "  retry 2\n  retry-interval 0.1\n  restart-interval-max 4\n";
    let text = config(settings, SESSION);
    let mut daemon = Daemon::start(&net, &net.a, &text);
    router.serve(false);
    daemon.kill();
    drop(daemon);
    let mut daemon = Daemon::start(&net, &net.a, &text);
    let started = Instant::now();
    let mut watch = Watch::new(&mut router);
    let (mut dropped, mut asked) = (0, 0);
    loop {
        assert!(started.elapsed() < PATIENCE, "{}", daemon.tail(30));
        asked = asked.max(watch.hellos);
        let left = watch.next.saturating_duration_since(Instant::now());
        if let Some(message) = router.peer.receive_control(left) {
            dropped += usize::from(message.kind() == Some(SCCRQ));
            watch.heard();
        } else if watch.is_over(&router) {
            break;
        }
    }
    assert!(dropped >= 4 && asked > 0, "{dropped} SCCRQs were dropped");
    router.peer.restart(0x0011_2233);
    let call = router.serve(false);
    frames_pass(&net, &mut router.peer, &call, &[]);
    daemon.expect("error failed to send control message. tunnel shutdown");
    daemon.expect("info send ICCN, state --> ESTABLISHED");
    assert_eq!(daemon.count("*send StopCCN*"), 0);
}

/// We crash, and have a state file: it knows our HELLO, though its number is an old one. Frames pass at once.
fn freertr_server_that_still_has_us() {
    let mut net = Net::new();
    // Our Nr may go back in a crash.
    net.unrecorded();
    let mut router = Router::new(&net);
    let file = net.dir.join("state");
    let text = format!("state-file {}\n{}", file.display(), config(SETTINGS, SESSION));
    let mut daemon = Daemon::start(&net, &net.a, &text);
    let call = router.serve(false);
    frames_pass(&net, &mut router.peer, &call, &[]);
    let mut times = Vec::new();
    for _ in 0..5 {
        // Until the session is written down.
        wait_until(
            || std::fs::read(&file).is_ok_and(|octets| octets.windows(2).any(|part| part == b"l0")),
            || "no session in the file".to_owned(),
        );
        daemon.kill();
        let killed = Instant::now();
        daemon = Daemon::start(&net, &net.a, &text);
        let hello = router.peer.receive_control(PATIENCE).expect("a HELLO");
        assert_eq!(hello.kind(), Some(HELLO));
        if hello.ns == router.peer.nr {
            router.peer.nr = router.peer.nr.wrapping_add(1);
        }
        router.peer.send_ack();
        frames_pass(&net, &mut router.peer, &call, &[]);
        times.push(killed.elapsed());
        daemon.expect("info   tunnel t1 goes on after a crash: the peer still has connection *");
    }
    times.sort_unstable();
    note(format!("killed and started again, freeRtr with a state-file: frames pass after {:?}", times[2]));
    assert_eq!(daemon.count("*SCCRQ*"), 0);
}

/// It was restarted, and never calls: it answers our HELLO, which it cannot place, with a ZLB whose id is 0. With the
/// defaults it is served again within 15 s.
fn freertr_server_that_forgot_us() {
    let net = Net::new();
    let mut router = Router::new(&net);
    let text = config("  hello-interval 1\n  retry 10\n  retry-interval 1\n  restart-interval 10\n", SESSION);
    let mut daemon = Daemon::start(&net, &net.a, &text);
    router.serve(false);
    router.peer.restart(0x0011_2233);
    let mut asked = None;
    let request = loop {
        let message = router.peer.receive_control(PATIENCE).expect("something of the daemon");
        match message.kind() {
            Some(SCCRQ) => break message,
            Some(HELLO) => {
                asked.get_or_insert(Instant::now());
                router.peer.send_ack();
            }
            None => {}
            Some(other) => panic!("{other} is not expected"),
        }
    };
    router.peer.remote = request.u32(61);
    router.peer.nr = 1;
    let call = router.serve_request(false);
    let back = asked.expect("a HELLO").elapsed();
    assert!(back < Duration::from_secs(30), "{back:?}");
    frames_pass(&net, &mut router.peer, &call, &[]);
    daemon
        .expect_all(&["debug [*] send control packet(3): HELLO", "error failed to send control message. *"]);
}

/// After our StopCCN the first SCCRQ is lost: it frees the connection a little later only.
fn freertr_server_that_is_slow_to_forget() {
    let net = Net::new();
    let mut router = Router::new(&net);
    let daemon = start(&net, "", SESSION);
    router.serve(false);
    daemon.ctl_ok(&["clear", "tunnel", "t1"]);
    router.take(STOPCCN);
    router.peer.send_ack();
    router.peer.restart(0x0011_2233);
    let lost = router.take(SCCRQ);
    router.peer.restart(0x0011_2233);
    let call = router.serve(false);
    assert_eq!(router.peer.remote, lost.u32(61), "it was the same one, once more");
    frames_pass(&net, &mut router.peer, &call, &[]);
}

/// As a client it waits up to five seconds before it asks for the session. It acknowledges our request meanwhile by
/// its next message only, never answers it, and begins all anew when its own loses the tie.
fn freertr_client() {
    let net = Net::new();
    let mut router = Router::new(&net);
    let mut daemon = start(&net, "  role passive\n", "  session l0\n    remote-end-id 1234\n");
    daemon.expect("debug l2tpd start");
    router.peer.send(&router.set_up(SCCRQ));
    router.take(SCCRP);
    router.peer.send(&Out::new(SCCCN));
    router.acknowledged();
    router.take(ICRQ);
    std::thread::sleep(Duration::from_secs(1)); // it is slow: that is the case
    let icrq = Out::new(ICRQ)
        .with(avp(5, &TIE).optional())
        .with(avp(15, &[0, 0, 0, 1]))
        .with(avp(63, &0x1122_3344_u32.to_be_bytes()).optional())
        .with(avp(64, &[0; 4]).optional())
        .with(avp(66, b"1234").optional())
        .with(avp(68, &[0, 5]).optional())
        .with(avp(71, &[0, 1]).optional());
    router.peer.send(&icrq);
    let icrp = router.take(ICRP);
    let call = Call { local: 0x1122_3344, remote: icrp.u32(63), cookie: Vec::new() };
    let iccn = Out::new(ICCN)
        .with(avp(24, &64000_u32.to_be_bytes()))
        .with(avp(38, &64000_u32.to_be_bytes()).optional())
        .with(avp(63, &call.local.to_be_bytes()).optional())
        .with(avp(64, &call.remote.to_be_bytes()).optional())
        .with(avp(71, &[0, 1]).optional());
    router.peer.send(&iccn);
    router.acknowledged();
    router.link_information(&call);
    frames_pass(&net, &mut router.peer, &call, &[]);
    assert_eq!(daemon.count("info send CDN*"), 0);
}
