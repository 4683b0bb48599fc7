#!/bin/sh
# The first process of a container, called by unshare: makes the root of the file system, changes into it and becomes
# the command. Arguments: an empty directory, what `make install` has put into a staging directory, a directory with
# the unpacked packages of an init system (or /nonexistent), the command.
# What is not in one of the two comes from this machine's /usr, which is not written to.
set -eu
root=$1 stage=$2 extra=$3
shift 3

mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$root"
cd "$root"
mkdir -p usr etc var/log dev proc sys run tmp root old
lower=$stage/usr
[ ! -d "$extra/usr" ] || lower=$lower:$extra/usr
mount -t overlay -o "ro,lowerdir=$lower:/usr" overlay usr
for name in bin sbin lib lib32 lib64 libx32; do
    [ ! -L "/$name" ] || ln -s "usr/$name" "$name"
done
cp -a /etc/alternatives etc/ 2>/dev/null || true
[ ! -d "$extra/etc" ] || cp -a "$extra/etc/." etc/
cp -a "$stage/etc/." etc/
printf '%s\n' root:x:0:0:root:/root:/bin/sh nobody:x:65534:65534:nobody:/:/bin/false >etc/passwd
printf '%s\n' root:x:0: nogroup:x:65534: >etc/group
: >etc/machine-id
: >etc/fstab

mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
mount -t cgroup2 cgroup2 sys/fs/cgroup || true
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/net dev/shm dev/pts
for name in null zero full random urandom tty ptmx net/tun; do
    : >"dev/$name"
    mount --bind "/dev/$name" "dev/$name"
done
# The two ends of the pseudowire.
ip link set lo up
ip addr add 192.0.2.1/32 dev lo
ip addr add 192.0.2.2/32 dev lo

pivot_root . old
umount -l /old
exec env -i container=l2tpd PATH=/usr/sbin:/usr/bin "$@" </dev/null
