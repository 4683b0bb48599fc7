# For the scripts that run inside the machine of kernel_vm.sh: what is checked, and daemons. Host 1 is the machine itself,
# host N the network namespace hN; each has its files below /tmp and /run.
failures=0

fail() { # name, what
    echo "FAIL $1: $2"
    failures=$((failures + 1))
}

run() { # host
    within=
    [ "$1" = 1 ] || within="ip netns exec h$1"
    $within l2tpd -d -l debug -c "/tmp/conf$1" -p "/run/l2tpd$1.pid" -s "/run/l2tpd$1.sock" 2>>"/tmp/log$1" &
}

ctl() { # host, command
    host=$1
    shift
    l2tpctl -s "/run/l2tpd$host.sock" "$@"
}

# Waits until a command succeeds.
until_true() { # tenths of a second, command
    left=$1
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$left" -gt 0 ] || return 1
        left=$((left - 1))
        sleep 0.1
    done
}

established() { # host, sessions
    [ "$(ctl "$1" metrics | grep -c '^l2tpd_session_up{.*} 1$')" = "$2" ]
}

ping_size() { # address, octets of data
    ping -q -c 1 -W 3 -s "$2" "$1" >/dev/null
}

# name, then a command that must succeed
check() {
    name=$1
    shift
    if until_true 100 "$@"; then echo "ok $name"; else fail "$name" "$*"; fi
}

logs() { # host, text
    grep -q "$2" "/tmp/log$1"
}
