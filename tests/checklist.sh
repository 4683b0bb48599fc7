#!/bin/sh
# Prints the items of tests/data/checklist.txt that have no proof: whose number stands neither beside a test, nor in
# the source beside the code that does it, nor in the manual as a deliberate deviation. Prints nothing if all have one.
cd "$(dirname "$0")/.." || exit 2
proofs=$(grep -rhoE '\bC-[0-9]{3}\b' --include='*.rs' --include='*.sh' --include='*.5' --include='*.8' tests src man |
    sort -u)
status=0
while read -r id rest; do
    case "$id" in C-*) ;; *) continue ;; esac
    case "$proofs" in *"$id"*) ;; *) echo "$id $rest"; status=1 ;; esac
done < tests/data/checklist.txt
exit $status
