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

sources= # options of apt: where packages come from
unpack() { # name of the directory, packages
    name=$1
    shift
    [ -e "$peers/$name/done" ] && { echo "== $name: is there"; return; }
    echo "== $name"
    rm -rf "${peers:?}/$name"
    mkdir -p "$peers/$name/root"
    # shellcheck disable=SC2086
    (cd "$peers/$name" && apt-get -q $sources -o APT::Sandbox::User=root download "$@" \
        && for package in *.deb; do dpkg -x "$package" root; done && rm -f ./*.deb && touch done)
}

unpack softether softether-vpnserver softether-vpncmd softether-common

# The reader of Prometheus' rules, without Prometheus.
unpack promtool prometheus
rm -f "$peers/promtool/root/usr/bin/prometheus"

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
    # One that takes programs for packets (6.6), of the backports where that one does not.
    if [ "$(printf '%s\n' 6.6 "${image#linux-image-}" | sort -V | head -n 1)" != 6.6 ]; then
        suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)-backports
        mkdir -p "$peers/lists/partial"
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main" \
            >"$peers/backports.list"
        sources="-o Dir::Etc::sourcelist=$peers/backports.list -o Dir::Etc::sourceparts=/dev/null \
            -o Dir::State::lists=$peers/lists"
        # shellcheck disable=SC2086
        apt-get -q $sources -o APT::Sandbox::User=root update
        # shellcheck disable=SC2086
        image=$(apt-cache $sources depends linux-image-cloud-amd64 |
            sed -n 's/.*Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1)
        [ -z "$image" ] || unpack newer-kernel "$image"
    fi
fi
echo "== $(du -sm "$peers" | cut -f1) MB in $peers"
