#!/bin/sh
# Whether tests can make network namespaces and interfaces here: exits with 0, or says what is in their way and exits with 1.
cannot() {
    echo "$*"
    exit 1
}

[ "$(id -u)" = 0 ] || cannot "not root"
command -v ip >/dev/null || cannot "no program ip (of iproute2)"
[ -c /dev/net/tun ] || cannot "no /dev/net/tun"
{ : <>/dev/net/tun; } 2>/dev/null || cannot "/dev/net/tun cannot be opened"
name=l2tpd-possible-$$
case $(ip -V 2>&1) in *BusyBox*) cannot "ip is busybox's, which knows no namespaces: install iproute2" ;; esac
said=$(ip netns add "$name" 2>&1) || cannot "no network namespaces: $said"
said=$(ip netns exec "$name" true 2>&1)
status=$?
ip netns del "$name"
case $status:$said in
0:*) ;;
*make-rslave*) cannot "the root directory is no mount point, but ip netns wants that: outside of the chroot, \
mount --bind DIRECTORY DIRECTORY before" ;;
*) cannot "no network namespaces: $said" ;;
esac
