#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# soak.sh [SECONDS [OPTION…]]: a Debian guest short of memory compiles and runs programs, its translated code thrown
# away all the time: the same results each round as here, no complaint of the kernel, no growth of the monitor.
# 3600 is the long form; OPTIONs go to `trapeze run`.
. tests/system/lib.sh.inc
seconds=${1:-90}
[ $# -gt 0 ] && shift
need luajit
k=$(kernel cloud-amd64) || { echo "$k"; exit 77; }
d=$(mktemp -d "$WORK/soak.XXXXXX")
mkdir -p "$d/soak/src/isa/x86" "$d/soak/src/engine/irqchip" "$d/soak/src/lib"
cp tests/system/soak/* tests/system/jit.lua "$d/soak/"
cp isa/x86/*.h isa/x86/{mmu,task}.c "$d/soak/src/isa/x86/"
cp engine/*.h "$d/soak/src/engine/"
cp engine/irqchip/*.h engine/irqchip/lapic.c "$d/soak/src/engine/irqchip/"
cp lib/*.h "$d/soak/src/lib/"
echo "$seconds" >"$d/soak/seconds"
(cd "$d/soak" && bash ./round >expected 2>&1)
want=$(md5sum <"$d/soak/expected" | cut -c1-32)

cp --sparse=always "$A/debian.img" "$d/disk.img"
{
    (cd "$d" && find soak -type d | sed 's/^/mkdir /')
    (cd "$d" && find soak -type f | sed "s|.*|write $d/& &|")
    echo "rm usr/sbin/init"
    echo "write $d/soak/init usr/sbin/init"
    echo "sif usr/sbin/init mode 0100755"
} >"$d/commands"
/sbin/debugfs -w -f "$d/commands" "$d/disk.img" >"$d/debugfs" 2>&1
"$TRAPEZE" run --engine soft --soft translate,cache=8M --memory 256M --stats --no-reboot --disk "$d/disk.img" \
    --initrd "$A/root.img" --append "console=ttyS0 quiet panic=-1" "$@" "$k" >"$d/out" 2>&1 </dev/null &
vm=$!
# Resident memory in KiB but for the guest's RAM, of which the window may map pages a second time.
beyond_ram()
{
    awk '/^[0-9a-f]+-/ { ram = /guest-ram/ } /^Rss:/ && !ram { n += $2 } END { print n }' "/proc/$vm/smaps" 2>/dev/null
}
trap 'kill $vm 2>/dev/null' EXIT
begin=$SECONDS
while [ -e "/proc/$vm" ] && ! grep -q '^State:.*Z' "/proc/$vm/status" 2>/dev/null; do
    sleep 2
    echo "$((SECONDS - begin)) $(beyond_ram)" >>"$d/rss"
    [ $((SECONDS - begin)) -lt $((seconds + 300)) ] || { echo "still running"; break; }
    [ -t 1 ] && tail -n 1 "$d/out"
done
grep -a 'soak:' "$d/out"
grep -aE 'xl_flushes|cache_flushes' "$d/out"
awk 'NF == 2 { n++; t[n] = $1; r[n] = $2 }
    END {
        for (i = int(n / 3) + 1; i <= n; i++)
            if (i <= 2 * n / 3) { if (r[i] > a) a = r[i] } else if (r[i] > b) b = r[i]
        printf "memory in MB: %.1f at most in the second third of the time, %.1f in the last\n", a / 1024, b / 1024
        exit b > a * 1.03 + 4096
    }' "$d/rss" || fail "the monitor grows"
grep -aq 'soak: end after [1-9]' "$d/out" || { tail -n 30 "$d/out"; fail "the guest did not finish"; }
wait $vm || fail "exit status $?"
! grep -aq 'soak: kernel:' "$d/out" || fail "the guest's kernel complains"
rounds=$(grep -ac 'soak: round' "$d/out")
good=$(grep -ac "soak: round.*result $want" "$d/out")
echo "$good of $rounds rounds as here"
if [ "$good" -ne "$rounds" ]; then
    grep -a '^[<>]' "$d/out" | head -20
    fail "results differ"
fi
/sbin/e2fsck -fn "$d/disk.img" >"$d/fsck" 2>&1 || { cat "$d/fsck"; fail "the file system is not clean"; }
