#!/bin/sh
# Measures the data path of l2tpd beside others, on this machine, in network namespaces. Called by `make bench`.
# With the word `scale`: what the number of tunnels costs; called by `make bench-scale`, see scale.py.
# BENCH_ROUNDS (3), BENCH_SECONDS (2), BENCH_KINDS, BENCH_WIRES and BENCH_SHAPES make it shorter: see bench.py.
set -u
cd "$(dirname "$0")/../.." || exit 1

stop() { echo "bench: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || stop "network namespaces and TAP interfaces need root: sudo make bench"
[ -c /dev/net/tun ] || stop "/dev/net/tun is missing"
missing=
tools="python3:python3 ip:iproute2 ping:iputils-ping ethtool:ethtool iperf3:iperf3"
[ "${1:-}" != scale ] || tools="python3:python3 ip:iproute2"
for pair in $tools; do
    command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
done
[ -z "$missing" ] || stop "needed:  apt-get install --no-install-recommends$missing"

BENCH_L2TPD=$PWD/target/release/l2tpd
BENCH_FRAMES=$PWD/target/bench/frames
export BENCH_L2TPD BENCH_FRAMES
[ -x "$BENCH_L2TPD" ] || stop "build it first: make"
[ "${1:-}" != scale ] || exec env PYTHONDONTWRITEBYTECODE=1 python3 tests/bench/scale.py
mkdir -p target/bench
if [ ! -x "$BENCH_FRAMES" ] || [ tests/bench/frames.rs -nt "$BENCH_FRAMES" ]; then
    "${RUSTC:-rustc}" --edition 2021 -O -o "$BENCH_FRAMES" tests/bench/frames.rs || stop "rustc failed"
fi
exec env PYTHONDONTWRITEBYTECODE=1 python3 tests/bench/bench.py
