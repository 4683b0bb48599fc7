#!/bin/sh
# The service files of man/service under the init systems they are for: each is process 1 of a container of its own, with
# the program as `make install` puts it there, and carries a session to a second daemon. What this machine lacks is
# skipped. Needs root, and the init systems' packages that tests/peers/fetch.sh unpacks (nothing is installed).
# With arguments only these: systemd openrc runit sysvinit procd. Prints one line per check and a line that sums up.
cd "$(dirname "$0")/.." || exit 1
passed=0
failed=0
skipped=0
work=$(mktemp -d)
stage=$work/stage
peers=$PWD/target/peers
outside=
for part in container script systemd openrc runit sysvinit procd; do
    . tests/service/$part.sh
done
trap 'stop_container; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT PIPE TERM

check() {
    if eval "$2"; then
        passed=$((passed + 1))
        echo "test service::$1 ... ok"
    else
        failed=$((failed + 1))
        echo "test service::$1 ... FAILED: $2"
    fi
}

skip() {
    skipped=$((skipped + 1))
    echo "SKIPPED: service files: $1: $2"
}

# One end of the pseudowire; `right` is played by a daemon beside.
write_config() {
    cat <<END
hostname $1
router-id 10.0.0.$2
tunnel t
  local-address 192.0.2.$2
  remote-address 192.0.2.$4
  remote-hostname $3
  remote-router-id 10.0.0.$4
  hello-interval 60
  restart-interval 1
  session l$2
    remote-end-id e
    bridge br$2
END
}

# Make's own variables of an outer make must not reach the inner one.
unset MAKEFLAGS MAKELEVEL MFLAGS DESTDIR PREFIX SYSCONFDIR
make -s all </dev/null || exit 1
make -s install DESTDIR="$work/installed" PREFIX=/usr >/dev/null || exit 1
write_config left 1 right 2 >"$work/l2tpd.conf"
write_config right 2 left 1 >"$work/peer.conf"
sed 's/hello-interval 60/hello-interval 30/' "$work/l2tpd.conf" >"$work/changed.conf"
printf 'tunnel t\n  remote-adress 192.0.2.2\n' >"$work/bad.conf"

for kind in ${*:-systemd openrc runit sysvinit procd}; do
    if [ "$kind" != procd ] && ! can_contain; then
        skip "$kind" "$why"
        continue
    fi
    rm -rf "$stage"
    cp -a "$work/installed" "$stage"
    cp "$work/peer.conf" "$stage/etc/"
    "${kind}_test"
done

if [ "$failed" = 0 ]; then word=ok; else word=FAILED; fi
echo "test result: $word. $passed passed; $failed failed; $skipped ignored"
[ "$failed" = 0 ]
