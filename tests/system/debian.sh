#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Debian minbase with systemd on a virtio disk: login, network by DHCP, an apt repository on the host, LuaJIT and gcc at
# work, reboot, poweroff, and a clean file system afterwards. SOFT: way of the software engine.
. tests/system/lib.sh.inc
need python3
need luajit
need_pty
k=$(kernel cloud-amd64) || { echo "$k"; exit 77; }
d=$(mktemp -d "$WORK/debian.XXXXXX")
cp --sparse=always "$A/debian.img" "$d/disk.img"
mkdir "$d/www"
echo "hello from the host" >"$d/www/hello"
cp tests/system/jit.lua "$d/www/"
jit=$(luajit tests/system/jit.lua 2>/dev/null | md5sum | cut -d" " -f1)
: >"$d/www/Packages"
(cd "$d/www" && printf 'Suite: test\nDate: %s\nSHA256:\n %s 0 Packages\n' "$(date -Ru)" "$(sha256sum <Packages | cut -d' ' -f1)" >Release)
port=$((22000 + $$ % 20000))
python3 -m http.server --bind 127.0.0.1 --directory "$d/www" "$port" >"$d/http" 2>&1 &
http=$!
trap 'kill $http' EXIT
k=$k d=$d port=$port SOFT=${SOFT:-translate} jit=$jit PYTHONPATH=tests/system python3 - <<'END'
import os
import time
from session import Session

e = os.environ
begin = time.time()
s = Session(e["TRAPEZE"], "run", "--engine", "soft", "--soft", e["SOFT"], "--memory", "1G", "--disk", e["d"] + "/disk.img", "--net", "user",
            "--initrd", e["A"] + "/root.img", "--append", "console=ttyS0 quiet", e["k"])

def login():
    s.want("login: ", 1500)
    print(f"\n[login after {time.time() - begin:.0f} s]")
    s.type("root\r")
    s.want("root@trapeze:", 300)
    s.type("PS1='>''> '\r")
    s.want(">> ", 100)

login()
s.type("systemctl is-system-running --wait; echo failed-units-$(systemctl --failed --no-legend | wc -l)\r")
s.want("failed-units-0", 600)
s.type(f"wget -qO- http://10.0.2.2:{e['port']}/hello\r")
s.want("hello from the host", 100)
s.type("rm -f /etc/apt/sources.list.d/*; "
       f"echo 'deb [trusted=yes] http://10.0.2.2:{e['port']}/ ./' >/etc/apt/sources.list; apt-get update; echo apt-status-$?\r")
s.want("apt-status-0", 600)
# What the same scripts and sources give here.
s.type(f"wget -q http://10.0.2.2:{e['port']}/jit.lua; luajit jit.lua 2>&1 >jit.out; md5sum <jit.out\r")
s.want(e["jit"], 600)
s.type("printf '#include <stdio.h>\\nint main(void) { puts(\"com\" \"piled\"); }\\n' >a.c; gcc -O2 a.c && ./a.out\r")
s.want("compiled", 600)
s.type("echo kept >/root/file; reboot\r")
login()
s.type("cat /root/file\r")
s.want("kept\r", 60)
s.type("poweroff\r")
s.end(0, 600)
END
status=$?
[ $status -eq 0 ] || fail "the session went wrong"
grep -q 'GET .*Release' "$d/http" || fail "apt did not reach the host"
/sbin/e2fsck -fn "$d/disk.img" || fail "the file system is not clean"
/sbin/dumpe2fs -h "$d/disk.img" 2>/dev/null | grep -q 'Filesystem state: *clean' || fail "not unmounted cleanly"
