//! `sequencing`.

use crate::capture::Capture;
use crate::net::Net;
use crate::pair::caller_and_answerer;
use crate::tests;

tests!(sequence_numbers_on_the_wire,);

fn sequence_numbers_on_the_wire() {
    let net = Net::new();
    let capture = Capture::start(&net, "sequence", "ip proto 115");
    let (mut a, mut b) = caller_and_answerer(&net, "", "    l2-sublayer default\n    sequencing both\n");
    let capture = capture.finish();
    let seen = capture.fields("", "icmp", &["ip.src", "l2tp.l2_spec_s", "l2tp.l2_spec_sequence"]);
    let mine: Vec<u32> = seen
        .iter()
        .filter(|line| line.starts_with("192.0.2.1"))
        .map(|line| {
            let fields: Vec<&str> = line.split('|').collect();
            // The one is tshark 4.0's, the other 4.4's.
            assert!(["1", "True"].contains(&fields[1]), "the S bit of {line}");
            fields[2].parse().expect("number")
        })
        .collect();
    assert!(mine.len() >= 3 && mine.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
    a.stop();
    b.stop();
}
