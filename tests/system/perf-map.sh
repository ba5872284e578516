#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# --perf-map: one line a translated block and thunk, with the guest's symbols; perf(1) finds names in it. --stats
# prints `name value meaning`.
. tests/system/lib.sh.inc
k=$(kernel cloud-amd64) || { echo "$k"; exit 77; }
d=$(mktemp -d "$WORK/perf.XXXXXX")
printf 'ffffffff81000000 T startup_64\nnonsense\nffffffffff000000 T far_away\n' >"$d/symbols"
record=()
command -v perf >/dev/null && perf record -o "$d/data" true >/dev/null 2>&1 && record=(perf record -q -o "$d/data" --)
"${record[@]}" sh -c 'echo $$ >"$0"; exec "$@"' "$d/pid" \
    "$TRAPEZE" run --engine soft --soft translate --no-reboot --stats --perf-map="$d/symbols" --initrd "$A/test-amd64.img" \
    --append 'console=ttyS0 nokaslr' "$k" >"$d/out" 2>"$d/stats" </dev/null
status=$?
map=/tmp/perf-$(cat "$d/pid").map
trap 'rm -f "$map"' EXIT
[ $status -eq 0 ] || { cat "$d/out" "$d/stats"; fail "the guest did not end well"; }
[ -f "$map" ] || fail "no $map"
odd=$(grep -vcE '^[0-9a-f]+ [0-9a-f]+ (thunk [a-z_]+|guest 0x[0-9a-f]+ (user|kernel)( [^ ]+\+0x[0-9a-f]+)?( cache [0-9]+)?)$' "$map")
[ "$odd" -eq 0 ] || { grep -vE '^[0-9a-f]+ [0-9a-f]+ (thunk|guest) ' "$map" | head -3; fail "$odd lines of another form"; }
for want in ' thunk enter$' ' guest 0xffffffff81[0-9a-f]* kernel' ' guest 0x[0-9a-f]* user' ' startup_64+0x'; do
    grep -q -- "$want" "$map" || fail "nothing like '$want'"
done
[ "$(grep -cE ' guest ' "$map")" -gt 5000 ] || fail "too few blocks"
for name in insns tlb_fills tlb_flushes xl_blocks xl_insns xl_ns xl_entries xl_polls xl_bytes exit.2; do
    grep -qE "^vcpu0\\.$name +[0-9]+  [^ ]" "$d/stats" || fail "no counter $name"
done
[ ${#record[@]} -gt 0 ] || skip 'the map is right; perf is not installed or may not record here'
perf report -i "$d/data" --stdio --sort sym 2>/dev/null >"$d/report"
grep -qE 'guest 0x[0-9a-f]+ (user|kernel)' "$d/report" || { head -20 "$d/report"; fail "perf report names no guest code"; }
timeout 20 "$TRAPEZE" run --engine soft --perf-map="$d/none" "$k" >"$d/out" 2>&1 </dev/null
[ $? -eq 4 ] && grep -q 'perf-map' "$d/out" || { cat "$d/out"; fail "a missing file of symbols is not told"; }
