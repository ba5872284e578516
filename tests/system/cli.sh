#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Bad input: one line naming option and cause, the right exit status, nothing left behind.
. tests/system/lib.sh.inc
d=$(mktemp -d "$WORK/cli.XXXXXX")
null=$B/guest/null_a.elf
linux=$(kernel cloud-amd64) || exit 77
bad=0
check() { # STATUS PATTERN ARGUMENT…
    local want=$1 pattern=$2 out status
    shift 2
    out=$(timeout 20 "$TRAPEZE" "$@" 2>&1 </dev/null)
    status=$?
    if [ $status -ne "$want" ] || ! grep -qiE -- "$pattern" <<<"$out" || [ "$(grep -c . <<<"$out")" -ne 1 ]; then
        echo "trapeze $*: status $status (want $want), output: $out (want: $pattern)"
        bad=1
    fi
}
run() { local s=$1 p=$2; shift 2; check "$s" "$p" run --engine soft --console none "$@"; }

head -c 100000 /dev/urandom >"$d/garbage"
: >"$d/empty"
head -c 3000 "$linux" >"$d/truncated"
head -c 300 "$null" >"$d/short.elf"
truncate -s 1000 "$d/odd.img"
truncate -s 1M "$d/disk.img"

check 2 'a command is missing'
check 2 "unknown command 'fly'" fly
run 2 'a kernel is missing'
run 2 "more than one kernel" "$null" "$null"
run 2 '--memory.*12Q' --memory 12Q "$null"
run 2 '--memory' --memory 0 "$null"
run 2 '--memory' --memory -5 "$null"
run 2 '--memory' --memory 99999999999G "$null"
run 2 '--cpus' --cpus 0 "$null"
run 2 '--cpus' --cpus x "$null"
run 2 "--soft.*'warp'" --soft warp "$null"
run 2 'unknown flag' --soft translate,fast "$null"
run 2 'cache' --soft=translate,cache=1 "$null"
run 2 'one processor' --soft lockstep --cpus 2 "$null"
run 4 '--perf-map.*No such file' --perf-map="$d/missing" "$null"
run 2 '--engine' --engine warp "$null"
run 2 '--soft' --soft warp "$null"
run 2 'unknown flag' --soft translate,fast "$null"
run 2 'cache.*1K' --soft translate,cache=1K "$null"
run 2 '--console' --console tty "$null"
run 2 '--net' --net bridge "$null"
run 2 'hostfwd' --net user,hostfwd=tcp:99999:22 "$null"
run 2 '--disk' --disk ,ro "$null"
run 2 'unknown flag' --disk "$d/disk.img,fast" "$null"
run 2 '--trace' --trace nonsense "$null"
run 2 '--gdb' --gdb=1234 "$null"
run 2 'unknown.*--frob' --frob "$null"
run 2 'needs a value' "$null" --memory
run 4 "$d/missing.*No such file" "$d/missing"
run 4 "$d.*directory" "$d"
run 4 "$d/empty" "$d/empty"
run 4 "$d/garbage" "$d/garbage"
run 4 "$d/truncated" "$d/truncated"
run 4 "$d/short.elf" "$d/short.elf"
run 4 'initrd.*No such file' --initrd "$d/missing" "$linux"
run 4 'initrd.*directory' --initrd "$d" "$linux"
run 4 'memory' --memory 8M "$linux"
run 4 'disk.*missing.*No such file' --disk "$d/missing" "$null"
run 4 'disk.*directory' --disk "$d" "$null"
run 4 'disk.*512' --disk "$d/odd.img" "$null"
run 4 'console.*No such file' --console "file:$d/no/where" "$null"

# In use: the disk by another virtual machine, the port by another listener.
timeout 30 "$TRAPEZE" run --engine soft --console none --disk "$d/disk.img" --memory 64M "$B/guest/null_b.elf" </dev/null &
other=$!
sleep 2
run 4 'disk.*in use' --disk "$d/disk.img" "$null"
kill $other
wait $other
port=$((20000 + $$ % 20000))
socat "tcp-listen:$port,bind=127.0.0.1,reuseaddr,fork" /dev/null &
listener=$!
for _ in $(seq 50); do (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done
run 4 'in use' --net "user,hostfwd=tcp:$port:22" "$null"
run 4 'in use' --gdb "127.0.0.1:$port" "$null"
kill $listener
[ ! -e "$d/no" ] || bad=1
# An option's value as a word of its own or after an equals sign.
for soft in '--soft interp' --soft=interp '--soft translate' --soft=translate; do
    # shellcheck disable=SC2086
    timeout 60 "$TRAPEZE" run --engine soft $soft --console none --debug-exit --no-reboot --memory 64M "$null" </dev/null >/dev/null 2>&1
    [ $? -eq 1 ] || { echo "$soft does not run"; bad=1; }
done
"$TRAPEZE" --help | grep -q 'Usage: trapeze' || bad=1
"$TRAPEZE" run --help | grep -q -- --memory || bad=1
"$TRAPEZE" --version | grep -qE '^trapeze [0-9]' || bad=1
exit $bad
