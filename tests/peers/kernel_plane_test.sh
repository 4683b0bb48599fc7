# Runs inside the machine of kernel_vm.sh: three daemons. Host 1 (the machine itself) and host 3 let the kernel carry
# the frames (`data-plane kernel`), host 2 carries them itself; 2 and 3 are network namespaces. Host 1 has tunnels of
# every encapsulation and address family to both. Prints `ok NAME` or `FAIL NAME: WHAT`.
. /inside.sh

# Names of the tunnels, each with its encapsulation and the network of its addresses, which ends in the other host.
tunnels='ip4:ip:192.0.2. udp4:udp:198.51.100. ip6:ip:2001:db8:0: udp6:udp:2001:db8:1:'

# The cable from host 1 to another one, with an address for each tunnel.
cable() {
    ip netns add "h$1"
    ip link add "w$1" type veth peer name w1 netns "h$1"
    for end in 1 "$1"; do
        [ "$end" = 1 ] && device=w$1 || device=w1
        printf 'link set lo up\nlink set %s up\n' "$device" >/tmp/commands
        for tunnel in $tunnels; do
            network=${tunnel#*:*:}
            case $network in *:) words='64 nodad' ;; *) words=30 ;; esac
            echo "addr add $(address "$network" "$1" "$end")/${words%% *} dev $device ${words#64}" |
                sed 's/ 30$//' >>/tmp/commands
        done
        if [ "$end" = 1 ]; then ip -batch /tmp/commands; else ip -n "h$1" -batch /tmp/commands; fi
    done
}

# network, cable, host -> its address there
address() {
    case $1 in
        *:) echo "$1$2::$3" ;;
        *) [ "$3" = 1 ] && echo "$1$(($2 * 16 + 1))" || echo "$1$(($2 * 16 + 2))" ;;
    esac
}

# The tunnels of host $1 to host $2, at the cable of host $3.
config() {
    for tunnel in $tunnels; do
        name=${tunnel%%:*} rest=${tunnel#*:}
        encapsulation=${rest%%:*} network=${rest#*:}
        cat <<EOT
tunnel $name-$3
  local-address $(address "$network" "$3" "$1")
  remote-address $(address "$network" "$3" "$2")
  remote-hostname host$2
  remote-router-id 10.0.0.$2
  encapsulation $encapsulation
  password secret
  restart-interval 1
  linger 1
  session $name-$3-a
    remote-end-id a
  session $name-$3-b
    remote-end-id b
    cookie 4
    l2-sublayer default
  session $name-$3-c
    remote-end-id c
    cookie 8
    l2-sublayer default
    sequencing both
EOT
    done
    # One more with a bridge, and one without control protocol.
    cat <<EOT
  session bridged-$3
    remote-end-id d
    bridge bridge-$3
tunnel manual-$3
  local-address $(address 192.0.2. "$3" "$1")
  remote-address $(address 192.0.2. "$3" "$2")
  session manual-$3
    manual 70$3$1 70$3$2
    local-cookie a${1}a${1}a${1}a$1
    remote-cookie a${2}a${2}a${2}a$2
EOT
}

# host, data plane, then as often as there are others: other host and cable
start() {
    host=$1 plane=$2
    umask 077 # they hold passwords
    {
        printf 'hostname host%s\nrouter-id 10.0.0.%s\ndata-plane %s\n' "$host" "$host" "$plane"
        shift 2
        while [ $# -gt 0 ]; do
            config "$host" "$1" "$2"
            shift 2
        done
    } >"/tmp/conf$host"
    run "$host"
}

# A session of host 1 and the other host: number, interface, other host.
through() {
    net=10.$3.$1.
    printf 'addr add %s1/24 dev %s\n' "$net" "$2" >/tmp/commands && ip -batch /tmp/commands 2>/dev/null
    printf 'addr add %s2/24 dev %s\n' "$net" "$2" >/tmp/commands && ip -n "h$3" -batch /tmp/commands 2>/dev/null
    ping_size "${net}2" 1 || ping_size "${net}2" 1 || { fail "$2" 'no ping'; return; }
    read -r mtu <"/sys/class/net/$2/mtu"
    for size in 1000 $((mtu - 28)); do
        ping_size "${net}2" "$size" || { fail "$2" "no ping of $size octets, MTU $mtu"; return; }
    done
    nc -w 5 "${net}2" 5001 </dev/null >/tmp/out
    cmp -s /tmp/out /tmp/bulk || { fail "$2" 'file to host 1'; return; }
    ip netns exec "h$3" nc -w 5 "${net}1" 5001 </dev/null >/tmp/out
    cmp -s /tmp/out /tmp/bulk || { fail "$2" "file to host $3"; return; }
    echo "ok $2"
}

all_through() { # other host
    number=0
    for tunnel in $tunnels; do
        for session in a b c; do
            number=$((number + 1))
            through "$number" "${tunnel%%:*}-$1-$session" "$1"
        done
    done
}

kernel_sessions() { # how many there are in host 1
    [ "$(ip l2tp show session | grep -c '^Session')" = "$1" ]
}

kernel_tunnels() {
    [ "$(ip l2tp show tunnel | grep -c '^Tunnel')" = "$1" ]
}

is_up() { # interface of host 1
    ip link show dev "$1" | grep -q '[<,]UP[,>]'
}

is_down() {
    ! is_up "$1"
}

in_bridge() { # interface of host 1, bridge
    ip link show dev "$1" | grep -q "master $2 "
}

counts() { # session of host 1, counter, at least
    value=$(ctl 1 metrics | sed -n "s/^l2tpd_session_$2_total{.*interface=\"$1\"} //p")
    [ "$value" -ge "$3" ]
}

ticks() { # processor time of a host's daemon
    read -r _ _ _ _ _ _ _ _ _ _ _ _ _ user system _ <"/proc/$(cat "/run/l2tpd$1.pid")/stat"
    echo $((user + system))
}

now() { # in ticks
    read -r up _ </proc/uptime
    echo "${up%.*}${up#*.}"
}

# Data messages reach neither the daemon's sockets nor its processor time. A slow machine takes its time for the rest.
past_the_daemon() {
    before=$(ticks 1)
    begun=$(now)
    [ "$(nc -w 20 10.3.1.2 5002 </dev/null | wc -c)" = 16777216 ] || { fail 'bulk' 'not all came'; return; }
    used=$(($(ticks 1) - before))
    took=$(($(now) - begun))
    [ "$used" -le $((5 + took / 20)) ] || { fail 'bulk' "the daemon used $used of $took ticks"; return; }
    strays=$(ctl 1 --json counters | grep -oE '"(rx_drop_interface|unknown_session)":[0-9]+' | grep -cv ':0$')
    [ "$strays" = 0 ] || { fail 'bulk' "$(ctl 1 counters)"; return; }
    echo 'ok frames pass by the daemon'
}

indexes() {
    for name in ip4-2-a udp4-2-b ip6-3-c udp6-3-a manual-2 bridged-3; do cat "/sys/class/net/$name/ifindex"; done
}

# Another program goes on with the daemon: its sessions stay in the kernel, and no frame is lost meanwhile.
another_program() {
    before=$(indexes) old=$(cat /run/l2tpd1.pid) counted=$(ctl 1 metrics | grep '_session_rx_frames_total{.*"ip4-2-a"')
    for address in 10.2.1.2 10.2.5.2 10.3.9.2 10.3.10.2; do
        ping -q -c 200 -i 0.05 "$address" >"/tmp/ping$address" 2>&1 &
        pings="${pings-} $!"
    done
    for turn in 1 2 3; do
        # An emulated processor may have too little time: what is refused then changes nothing, and is asked for again.
        for _ in 1 2 3 4 5; do
            if said=$(ctl 1 restart 2>&1); then break; fi
            case $said in *'takes too long'*) ;; *) break ;; esac
        done
        case $said in *'goes on;'*) echo "$said" ;; *) fail "restart $turn" "$said"; return ;; esac
    done
    for process in $pings; do
        wait "$process"
    done
    grep -H 'packets' /tmp/ping10* | sed 's/.*ping//'
    [ "$(grep -c ' 0% packet loss' /tmp/ping10* | grep -c ':1$')" = 4 ] || { fail 'restart' 'frames were lost'; return; }
    [ "$(cat /run/l2tpd1.pid)" != "$old" ] || { fail 'restart' 'the same process'; return; }
    [ "$(indexes)" = "$before" ] || { fail 'restart' 'other interfaces'; return; }
    counts ip4-2-a rx_frames "$((${counted##* } + 200))" || { fail 'restart' 'counters began anew'; return; }
    echo 'ok another program goes on with the sessions in the kernel'
}

circuit() { # host, session, up or down: what it knows of the peer's circuit
    ctl "$1" status session "$2" | grep 'Remote Circuit' | grep -q "$3"
}

cable 2
cable 3
dd if=/dev/urandom of=/tmp/bulk bs=65536 count=3 2>/dev/null
for within in '' 'ip netns exec h2' 'ip netns exec h3'; do
    $within nc -ll -p 5001 -e cat /tmp/bulk </dev/null &
    $within nc -ll -p 5002 -e head -c 16777216 /dev/zero </dev/null &
done
start 2 tap 1 2
start 3 kernel 1 3
start 1 kernel 2 2 3 3
check 'all sessions come up' established 1 28
check 'at host 2' established 2 14
check 'at host 3' established 3 14
check 'the kernel has them all' kernel_sessions 28
check 'a tunnel for each peer' kernel_tunnels 8
all_through 2
all_through 3
past_the_daemon
through 13 manual-2 2
through 13 manual-3 3
check 'an interface joins its bridge' in_bridge bridged-3 bridge-3
ctl 1 status | grep -q 'kernel' && echo 'ok the status shows it' || fail 'status' "$(ctl 1 status | head -n 30)"
check 'frames are counted' counts ip4-2-a rx_frames 10
another_program
check 'the kernel has them all still' kernel_sessions 28
check 'which are up' established 1 28

# The administrator brings an interface down and up: the peer is told.
ip link set ip4-2-a down
check 'the peer hears that the circuit is down' circuit 2 ip4-2-a down
ip link set ip4-2-a up
check 'and that it is up again' circuit 2 ip4-2-a up
ip link set ip4-2-c down
check 'a circuit that is down' circuit 2 ip4-2-c down
ctl 1 clear session ip4-2-c >/dev/null
check 'comes back with its session' established 1 28
check 'and is still down' circuit 2 ip4-2-c down
check 'its new interface, too' is_down ip4-2-c
ip link set ip4-2-c up
check 'until it is brought up' circuit 2 ip4-2-c up
sed -i 's/^  session udp6-2-a$/&\n    mtu 1234\n    mac-address 02:00:00:00:12:34/' /tmp/conf1
ctl 1 reload >/dev/null || fail 'reload' 'refused'
check 'a reload changes the MTU' grep -q '^1234$' /sys/class/net/udp6-2-a/mtu
check 'and the hardware address' grep -q '^02:00:00:00:12:34$' /sys/class/net/udp6-2-a/address
check 'of an interface that is up again' is_up udp6-2-a
ip -n h2 link set ip4-2-b down
check 'the interface goes down with the circuit of the peer' is_down ip4-2-b
ip -n h2 link set ip4-2-b up
check 'and comes up with it' is_up ip4-2-b

# A cleared session comes back, with its interface.
ctl 1 clear session udp4-3-b >/dev/null
check 'a cleared session comes back' established 1 28
check 'and its interface is up' is_up udp4-3-b
ctl 1 clear session bridged-3 >/dev/null
check 'another one as well' established 1 28
check 'in its bridge' in_bridge bridged-3 bridge-3
# The peer ends in order: its sessions leave the kernel, and come back with it.
kill "$(cat /run/l2tpd3.pid)"
check 'the sessions of a peer that ends are removed' kernel_sessions 15
check 'and its tunnels, but for the one of the manual session' kernel_tunnels 5
run 3
check 'they come back' kernel_sessions 28
check 'all' established 1 28
through 10 udp6-3-a 3
# A daemon that is killed leaves nothing behind that prevents its next start.
kill -9 "$(cat /run/l2tpd1.pid)"
check 'nothing is left in the kernel of a killed daemon' kernel_tunnels 0
check 'and no interface' test ! -e /sys/class/net/ip4-2-a
run 1
check 'it starts again' established 1 28
through 1 ip4-2-a 2
kill "$(cat /run/l2tpd1.pid)"
check 'it ends' logs 1 'l2tpd exit'
check 'and leaves nothing' kernel_tunnels 0
[ "$failures" = 0 ] || tail -n 60 /tmp/log1
[ "$failures" = 0 ]
