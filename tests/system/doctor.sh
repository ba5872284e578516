#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# `trapeze doctor` on a machine without /dev/kvm, without permission, with what this machine has; `auto` agrees.
. tests/system/lib.sh.inc
bad=0
expect() { # WHAT PATTERN COMMAND…
    local what=$1 pattern=$2 out
    shift 2
    out=$("$@" 2>&1)
    grep -qE "$pattern" <<<"$out" || { echo "$what: $out (want: $pattern)"; bad=1; }
}
expect 'no device' '"kvm":\{"usable":false,"verdict":"no-device"' "$TRAPEZE" doctor --json --device "$WORK/none"
expect 'not a KVM' '"kvm":\{"usable":false,"verdict":"unusable"' "$TRAPEZE" doctor --json --device /dev/null
expect 'soft' '"soft":\{"usable":true' "$TRAPEZE" doctor --json --device "$WORK/none"
expect 'choice' '"auto":"soft"' "$TRAPEZE" doctor --json --device "$WORK/none"
expect 'text' '^auto: (soft|kvm)$' "$TRAPEZE" doctor
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
    : >"$WORK/closed"
    chmod 600 "$WORK/closed"
    chmod 711 "$WORK"
    cp "$TRAPEZE" "$WORK/trapeze"
    expect 'no permission' '"kvm":\{"usable":false,"verdict":"no-permission"' \
        setpriv --reuid 65534 --regid 65534 --clear-groups "$WORK/trapeze" doctor --json --device "$WORK/closed"
fi
# This machine's own KVM, whatever it is: the verdict names a step if it failed, and auto follows it.
out=$("$TRAPEZE" doctor --json)
echo "$out"
case $out in
*'"kvm":{"usable":true'*) want=kvm ;;
*'"verdict":"self-test-'*'"step":"'*) want=soft ;;
*'"kvm":{"usable":false'*) want=soft ;;
*) want=nothing ;;
esac
grep -q "\"auto\":\"$want\"" <<<"$out" || { echo "auto does not follow"; bad=1; }
timeout 60 "$TRAPEZE" run --debug-exit --no-reboot --memory 64M "$B/guest/null_a.elf" >"$WORK/auto" 2>&1 </dev/null
[ $? -eq 1 ] || { cat "$WORK/auto"; echo "auto did not run a guest"; bad=1; }
exit $bad
