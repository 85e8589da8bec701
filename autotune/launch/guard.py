"""Runs a command and ends it when whoever started this process is gone. Needs nothing but the standard library.

Its standard input is a pipe whose other end the launcher holds: once that is closed, however the launcher ended, the
whole process group is ended, this process with it.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
import time

GRACE_SECONDS = 2.0
PATIENCE_SECONDS = 10.0
POLL_SECONDS = 0.05
NOT_FOUND = 127  # as shells say it


def main(arguments: list[str]) -> int:
    """Run the command `arguments`; its exit status, 128 and the signal's number where a signal ended it."""
    asked: list[int] = []
    # It is meant for the command. Ignored signals are inherited, handlers are not.
    signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    _await_the_attempt_before()
    if asked:
        return 128 + signal.SIGTERM
    try:
        process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"{arguments[0]}: {error.strerror}", file=sys.stderr)
        return NOT_FOUND
    while process.poll() is None:
        if select.select([0], [], [], POLL_SECONDS)[0]:  # it is never written to, so this is its end
            os.killpg(0, signal.SIGTERM)
            deadline = time.monotonic() + GRACE_SECONDS
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
            os.killpg(0, signal.SIGKILL)
    status = process.returncode
    return status if status >= 0 else 128 - status


def _await_the_attempt_before() -> None:
    """Wait, but not for ever, until no process of an earlier attempt writes to the same output.

    After a kill of the study that may take the guard of that attempt a moment. The lock is on standard output, which
    all processes of an attempt share, and ends with the last of them.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            fcntl.flock(1, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(POLL_SECONDS)
        except OSError:  # a file system without locks
            return
        else:
            return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
