# The unit under systemd as process 1. Sourced by service_test.sh.

# Only these units: what else this machine has installed is not started in the container.
UNITS="basic.target sysinit.target sockets.target timers.target paths.target slices.target local-fs.target swap.target
    multi-user.target network.target network-online.target shutdown.target umount.target final.target rescue.target
    emergency.target systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket"

property() {
    inside systemctl show -p "$1" --value l2tpd
}

is() {
    [ "$(property "$1")" = "$2" ]
}

restarted() {
    is ActiveState active && [ "$(property MainPID)" != "$1" ]
}

# said PRIORITY PATTERN: in the journal, from the daemon or its reload.
said() {
    inside journalctl -q -o json -u l2tpd | grep "\"PRIORITY\":\"$1\"" | grep -q "\"MESSAGE\":\"$2"
}

systemd_test() {
    systemd=/usr/lib/systemd/systemd
    [ -x $systemd ] || { skip systemd "systemd is not installed"; return; }
    make -s install-systemd DESTDIR="$stage" PREFIX=/usr >/dev/null
    units=$stage/etc/systemd/test
    mkdir -p "$units"
    for unit in $UNITS; do
        cp "/usr/lib/systemd/system/$unit" "$units/"
    done
    ln -s multi-user.target "$units/default.target"
    mkdir "$units/sysinit.target.wants"
    ln -s ../systemd-journald.service ../systemd-journald.socket ../systemd-journald-dev-log.socket \
        "$units/sysinit.target.wants/"
    ln -s /usr/lib/systemd/system/l2tpd.service "$units/"
    # As the timer says where it belongs.
    cp man/monitoring/l2tpd-textfile.service man/monitoring/l2tpd-textfile.timer "$units/"
    mkdir -p "$stage/usr/local/sbin"
    cp man/monitoring/l2tpd-textfile "$stage/usr/local/sbin/"
    chmod 0755 "$stage/usr/local/sbin/l2tpd-textfile"
    start_container /nonexistent SYSTEMD_UNIT_PATH=/etc/systemd/test $systemd --system
    if ! wait_for 20 inside systemctl -q is-active multi-user.target 2>/dev/null; then
        skip systemd "systemd does not come up in a container"
        stop_container
        return
    fi
    systemd_starts_and_reloads
    systemd_fails_and_restarts
    stop_container
}

systemd_starts_and_reloads() {
    good_file
    start_peer
    check systemd_start 'inside systemctl start l2tpd'
    check systemd_is_ready_when_the_start_returns answers
    pid=$(property MainPID)
    check systemd_knows_the_process '[ "$pid" = "$(daemon_pid)" ] && is Type notify'
    check systemd_the_sandbox_lets_a_session_up 'wait_for 10 session_up && inside ip link show master br1 | grep -q l1'
    # NET_BIND_SERVICE, NET_ADMIN, NET_RAW.
    check systemd_capabilities 'grep -q "CapBnd:.*0000000000003400$" "/proc/$container/root/proc/$pid/status"'
    check systemd_the_sandbox_lets_programs_in '! grep -q "data-plane auto: bpf" "$work/peer.log" || said 6 "  data-plane auto: bpf"'
    check systemd_journal_has_the_levels 'wait_for 5 said 6 "send SCCRQ" && ! said . "....-..-..T"'

    # Another process goes on with the session, as systemd learns.
    check systemd_follows_a_new_program 'inside /usr/sbin/l2tpctl restart && wait_for 5 restarted "$pid"'
    pid=$(property MainPID)
    check systemd_knows_the_new_process '[ "$pid" = "$(daemon_pid)" ] && is NRestarts 0 && session_up'
    check systemd_the_peer_noticed_nothing '! grep -q "receive StopCCN" "$work/peer.log"'

    inside mkdir -p /var/lib/prometheus/node-exporter
    check systemd_the_timer_writes_metrics 'inside systemctl start l2tpd-textfile.timer \
        && wait_for 30 inside grep -qs "^l2tpd_scrape_success 1" /var/lib/prometheus/node-exporter/l2tpd.prom'
    inside systemctl stop l2tpd-textfile.timer

    changed_file
    check systemd_reload 'inside systemctl reload l2tpd && said 6 "tunnel t: changed live (hello-interval)"'
    check systemd_reload_of_the_same_file 'inside systemctl reload l2tpd && is ActiveState active'
    bad_file
    check systemd_reload_of_a_bad_file_fails '! inside systemctl reload l2tpd 2>/dev/null'
    check systemd_reload_tells_the_error 'wait_for 5 said . "l2tpctl: /etc/l2tpd.conf:2:3: remote-adress"'
    check systemd_reload_of_a_bad_file_changes_nothing 'is ActiveState active && is MainPID "$pid" && session_up'
}

systemd_fails_and_restarts() {
    # With the bad file still there: the crashed daemon is started again, says why it cannot, and that is the end.
    kill_inside ABRT
    check systemd_a_bad_file_is_not_tried_again 'wait_for 15 is ActiveState failed && is NRestarts 1'
    check systemd_a_bad_file_has_its_error_in_the_journal 'wait_for 5 said 3 "l2tpd initialization failed"'
    check systemd_start_with_a_bad_file_fails '! inside systemctl start l2tpd 2>/dev/null && is ActiveState failed'
    check systemd_it_stays_so 'is SubState failed && is ExecMainStatus 1'

    printf '[Unit]\nStartLimitIntervalSec=0\n[Service]\nWatchdogSec=2\nRestartSec=1\n' >"$work/quick.conf"
    inside mkdir /etc/systemd/test/l2tpd.service.d
    put_file /etc/systemd/test/l2tpd.service.d/quick.conf "$work/quick.conf"
    sed 's/^hostname/user nobody\nhostname/' "$work/l2tpd.conf" >"$work/nobody.conf"
    put_file /etc/l2tpd.conf "$work/nobody.conf"
    inside systemctl daemon-reload
    check systemd_start_with_user 'inside systemctl start l2tpd && wait_for 10 session_up'
    pid=$(property MainPID)
    # More than twice as long as the watchdog waits.
    wait_for 5 restarted "$pid"
    check systemd_the_watchdog_hears_signs_of_life 'is MainPID "$pid" && is NRestarts 0'
    kill_inside KILL
    check systemd_a_killed_daemon_is_started_again 'wait_for 30 restarted "$pid" && wait_for 30 session_up'
    pid=$(property MainPID)
    kill_inside STOP
    check systemd_the_watchdog_ends_a_daemon_that_hangs 'wait_for 30 restarted "$pid" && said . ".*Watchdog timeout" '
    check systemd_stop 'inside systemctl stop l2tpd && is Result success && is ActiveState inactive'
    check systemd_the_end_is_told_to_the_peer 'wait_for 5 grep -q "receive StopCCN" "$work/peer.log"'
}

# kill_inside SIGNAL: to the daemon. Of one that does not run the id is 0, which would be the whole process group.
kill_inside() {
    is MainPID 0 || inside sh -c "kill -$1 $(property MainPID)"
}
