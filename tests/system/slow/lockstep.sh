#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Emulator and translator side by side: Debian's cloud kernel from reset to power-off, and the benchmark's kernels in
# short, without a difference.
. tests/system/boot.inc
"$TRAPEZE" run --engine soft --soft lockstep --cpus 2 /dev/null >"$WORK/lockstep.$$" 2>&1 && fail 'two processors were accepted'
grep -q 'only with one processor' "$WORK/lockstep.$$" || fail 'no word about the number of processors'

if [ -x "$B/bench/kernels" ] || make -s "$B/bench/kernels" 2>/dev/null; then
    k=$(kernel cloud-amd64) || { echo "$k"; exit 77; }
    need cpio
    d=$(mktemp -d "$WORK/lockstep.XXXXXX")
    mkdir "$d/root"
    cp /bin/busybox "$B/bench/kernels" "$d/root/"
    cat >"$d/root/init" <<'END'
#!/busybox sh
/kernels all 1 ${percent:-2} && echo kernels-done
/busybox poweroff -f
END
    chmod +x "$d/root/init"
    (cd "$d/root" && find . | cpio -o -H newc --quiet) >"$d/initrd"
    "$TRAPEZE" run --engine soft --soft lockstep --memory 512M --no-reboot --stats --initrd "$d/initrd" \
        --append "console=ttyS0 quiet panic=-1 percent=${PERCENT:-2}" "$k" >"$d/out" 2>&1 </dev/null
    status=$?
    cat "$d/out"
    [ $status -eq 0 ] || fail "benchmark: exit status $status"
    grep -q kernels-done "$d/out" || fail 'the kernels did not finish'
fi
boot cloud-amd64 test-amd64.img --soft lockstep --stats
