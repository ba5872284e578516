#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# gdb with symbols on a 32-bit and a 64-bit guest: software and hardware breakpoints, a watchpoint, registers written.
. tests/system/lib.sh.inc
need gdb
d=$(mktemp -d "$WORK/gdbg.XXXXXX")
port=$((23000 + $$ % 20000))
session() { # GUEST SYMBOLS COMMAND…
    local guest=$1 symbols=$2 args=()
    shift 2
    for c in "$@"; do args+=(-ex "$c"); done
    "$TRAPEZE" run --engine soft --memory 64M --no-reboot --debug-exit --gdb "127.0.0.1:$port" "$B/guest/$guest" >"$d/vm" 2>&1 </dev/null &
    vm=$!
    for _ in $(seq 100); do ss -ltn | grep -q ":$port " && break; sleep 0.1; done
    timeout 60 gdb -q -batch -nx -ex 'set pagination off' -ex 'set confirm off' "$symbols" \
        -ex "target remote 127.0.0.1:$port" "${args[@]}" >"$d/gdb" 2>&1
    wait $vm
    status=$?
    cat "$d/gdb"
    port=$((port + 1))
}
has() { grep -qE "$1" "$d/gdb" || fail "gdb did not say: $1"; }

session coop.elf "$B/guest/coop.elf" 'break on_yield' 'continue' 'print counts' 'delete' 'watch finished' 'continue' \
    'print finished' 'delete' 'hbreak finish' 'continue' 'info registers eip' 'detach'
has 'Breakpoint 1, on_yield'
has '= \{1, 0, 0\}'
has 'Hardware watchpoint 2: finished'
has 'New value = 1'
has 'Breakpoint 3, finish'
has 'eip +0x[0-9a-f]+ +0x[0-9a-f]+ <finish'
[ $status -eq 1 ] || fail "coop ended with status $status"

# 64-bit registers, read and written. The register file follows the class of the ELF file.
session long64.elf.64 "$B/guest/long64.elf.64" 'hbreak guest_main' 'continue' 'print $cs' 'print/x $efer & 0x500' \
    'set $rax = 0x1122334455667788' 'print/x $rax' 'stepi' 'x/2i $rip' 'delete' 'continue'
has 'Breakpoint 1, guest_main'
has '= 0x500'
has '= 0x1122334455667788'
[ $status -eq 1 ] || fail "long64 ended with status $status"
