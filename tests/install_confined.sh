#!/bin/sh
# `make install` with an empty DESTDIR, as root does it on a machine: the user is made, and the daemon that is installed
# becomes it, under everything that confines it. The machine stays as it is: /etc, /usr/local and /run are copies or
# empty, in a mount namespace and a network namespace that end with this. Called by install_test.sh.
cd "$(dirname "$0")/.." || exit 1
if [ "$1" != inside ]; then
    exec unshare -m -n sh "$0" inside
fi
fail() { echo "$*"; [ -f /run/log ] && tail -n 20 /run/log; exit 1; }
# What depends on time is asked for again and again: 20 s at most.
wait_for() {
    for _ in $(seq 200); do
        eval "$1" && return
        sleep 0.1
    done
    fail "it does not come to: $1"
}

stage=$(mktemp -d) || exit 1
trap 'rm -rf "$stage"' EXIT
# What vanishes meanwhile (other tests have files in /etc/netns) does not matter.
cp -a /etc "$stage/" 2>/dev/null
[ -s "$stage/etc/passwd" ] || fail "no copy of /etc"
mount --bind "$stage/etc" /etc || fail "no /etc"
mount -t tmpfs tmpfs /usr/local || fail "no /usr/local"
mount -t tmpfs tmpfs /run || fail "no /run"
for file in passwd group shadow gshadow; do
    [ -e "/etc/$file" ] && sed -i '/^l2tpd:/d' "/etc/$file"
done
rm -f /etc/l2tpd.conf /etc/.pwd.lock
ip link set lo up
ip addr add 192.0.2.1/32 dev lo

make -s install >"$stage/log" 2>&1 || { cat "$stage/log"; fail "make install"; }
id l2tpd >/dev/null || fail "there is no user"
[ "$(stat -c '%U:%G:%a' /etc/l2tpd.conf)" = root:l2tpd:640 ] || fail "the configuration is $(stat -c '%U:%G:%a' /etc/l2tpd.conf)"
said=$(/usr/local/sbin/l2tpd -n 2>&1) || fail "$said"
[ -z "$said" ] || fail "l2tpd -n: $said"

printf '\ntunnel more\n    remote-address any\n    remote-hostname any\n    remote-router-id any\n    role passive\n' >>/etc/l2tpd.conf
/usr/local/sbin/l2tpd -d -l debug 2>/run/log &
pid=$!
wait_for 'grep -q "l2tpd start" /run/log'
field() { sed -n "s/^$1:[[:space:]]*\([^[:space:]]*\).*/\1/p" "/proc/$pid/status"; }
[ "$(field Uid)" = "$(id -u l2tpd)" ] || fail "it runs as $(field Uid)"
# shellcheck disable=SC2016 # of that moment
wait_for '[ "$(field Seccomp)" = 2 ]'
[ "$(field CapEff)" = 0000000000003000 ] || fail "capabilities $(field CapEff)"
[ "$(field NoNewPrivs)" = 1 ] || fail "it can gain privileges"
grep -q 'is not in force\|reload will fail' /run/log && fail "it is not confined"
/usr/local/sbin/l2tpctl status >/dev/null
[ $? = 4 ] || fail "l2tpctl status"
[ "$(/usr/local/sbin/l2tpctl reload)" = "nothing changed" ] || fail "reload"
echo 'log-buffer 500' | cat - /etc/l2tpd.conf >"$stage/new" && cat "$stage/new" >/etc/l2tpd.conf
/usr/local/sbin/l2tpctl reload | grep -q log-buffer || fail "reload of another file"
ip link show l2tp0 >/dev/null || fail "no interface"
# Once more, over what is there: neither user nor configuration are touched.
make -s install >"$stage/log" 2>&1 || { cat "$stage/log"; fail "make install again"; }
[ "$(stat -c '%U:%G:%a' /etc/l2tpd.conf)" = root:l2tpd:640 ] || fail "the configuration's mode has changed"
grep -q 'log-buffer 500' /etc/l2tpd.conf || fail "the configuration has changed"
kill "$pid"
wait "$pid" || fail "the end"
grep -q 'panicked' /run/log && fail "a panic"
exit 0
