#!/bin/sh
# Installs into a staging directory and looks at what is there. Needs the program in target/release or cargo.
# Prints one line per check and a line that sums up.
cd "$(dirname "$0")/.." || exit 1
passed=0
failed=0
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

check() {
    if eval "$2"; then
        passed=$((passed + 1))
        echo "test install::$1 ... ok"
    else
        failed=$((failed + 1))
        echo "test install::$1 ... FAILED: $2"
    fi
}
# Make's own variables of an outer make must not reach the inner one.
unset MAKEFLAGS MAKELEVEL MFLAGS DESTDIR PREFIX SYSCONFDIR

make -s all </dev/null || exit 1
d=$stage/one
make -s install DESTDIR="$d" PREFIX=/usr >"$stage/log" 2>&1 || { cat "$stage/log"; failed=$((failed + 1)); }
check the_program_runs '"$d/usr/sbin/l2tpd" -V | grep -q l2tpd'
check the_client_is_the_same_program '"$d/usr/sbin/l2tpctl" -h | grep -q status'
check only_root_reads_the_configuration '[ "$(stat -c %a "$d/etc/l2tpd.conf")" = 600 ]'
check the_installed_configuration_is_valid '"$d/usr/sbin/l2tpd" -n -c "$d/etc/l2tpd.conf"'
check there_are_manual_pages '[ -e "$d/usr/share/man/man8/l2tpd.8" ] && [ -e "$d/usr/share/man/man5/l2tpd.conf.5" ]'
for page in man/*.[578] man/ja/*.[578]; do
    [ -e "$page" ] || continue
    case $page in man/ja/*) language=ja/ ;; *) language= ;; esac
    check "page_$(basename "$page")_$language" "cmp -s $page $d/usr/share/man/${language}man${page##*.}/${page##*/}"
done

# Some busyboxes have no install(1).
make -s install DESTDIR="$stage/other" PREFIX=/usr INSTALL='sh man/packaging/install.sh' >"$stage/log" 2>&1 || cat "$stage/log"
tree() { (cd "$1" && find . -exec stat -c "%n %a" {} + | sort && find . -type f -exec cksum {} + | sort); }
check without_the_program_install_all_is_the_same '[ "$(tree "$d")" = "$(tree "$stage/other")" ]'

echo '# edited' >>"$d/etc/l2tpd.conf"
make -s install DESTDIR="$d" PREFIX=/usr >/dev/null 2>&1
check an_edited_configuration_is_kept 'tail -n 1 "$d/etc/l2tpd.conf" | grep -q edited'

# After `make`, installing must not start cargo: a root without cargo, or with another one, can do it.
check installing_does_not_start_cargo 'make -s install DESTDIR="$stage/two" CARGO=/nonexistent/cargo >/dev/null 2>&1'
check the_default_prefix_is_usr_local '[ -x "$stage/two/usr/local/sbin/l2tpd" ]'

for kind in systemd:usr/lib/systemd/system/l2tpd.service openrc:etc/init.d/l2tpd sysvinit:etc/init.d/l2tpd runit:etc/sv/l2tpd/run; do
    make -s "install-${kind%%:*}" DESTDIR="$stage/${kind%%:*}" PREFIX=/usr >/dev/null 2>&1
    check "service_${kind%%:*}" "grep -q /usr/sbin/l2tpd $stage/${kind%%:*}/${kind#*:} && ! grep -q /usr/local/sbin/l2tpd $stage/${kind%%:*}/${kind#*:}"
done
make -s install-procd DESTDIR="$stage/procd" PREFIX=/usr >/dev/null 2>&1
check service_procd 'grep -q /usr/sbin/l2tpd "$stage/procd/etc/init.d/l2tpd"'
check an_upgrade_of_openwrt_keeps_the_configuration 'grep -qx /etc/l2tpd.conf "$stage/procd/lib/upgrade/keep.d/l2tpd"'

for script in openrc/etc/init.d/l2tpd sysvinit/etc/init.d/l2tpd runit/etc/sv/l2tpd/run procd/etc/init.d/l2tpd; do
    check "script_${script%%/*}" "sh -n $stage/$script && [ \"\$(stat -c %a $stage/$script)\" = 755 ]"
done
if command -v systemd-analyze >/dev/null; then
    # It wants to find the program that the unit starts.
    make -s install-systemd DESTDIR="$stage/verify" PREFIX=/usr SBINDIR="$d/usr/sbin" >/dev/null 2>&1
    unit=$stage/verify/usr/lib/systemd/system/l2tpd.service
    systemd-analyze verify --man=no "$unit" >"$stage/said" 2>&1
    cat "$stage/said"
    check systemd_has_nothing_to_say '[ ! -s "$stage/said" ]'
else
    echo "SKIPPED: no systemd-analyze"
fi

if [ "$(id -u)" = 0 ] && unshare -m -n true 2>/dev/null && [ -c /dev/net/tun ]; then
    check installed_and_confined 'sh tests/install_confined.sh'
else
    echo "SKIPPED: no namespaces, or no /dev/net/tun: nobody runs what is installed"
fi

for kind in systemd openrc runit sysvinit procd; do
    make -s install-$kind DESTDIR="$d" PREFIX=/usr >/dev/null 2>&1
done
make -s uninstall DESTDIR="$d" PREFIX=/usr >/dev/null 2>&1
check uninstalling_leaves_only_the_configuration '[ "$(cd "$d" && find . -type f -o -type l)" = ./etc/l2tpd.conf ]'

if [ "$failed" = 0 ]; then word=ok; else word=FAILED; fi
echo "test result: $word. $passed passed; $failed failed; 0 ignored"
[ "$failed" = 0 ]
