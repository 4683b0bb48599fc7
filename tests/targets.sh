#!/bin/sh
# Other processors, C libraries and systems than this one: musl, 32 bits, most significant octet first, BSD. Builds, and
# runs what can be run here; a target that cannot be had is skipped, and said so. Called by `make test-targets`.
set -u
cd "$(dirname "$0")/.." || exit 1
CARGO=${CARGO:-cargo}
passed=0
failed=0
skipped=0
out=$(mktemp)
trap 'rm -f "$out"' EXIT

check() { # name, command ...
    name=$1
    shift
    if "$@" </dev/null >"$out" 2>&1; then
        passed=$((passed + 1))
        echo "test targets::$name ... ok"
    else
        failed=$((failed + 1))
        echo "test targets::$name ... FAILED"
        grep -E '^(error|warning)|^test .*FAILED|panicked at|^demo:' "$out" | head -n 20
    fi
}
skip() { # name, reason
    skipped=$((skipped + 1))
    echo "test targets::$1 ... SKIPPED: $2"
}
# Whether there is a standard library for the target; rustup fetches it where it can.
have() {
    ls "$(rustc --print target-libdir --target "$1" 2>/dev/null)"/libstd-* >/dev/null 2>&1 && return
    command -v rustup >/dev/null && timeout 180 rustup target add "$1" </dev/null >/dev/null 2>&1
}
# The unit tests, and the test programs of what goes over the wire and of the configuration.
units() { # target, further arguments
    target=$1
    shift
    timeout 1200 "$CARGO" test --locked --no-fail-fast --target "$target" --lib --test wire --test avps \
        --test digests --test frame --test config -- "$@"
}
demo() { # target
    ln -sf l2tpd "target/$1/debug/l2tpctl"
    L2TPD=$PWD/target/$1/debug/l2tpd L2TPCTL=$PWD/target/$1/debug/l2tpctl timeout 120 sh tests/demo.sh
}
runs() { # target
    cat l2tpd.conf.example | "target/$1/debug/l2tpd" -n -c /dev/stdin
}

# musl, and musl with 32 bits, which this machine runs as well.
for target in x86_64-unknown-linux-musl i686-unknown-linux-musl; do
    [ "$(uname -m)" = x86_64 ] || { skip "$target" "this machine does not run it"; continue; }
    have "$target" || { skip "$target" "no standard library for it"; continue; }
    check "$target::builds" timeout 1200 "$CARGO" build --locked --bins --target "$target"
    if "target/$target/debug/l2tpd" -V >/dev/null 2>&1; then
        check "$target::reads_the_example" runs "$target"
        check "$target::tests" units "$target"
        if [ "$(id -u)" = 0 ] && [ -c /dev/net/tun ] && command -v ip >/dev/null; then
            check "$target::moves_frames" demo "$target"
        else
            skip "$target::moves_frames" "it needs root, /dev/net/tun and iproute2"
        fi
    else
        skip "$target::runs" "this machine does not run it"
    fi
done

# Most significant octet first, run by an emulator.
target=s390x-unknown-linux-gnu
export CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_LINKER=s390x-linux-gnu-gcc
export CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_RUNNER="qemu-s390x -L /usr/s390x-linux-gnu"
if ! command -v qemu-s390x >/dev/null || ! command -v s390x-linux-gnu-gcc >/dev/null; then
    skip "$target::tests" "qemu-user and gcc-s390x-linux-gnu are not installed"
elif ! have "$target"; then
    skip "$target::tests" "no standard library for it"
else
    # The emulator cannot start other programs, and knows little of the kernel's sockets.
    check "$target::tests" units "$target" --skip sys:: --skip daemon::
fi

# The rest is compiled only. powerpc has both ioctl numbers of its own and the other octet order.
for target in aarch64-unknown-linux-musl armv7-unknown-linux-musleabihf powerpc-unknown-linux-gnu \
    powerpc64-unknown-linux-gnu riscv64gc-unknown-linux-gnu; do
    have "$target" || { skip "$target" "no standard library for it"; continue; }
    check "$target::compiles" timeout 600 "$CARGO" check --locked --bins --target "$target"
done

# Other systems: compiled only, and looked through by clippy where it is there. Nothing of it runs here.
for target in x86_64-unknown-netbsd x86_64-unknown-freebsd; do
    have "$target" || { skip "$target" "no standard library for it"; continue; }
    check "$target::compiles" timeout 600 "$CARGO" check --locked --bins --target "$target"
    if "$CARGO" clippy --version >/dev/null 2>&1; then
        check "$target::clippy" timeout 600 "$CARGO" clippy --locked --bins --target "$target" -- -D warnings
    else
        skip "$target::clippy" "clippy is not installed"
    fi
    skip "$target::runs" "no such system is here"
done

echo "test result: $([ "$failed" = 0 ] && echo ok || echo FAILED). $passed passed; $failed failed; $skipped skipped"
[ "$failed" = 0 ]
