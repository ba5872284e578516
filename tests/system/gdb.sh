#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# gdb on a booting Debian kernel: break at start_kernel, step, print memory by virtual address, continue to the end.
. tests/system/lib.sh.inc
need gdb
k=$(kernel cloud-amd64) || { echo "$k"; exit 77; }
d=$(mktemp -d "$WORK/gdb.XXXXXX")
# Debian's System.map is empty: the kernel itself tells its addresses.
"$TRAPEZE" run --engine soft --no-reboot --initrd "$A/test-amd64.img" --append 'console=ttyS0 nokaslr quiet' "$k" >"$d/first" 2>&1 </dev/null
start=$(sed -n 's/^\([0-9a-f]*\) . start_kernel.*/\1/p' "$d/first")
banner=$(sed -n 's/^\([0-9a-f]*\) . linux_banner.*/\1/p' "$d/first")
[ -n "$start" ] && [ -n "$banner" ] || { tail "$d/first"; fail "no addresses from /proc/kallsyms"; }
port=$((21000 + $$ % 20000))
"$TRAPEZE" run --engine soft --no-reboot --gdb "127.0.0.1:$port" --initrd "$A/test-amd64.img" --append 'console=ttyS0 nokaslr quiet' "$k" >"$d/second" 2>&1 </dev/null &
vm=$!
for _ in $(seq 100); do ss -ltn 2>/dev/null | grep -q ":$port " && break; sleep 0.1; done
timeout 200 gdb -q -batch -nx \
    -ex 'set pagination off' -ex 'set confirm off' -ex "target remote 127.0.0.1:$port" \
    -ex 'info threads' -ex "break *0x$start" -ex 'continue' -ex 'printf "stopped at %lx\n", $rip' \
    -ex "x/s 0x$banner" -ex 'stepi' -ex 'printf "after a step %lx\n", $rip' -ex 'stepi' -ex 'info registers rip cr3 efer' \
    -ex 'delete' -ex "watch *(int *)(0x$banner - 8)" -ex 'delete' -ex 'continue' >"$d/gdb" 2>&1
cat "$d/gdb"
wait $vm
status=$?
tail -3 "$d/second"
grep -q "stopped at $start" "$d/gdb" || fail "did not stop at start_kernel"
grep -q 'Linux version 6' "$d/gdb" || fail "linux_banner not read"
after=$(sed -n 's/after a step //p' "$d/gdb")
[ -n "$after" ] && [ "$after" != "$start" ] || fail "did not step"
[ $status -eq 0 ] && grep -q guest-done "$d/second" || fail "the guest did not go on to its end (status $status)"
