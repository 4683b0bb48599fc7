//! `manual`: a session without control protocol.

use std::time::Instant;

use crate::daemon::Daemon;
use crate::net::Net;
use crate::pair::addresses;
use crate::tests;
use crate::wait::PATIENCE;

tests!(manual_session,);

/// A session without control protocol.
fn manual_session() {
    let net = Net::new();
    let text = |number: u8, ids: &str, own: &str, others: &str| {
        format!(
            "hostname h{number}\nrouter-id 10.0.0.{number}\ntunnel t\n  local-address 192.0.2.{number}\n  \
             remote-address 192.0.2.{}\n  session l0\n    manual {ids}\n    local-cookie {own}\n    \
             remote-cookie {others}\n",
            3 - number
        )
    };
    let mut a = Daemon::start(&net, &net.a, &text(1, "1001 2002", "0011223344556677", "8899aabbccddeeff"));
    let mut b = Daemon::start(&net, &net.b, &text(2, "2002 1001", "8899aabbccddeeff", "0011223344556677"));
    let deadline = Instant::now() + PATIENCE;
    for name in [&net.a, &net.b] {
        while !net.try_exec(name, &["ip", "link", "show", "l0"]).status.success() {
            assert!(Instant::now() < deadline, "no interface:\n{}", a.tail(20));
        }
    }
    addresses(&net);
    net.ping(&net.a, "10.9.9.2", 56);
    assert_eq!(a.count("*SCCRQ*"), 0, "nothing is negotiated");
    a.stop();
    b.stop();
}
