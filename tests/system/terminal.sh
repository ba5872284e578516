#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A real terminal: shell on the Debian kernel, input without loss, the monitor prompt, Ctrl-a x, reboot, poweroff.
. tests/system/lib.sh.inc
need python3
need_pty
k=$(kernel cloud-amd64) || { echo "$k"; exit 77; }
k=$k PYTHONPATH=tests/system python3 - <<'END'
import hashlib
import os
from session import Session

def shell():
    s = Session(os.environ["TRAPEZE"], "run", "--engine", "soft", "--initrd", os.environ["A"] + "/shell.img",
                "--append", "console=ttyS0 quiet", os.environ["k"])
    s.want("trapeze:/root# ")
    return s

s = shell()
line = "0123456789abcdef" * 12
s.type(f"echo {line} | md5sum; echo done-$((40+2))\r")
s.want(hashlib.md5((line + "\n").encode()).hexdigest())
s.want("done-42")
s.want("trapeze:/root# ")
s.type("\x01c")
s.want("(trapeze) ")
s.type("info registers\r")
s.want("cr3")
s.want("(trapeze) ")
s.type("info mem\r")
s.want("ffffffff")
s.want("(trapeze) ")
s.type("cont\runame -s\r")
s.want("Linux")
s.want("trapeze:/root# ")
s.type("\x01x")
s.end(12)

s = shell()
s.type("reboot\r")
s.want("this is Linux")
s.want("trapeze:/root# ")
s.type("poweroff\r")
s.end(0)
END
