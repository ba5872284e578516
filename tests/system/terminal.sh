#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A real terminal: shell on the Debian kernel, input without loss, the monitor prompt, Ctrl-a x.
. tests/system/lib.sh.inc
need expect
k=$(kernel cloud-amd64) || { echo "$k"; exit 77; }
export k
expect -f - <<'END'
set timeout 150
log_user 1
proc want {pattern} { expect { -ex $pattern {} timeout { puts "\nmissing: $pattern"; exit 1 } eof { puts "\nended before: $pattern"; exit 1 } } }
spawn -noecho $env(TRAPEZE) run --engine soft --initrd $env(A)/shell.img --append "console=ttyS0 quiet" $env(k)
want "trapeze:/root# "
set line [string repeat "0123456789abcdef" 12]
send "echo $line | md5sum; echo done-\$((40+2))\r"
want "done-42"
want "trapeze:/root# "
send "\001c"
want "(trapeze) "
send "info registers\r"
want "cr3"
want "(trapeze) "
send "info mem\r"
want "(trapeze) "
send "cont\r"
send "uname -s\r"
want "Linux"
want "trapeze:/root# "
send "\001x"
expect eof
lassign [wait] pid id os status
if {$status != 12} { puts "exit status $status, expected 12"; exit 1 }
spawn -noecho $env(TRAPEZE) run --engine soft --initrd $env(A)/shell.img --append "console=ttyS0 quiet" $env(k)
want "trapeze:/root# "
send "reboot\r"
want "trapeze:/root# "
send "poweroff\r"
expect eof
lassign [wait] pid id os status
if {$status != 0} { puts "exit status $status, expected 0"; exit 1 }
END
