# The script for System V init, with that as process 1. Sourced by service_test.sh.

sysvinit_test() {
    [ -e "$peers/sysvinit/done" ] || { skip sysvinit "not fetched (tests/peers/fetch.sh)"; return; }
    make -s install-sysvinit DESTDIR="$stage" PREFIX=/usr >/dev/null
    cp "$work/l2tpd.conf" "$stage/etc/l2tpd.conf"
    printf '%s\n' id:2:initdefault: 'l2:2:wait:/etc/init.d/rc 2' 'l0:0:wait:/etc/init.d/rc 0' >"$stage/etc/inittab"
    mkdir -p "$stage/etc/rc2.d" "$stage/etc/rc0.d"
    ln -s ../init.d/l2tpd "$stage/etc/rc2.d/S03l2tpd"
    ln -s ../init.d/l2tpd "$stage/etc/rc0.d/K01l2tpd"
    start_container "$peers/sysvinit/root" /sbin/init
    check sysvinit_starts_it_with_the_machine 'wait_for 20 answers'
    start_peer
    check sysvinit_stop_after_boot 'inside /etc/init.d/l2tpd stop >/dev/null 2>&1 && ! answers'
    script_test sysvinit /etc/init.d/l2tpd
    # What a crash has left behind may be the number of another process.
    inside sh -c 'echo 1 >/run/l2tpd.pid'
    check sysvinit_a_foreign_process_is_left_alone 'inside /etc/init.d/l2tpd stop >/dev/null && ! inside /etc/init.d/l2tpd status >/dev/null'
    inside /etc/init.d/l2tpd start >/dev/null 2>&1
    wait_for 10 session_up
    : >"$work/peer.log"
    inside telinit 0
    check sysvinit_ends_it_with_the_machine 'wait_for 20 grep -q "receive StopCCN" "$work/peer.log"'
    stop_container
}
