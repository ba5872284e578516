#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The PC from the guest's side: text on the VGA, every way to reset, and what --no-reboot makes of it.
. tests/system/lib.sh.inc
run() { timeout 60 "$TRAPEZE" run --engine soft --memory 16M --debug-exit "$@" 2>&1 </dev/null; }

out=$(run "$B/guest/vga.elf")
[ $? -eq 1 ] || fail "vga: $out"
[ "$(grep -c '^vga line [0-9][0-9].\?$' <<<"$out")" -eq 40 ] || fail "vga: not each line once: $out"

out=$(run "$B/guest/reset.elf")
[ $? -eq 1 ] || fail "reset: $out"
[ "$(grep -c '^reset, stage' <<<"$out")" -eq 5 ] || fail "reset: not five starts: $out"

out=$(run --no-reboot "$B/guest/reset.elf")
status=$?
[ "$(grep -c '^reset, stage' <<<"$out")" -eq 1 ] || fail "--no-reboot: $out"
[ $status -eq 10 ] || fail "--no-reboot: status $status"
