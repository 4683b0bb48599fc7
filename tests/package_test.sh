#!/bin/sh
# The source archive and the packages: the archive builds without a network, in another directory, and gives the same
# program as here; the program is small; a package for Debian can be unpacked and works; the files for other systems
# can be read and are of this version. Needs what `make` needs. Prints one line per check and a line that sums up.
# Checks are evaluated, so their variables stand in single quotes.
# shellcheck disable=SC2016,SC2034
cd "$(dirname "$0")/.." || exit 1
passed=0
failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
CARGO=${CARGO:-cargo}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)

check() {
    if eval "$2"; then
        passed=$((passed + 1))
        echo "test package::$1 ... ok"
    else
        failed=$((failed + 1))
        echo "test package::$1 ... FAILED: $2"
    fi
}
skip() {
    echo "SKIPPED: package::$1: $2"
}
# Make's own variables of an outer make must not reach the inner one.
unset MAKEFLAGS MAKELEVEL MFLAGS DESTDIR PREFIX SYSCONFDIR STATIC RUSTFLAGS

make -s all CARGO="$CARGO" </dev/null || exit 1
bin=target/release/l2tpd
# Octets. Other processors and older compilers need more or less for the same.
small() {
    if [ "$(uname -m)" != x86_64 ]; then
        skip "$1" "measured on x86_64"
    elif ! make -nB target/dynamic/release/l2tpd | grep -q icf=all; then
        skip "$1" "this linker does not fold equal functions"
    else
        check "$1" "[ \$(stat -c %s '$2') -lt $3 ]"
    fi
}
small the_dynamic_program_is_small "$bin" 1670000

# With the standard library built for size. Its crates are not in the archive.
if [ ! -d "$(rustc --print sysroot 2>/dev/null)/lib/rustlib/src/rust/library" ]; then
    skip small_library "its sources are not here (rustup component add rust-src)"
elif ! make -s target/dynamic-small/release/l2tpd STD=small CARGO="$CARGO" </dev/null >"$work/said" 2>&1 \
    && grep -qE 'failed to (download|get)|[Nn]o matching package|--offline' "$work/said"; then
    skip small_library "its crates cannot be had"
else
    other=target/dynamic-small/release/l2tpd
    check the_small_library_builds '"$other" -n -c /dev/stdin <l2tpd.conf.example || { tail -n 20 "$work/said"; false; }'
    small the_program_with_the_small_library_is_small "$other" 1500000
fi

# The archive.
if make -s dist CARGO="$CARGO" >"$work/said" 2>&1; then
    archive=target/dist/l2tpd-$version.tar.gz
    cp "$archive" "$work/first.tar.gz"
    make -s dist CARGO="$CARGO" >/dev/null 2>&1
    check the_archive_is_the_same_again 'cmp -s "$archive" "$work/first.tar.gz"'
    mkdir "$work/another place"
    tar -xzf "$archive" -C "$work/another place"
    mv "$work/another place/l2tpd-$version" "$work/elsewhere"
    # An empty directory of cargo's and no way out: all crates are in the archive.
    build() {
        (cd "$work/elsewhere" && CARGO_HOME="$work/home" CARGO_NET_OFFLINE=true \
            make -s "$@" CARGO="$CARGO" </dev/null >"$work/said" 2>&1) || { tail -n 20 "$work/said"; return 1; }
    }
    mkdir "$work/home"
    other=$work/elsewhere/$bin
    musl=$([ ! -d "$(rustc --print sysroot 2>/dev/null)/lib/rustlib/$(uname -m)-unknown-linux-musl" ] || echo musl)
    # Side by side, for each of these keeps one processor busy only. `build` takes what is there.
    for kind in dynamic static $musl; do
        (cd "$work/elsewhere" && CARGO_HOME="$work/home" CARGO_NET_OFFLINE=true make -s "target/$kind/release/l2tpd" \
            STATIC="${kind#dynamic}" CARGO="$CARGO" </dev/null >/dev/null 2>&1) &
    done
    wait
    check the_archive_builds_without_a_network 'build all'
    check the_same_program_comes_of_another_directory 'cmp "$bin" "$other"'
    check no_directory_is_left_in_the_program '! grep -aqF -e "${CARGO_HOME:-$HOME/.cargo}/registry/" -e "$PWD/src/" -e "$work" "$bin" "$other"'
    check static_builds 'build all STATIC=1'
    check the_static_program_needs_no_library '! ldd "$other" 2>/dev/null | grep -q "=>" && "$other" -V >/dev/null'
    small the_static_program_is_small "$other" 2600000
    if [ -n "$musl" ]; then
        check musl_builds 'build all STATIC=musl'
        check the_program_with_musl_needs_no_library '! ldd "$other" 2>/dev/null | grep -q "=>" && "$other" -V >/dev/null'
        small the_program_with_musl_is_small "$other" 1850000
    else
        skip musl "the compiler lacks this target"
    fi
    check make_gives_the_dynamic_one_again 'build all && cmp "$bin" "$other"'
    check the_archive_makes_itself 'build dist && cmp "$archive" "$work/elsewhere/$archive"'
else
    cat "$work/said"
    skip archive "make dist failed: are the crates to be had?"
fi

# Debian.
if command -v dpkg-deb >/dev/null; then
    check the_deb_is_made 'make -s deb CARGO="$CARGO" >"$work/said" 2>&1 || { cat "$work/said"; false; }'
    deb=$(ls target/dist/l2tpd_"$version"-*.deb)
    dpkg-deb -x "$deb" "$work/deb"
    dpkg-deb -e "$deb" "$work/control"
    check the_deb_has_program_and_pages '"$work/deb/usr/sbin/l2tpctl" -V >/dev/null && [ -e "$work/deb/usr/share/man/ja/man8/l2tpd.8.gz" ]'
    check the_deb_has_the_unit 'grep -q /usr/sbin/l2tpd "$work"/deb/usr/lib/systemd/system/l2tpd.service'
    check the_deb_has_no_configuration '[ ! -e "$work/deb/etc" ]'
    check the_sums_of_the_deb_are_right '(cd "$work/deb" && md5sum --quiet -c ../control/md5sums)'
    check the_deb_says_which_libc '! grep -aq ld-linux "$work/deb/usr/sbin/l2tpd" || grep -q "^Depends: libc6 (>= 2\." "$work/control/control"'
    cp "$deb" "$work/first.deb"
    make -s deb CARGO="$CARGO" >/dev/null 2>&1
    check the_deb_is_the_same_again 'cmp "$deb" "$work/first.deb"'
    # Installed and purged, in a copy of this system that is gone afterwards.
    cat >"$work/install_deb" <<'RUN'
set -e
mount --make-rprivate /
mount -t tmpfs none "$1"
cd "$1" && mkdir up work root
mount -t overlay -o "lowerdir=/,upperdir=$1/up,workdir=$1/work" none root || exit 77
for directory in dev proc; do mount --rbind /$directory root/$directory; done
cat >root/deb
exec chroot root sh -ec '
    userdel l2tpd 2>/dev/null || true
    rm -f /etc/l2tpd.conf
    dpkg -i /deb
    install -m 640 -g l2tpd /usr/share/doc/l2tpd/examples/l2tpd.conf.example /etc/l2tpd.conf
    [ -z "$(/usr/sbin/l2tpd -n 2>&1)" ]
    chown root:root /etc/l2tpd.conf
    chmod 600 /etc/l2tpd.conf
    dpkg -i /deb
    [ "$(stat -c %U:%G:%a /etc/l2tpd.conf)" = root:l2tpd:640 ]
    dpkg -P l2tpd
    [ -e /etc/l2tpd.conf ] && [ ! -e /usr/sbin/l2tpd ]'
RUN
    if [ "$(id -u)" = 0 ] && command -v adduser >/dev/null; then
        mkdir "$work/copy"
        unshare -m sh "$work/install_deb" "$work/copy" <"$deb" >"$work/said" 2>&1
        status=$?
        if [ "$status" = 77 ]; then
            skip the_deb_is_installed "no overlay file system"
        else
            check the_deb_is_installed_with_its_user_and_purged '[ "$status" = 0 ] || { cat "$work/said"; false; }'
        fi
    else
        skip the_deb_is_installed "not root, or no adduser"
    fi
    if command -v lintian >/dev/null; then
        # A package that is not in Debian has neither a bug report there nor, here, the address of a maintainer.
        check lintian_has_nothing_to_say 'lintian --allow-root --fail-on error,warning --suppress-tags \
            initial-upload-closes-no-bugs,bogus-mail-host,bogus-mail-host-in-debian-changelog "$deb" >"$work/said" 2>&1 || { cat "$work/said"; false; }'
    else
        skip lintian "no lintian"
    fi
else
    skip deb "no dpkg-deb"
fi

# Other systems: their tools are not here, but their files can be read.
for file in alpine/APKBUILD arch/PKGBUILD void/template openwrt/Makefile; do
    check "version_of_$file" 'grep -qE "^(pkgver=|version=|PKG_VERSION:=)$version\$" man/packaging/$file'
done
check apkbuild 'sh -n man/packaging/alpine/APKBUILD'
for file in arch/PKGBUILD void/template; do
    command -v bash >/dev/null || { skip "$file" "no bash"; continue; }
    check "$file" 'bash -n "man/packaging/$file"'
done
if command -v shellcheck >/dev/null; then
    check shellcheck_of_ours 'shellcheck man/packaging/*.sh man/packaging/debian/p* man/packaging/alpine/*.post-install tests/package_test.sh'
    # Names that the packaging tools read or set.
    check shellcheck_of_theirs 'shellcheck -s bash -e SC2034,SC2154,SC2164 man/packaging/alpine/APKBUILD man/packaging/arch/PKGBUILD man/packaging/void/template'
else
    skip shellcheck "no shellcheck"
fi
# What the functions of the three files install.
for file in alpine/APKBUILD arch/PKGBUILD void/template; do
    command -v bash >/dev/null || continue
    rm -rf "$work/root"
    cat >"$work/run" <<RUN
set -e
. "\$PWD/man/packaging/$file"
export DESTDIR="$work/root" pkgdir="$work/root"
vmkdir() { mkdir -p "\$DESTDIR/\$1"; }
vlicense() { install -Dm644 "\$1" "\$DESTDIR/usr/share/licenses/l2tpd/\$1"; }
mkdir "$work/root"
# The directory of the sources is this one.
cd() { :; }
if command -v package >/dev/null; then package; else do_install; fi
RUN
    check "installs_$file" 'bash "$work/run" >"$work/said" 2>&1 && [ -L "$(find "$work/root" -name l2tpctl -path "*bin*")" ] \
        && [ -e "$work/root/etc/l2tpd.conf" ] && grep -rq "/usr/s*bin/l2tpd" "$work/root/etc" "$work/root/usr/lib" 2>/dev/null || { cat "$work/said"; false; }'
done

PATH=$PATH:$PWD/target/peers/promtool/root/usr/bin
if command -v promtool >/dev/null; then
    check the_alerts_are_rules_of_prometheus 'promtool check rules man/monitoring/l2tpd-alerts.yml >"$work/said" 2>&1 || { cat "$work/said"; false; }'
else
    skip alerts "no promtool (tests/peers/fetch.sh has it)"
fi

if [ "$failed" = 0 ]; then word=ok; else word=FAILED; fi
echo "test result: $word. $passed passed; $failed failed; 0 ignored"
[ "$failed" = 0 ]
