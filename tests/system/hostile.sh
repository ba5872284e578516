#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A hostile program in the guest is told where the monitor's memory lies and tries every range in every way.
. tests/system/lib.sh.inc
d=$(mktemp -d "$WORK/hostile.XXXXXX")
for mode in interp translate,nowindow translate,window; do
    mkfifo "$d/in.$mode"
    "$TRAPEZE" run --engine soft --soft "$mode" --memory 64M --debug-exit --no-reboot "$B/guest/hostile_maps.elf" \
        <"$d/in.$mode" >"$d/out" 2>&1 &
    vm=$!
    exec 3>"$d/in.$mode"
    for _ in $(seq 100); do grep -q 'maps?' "$d/out" && break; sleep 0.1; done
    {
        sed -n 's/^\([0-9a-f]*\)-\([0-9a-f]*\) .*/\1 \2/p' "/proc/$vm/maps"
        echo 0 0
    } >&3
    wait $vm
    status=$?
    exec 3>&-
    cat "$d/out"
    [ $status -eq 1 ] || fail "$mode: exit status $status"
    grep -q 'ok the monitor.s own addresses only fault' "$d/out" || fail "$mode: not tried"
done
