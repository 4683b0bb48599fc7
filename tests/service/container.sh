# Containers for the init systems: process, mount, network and cgroup namespaces with an init of their own as process
# 1. Sourced by service_test.sh. Nothing of them is left when `stop_container` returns or the test ends.

container=
cgroup=

# Whether this machine lets us have what a container needs; if not, `$why` tells.
can_contain() {
    why=
    [ "$(id -u)" = 0 ] || { why="not root"; return 1; }
    [ -c /dev/net/tun ] || { why="no /dev/net/tun"; return 1; }
    [ -L /bin ] && [ -L /sbin ] || { why="/bin is not a part of /usr here"; return 1; }
    for program in unshare nsenter pgrep ip; do
        command -v $program >/dev/null || { why="no $program"; return 1; }
    done
    unshare -m -p -f -C -u -i -n sh -c 'mount --make-rprivate / && mount -t tmpfs none /mnt && mkdir /mnt/a /mnt/b &&
        mount -t overlay -o ro,lowerdir=/mnt/a:/usr none /mnt/b' 2>/dev/null || { why="no namespaces or no overlay here"; return 1; }
}

# A control group for the container: an init that uses them must not touch those of the machine.
make_cgroup() {
    for above in /sys/fs/cgroup /sys/fs/cgroup/unified; do
        [ -e $above/cgroup.controllers ] || continue
        mkdir "$above/l2tpd-test-$$" 2>/dev/null || continue
        cgroup=$above/l2tpd-test-$$
        return
    done
    return 1
}

# start_container EXTRA COMMAND...
start_container() {
    make_cgroup || cgroup=
    mkdir -p "$work/root"
    (
        [ -z "$cgroup" ] || sh -c 'echo $PPID' >"$cgroup/cgroup.procs"
        exec unshare -m -p -f -C -u -i -n --kill-child sh tests/service/root.sh "$work/root" "$stage" "$@"
    ) >"$work/console" 2>&1 &
    outside=$!
    wait_for 10 find_container || cat "$work/console"
}

# The first process of the container, once it is the init system itself.
find_container() {
    container=$(pgrep -P "$outside") && [ -e "/proc/$container/root/old" ] \
        && tr '\0' ' ' <"/proc/$container/cmdline" | grep -qv tests/service/root.sh
}

# inside COMMAND...: runs it in the container.
inside() {
    nsenter -t "$container" -m -u -i -n -p -C -r -w env -i PATH=/usr/sbin:/usr/bin TERM=dumb "$@" </dev/null
}

stop_container() {
    [ -z "$container" ] || kill -KILL "$container"
    [ -z "$outside" ] || wait "$outside" 2>/dev/null
    container=
    outside=
    if [ -n "$cgroup" ]; then
        [ "$failed" = 0 ] || cat "$work/console"
        wait_for 5 remove_cgroup
        cgroup=
    fi
}

remove_cgroup() {
    find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null
    [ ! -e "$cgroup" ]
}

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
    turns=$(($1 * 10))
    shift
    while ! "$@"; do
        turns=$((turns - 1))
        [ $turns -gt 0 ] || return 1
        sleep 0.1
    done
}

# The peer: a daemon of its own in the container's network, outside of what the init system looks after.
start_peer() {
    inside /usr/sbin/l2tpd -d -l debug -c /etc/peer.conf -p /run/peer.pid -s /run/peer.sock >"$work/peer.log" 2>&1 &
    wait_for 10 grep -q 'l2tpd start' "$work/peer.log"
}

stop_peer() {
    inside sh -c 'kill "$(cat /run/peer.pid)"'
}

# What init scripts and units are told to start.
daemon_pid() {
    inside cat /run/l2tpd.pid 2>/dev/null
}

good_file() {
    put_file /etc/l2tpd.conf "$work/l2tpd.conf"
}

bad_file() {
    put_file /etc/l2tpd.conf "$work/bad.conf"
}

# As the good one, with another hello-interval.
changed_file() {
    put_file /etc/l2tpd.conf "$work/changed.conf"
}

# put_file NAME-INSIDE FILE
put_file() {
    cp "$2" "/proc/$container/root$1"
}

# logged TEXT: by the daemon that runs.
logged() {
    inside /usr/sbin/l2tpctl log 2>/dev/null | grep -q "$1"
}

changed() {
    logged 'tunnel t: changed live (hello-interval)'
}

session_up() {
    inside /usr/sbin/l2tpctl status 2>/dev/null | grep -q 'State *:established'
}

answers() {
    inside /usr/sbin/l2tpctl log >/dev/null 2>&1
}

gone() {
    ! answers && ! inside sh -c "kill -0 $1" 2>/dev/null
}
