"""Runs trials as processes on this machine, each `python -P -m trainers` in a session of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import IO

LOG_FILE = "trainer.log"
GRACE_SECONDS = 2.0  # what a trainer gets to end its step and write its last event; Ctrl-C must end within 3 s


class LocalLauncher:
    """Starts trials one after another; a context manager.

    While a trial runs, the process of the next one can be made ready: it pays for its imports (torch, transformers,
    TRL: 5 to 9 s) on another core and waits. One that is not needed ends with the launcher.
    """

    def __init__(self) -> None:
        self._ready: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> LocalLauncher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ready is not None:
            _kill(self._ready, signal.SIGKILL)
            self._ready.wait()

    def prepare(self) -> None:
        """Make the process of the next trial ready, where it is not."""
        self._ready = self._ready or _spawn(subprocess.DEVNULL)

    def start(self, directory: Path, *, attempt: int = 1) -> LocalTrial:
        """Start the trial of `directory`. OSError where it cannot be written."""
        with (directory / LOG_FILE).open("ab") as log:
            process, self._ready = self._ready, None
            if process is None or not _order(process, directory, attempt):
                process = _spawn(log)  # its log says what goes wrong with the imports, too
                _order(process, directory, attempt)
        return LocalTrial(directory, process)


class LocalTrial:
    """A trial under way."""

    def __init__(self, directory: Path, process: subprocess.Popen[bytes]) -> None:
        self.directory, self._process = directory, process

    def poll(self) -> int | None:
        """The exit status, None while it runs."""
        return self._process.poll()

    def stop(self) -> int:
        """End it: ask, wait, then kill it with all its children. Returns the exit status."""
        if self._process.poll() is None:
            _kill(self._process, signal.SIGTERM)
            try:
                self._process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                _kill(self._process, signal.SIGKILL)
        return self._process.wait()

    def last_words(self) -> str:
        """The last line the trainer wrote, which for an error is what went wrong."""
        lines = (self.directory / LOG_FILE).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "it wrote nothing"


def _spawn(output: IO[bytes] | int) -> subprocess.Popen[bytes]:
    """A trainer that imports all it needs and then waits for its order."""
    # -P keeps the current folder off the path, so that a user's own `trainers/` cannot take the place of ours; the
    # trainer itself appends it for the user's reward function. A session of its own keeps Ctrl-C from reaching the
    # trainer before the loop has decided what to do about it.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "trainers", "--wait", "--with-parent"],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")},
    )


def _order(process: subprocess.Popen[bytes], directory: Path, attempt: int) -> bool:
    """Tell a waiting trainer what to run; whether it was there to hear it."""
    assert process.stdin is not None
    order = {"directory": str(directory.absolute()), "attempt": attempt, "log": LOG_FILE}
    try:
        process.stdin.write(json.dumps(order).encode() + b"\n")
        process.stdin.close()
    except BrokenPipeError:
        return False
    return process.poll() is None


def _kill(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it may have ended in between
        os.killpg(process.pid, number)
