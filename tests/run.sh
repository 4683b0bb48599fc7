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
    for peer in softether promtool kernel openrc runit sysvinit; do
        [ -e "target/peers/$peer/done" ] || { echo "NOT FETCHED, so tests with real peers are skipped: sh tests/peers/fetch.sh"; break; }
    done
    [ "$(id -u)" = 0 ] || echo "NOT ROOT, so all tests that make interfaces and network namespaces are skipped"
}
needed

# To build all of it takes a third less if it is not prepared for being built again piece by piece.
export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_LTO=off

# What the simulation is put through; `cargo test` alone takes less of it.
export SIM_DISASTERS=${SIM_DISASTERS:-20000}

# Runs a part of it; keeps what that says, whether it failed and the seconds that it took.
times=target/test-times.txt
failed=target/test-failed.txt
: >"$report"
: >"$times"
: >"$failed"
part() { # name, command ...
    name=$1
    shift
    begun=$(date +%s)
    { "$@" 2>&1 || echo "$name" >>"$failed"; } </dev/null | tee -a "$report"
    printf '%5d %s\n' $(($(date +%s) - begun)) "$name" >>"$times"
}
# Several parts beside the next ones, with the processor time that those leave; `together` waits and says what they said.
beside() { # function
    (
        report=target/test-$1.txt
        : >"$report"
        "$1" >/dev/null
    ) &
}
together() { # functions
    wait
    for parts; do
        tee -a "$report" <"target/test-$parts.txt"
    done
}
# Those beside do not hear an interrupt.
trap 'trap "" TERM; kill 0; exit 130' INT

# All but the two that need network namespaces.
units() {
    names=$(ls tests/*.rs tests/*/main.rs | sed -e 's|^tests/||' -e 's|/main||' -e 's|\.rs$||' | grep -vx -e e2e -e dataplane)
    # shellcheck disable=SC2046,SC2086
    part "cargo test" nice -n 19 "$CARGO" test --locked --no-fail-fast --lib --bins $(printf -- '--test %s ' $names)
    part "cargo test --doc" nice -n 19 "$CARGO" test --locked --doc
}
# Programs as they are installed.
programs() {
    part install nice -n 19 sh tests/install_test.sh
    part packages nice -n 19 env CARGO="$CARGO" sh tests/package_test.sh
    part demo sh tests/demo_test.sh
    part services sh tests/service_test.sh
}

part "building the tests" "$CARGO" test --locked --no-run
# The end-to-end tests wait most of their time. --no-fail-fast: one run shows everything that is wrong.
beside units
beside programs
part e2e "$CARGO" test --locked --no-fail-fast --test e2e
together units programs
part dataplane "$CARGO" test --locked --no-fail-fast --test dataplane

# The data path once more, with the frames inside the kernel where that is possible: all but the tests that choose what
# carries the frames themselves (`bpf`), and those about the order in which the daemon does its work, of which one is enough;
# of the floods, that which the programs look at.
PLANES="transfer:: ::frames:: tagged:: mss:: oversize:: tos:: failures:: counters:: damaged:: closing:: flood::unknown_ids
    fairness::large_frames_over_udp"
# shellcheck disable=SC2086
part "PLANE=bpf" env PLANE=bpf "$CARGO" test --locked --no-fail-fast --test dataplane -- $PLANES
# And with the daemon at the other end.
part "PLANE=mixed" env PLANE=mixed "$CARGO" test --locked --no-fail-fast --test dataplane -- itself between_daemons \
    with_and_without longer_than jumbo in_fragments counters::

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
[ ! -s "$failed" ]
