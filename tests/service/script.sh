# What OpenRC's and System V's scripts have in common. Sourced by service_test.sh.

# script_test NAME COMMAND: `COMMAND start` and so on. The daemon is not running; the peer is.
script_test() {
    kind=$1
    script=$2
    bad_file
    check ${kind}_start_with_a_bad_file_fails 'tells_the_error start && ! answers'
    good_file
    check ${kind}_start 'script start && answers'
    pid=$(daemon_pid)
    check ${kind}_session 'wait_for 10 session_up'
    check ${kind}_status 'script status'
    check ${kind}_a_second_start_does_no_harm 'script start; runs "$pid"'
    changed_file
    check ${kind}_reload 'script reload && wait_for 5 changed'
    bad_file
    check ${kind}_reload_of_a_bad_file_fails 'tells_the_error reload && runs "$pid"'
    check ${kind}_restart_with_a_bad_file_fails 'tells_the_error restart && runs "$pid" && session_up'
    check ${kind}_status_afterwards 'script status'
    good_file
    check ${kind}_restart 'script restart && ! runs "$pid" && wait_for 10 session_up'
    pid=$(daemon_pid)
    inside sh -c "kill -KILL $pid"
    wait_for 5 gone "$pid"
    # Debian's OpenRC does not see that a daemon is gone.
    [ "$kind" != openrc ] || script zap
    check ${kind}_a_crash_is_no_obstacle '! script status && script start && wait_for 10 session_up'
    pid=$(daemon_pid)
    : >"$work/peer.log"
    check ${kind}_stop 'script stop && gone "$pid"'
    check ${kind}_the_end_is_told_to_the_peer 'wait_for 5 grep -q "receive StopCCN" "$work/peer.log"'
    check ${kind}_status_of_a_stopped_daemon '! script status'
    check ${kind}_a_second_stop_does_no_harm 'script stop'
}

# Runs the script; what it says is in $work/said.
script() {
    # shellcheck disable=SC2086
    inside $script "$1" >"$work/said" 2>&1
}

# The command fails and names the place in the file.
tells_the_error() {
    ! script "$1" && grep -q '/etc/l2tpd.conf:2:3: remote-adress' "$work/said"
}

runs() {
    answers && [ "$(daemon_pid)" = "$1" ]
}
