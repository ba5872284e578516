#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A good KVM: QEMU's software processor with SVM runs a Debian kernel with kvm_amd, and trapeze inside it finds and
# takes KVM, climbs the guest ladder on it and boots the Debian cloud kernel.
. tests/system/lib.sh.inc
need qemu-system-x86_64
k=$(kernel amd64) || { echo "$k"; exit 77; }
d=$(mktemp -d "$WORK/nested.XXXXXX")
mkdir -p "$d/root/bin" "$d/root/etc" "$d/root/g"
cp "$TRAPEZE" "$d/root/bin/trapeze"
for lib in $(ldd "$TRAPEZE" | grep -oE '/[^ ]+'); do
    mkdir -p "$d/root$(dirname "$lib")"
    cp -L "$lib" "$d/root$lib"
done
cp "$B"/guest/*.elf "$A/test-amd64.img" "$d/root/g/"
cp "$(kernel cloud-amd64)" "$d/root/g/vmlinuz"
cat >"$d/root/script" <<'END'
ulimit -c 0
chmod 666 /dev/kvm
trapeze doctor
# QEMU 7.2's SVM lets the guest's XSETBV through to the processor without telling KVM, which undoes it if an interrupt
# comes before the XSAVE of the self-test. That rightly fails then.
n=0
until trapeze doctor --json | tee /doctor | grep '"auto":"kvm"' || [ $n = 4 ]; do
    cat /doctor
    n=$((n + 1))
done
for g in null_a coop preempt paging long64; do
    trapeze run --debug-exit --no-reboot --memory 64M /g/$g.elf </dev/null
    echo "nested $g status $?"
done
# noxsave: for the same reason CPUID leaf 13 stays as it was, and Linux warns of an inconsistent XSAVE size.
trapeze run --no-reboot --stats --initrd /g/test-amd64.img --append 'console=ttyS0 noxsave' /g/vmlinuz </dev/null
echo "nested linux status $?"
END
tools/mkinitramfs "$d/base.img" script /bin/busybox "$A/amd64" kvm kvm-amd
(cd "$d/root" && find . -mindepth 1 | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet | gzip -1) >"$d/extra.img"
cat "$d/base.img" "$d/extra.img" >"$d/all.img"
timeout 1200 qemu-system-x86_64 -accel tcg -cpu max,+svm -m 2048 -display none -serial stdio -no-reboot \
    -kernel "$k" -initrd "$d/all.img" -append 'console=ttyS0 quiet panic=-1' >"$d/out" 2>&1 </dev/null
cat "$d/out"
grep -q '"kvm":{"usable":true,"verdict":"passed"' "$d/out" || fail "doctor does not find the good KVM"
grep -q '"auto":"kvm"' "$d/out" || fail "auto does not take it"
for g in null_a coop preempt paging long64; do
    grep -q "nested $g status 1" "$d/out" || fail "$g did not pass on KVM"
done
grep -q guest-done "$d/out" || fail "Linux on KVM did not finish"
grep -q "nested linux status 0" "$d/out" || fail "Linux on KVM did not power off"
! grep -q guest-FAIL "$d/out" || fail "the guest complains"
