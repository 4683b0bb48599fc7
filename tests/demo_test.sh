#!/bin/sh
# Runs the demo: to its end, and interrupted in the middle. It must leave nothing behind either way.
cd "$(dirname "$0")/.." || exit 1
passed=0
failed=0
out=$(mktemp)
trap 'rm -f "$out"' EXIT

check() {
    if eval "$2"; then
        passed=$((passed + 1))
        echo "test demo::$1 ... ok"
    else
        failed=$((failed + 1))
        echo "test demo::$1 ... FAILED: $2"
    fi
}
# What a demo with the process id $1 would have left.
leftovers() {
    ip netns list | grep "l2tpd-demo-$1-"
    for process in /proc/[0-9]*; do
        { tr '\0' ' ' <"$process/cmdline"; } 2>/dev/null | grep "l2tpd -d -c $directory/"
    done
}

if [ "$(id -u)" != 0 ]; then
    sh tests/demo.sh >"$out" 2>&1
    check "without_root_it_says_what_to_do" '[ $? != 0 ] && grep -q "sudo make demo" "$out"'
elif ! why=$(sh tests/possible.sh); then
    echo "SKIPPED: demo: $why"
else
    directory=/tmp/nothing
    sh tests/demo.sh >"$out" 2>&1 &
    demo=$!
    wait "$demo"
    status=$?
    directory=$(sed -n 's|.* -s \(.*\)/a.sock status$|\1|p' "$out" | head -n 1)
    check it_succeeds '[ "$status" = 0 ] || { cat "$out"; false; }'
    check pings_pass 'grep -q " 0% packet loss" "$out"'
    check it_shows_the_status 'grep -q "State            :established" "$out"'
    check there_is_a_rate 'grep -Eq "100 MB moved: [1-9]" "$out" || grep -q "neither iperf3 nor python3" "$out"'
    check no_colours_in_a_file '! grep -q "$(printf "\033")" "$out"'
    check it_leaves_nothing '[ -z "$(leftovers "$demo")" ] && [ ! -e "$directory" ]'

    sh tests/demo.sh >"$out" 2>&1 &
    demo=$!
    sleep 1.2
    directory=$(sed -n 's|.* -s \(.*\)/a.sock status$|\1|p' "$out" | head -n 1)
    kill -TERM "$demo"
    wait "$demo"
    status=$?
    check terminated_it_tells_so '[ "$status" = 143 ]'
    check terminated_it_leaves_nothing '[ -z "$(leftovers "$demo")" ] && [ ! -e "${directory:-/nonexistent}" ]'
fi

if [ "$failed" = 0 ]; then word=ok; else word=FAILED; fi
echo "test result: $word. $passed passed; $failed failed; 0 ignored"
[ "$failed" = 0 ]
