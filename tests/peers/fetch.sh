#!/bin/sh
# Fetches the Debian packages of real peers and of init systems, and unpacks them below target/peers; nothing is
# installed. The tests that use them skip themselves where they are missing. apt-get shows how far it is.
set -eu
cd "$(dirname "$0")/../.."
peers=$PWD/target/peers
for program in apt-get dpkg; do
    command -v $program >/dev/null || { echo "fetch.sh: there is no $program here: this is for Debian" >&2; exit 1; }
done
mkdir -p "$peers"

unpack() { # name of the directory, packages
    name=$1
    shift
    [ -e "$peers/$name/done" ] && { echo "== $name: is there"; return; }
    echo "== $name"
    rm -rf "${peers:?}/$name"
    mkdir -p "$peers/$name/root"
    (cd "$peers/$name" && apt-get -q -o APT::Sandbox::User=root download "$@" \
        && for package in *.deb; do dpkg -x "$package" root; done && rm -f ./*.deb && touch done)
}

unpack softether softether-vpnserver softether-vpncmd softether-common

# Init systems for the service files. Their /bin, /sbin and /lib become parts of /usr, as on a system.
for init in "openrc openrc librc1 libeinfo1" "runit runit" \
    "sysvinit sysvinit-core sysvinit-utils sysv-rc initscripts startpar"; do
    # shellcheck disable=SC2086
    unpack $init
    for part in bin sbin lib; do
        found=$peers/${init%% *}/root/$part
        [ ! -d "$found" ] || { mkdir -p "$found/../usr" && cp -a "$found" "$found/../usr/" && rm -rf "$found"; }
    done
done

# The kernel's own L2TPv3, in a virtual machine: kernel, emulator and what the emulator needs beside what is here.
image=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1)
if [ -n "$image" ]; then
    needed=$(apt-get install -s --no-install-recommends qemu-system-x86 2>/dev/null | sed -n 's/^Inst \([^ ]*\).*/\1/p')
    # shellcheck disable=SC2086
    unpack kernel "$image" busybox-static $needed
fi
echo "== $(du -sm "$peers" | cut -f1) MB in $peers"
