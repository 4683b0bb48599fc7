//! How soon a dead peer is noticed by a running daemon.

use std::time::{Duration, Instant};

use crate::net::Net;
use crate::pair::{pair, wait_for};
use crate::runner::note;
use crate::tests;

tests!(a_cut_is_noticed_within_half_a_second,);

/// The shortest of so many times counts: the machine may be busy with something else.
const CUTS: usize = 5;

/// C-073: from the cut to `tunnel-down`, as `watch` and the log tell it.
fn a_cut_is_noticed_within_half_a_second() {
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "  hello-interval 0.1\n  retry-interval auto\n  retry 10\n", "");
    let mut times: Vec<Duration> = (0..CUTS)
        .map(|_| {
            a.skip_log();
            net.batch(&net.b, "link set wire down\n");
            let cut = Instant::now();
            a.expect("error failed to send control message*");
            let time = cut.elapsed();
            net.batch(&net.b, "link set wire up\n");
            b.skip_log();
            wait_for("the tunnel", || a.ctl_ok(&["health"]).starts_with("up").then_some(()));
            time
        })
        .collect();
    times.sort();
    note(format!("hello-interval 0.1: from the cut to down {times:?}"));
    assert!(times[0] < Duration::from_millis(500), "{times:?}");
}
