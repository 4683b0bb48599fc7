#!/bin/sh
# Two hosts in two network namespaces, joined by a pseudowire: started, shown working, taken away again.
# Called by `make demo`. Leaves nothing behind, not even after ^C.
set -u
cd "$(dirname "$0")/.." || exit 1
L2TPD=${L2TPD:-$PWD/target/release/l2tpd}
L2TPCTL=${L2TPCTL:-$PWD/target/release/l2tpctl}
A=l2tpd-demo-$$-a
B=l2tpd-demo-$$-b
dir=
pid_a=
pid_b=
pid_x=

if [ -t 1 ]; then bold=$(printf '\033[1m') green=$(printf '\033[32m') plain=$(printf '\033[0m'); else bold= green= plain=; fi
say() { printf '%s==> %s%s\n' "$bold" "$*" "$plain"; }
show() { printf '    $ %s\n' "$*"; "$@" 2>&1 | sed 's/^/    /'; }
fail() { printf '\ndemo: %s\n' "$*" >&2; [ -e "${dir:-/nonexistent}/b.log" ] && tail -n 15 "$dir"/*.log >&2; exit 1; }

clean() {
    trap '' INT TERM HUP
    for pid in $pid_x $pid_a $pid_b; do kill "$pid" 2>/dev/null; done
    for pid in $pid_x $pid_a $pid_b; do wait "$pid" 2>/dev/null; done
    ip netns del "$A" 2>/dev/null
    ip netns del "$B" 2>/dev/null
    [ -n "$dir" ] && rm -rf "$dir"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

[ -x "$L2TPD" ] || fail "build it first: make"
if [ "$(id -u)" != 0 ]; then
    echo "demo: network namespaces and TAP interfaces need root. Try one of" >&2
    echo "    sudo make demo" >&2
    [ -r /dev/net/tun ] && [ -w /dev/net/tun ] && command -v unshare >/dev/null \
        && echo "    unshare -r -m -n sh -c 'mount -t tmpfs none /run && make demo'    (a user of your own, no root)" >&2
    exit 1
fi
command -v ip >/dev/null || fail "the program ip (package iproute2) is missing"
command -v ping >/dev/null || fail "the program ping (package iputils-ping) is missing"
[ -c /dev/net/tun ] || { mkdir -p /dev/net && mknod /dev/net/tun c 10 200; } 2>/dev/null || fail "/dev/net/tun is missing"
[ -w /dev/net/tun ] || fail "/dev/net/tun cannot be opened for writing"

dir=$(mktemp -d)
possible=$(sh tests/possible.sh) || fail "$possible"
say "Two network namespaces, $A and $B: two hosts with a cable between them"
ip netns add "$A" || fail "cannot make a network namespace"
ip netns add "$B" || fail "cannot make a network namespace"
ip link add name wan netns "$A" type veth peer name wan netns "$B" || fail "cannot make the cable"
for host in "$A 1" "$B 2"; do
    set -- $host
    ip -n "$1" link set lo up
    ip -n "$1" link set wan up
    ip -n "$1" addr add "192.0.2.$2/24" dev wan
done

configuration() { # own number, other number, file, further lines of the tunnel
    cat >"$3" <<EOF
hostname   host$1
router-id  10.0.0.$1

tunnel demo
    local-address     192.0.2.$1
    remote-address    192.0.2.$2
    remote-hostname   host$2
    remote-router-id  10.0.0.$2
    password          "open sesame"
    cookie            8${4:+
    $4}
    session l2tp0
        remote-end-id  demo-lan
        bridge         br0
EOF
    chmod 600 "$3" # it holds a password
}
configuration 1 2 "$dir/a.conf"
configuration 2 1 "$dir/b.conf" 'role              passive'
say "The configuration of host 1 (host 2 has the numbers the other way round, and \`role passive\`: it waits)"
sed 's/^/    /' "$dir/a.conf"

say "Starting l2tpd on both"
ip netns exec "$B" "$L2TPD" -d -c "$dir/b.conf" -p "$dir/b.pid" -s "$dir/b.sock" 2>"$dir/b.log" &
pid_b=$!
tries=0
until [ -S "$dir/b.sock" ] || [ "$tries" -ge 30 ]; do
    tries=$((tries + 1))
    sleep 0.1
done
ip netns exec "$A" "$L2TPD" -d -c "$dir/a.conf" -p "$dir/a.pid" -s "$dir/a.sock" 2>"$dir/a.log" &
pid_a=$!
tries=0
until grep -q 'ICCN, state --> ESTABLISHED' "$dir/a.log" && grep -q 'ICCN, state --> ESTABLISHED' "$dir/b.log"; do
    kill -0 "$pid_a" 2>/dev/null && kill -0 "$pid_b" 2>/dev/null || fail "a daemon ended; its log:"
    tries=$((tries + 1))
    [ "$tries" -lt 150 ] || fail "the session did not come up; the logs:"
    sleep 0.1
done
say "The session is up. What host 1 logged:"
cut -d' ' -f2- "$dir/a.log" | sed 's/^/    /'

say "Its status"
show "$L2TPCTL" -s "$dir/a.sock" status

say "Each host has a bridge br0 with the pseudowire l2tp0 in it: one LAN, 10.10.10.0/24"
for host in "$A 1" "$B 2"; do
    set -- $host
    ip -n "$1" link set br0 up
    ip -n "$1" addr add "10.10.10.$2/24" dev br0
done
ip -n "$A" -brief link show | sed 's/^/    /'

say "Ping from host 1 to host 2, through the pseudowire"
tries=0
until ip netns exec "$A" ping -c 1 -W 1 10.10.10.2 >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 10 ] || fail "no answer through the pseudowire"
done
show ip netns exec "$A" ping -c 3 -i 0.2 10.10.10.2

say "100 MB over TCP through the pseudowire"
if command -v iperf3 >/dev/null; then
    ip netns exec "$B" iperf3 -s -1 -B 10.10.10.2 >/dev/null 2>&1 &
    pid_x=$!
    sleep 0.5
    ip netns exec "$A" iperf3 -c 10.10.10.2 -n 100M -f m >"$dir/rate" 2>&1 || fail "$(cat "$dir/rate")"
    rate=$(awk '/receiver/ { for (i = 2; i <= NF; i++) if ($i ~ /bits\/sec/) print $(i - 1), $i }' "$dir/rate")
elif command -v python3 >/dev/null; then
    cat >"$dir/move.py" <<'EOF'
import socket, sys, time
size = 100 * 1000 * 1000
if sys.argv[1] == "serve":
    listener = socket.create_server(("10.10.10.2", 5001))
    peer, _ = listener.accept()
    left = size
    while left:
        got = len(peer.recv(1 << 20))
        if not got:
            sys.exit("the connection ended early")
        left -= got
    peer.sendall(b"!")
else:
    peer = socket.create_connection(("10.10.10.2", 5001), 5)
    start, block = time.monotonic(), bytes(1000 * 1000)
    for _ in range(100):
        peer.sendall(block)
    peer.recv(1)
    print("%.0f Mbits/sec" % (size * 8 / (time.monotonic() - start) / 1e6))
EOF
    ip netns exec "$B" python3 "$dir/move.py" serve &
    pid_x=$!
    sleep 0.7
    rate=$(ip netns exec "$A" python3 "$dir/move.py" send) || fail "the transfer failed"
else
    rate=
    echo "    (neither iperf3 nor python3 is here: left out)"
fi
[ -n "$rate" ] && printf '    100 MB moved: %s%s%s\n' "$green" "$rate" "$plain"
show "$L2TPCTL" -s "$dir/a.sock" status session l2tp0

say "Stopping both"
kill "$pid_a"
wait "$pid_a"
status_a=$?
kill "$pid_b"
wait "$pid_b"
status_b=$?
pid_a= pid_b=
tail -n 4 "$dir/a.log" | cut -d' ' -f2- | sed 's/^/    /'
[ "$status_a$status_b" = 00 ] || fail "a daemon ended with status $status_a/$status_b"
say "${green}Done.${plain}${bold} Namespaces, bridges and interfaces are gone."
