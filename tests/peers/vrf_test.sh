# Runs inside the machine of kernel_vm.sh: `bind-device` with VRFs. Host 1 has two of them. Behind each is a peer (hosts
# 2 and 3, network namespaces) with the same addresses and the same name as the other; a third one (host 4) is reached
# without a VRF, over IP and over UDP. Prints `ok NAME` or `FAIL NAME: WHAT`.
. /inside.sh

# Names of the tunnels, each with its encapsulation and the network of its addresses, which ends in the host.
tunnels='ip4:ip:192.0.2. udp4:udp:198.51.100. ip6:ip:2001:db8::1: udp6:udp:2001:db8::2:'

# The addresses of one end of a cable.
addresses() { # last number, device
    printf 'link set lo up\nlink set %s up\n' "$2"
    for tunnel in $tunnels; do
        case $tunnel in
            *6:*) echo "addr replace ${tunnel#*:*:}$1/112 dev $2 nodad" ;;
            *) echo "addr replace ${tunnel#*:*:}$1/24 dev $2" ;;
        esac
    done
}

# The cable from host 1 to another one, in a VRF with that table.
cable() { # host, VRF, table
    ip netns add "h$1"
    ip link add "w$1" type veth peer name w1 netns "h$1"
    addresses 2 w1 >/tmp/commands
    ip -n "h$1" -batch /tmp/commands
    in_vrf "$@"
}

# An interface that enters a VRF loses its IPv6 addresses, so these come afterwards.
in_vrf() {
    printf 'link add %s type vrf table %s\nlink set %s up\nlink set w%s master %s\n' "$2" "$3" "$2" "$1" "$2" >/tmp/commands
    addresses 1 "w$1" >>/tmp/commands
    ip -batch /tmp/commands
}

# One tunnel with its session, both named NAME-SUFFIX; further tags are read from standard input.
tunnel() { # name, suffix, encapsulation
    printf 'tunnel %s-%s\n  encapsulation %s\n' "$1" "$2" "$3"
    cat
    printf '  hello-interval 1\n  retry 3\n  retry-interval 0.2\n  linger 1\n'
    printf '  session %s-%s\n    remote-end-id %s\n    cookie 8\n' "$1" "$2" "$1"
}

# The tunnels of host 1 that leave by a device, and whose names end in the VRF's.
site() { # VRF, device
    for tunnel in $tunnels; do
        network=${tunnel#*:*:} encapsulation=${tunnel#*:}
        tunnel "${tunnel%%:*}" "$1" "${encapsulation%%:*}" <<EOT
  local-address ${network}1
  remote-address ${network}2
  remote-hostname peer
  remote-router-id 10.0.0.2
  bind-device $2
EOT
    done
}

peer() {
    printf 'hostname peer\nrouter-id 10.0.0.2\nrestart-interval 1\n'
    for tunnel in $tunnels; do
        network=${tunnel#*:*:} encapsulation=${tunnel#*:}
        tunnel "${tunnel%%:*}" peer "${encapsulation%%:*}" <<EOT
  local-address ${network}2
  remote-address ${network}1
  remote-hostname site
  remote-router-id 10.0.0.1
  role passive
EOT
    done
}

# The tunnels between host 1 and host 4, as written at either.
plain() { # number, the other's
    for encapsulation in ip udp; do
        printf '  local-address 203.0.113.%s\n  remote-address 203.0.113.%s\n  remote-hostname any\n  remote-router-id any\n' \
            "$1" "$2" | tunnel $encapsulation plain $encapsulation
    done
}

config() { # the device of the tunnels through red
    printf 'hostname site\nrouter-id 10.0.0.1\nrestart-interval 1\n'
    site red "$1"
    site blue blue
    plain 1 2
}

# The session's interfaces get addresses, and a ping and a file pass.
through() { # number, interface of host 1, other host, its interface
    net=10.$3.$1.
    ip addr replace "${net}1/24" dev "$2"
    ip -n "h$3" addr replace "${net}2/24" dev "$4"
    until_true 100 ping_size "${net}2" 1000 || { fail "$2" 'no ping'; return; }
    nc -w 5 "${net}2" 5001 </dev/null >/tmp/out
    cmp -s /tmp/out "/tmp/bulk$3" || { fail "$2" "file of host $3"; return; }
    echo "ok $2"
}

vrf_through() { # VRF, other host
    number=0
    for tunnel in $tunnels; do
        number=$((number + 1))
        through "$number" "${tunnel%%:*}-$1" "$2" "${tunnel%%:*}-peer"
    done
}

# Late messages of what has ended may come; what belongs to another VRF may not.
no_strays() {
    ctl 1 --json counters | grep -oE '"(wrong_source|unknown_peer|rx_drop_source)":[0-9]+' >/tmp/strays
    [ "$(grep -c . /tmp/strays)" -ge 12 ] && ! grep -qE ':[1-9]' /tmp/strays && return
    ctl 1 --json counters
    return 1
}

# Sessions of host 1 that are up, by the ends of their names.
up() { # VRF or `plain`, how many
    [ "$(ctl 1 metrics | grep "^l2tpd_session_up{.*interface=\"[a-z0-9]*-$1\"" | grep -c ' 1$')" = "$2" ]
}

cable 2 red 10
cable 3 blue 20
ip netns add h4
ip link add w4 type veth peer name w1 netns h4
printf 'link set w4 up\naddr add 203.0.113.1/24 dev w4\n' >/tmp/commands && ip -batch /tmp/commands
printf 'link set lo up\nlink set w1 up\naddr add 203.0.113.2/24 dev w1\n' >/tmp/commands && ip -n h4 -batch /tmp/commands
umask 077
for host in 2 3 4; do
    dd if=/dev/urandom "of=/tmp/bulk$host" bs=65536 count=1 2>/dev/null
    ip netns exec "h$host" nc -ll -p 5001 -e cat "/tmp/bulk$host" </dev/null &
    if [ $host = 4 ]; then
        { printf 'hostname other\nrouter-id 10.0.0.4\n'; plain 2 1; } >/tmp/conf4
    else
        peer >/tmp/conf$host
    fi
    run $host
done
config red >/tmp/conf1
run 1

check 'the tunnels through the one VRF come up' up red 4
check 'those through the other' up blue 4
check 'those through none' up plain 2
check 'one peer has its own' established 2 4
check 'so has the other' established 3 4
vrf_through red 2
vrf_through blue 3
through 5 ip-plain 4 ip-plain
through 6 udp-plain 4 udp-plain
check 'nothing came to the wrong socket' no_strays
check 'and no peer saw a second tunnel' established 2 4

# The same device, but not by the name of its VRF.
config w2 >/tmp/conf1
ctl 1 reload >/dev/null || fail 'reload' 'refused'
check 'an interface of the VRF does as well' up red 4
vrf_through red 2

# A VRF goes, and comes back: the tunnels through the others are not disturbed.
config red >/tmp/conf1
ctl 1 reload >/dev/null || fail 'reload' 'refused'
check 'the VRF again' up red 4
ip link del red
check 'without their VRF the tunnels are down' up red 0
check 'the others are not' up blue 4
in_vrf 2 red 10
check 'they come back with it' up red 4
vrf_through red 2
[ "$failures" = 0 ] || tail -n 60 /tmp/log1
[ "$failures" = 0 ]
