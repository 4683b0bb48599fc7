# OpenWrt's script, with a stand-in for rc.common and procd. Sourced by service_test.sh.

# The parts of rc.common and procd that matter: functions that the script may replace, the order of the calls, and
# what procd makes of a service that it is told of - one without an instance it ends.
write_rc_common() {
    cat <<'END'
initscript=$1
action=$2
service=${initscript##*/}
cd "$PROCD" || exit 1
tell() { echo "$*" >>told; }

restart() {
    trap '' TERM
    stop
    start
}

procd_open_instance() { echo instance >>set; }
procd_close_instance() { echo end >>set; }
procd_add_reload_trigger() { tell "trigger config.change $1 /etc/init.d/$service reload"; }
procd_set_param() {
    case $1 in
    command | netdev | file | respawn | watch | watchdog | env | data | limits | nice | term_timeout | reload_signal) ;;
    pidfile | user | group | facility | stdout | stderr | no_new_privs) ;;
    *) tell "unknown parameter $1" ;;
    esac
    echo "$*" >>set
    [ "$1" != file ] || cksum "$2" >>set
}

. "$initscript"

start() {
    : >set
    start_service
    service_triggers
    if ! grep -q instance set; then
        tell end
        rm -f service
    elif [ ! -e service ]; then
        tell "run $(sed -n 's/^command //p' set)"
        mv set service
    elif ! cmp -s set service; then
        tell "signal $(sed -n 's/^reload_signal //p' set)"
        mv set service
    fi
}

stop() {
    tell end
    rm -f service
}

reload() {
    start
}

"$action"
END
}

# procd ACTION: what the script does; `told` of what procd hears has only what came of it.
procd() {
    rm -f "$PROCD/told"
    $shell "$work/rc.common" "$stage/etc/init.d/l2tpd" "$1" >"$work/said" 2>&1
}

told() {
    grep -v '^trigger' "$PROCD/told" 2>/dev/null | tr '\n' ';'
}

refused() {
    ! procd "$1" && [ -z "$(told)" ] && grep -q 'l2tpd.conf:2:3: remote-adress' "$work/said"
}

procd_test() {
    shell=sh
    ! command -v busybox >/dev/null || shell="busybox sh"
    PROCD=$work/procd
    export PROCD
    mkdir "$PROCD"
    write_rc_common >"$work/rc.common"
    # The paths of the staging directory instead of the root's.
    make -s install-procd DESTDIR="$stage" PREFIX=/usr SBINDIR="$stage/usr/sbin" >/dev/null
    sed "s|CONFIG=.*|CONFIG=$stage/etc/l2tpd.conf|" "$stage/etc/init.d/l2tpd" >"$work/script"
    cp "$work/script" "$stage/etc/init.d/l2tpd"
    command="$stage/usr/sbin/l2tpd -d -c $stage/etc/l2tpd.conf"

    cp "$work/bad.conf" "$stage/etc/l2tpd.conf"
    check procd_start_with_a_bad_file_fails 'refused start'
    cp "$work/l2tpd.conf" "$stage/etc/l2tpd.conf"
    check procd_start 'procd start && [ "$(told)" = "run $command;" ]'
    check procd_has_a_trigger 'grep -qx "trigger config.change l2tpd /etc/init.d/l2tpd reload" "$PROCD/told"'
    check procd_reload_of_the_same_file 'procd reload && [ -z "$(told)" ]'
    cp "$work/changed.conf" "$stage/etc/l2tpd.conf"
    check procd_reload 'procd reload && [ "$(told)" = "signal HUP;" ]'
    cp "$work/bad.conf" "$stage/etc/l2tpd.conf"
    check procd_reload_of_a_bad_file_fails 'refused reload'
    check procd_restart_with_a_bad_file_fails 'refused restart'
    cp "$work/l2tpd.conf" "$stage/etc/l2tpd.conf"
    check procd_restart 'procd restart && [ "$(told)" = "end;run $command;" ]'
    check procd_stop 'procd stop && [ "$(told)" = "end;" ]'
}
