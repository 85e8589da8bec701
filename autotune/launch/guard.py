"""Runs a command and ends it when whoever started this process is gone. Needs nothing but the standard library.

Its standard input is a pipe whose other end the launcher holds: once that is closed, however the launcher ended, the
whole process group is ended, this process with it. `PAUSE` in that pipe has the group stand still, but for this
process, and `GO_ON` has it go on: so a command that is paused ends with its launcher, too.
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
PAUSE, GO_ON = b"p", b"c"


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
        if select.select([0], [], [], POLL_SECONDS)[0]:
            order = os.read(0, 1)
            if order == PAUSE:
                _stop_the_others()
            elif order == GO_ON:
                os.killpg(0, signal.SIGCONT)
            else:  # nobody holds the other end any more
                _end(process)
    status = process.returncode
    return status if status >= 0 else 128 - status


def _stop_the_others() -> None:
    """Stop all processes of the group but this one.

    A signal to the group reaches this one, too, and one that is stopped would not notice that its launcher is gone. So
    a child outside of the group stops all of it and lets this one go on, whatever happens to the launcher meanwhile.
    """
    guard = os.getpid()  # which leads the group
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.killpg(guard, signal.SIGSTOP)
        os.kill(guard, signal.SIGCONT)
        os._exit(0)
    os.waitpid(child, 0)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the whole group; of what stands still, too, the end is asked first."""
    os.killpg(0, signal.SIGTERM)
    os.killpg(0, signal.SIGCONT)
    deadline = time.monotonic() + GRACE_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    os.killpg(0, signal.SIGKILL)


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
