# Runs inside the machine of kernel_vm.sh: the kernel's l2tp at one end (by hand, with `ip l2tp`), the daemon at
# the other, in every combination of encapsulation, address family, cookie, sublayer and sequence numbers. Prints
# `ok NAME` or `FAIL NAME: WHAT`.
#
# With a number, the last session of each tunnel also carries so many octets in each direction. With `bpf`, programs in
# the kernel carry what they can of the daemon's frames, and the cable becomes a VLAN and a bond after that.
case $1 in
    bpf) plane=bpf octets= ;;
    *) plane=tap octets=$1 ;;
esac
failures=0

fail() { # name, what
    echo "FAIL $1: $2"
    failures=$((failures + 1))
}

# Host 1, the kernel's, is the machine itself; host 2, the daemon's, is a network namespace. (Entering a namespace
# takes the emulated machine long.)
begin() {
    ip netns add h2
    ip link add w1 type veth peer name w2 netns h2
    for host in 1 2; do
        cat >/tmp/commands <<EOT
link set lo up
link set w$host up
addr add 192.0.2.$host/24 dev w$host
addr add 198.51.100.$host/24 dev w$host
addr add 2001:db8::$host/64 dev w$host nodad
addr add 2001:db8:1::$host/64 dev w$host nodad
EOT
        if [ "$host" = 1 ]; then ip -batch /tmp/commands; else ip -n h2 -batch /tmp/commands; fi
    done
    # Both give a file to whoever connects.
    dd if=/dev/urandom of=/tmp/bulk bs=65536 count=3 2>/dev/null
    nc -ll -p 5001 -e cat /tmp/bulk </dev/null &
    ip netns exec h2 nc -ll -p 5001 -e cat /tmp/bulk </dev/null &
    [ -n "$octets" ] || return 0
    # And 16 MB of random data, again and again, until it is as much as was asked for.
    dd if=/dev/urandom of=/tmp/part bs=1048576 count=16 2>/dev/null
    echo "for part in $(seq -s ' ' $((octets >> 24))); do cat /tmp/part; done" >/tmp/stream
    [ "$(sh /tmp/stream | wc -c)" = "$octets" ] || fail 'stream' "no $octets octets"
    sum=$(sh /tmp/stream | md5sum)
    nc -ll -p 5002 -e sh /tmp/stream </dev/null &
    ip netns exec h2 nc -ll -p 5002 -e sh /tmp/stream </dev/null &
}

ping_size() { # address, octets of data
    ping -q -c 1 -W 3 -s "$2" "$1" >/dev/null
}

# Brings up the daemon's end of a session and prints its MTU.
daemon_end() { # interface, address
    printf 'link set %s up\naddr add %s/24 dev %s\nlink show dev %s\n' "$1" "$2" "$1" "$1" >/tmp/commands
    if ip -n h2 -batch /tmp/commands >/tmp/link 2>/dev/null; then
        read -r number interface flags word mtu rest </tmp/link
        echo "$mtu"
    fi
}

# Waits until something is found in the daemon's log.
wait_for() { # what, for how many tenths of a second
    left=$2
    until grep -q "$1" /tmp/log; do
        [ "$left" -gt 0 ] || return 1
        left=$((left - 1))
        sleep 0.1
    done
}

# One session that is up at both ends: pings of all sizes, a file in each direction.
through() { # name, interface, addresses without the host
    ours=$(daemon_end "$2" "${3}2")
    read -r kernels <"/sys/class/net/$2/mtu"
    [ -n "$ours" ] || { fail "$1" 'no interface'; return; }
    # The first one may be lost while addresses are resolved.
    ping_size "${3}2" 1 || ping_size "${3}2" 1 || { fail "$1" 'no ping'; return; }
    # Both must have worked out the same room in an outer packet of 1500 octets; a full frame fits.
    [ "$ours" = "$kernels" ] || { fail "$1" "MTU: the kernel says $kernels, the daemon $ours"; return; }
    for size in 1000 $((ours - 28)); do
        ping_size "${3}2" "$size" || { fail "$1" "no ping of $size octets, MTU $ours"; return; }
    done
    nc -w 5 "${3}2" 5001 </dev/null >/tmp/out
    cmp -s /tmp/out /tmp/bulk || { fail "$1" 'file from the daemon to the kernel'; return; }
    ip netns exec h2 nc -w 5 "${3}1" 5001 </dev/null >/tmp/out
    cmp -s /tmp/out /tmp/bulk || { fail "$1" 'file from the kernel to the daemon'; return; }
    echo "ok $1"
}

# number, name, encapsulation, network of the outer addresses, more words for `ip l2tp`
kernel_tunnel() {
    cat <<EOT
l2tp add tunnel tunnel_id $1 peer_tunnel_id $1 encap $3 local ${4}1 remote ${4}2 $5
EOT
}

daemon_tunnel() {
    cat <<EOT
tunnel $2
  local-address ${4}2
  remote-address ${4}1
  encapsulation $3
EOT
}

# tunnel, session, cookie octets, sublayer, sequencing
kernel_session() {
    case $3 in
        0) words= ;;
        4) words='cookie a1a2a3a4 peer_cookie b1b2b3b4' ;;
        8) words='cookie a1a2a3a4a5a6a7a8 peer_cookie b1b2b3b4b5b6b7b8' ;;
    esac
    cat <<EOT
l2tp add session tunnel_id $1 name l$1$2 session_id ${1}0${2}1 peer_session_id ${1}0${2}2 $words l2spec_type $4 seq $5
link set l$1$2 up
addr add 10.$1.$2.1/24 dev l$1$2
EOT
}

daemon_session() {
    cat <<EOT
  session l$1$2
    manual ${1}0${2}2 ${1}0${2}1
    l2-sublayer $4
EOT
    case $3 in
        4) printf '    local-cookie a1a2a3a4\n    remote-cookie b1b2b3b4\n' ;;
        8) printf '    local-cookie a1a2a3a4a5a6a7a8\n    remote-cookie b1b2b3b4b5b6b7b8\n' ;;
    esac
    [ "$5" = none ] || echo "    sequencing $5"
}

# Calls $1 for each tunnel and $2 for each of its sessions, with their numbers and words.
combinations() {
    while read -r tunnel name encapsulation network words; do
        "$1" "$tunnel" "$name" "$encapsulation" "$network" "$words"
        session=0
        for cookie in 0 4 8; do
            for sublayer in 'none none' 'default none' 'default both'; do
                session=$((session + 1))
                # shellcheck disable=SC2086
                "$2" "$tunnel" "$session" "$cookie" $sublayer "$name" </dev/null
            done
        done
    done <<EOT
1 ip4 ip 192.0.2.
2 udp4 udp 198.51.100. udp_sport 1701 udp_dport 1701
3 ip6 ip 2001:db8::
4 udp6 udp 2001:db8:1:: udp_sport 1701 udp_dport 1701
EOT
}

# Much data in each direction.
stream() { # name, addresses without the host
    [ "$(nc "${2}2" 5002 </dev/null | md5sum)" = "$sum" ] || { fail "$1" 'stream from the daemon to the kernel'; return; }
    [ "$(ip netns exec h2 nc "${2}1" 5002 </dev/null | md5sum)" = "$sum" ] ||
        { fail "$1" 'stream from the kernel to the daemon'; return; }
    echo "streamed $1: $octets octets each way"
}

judge() { # tunnel, session, cookie, sublayer, sequencing, name of the tunnel
    what="$6-cookie$3"
    [ "$4" = none ] || what="$what-sublayer"
    [ "$5" = none ] || what="$what-sequence"
    [ "$failures" -ge 3 ] || through "$what" "l$1$2" "10.$1.$2."
    [ -z "$octets" ] || [ "$2" != 9 ] || [ "$failures" != 0 ] || stream "$what" "10.$1.$2."
}

# Each tunnel with the daemon standing still; what is a neighbour is known.
in_kernel() { # name of the underlay, tunnels
    name=$1
    shift
    for tunnel in "$@"; do
        for try in 1 2 3 4 5 6 7 8 9; do
            # Another underlay may be news to the daemon.
            ping_size "10.$tunnel.4.2" 1 || continue
            kill -STOP "$(cat /run/l2tpd.pid)"
            ping_size "10.$tunnel.4.2" 1000
            passed=$?
            kill -CONT "$(cat /run/l2tpd.pid)"
            [ $passed != 0 ] || continue 2
        done
        fail "$name" "no ping in tunnel $tunnel past the daemon"
        return
    done
    echo "ok bpf-$name"
}

planes() { # bpf, tap
    l2tpctl -s /run/l2tpd.sock status >/tmp/status
    [ "$(grep -c 'Data Plane  *:bpf$' /tmp/status)" = "$1" ] && [ "$(grep -c 'Data Plane  *:tap (not' /tmp/status)" = "$2" ]
}

# What the daemon reaches its peer by is a VLAN for the first tunnel, a bond for the second.
other_underlays() {
    planes 24 12 || fail 'data plane' "$(grep 'Data Plane' /tmp/status | sort | uniq -c)"
    in_kernel veth 1 2 3 4
    ip link add x1 type veth peer name x2 netns h2
    for host in 1 2; do
        cat >/tmp/commands <<EOT
link add link w$host name w$host.5 type vlan id 5
link set w$host.5 up
addr del 192.0.2.$host/24 dev w$host
addr add 192.0.2.$host/24 dev w$host.5
link add bond7 type bond mode active-backup
link set x$host master bond7
link set bond7 up
addr del 198.51.100.$host/24 dev w$host
addr add 198.51.100.$host/24 dev bond7
EOT
        if [ "$host" = 1 ]; then ip -batch /tmp/commands; else ip -n h2 -batch /tmp/commands; fi || fail 'underlays' 'refused'
    done
    in_kernel vlan 1
    in_kernel bond 2
}

begin
combinations kernel_tunnel kernel_session >/tmp/commands
ip -batch /tmp/commands || fail 'ip l2tp' 'refused'
umask 077
{ printf 'hostname b\nrouter-id 10.0.0.2\ndata-plane %s\n' $plane; combinations daemon_tunnel daemon_session; } >/tmp/conf
ip netns exec h2 l2tpd -d -l debug -c /tmp/conf -p /run/l2tpd.pid -s /run/l2tpd.sock 2>/tmp/log &
wait_for 'l2tpd start' 50 || fail 'start' 'the daemon did not start'
sleep 1 # its interfaces come up one after the other
combinations true judge
[ $plane = tap ] || other_underlays
for statistics in 'cat /proc/net/snmp /proc/net/snmp6' 'ip netns exec h2 cat /proc/net/snmp /proc/net/snmp6'; do
    made=$($statistics | awk '/^Ip:/ { value = $20 } /^Ip6FragCreates/ { value += $2 } END { print value }')
    [ "$made" = 0 ] || fail 'outer packets' "$made fragments were made ($statistics)"
done
for statistics in 'cat /proc/net/snmp' 'ip netns exec h2 cat /proc/net/snmp'; do
    wrong=$($statistics | awk '/^Tcp:/ { value = $16 } END { print value }')
    [ "$wrong" = 0 ] || fail 'checksums' "$wrong TCP segments with a wrong one ($statistics)"
done
kill "$(cat /run/l2tpd.pid)"
wait_for 'l2tpd exit' 50 || fail 'end' 'the daemon did not end'
[ "$failures" = 0 ] || tail -n 30 /tmp/log

[ "$failures" = 0 ]
