//! `hidden`.

use crate::capture::Capture;
use crate::net::Net;
use crate::pair::caller_and_answerer;
use crate::tests;

tests!(hidden_avps_are_understood,);

/// Nothing but ids is readable where AVPs are hidden, and the other end reads it all.
fn hidden_avps_are_understood() {
    let net = Net::new();
    let capture = Capture::start(&net, "hidden", "ip proto 115");
    let (mut a, mut b) = caller_and_answerer(&net, "  password x\n  hidden on\n", "    cookie 8\n");
    let capture = capture.finish();
    let hidden = capture.fields("x", "l2tp.avp.hidden == 1", &["frame.number"]);
    assert!(!hidden.is_empty(), "no hidden AVP on the wire");
    let bare = capture.fields("x", "l2tp.avp.assigned_cookie", &["frame.number"]);
    assert!(bare.is_empty(), "a cookie in the clear");
    a.stop();
    b.stop();
}
