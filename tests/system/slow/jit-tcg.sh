#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# LuaJIT in the guest: the results of here, and sooner than under QEMU's TCG.
. tests/system/lib.sh.inc
need luajit
need qemu-system-x86_64
kernel cloud-amd64 >/dev/null || exit 77
make -s "$B/bench/system" "$B/bench/kernels" || fail "the bench does not build"
bench/run --build "$B" --only luajit --rounds 1 >"$WORK/jit" 2>&1 || { cat "$WORK/jit"; fail "results differ, or a machine failed"; }
grep '| luajit' "$WORK/jit"
grep '| luajit .*| reached' "$WORK/jit" || fail "not faster"
