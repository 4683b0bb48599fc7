# OpenRC's script, with openrc-init as process 1. Sourced by service_test.sh.

openrc_test() {
    [ -e "$peers/openrc/done" ] || { skip openrc "not fetched (tests/peers/fetch.sh)"; return; }
    make -s install-openrc DESTDIR="$stage" PREFIX=/usr >/dev/null
    mkdir -p "$stage/etc/runlevels/default"
    printf '#!/sbin/openrc-run\ndepend() {\n\tprovide net\n}\nstart() {\n\t:\n}\n' >"$stage/etc/init.d/network"
    chmod 755 "$stage/etc/init.d/network"
    ln -s /etc/init.d/network "$stage/etc/runlevels/default/"
    start_container "$peers/openrc/root" /sbin/openrc-init
    check openrc_comes_up 'wait_for 20 inside rc-service -q network status >/dev/null 2>&1'
    start_peer
    script_test openrc "rc-service l2tpd"
    good_file
    inside rc-update -q add l2tpd default
    check openrc_runlevel 'inside openrc default >/dev/null 2>&1 && wait_for 10 session_up'
    stop_container
}
