#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The translator needs nothing a container's default system call filter denies, and no root: a guest of the ladder and
# a Debian kernel boot as nobody under an allow list that is a small part of such a profile. Where a policy refuses
# executable memory, the message says so.
. tests/system/lib.sh.inc
k=$(kernel cloud-amd64) || { echo "$k"; exit 77; }
d=$(mktemp -d "$WORK/sandbox.XXXXXX")
chmod 711 "$WORK"
chmod 755 "$d"
${CC:-gcc} -O2 -D_GNU_SOURCE tests/system/sandbox.c -o "$d/sandbox" || fail "sandbox.c does not compile"
cp "$TRAPEZE" "$d/trapeze"
cp "$k" "$d/vmlinuz"
cp "$A/test-amd64.img" "$B/guest/null_a.elf" "$d/"
chmod 644 "$d/vmlinuz" "$d/test-amd64.img"
cd "$d" || exit 1
timeout 30 ./sandbox ./trapeze doctor --json >doctor 2>&1 </dev/null
status=$?
[ $status -ne 77 ] || skip 'no seccomp filters here'
cat doctor
grep -q '"soft":{"usable":true.*"way":"translator;' doctor || fail "doctor does not find the translator"
timeout 60 ./sandbox ./trapeze run --engine soft --soft translate --debug-exit --no-reboot --memory 64M null_a.elf </dev/null
[ $? -eq 1 ] || fail "the small guest did not pass"
timeout 200 ./sandbox ./trapeze run --engine soft --soft translate,window --no-reboot --initrd test-amd64.img \
    --append console=ttyS0 vmlinuz >boot 2>&1 </dev/null || { cat boot; fail "the kernel did not boot and power off"; }
grep -q guest-done boot || { cat boot; fail "init did not finish"; }
timeout 30 ./sandbox no-exec ./trapeze run --engine soft --debug-exit --no-reboot --memory 64M null_a.elf >refused 2>&1 </dev/null
[ $? -eq 4 ] && grep -q 'refuses memory that is executable (Permission denied)' refused && [ "$(wc -l <refused)" -eq 1 ] ||
    { cat refused; fail "no clear message where executable memory is refused"; }
