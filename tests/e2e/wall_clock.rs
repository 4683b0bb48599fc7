//! The wall clock jumps, as it does where NTP sets it or somebody does: nothing but what is shown goes by it. A library
//! that is loaded before the C library makes every look at that clock go three years on or back.

use std::process::Command;

use crate::daemon::Daemon;
use crate::net::{have, Net};
use crate::pair::{addresses, host, need_python, python, up, Flood};
use crate::runner::skip;
use crate::tests;

tests!(each_look_at_the_wall_clock_is_years_off);

const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *time)
{
	static int (*real)(clockid_t, struct timespec *);
	static unsigned looks;

	if (!real)
		real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	int result = real(clock, time);
	if (result == 0 && clock == CLOCK_REALTIME)
		time->tv_sec += (looks++ % 2 ? 1 : -1) * 3L * 365 * 86400;
	return result;
}
"#;

/// Two seconds of HELLOs and frames: the tunnel stays as it is, and what is reckoned in seconds stays right.
fn each_look_at_the_wall_clock_is_years_off() {
    need_python();
    if !have("cc") {
        skip("no C compiler");
    }
    let net = Net::new();
    let (source, library) = (net.dir.join("jumps.c"), net.dir.join("jumps.so"));
    std::fs::write(&source, LIBRARY).expect("source");
    let cc =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl").status();
    assert!(cc.is_ok_and(|status| status.success()), "the library does not compile");
    let preload = format!("LD_PRELOAD={}", library.display());
    let mut b = Daemon::start(&net, &net.b, &host(2, "", "", ""));
    b.expect("debug l2tpd start");
    let mut a = Daemon::start_under(&net, &net.a, &host(1, "", "", ""), &["env", &preload], &[]);
    up(&mut a, 1);
    up(&mut b, 1);
    addresses(&net);
    let year = || python(&a.ctl_ok(&["--json", "status"]), "v['time'][:4]").parse::<i32>().expect("a year");
    let years: Vec<i32> = (0..8).map(|_| year()).collect();
    assert!(years.iter().any(|one| (one - years[0]).abs() > 4), "the clock does not jump: {years:?}");
    let flood = Flood::start(&net, 2);
    a.expect("*send HELLO*");
    a.expect("*send HELLO*");
    flood.lost_nothing();
    let status = a.ctl_ok(&["--json", "status"]);
    let shown = "all(0 < s < 60 for s in [v['uptime'], v['tunnels'][0]['since'], v['tunnels'][0]['sessions'][0]['since']])";
    assert_eq!(python(&status, shown), "True", "{status}");
    for end in [&a, &b] {
        assert_eq!(end.count("*shutdown*") + end.count("*cleanup session*"), 0, "{}", end.tail(20));
    }
    a.stop();
    b.stop();
}
