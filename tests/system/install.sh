#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# make install into a staging directory: command, man page, completion.
. tests/system/lib.sh.inc
d=$(mktemp -d "$WORK/install.XXXXXX")
make -s install B="$B" DESTDIR="$d" PREFIX=/usr || fail "make install"
"$d/usr/bin/trapeze" --version || fail "the installed command does not run"
[ -s "$d/usr/share/man/man1/trapeze.1" ] || fail "no man page"
bash -n "$d/usr/share/bash-completion/completions/trapeze" || fail "completion does not parse"
for o in $("$TRAPEZE" run --help | grep -oE '^  --[a-z-]+' | tr -d ' '); do
    grep -q -- "${o#--}" "$d/usr/share/bash-completion/completions/trapeze" || fail "completion lacks $o"
    sed 's/\\-/-/g' "$d/usr/share/man/man1/trapeze.1" | grep -q -- "$o" || fail "the man page lacks $o"
done
