#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Debian minbase with systemd on a virtio disk: login, network by DHCP, an apt repository on the host, reboot,
# poweroff, and a clean file system afterwards.
. tests/system/lib.sh.inc
need expect
k=$(kernel cloud-amd64) || { echo "$k"; exit 77; }
d=$(mktemp -d "$WORK/debian.XXXXXX")
cp --sparse=always "$A/debian.img" "$d/disk.img"
mkdir "$d/www"
echo "hello from the host" >"$d/www/hello"
: >"$d/www/Packages"
(cd "$d/www" && printf 'Suite: test\nDate: %s\nSHA256:\n e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 Packages\n' "$(date -Ru)" >Release)
port=$((22000 + $$ % 20000))
python3 -m http.server --bind 127.0.0.1 --directory "$d/www" "$port" >"$d/http" 2>&1 &
http=$!
trap 'kill $http' EXIT
export k d port ENGINE=${ENGINE:-soft}
expect -f - <<'END'
set timeout 1500
proc want {pattern} { expect { -ex $pattern {} timeout { puts "\nmissing: $pattern"; exit 1 } eof { puts "\nended before: $pattern"; exit 1 } } }
spawn -noecho $env(TRAPEZE) run --engine $env(ENGINE) --memory 1G --disk $env(d)/disk.img --net user --stats --initrd $env(A)/root.img --append "console=ttyS0 quiet" $env(k)
set begin [clock seconds]
want "login: "
puts "\nlogin after [expr [clock seconds] - $begin] s"
send "root\r"
want "# "
send "PS1='\\x3e\\x3e '; systemctl is-system-running --wait; echo failed-units \$(systemctl --failed --no-legend | wc -l)\r"
want "failed-units 0"
send "wget -qO- http://10.0.2.2:$env(port)/hello\r"
want "hello from the host"
send "echo 'deb \[trusted=yes\] http://10.0.2.2:$env(port)/ ./' >/etc/apt/sources.list; rm -f /etc/apt/sources.list.d/*; apt-get update; echo apt-status-\$?\r"
want "apt-status-0"
send "echo kept >/root/file; reboot\r"
want "login: "
send "root\r"
want "# "
send "cat /root/file\r"
want "kept"
send "poweroff\r"
expect eof
lassign [wait] pid id os status
if {$status != 0} { puts "exit status $status, expected 0"; exit 1 }
END
status=$?
[ $status -eq 0 ] || fail "the session went wrong"
grep -q 'GET /Packages' "$d/http" || grep -q 'GET /./Packages' "$d/http" || grep -q 'Release' "$d/http" || fail "apt did not reach the host"
/sbin/e2fsck -fn "$d/disk.img" || fail "the file system is not clean"
/sbin/dumpe2fs -h "$d/disk.img" 2>/dev/null | grep -q 'Filesystem state: *clean' || fail "not unmounted cleanly"
