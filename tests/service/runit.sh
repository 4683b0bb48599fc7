# The runit service, with runsvdir as process 1. Sourced by service_test.sh.

another() {
    answers && [ "$(daemon_pid)" != "$1" ]
}

runit_test() {
    [ -e "$peers/runit/done" ] || { skip runit "not fetched (tests/peers/fetch.sh)"; return; }
    make -s install-runit DESTDIR="$stage" PREFIX=/usr >/dev/null
    cp "$work/l2tpd.conf" "$stage/etc/l2tpd.conf"
    # Debian's /etc/service leads there.
    services=/etc/runit/runsvdir/current
    mkdir -p "$stage$services"
    ln -s /etc/sv/l2tpd "$stage$services/"
    start_container "$peers/runit/root" runsvdir -P $services
    check runit_starts_it_with_the_machine 'wait_for 20 answers'
    start_peer
    check runit_session 'wait_for 10 session_up'
    pid=$(daemon_pid)
    changed_file
    check runit_reload 'inside sv reload l2tpd >/dev/null && wait_for 5 changed'
    bad_file
    inside sv reload l2tpd >/dev/null
    check runit_reload_of_a_bad_file_changes_nothing 'wait_for 5 logged remote-adress && another 0 && [ "$(daemon_pid)" = "$pid" ] && session_up'
    good_file
    inside sh -c "kill -KILL $pid"
    check runit_a_crashed_daemon_is_started_again 'wait_for 10 another "$pid" && wait_for 10 session_up'
    pid=$(daemon_pid)
    check runit_restart 'inside sv -w 20 restart l2tpd >/dev/null && wait_for 10 another "$pid" && wait_for 10 session_up'
    pid=$(daemon_pid)
    : >"$work/peer.log"
    check runit_stop 'inside sv -w 20 stop l2tpd >/dev/null && gone "$pid"'
    check runit_the_end_is_told_to_the_peer 'wait_for 5 grep -q "receive StopCCN" "$work/peer.log"'
    stop_container
}
