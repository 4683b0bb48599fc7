# Runs inside the machine of kernel_vm.sh: the kernel's l2tp at one end (by hand, with `ip l2tp`), the daemon at
# the other; then two daemons, of which one or both leave the frames to the kernel. Prints `ok NAME` or `FAIL NAME`.
failures=0

host() { # name, number
    ip netns add "$1"
    ip -n "$1" link set lo up
}

begin() {
    host a
    host b
    ip link add wa type veth peer name wb
    ip link set wa netns a
    ip link set wb netns b
    ip -n a link set wa up
    ip -n b link set wb up
    ip -n a addr add 192.0.2.1/24 dev wa
    ip -n b addr add 192.0.2.2/24 dev wb
    ip -n a addr add 2001:db8::1/64 dev wa nodad
    ip -n b addr add 2001:db8::2/64 dev wb nodad
}

end() { # name, whether it passed
    [ -z "$pids" ] || kill $pids
    wait $pids 2>/dev/null
    pids=
    ip netns del a
    ip netns del b
    if [ "$2" = 0 ]; then echo "ok $1"; else
        echo "FAIL $1"
        tail -n 12 /tmp/a.log /tmp/b.log 2>/dev/null
        failures=$((failures + 1))
    fi
    rm -f /tmp/*.log
}

# Waits for the interface l0 in both, gives it an address, and pings.
through() {
    for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        if ip -n a link show l0 >/dev/null 2>&1 && ip -n b link show l0 >/dev/null 2>&1; then break; fi
        sleep 0.25
    done
    ip -n a link set l0 up
    ip -n a addr add 10.9.9.1/24 dev l0 && ip -n b addr add 10.9.9.2/24 dev l0 || return 1
    for try in 1 2 3 4 5 6 7 8; do
        if ip netns exec a ping -c 1 -W 1 10.9.9.2 >/dev/null 2>&1; then
            ip netns exec a ping -c 3 -W 1 -s 1350 10.9.9.2 | grep -q ' 3 packets received'
            return
        fi
    done
    return 1
}

daemon() { # namespace, configuration on standard input
    cat >"/tmp/$1.conf"
    ip netns exec "$1" l2tpd -d -l debug -c "/tmp/$1.conf" -p "/run/$1.pid" -s "/run/$1.sock" 2>"/tmp/$1.log" &
    pids="$pids $!"
}
pids=

by_hand() { # name, kernel's tunnel words, kernel's session words, daemon's tunnel lines, session lines
    begin
    ip -n a l2tp add tunnel tunnel_id 1 peer_tunnel_id 1 $2
    ip -n a l2tp add session tunnel_id 1 name l0 session_id 1001 peer_session_id 2002 $3
    daemon b <<EOF
hostname b
router-id 10.0.0.2
data-plane tap
tunnel t
$4
  session l0
    manual 2002 1001
$5
EOF
    through
    end "$1" $?
}

ip4='local 192.0.2.1 remote 192.0.2.2'
ip6='local 2001:db8::1 remote 2001:db8::2'
ours4='  local-address 192.0.2.2
  remote-address 192.0.2.1'
ours6='  local-address 2001:db8::2
  remote-address 2001:db8::1'
udp='  encapsulation udp
  udp-port 1701 1701'
by_hand kernel-ip4 "encap ip $ip4" 'l2spec_type none' "$ours4" ''
by_hand kernel-ip4-cookie8-sublayer "encap ip $ip4" \
    'cookie aaaaaaaabbbbbbbb peer_cookie 1122334455667788 l2spec_type default' "$ours4" \
    '    cookie 8
    local-cookie aaaaaaaabbbbbbbb
    remote-cookie 1122334455667788
    l2-sublayer default'
by_hand kernel-udp4-cookie4 "encap udp $ip4 udp_sport 1701 udp_dport 1701" \
    'cookie aaaaaaaa peer_cookie 11223344 l2spec_type none' "$ours4
$udp" '    cookie 4
    local-cookie aaaaaaaa
    remote-cookie 11223344'
by_hand kernel-ip6 "encap ip $ip6" 'l2spec_type default' "$ours6" '    l2-sublayer default'
by_hand kernel-udp6-cookie8 "encap udp $ip6 udp_sport 1701 udp_dport 1701" \
    'cookie aaaaaaaabbbbbbbb peer_cookie 1122334455667788 l2spec_type none' "$ours6
$udp" '    cookie 8
    local-cookie aaaaaaaabbbbbbbb
    remote-cookie 1122334455667788'

negotiated() { # name, data plane of a, of b, tunnel lines, session lines, address of a, of b
    begin
    for end in "a 1 2 $2 $6 $7" "b 2 1 $3 $7 $6"; do
        set -- "$1" "$2" "$3" "$4" "$5" "$6" "$7" $end
        daemon "$8" <<EOF
hostname h$9
router-id 10.0.0.$9
restart-interval 1
data-plane ${11}
tunnel t
  local-address ${12}
  remote-address ${13}
  remote-hostname h${10}
  remote-router-id 10.0.0.${10}
$4
  session l0
    remote-end-id e
$5
EOF
        set -- "$1" "$2" "$3" "$4" "$5" "$6" "$7"
    done
    through
    end "$1" $?
}

negotiated kernel-plane-ip4 kernel tap '  password x' '    cookie 8' 192.0.2.1 192.0.2.2
negotiated kernel-plane-udp4 kernel kernel '  encapsulation udp' '    cookie 4
    l2-sublayer default' 192.0.2.1 192.0.2.2
negotiated kernel-plane-ip6 kernel tap '' '    cookie 8' 2001:db8::1 2001:db8::2
negotiated automatic auto auto '' '' 192.0.2.1 192.0.2.2

[ "$failures" = 0 ]
