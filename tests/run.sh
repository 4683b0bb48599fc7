#!/bin/sh
# All tests, and at the end what took part in them. Called by `make test`.
set -u
cd "$(dirname "$0")/.." || exit 1
CARGO=${CARGO:-cargo}
report=target/test-report.txt
mkdir -p target
rm -f target/e2e-logs/summary.txt target/dataplane-logs/summary.txt

# A word: only the tests whose name holds it.
if [ -n "${1:-}" ]; then
    exec "$CARGO" test --locked --no-fail-fast -- "$1" </dev/null
fi

# What the tests look for, and the Debian packages that have it. What is not there is skipped; nobody shall be unaware of
# that, so it is told first, and again at the end.
NEEDS="ip:iproute2 ping:iputils-ping python3:python3 pgrep:procps setpriv:util-linux strace:strace tcpdump:tcpdump
    tshark:tshark ethtool:ethtool mandoc:mandoc bash:bash busybox:busybox shellcheck:shellcheck dpkg-deb:dpkg
    lintian:lintian systemd-analyze:systemd"
needed() {
    missing=
    for pair in $NEEDS; do
        command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
    done
    python=/usr/bin/python3
    [ -x $python ] || python=python3
    for module in prometheus_client:python3-prometheus-client yaml:python3-yaml; do
        $python -c "import ${module%%:*}" 2>/dev/null || missing="$missing ${module#*:}"
    done
    [ -z "$missing" ] || echo "NOT INSTALLED, so some tests are skipped:$missing"
    for peer in softether kernel openrc runit sysvinit; do
        [ -e "target/peers/$peer/done" ] || { echo "NOT FETCHED, so tests with real peers are skipped: sh tests/peers/fetch.sh"; break; }
    done
    [ "$(id -u)" = 0 ] || echo "NOT ROOT, so all tests that make interfaces and network namespaces are skipped"
}
needed

# What the simulation is put through; `cargo test` alone takes less of it.
export SIM_DISASTERS=${SIM_DISASTERS:-20000}

# Runs a part of it; keeps what that says, whether it failed and the seconds that it took.
status=0
times=target/test-times.txt
: >"$report"
: >"$times"
part() { # name, command ...
    name=$1
    shift
    begun=$(date +%s)
    { "$@" 2>&1; echo $? >target/part-status; } </dev/null | tee -a "$report"
    [ "$(cat target/part-status)" = 0 ] || status=1
    printf '%5d %s\n' $(($(date +%s) - begun)) "$name" >>"$times"
}

part "building the tests" "$CARGO" test --locked --no-run
# --no-fail-fast: one run shows everything that is wrong.
part "cargo test" "$CARGO" test --locked --no-fail-fast

# The data path once more, with the frames inside the kernel where that is possible: all but the tests that choose what
# carries the frames themselves (`bpf`), and those about the order in which the daemon does its work, of which one is enough;
# of the floods, that which the programs look at.
PLANES="transfer:: ::frames:: tagged:: mss:: oversize:: tos:: failures:: counters:: damaged:: closing:: flood::unknown_ids
    fairness::large_frames_over_udp"
# shellcheck disable=SC2086
part "PLANE=bpf" env PLANE=bpf "$CARGO" test --locked --no-fail-fast --test dataplane -- $PLANES
part install sh tests/install_test.sh
part demo sh tests/demo_test.sh
part services sh tests/service_test.sh
part packages env CARGO="$CARGO" sh tests/package_test.sh

echo
echo "== seconds =="
# Of cargo test each program that takes long.
awk '$1 == "Running" { name = $2 == "unittests" ? $3 : $2 }
    /^test result:.* finished in / && $NF + 0 >= 3 && !seen[name]++ { printf "      %5d %s\n", $NF, name }' "$report" |
    sed -e '/^ *[0-9]* cargo test$/r /dev/stdin' "$times"
echo
echo "== what took part =="
if [ -e target/e2e-logs/summary.txt ]; then
    grep -v '^test result' target/e2e-logs/summary.txt
else
    echo "SKIPPED: the end-to-end tests (not root?)"
fi
[ ! -e target/dataplane-logs/summary.txt ] || grep -v '^test result' target/dataplane-logs/summary.txt
grep '^SKIPPED: ' "$report" | sort -u
needed
awk '/^test result:/ {
        for (i = 1; i < NF; i++) {
            if ($(i + 1) ~ /^passed/) passed += $i
            if ($(i + 1) ~ /^failed/) failed += $i
            if ($(i + 1) ~ /^ignored/) ignored += $i
        }
    }
    END { printf "%d passed, %d failed, %d skipped\n", passed, failed, ignored }' "$report"
exit "$status"
