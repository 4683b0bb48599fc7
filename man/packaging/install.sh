#!/bin/sh
# install(1) where there is none (some busyboxes lack it): `install.sh -d DIRECTORY...`, `install.sh -m MODE FILE... TARGET`.
set -e
mode=0755
case $1 in
-d)
    shift
    exec mkdir -p "$@"
    ;;
-m)
    mode=$2
    shift 2
    ;;
esac
for target; do :; done
while [ $# -gt 1 ]; do
    to=$target
    [ ! -d "$to" ] || to=$to/${1##*/}
    # A program that runs cannot be written to, but it can be replaced; nobody else reads a secret meanwhile.
    rm -f "$to.new"
    (umask 077 && cp "$1" "$to.new")
    chmod "$mode" "$to.new"
    mv -f "$to.new" "$to"
    shift
done
