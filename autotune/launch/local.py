"""Runs a trial as a process on this machine: `python -P -m trainers FOLDER`."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

LOG_FILE = "trainer.log"
GRACE_SECONDS = 2.0  # what a trainer gets to end its step and write its last event; Ctrl-C must end within 3 s


class LocalTrial:
    """A trial under way. Raises OSError where its folder cannot be written."""

    def __init__(self, directory: Path, *, attempt: int = 1) -> None:
        self.directory = directory
        self._log = (directory / LOG_FILE).open("a", encoding="utf-8")
        # -P keeps the current folder off the path, so that a user's own `trainers/` cannot take the place of ours; the
        # trainer itself appends it for the user's reward function. A session of its own keeps Ctrl-C from reaching the
        # trainer before the loop has decided what to do about it.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "trainers", str(directory), "--attempt", str(attempt), "--with-parent"],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")},
        )

    def poll(self) -> int | None:
        """The exit status, None while it runs."""
        return self._process.poll()

    def stop(self) -> int:
        """End it: ask, wait, then kill it with all its children. Returns the exit status."""
        if self._process.poll() is None:
            self._signal(signal.SIGTERM)
            try:
                self._process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
        status = self._process.wait()
        self._log.close()
        return status

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):  # it may have ended in between
            os.killpg(self._process.pid, number)

    def last_words(self) -> str:
        """The last line the trainer wrote, which for an error is what went wrong."""
        lines = (self.directory / LOG_FILE).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "it wrote nothing"
