"""Runs a command in a terminal of 80 by 24 cells and presses q once it shows its keys: until_q.py COMMAND

Ends as the command does; prints what the terminal got where it ended before q, or not within a minute after.
"""

import os
import pty
import select
import sys
import time

SHOWN, SECONDS = b"Leave", 60.0


def run(command: str) -> int:
    """The exit status of `command`."""
    pid, terminal = pty.fork()
    if not pid:
        os.environ |= {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
        os.execvp("bash", ["bash", "-c", command])
    got, pressed, end = b"", False, time.monotonic() + SECONDS
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                got += os.read(terminal, 1 << 16)
            except OSError:  # the other end is closed
                break
        if not pressed and SHOWN in got:
            os.write(terminal, b"q")
            pressed = True
    else:
        os.kill(pid, 9)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if not pressed or status:
        sys.stdout.buffer.write(got)
    return 0 if pressed and not status else max(1, abs(status))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1]))
