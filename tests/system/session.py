# SPDX-License-Identifier: BSD-2-Clause
"""A terminal session with a program on a pseudo-terminal: wait for text, type, collect the exit status."""
import os
import pty
import select
import sys
import time


class Session:
    def __init__(self, *command):
        self.command = command
        self.buffer = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvp(command[0], command)

    def _read(self, seconds):
        """More output, echoed to ours; False at the end of the stream."""
        ready, _, _ = select.select([self.fd], [], [], seconds)
        if not ready:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b""
        sys.stdout.write(data.decode("latin-1").replace("\r", ""))
        sys.stdout.flush()
        self.buffer += data
        return bool(data)

    def want(self, text, seconds=150):
        """Waits for text; what was before it is dropped."""
        text = text.encode()
        end = time.time() + seconds
        while text not in self.buffer:
            if time.time() > end or not self._read(0.5):
                sys.exit(f"\nmissing: {text!r} after {self.buffer[-300:]!r}")
        self.buffer = self.buffer[self.buffer.index(text) + len(text):]

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self, status, seconds=120):
        """Waits for the program's end and compares its exit status."""
        end = time.time() + seconds
        while self._read(0.5):
            if time.time() > end:
                sys.exit("\nthe program did not end")
        _, result = os.waitpid(self.pid, 0)
        if os.waitstatus_to_exitcode(result) != status:
            sys.exit(f"\nexit status {os.waitstatus_to_exitcode(result)}, expected {status}")
