#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Two processors by the translator: Linux boots, programs run on both at once, and all agree.
. tests/system/lib.sh.inc
k=$(kernel cloud-amd64) || { echo "$k"; exit 77; }
d=$(mktemp -d "$WORK/smp.XXXXXX")
mkdir "$d/root"
cat >"$d/root/script" <<'END'
echo "cpus: $(grep -c ^processor /proc/cpuinfo)"
worker() {
    n=0
    while [ $n -lt 12 ]; do
        sha256sum </bin/busybox
        n=$((n + 1))
    done | sort | uniq -c
}
forker() {
    n=0 sum=0
    while [ $n -lt 150 ]; do
        sum=$((sum + $(sh -c "echo $n")))
        n=$((n + 1))
    done
    echo "forks: $sum"
}
piper() { seq 20000 | tr 0-9 a-j | sort | gzip -c | gunzip -c | md5sum; }
for w in worker worker forker forker piper piper; do $w & done
wait
for c in 0 1; do
    t=$(awk "/^cpu$c / { print \$2 + \$4 }" /proc/stat)
    [ "$t" -gt 20 ] && echo "busy: $c"
done
dmesg | grep -E 'WARNING:|BUG:|Call Trace|Oops|general protection|stall' && echo complaints
echo script-done
END
tools/mkinitramfs "$d/base.img" script /bin/busybox
(cd "$d/root" && echo script | cpio -o -H newc -R 0:0 --quiet | gzip -1) >"$d/script.img"
cat "$d/base.img" "$d/script.img" >"$d/all.img"
timeout 300 "$TRAPEZE" run --engine soft --soft "${SOFT:-translate}" --cpus 2 --no-reboot --initrd "$d/all.img" \
    --append 'console=ttyS0 quiet panic=-1' "$k" >"$d/out" 2>&1 </dev/null
status=$?
cat "$d/out"
has() { [ "$(grep -c -- "$2" "$d/out")" -eq "$1" ] || fail "not $1 times: $2"; }
[ $status -eq 0 ] || fail "exit status $status"
has 1 'cpus: 2'
has 2 "12 $(sha256sum </bin/busybox | cut -c1-64)"
has 2 'forks: 11175'
has 2 "$(seq 20000 | tr 0-9 a-j | LC_ALL=C sort | md5sum | cut -c1-32)"
has 2 'busy: '
has 1 script-done
has 0 complaints
