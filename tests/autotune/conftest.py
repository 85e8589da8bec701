"""A launcher whose trials go on a little at each look at them, so that several run side by side and can be killed."""

import time
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from autotune import loop
from autotune.launch import Launcher
from diagnostics.events import EventLog, Outcome, RunEnded
from studies import trial
from studies.trial import TrialSpec

Script = Callable[[TrialSpec, EventLog], Generator[int, None, int]]


class Running:
    """A trial whose `script` writes events until it yields the step that it has reached; what it returns is the status.

    Asked to stop, it ends with the words of a trainer that got a SIGTERM.
    """

    def __init__(self, script: Script, directory: Path, attempt: int) -> None:
        self._log = EventLog(directory / "events.jsonl", attempt=attempt)
        self._moves = script(trial.read(directory), self._log)
        self._step, self._status, self._asked, self._paused = 0, -1, False, False

    def poll(self) -> int | None:
        if self._status >= 0:
            return self._status
        if self._asked:
            self._moves.close()
            self._log.emit(RunEnded(self._step, Outcome.STOPPED, "SIGTERM"))
            return self._end(0)
        if self._paused:
            return None
        try:
            self._step = next(self._moves)
        except StopIteration as end:
            return self._end(end.value)
        return None

    def ask_to_stop(self) -> None:
        self._asked = True

    def pause(self) -> None:
        self._paused = True

    def go_on(self) -> None:
        self._paused = False

    def stop(self) -> int:
        self._asked = True
        status = self.poll()
        assert status is not None
        return status

    def last_words(self) -> str:
        return "the last line of its log"

    def _end(self, status: int) -> int:
        self._log.close()
        self._status = status
        return status


class Stepwise:
    """Starts such trials; `started` are their folders' names and attempts, in order."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.started: list[tuple[int, int]] = []

    def __enter__(self) -> "Stepwise":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def start(self, directory: Path, *, attempt: int = 1) -> Running:
        self.started.append((int(directory.name), attempt))
        return Running(self._script, directory, attempt)

    def prepare(self) -> None:
        pass


@pytest.fixture
def stepwise(monkeypatch: pytest.MonkeyPatch) -> Callable[[Script], Launcher]:
    """Makes such a launcher, for a loop that does not wait between two looks."""
    monkeypatch.setattr(loop, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    return Stepwise
