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

# --no-fail-fast: one run shows everything that is wrong.
{ "$CARGO" test --locked --no-fail-fast 2>&1; echo $? > target/test-status; } </dev/null | tee "$report"
status=$(cat target/test-status)

# The data path once more, with the frames inside the kernel where that is possible: all but the tests that choose what
# carries the frames themselves (`bpf`), and those about the order in which the daemon does its work, of which one is enough.
PLANES="transfer:: ::frames:: tagged:: mss:: oversize:: tos:: failures:: counters:: damaged:: closing:: flood::
    fairness::large_frames_over_udp"
# shellcheck disable=SC2086
{ PLANE=bpf "$CARGO" test --locked --no-fail-fast --test dataplane -- $PLANES 2>&1; echo $? > target/bpf-status; } </dev/null | tee -a "$report"
[ "$(cat target/bpf-status)" = 0 ] || status=1

{ sh tests/install_test.sh 2>&1; echo $? > target/install-status; } | tee -a "$report"
[ "$(cat target/install-status)" = 0 ] || status=1

{ sh tests/demo_test.sh 2>&1; echo $? > target/demo-status; } | tee -a "$report"
[ "$(cat target/demo-status)" = 0 ] || status=1

{ sh tests/service_test.sh 2>&1; echo $? > target/service-status; } | tee -a "$report"
[ "$(cat target/service-status)" = 0 ] || status=1

{ CARGO="$CARGO" sh tests/package_test.sh 2>&1; echo $? > target/package-status; } | tee -a "$report"
[ "$(cat target/package-status)" = 0 ] || status=1

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
