"""What the monitor knows of the samples of the run that is looked at: read in a thread of its own, step by step."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from diagnostics.errors import UserError
from diagnostics.events import SAMPLES_FILE
from diagnostics.sample_file import SampleFile, of_log
from diagnostics.sample_tables import SampleTables
from diagnostics.samples import SampledStep
from studies.log import trial_directory
from studies.record import TrialRecord
from tui.thread import ReadingThread
from tui.watched import RunKey, RunView, Watched

INTERVAL = 1.0  # seconds between looks at the file
TELL_INTERVAL = 0.5  # seconds between two words on how far looking is
OPEN = 4  # files whose steps are remembered
NONE_OF_LOG = "no samples: this log holds none"
NONE_OF_TRIAL = "no samples: this trial wrote none"
NOT_YET = "no samples so far"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Samples that a person wants to see: of which run, and of which step, None for the newest.

    `directory` is the study's, for a trial. Steps after `upto` are not told yet, as in a replay of a study.
    """

    run: RunView
    directory: Path | None
    step: int | None
    upto: int | None


@dataclass(frozen=True, slots=True)
class SampleView:
    """The steps of a run that have samples, and the samples of the one that is `shown`.

    `damaged` counts lines that cannot be read, `share` says how much of the file was looked at. `trouble` says why
    nothing can be shown.
    """

    key: RunKey | None = None
    steps: tuple[int, ...] = ()
    shown: SampledStep | None = None
    damaged: int = 0
    share: float = 1.0
    trouble: str = ""


def wanted(watched: Watched, step: int | None) -> Wanted | None:
    """What is wanted of the selected run."""
    run = watched.run
    if run is None:
        return None
    if not isinstance(run.of, TrialRecord):
        return Wanted(run, None, step, None)
    return Wanted(run, watched.study.directory if watched.study else None, step, run.of.steps)


class SampleFeed(ReadingThread[SampleView]):
    """Reads what is wanted, again and again, as files grow."""

    def __init__(self, publish: Callable[[SampleView], None], failed: Callable[[BaseException], None]) -> None:
        super().__init__(publish, failed)
        self._wanted: Wanted | None = None
        self._files: dict[RunKey, SampleFile | SampleTables] = {}
        self._awake = threading.Event()
        self._told = 0.0

    def want(self, wanted: Wanted | None) -> None:
        """Read this from now on, or nothing; what was read before is remembered."""
        if wanted != self._wanted:
            self._wanted = wanted
            self._wake()

    def read(self) -> SampleView:
        """Look at the file once, and at the step that is wanted."""
        asked = self._wanted
        if asked is None:
            return SampleView()
        key = asked.run.key
        try:
            file = self._opened(asked)
            if file is None:
                return SampleView(key, trouble=NONE_OF_LOG)
            while file.poll() and self._wanted is asked and not self.over:
                if time.monotonic() - self._told > TELL_INTERVAL:
                    self._told = time.monotonic()
                    self.tell(self._view(asked, file))
            return self._view(asked, file)
        except UserError as error:
            return SampleView(key, trouble=str(error))
        except OSError as error:
            return SampleView(key, trouble=f"cannot read {SAMPLES_FILE}: {error.strerror or error}")

    def close(self) -> None:
        """Stop reading."""
        for file in self._files.values():
            file.close()

    def _view(self, asked: Wanted, file: SampleFile | SampleTables) -> SampleView:
        steps, shown = _due(file, asked), None
        while steps and shown is None:  # a step that turns out to be damaged is gone
            before = [step for step in steps if asked.step is None or step <= asked.step]
            shown = file.read(before[-1] if before else steps[0])
            steps = _due(file, asked)
        share = file.position / file.size if file.size else 1.0
        trouble = "" if steps or share < 1 else _why_none(asked.run, file.damaged)
        return SampleView(asked.run.key, steps, shown, file.damaged, min(1.0, share), trouble)

    def _opened(self, asked: Wanted) -> SampleFile | SampleTables | None:
        key, of = asked.run.key, asked.run.of
        if key not in self._files:
            if isinstance(of, TrialRecord):
                if asked.directory is None:
                    return None
                file: SampleFile | SampleTables | None = SampleFile(
                    trial_directory(asked.directory, of.number) / SAMPLES_FILE
                )
            else:
                file = of_log(of.log.source) if of.log.source is not None else None
            if file is None:
                return None
            if len(self._files) >= OPEN:
                self._files.pop(next(iter(self._files))).close()
            self._files[key] = file
        return self._files[key]

    def _wait(self) -> None:
        self._awake.wait(INTERVAL if self._wanted is not None else None)
        self._awake.clear()

    def _wake(self) -> None:
        self._awake.set()


def _due(file: SampleFile | SampleTables, asked: Wanted) -> tuple[int, ...]:
    return tuple(step for step in file.steps if asked.upto is None or step <= asked.upto)


def _why_none(run: RunView, damaged: int) -> str:
    lost = f": {damaged} lines of {SAMPLES_FILE} could not be read" if damaged else ""
    if isinstance(run.of, TrialRecord):
        from studies.record import State

        over = run.of.state not in (State.RUNNING, State.WAITING)
        return f"{NONE_OF_TRIAL if over else NOT_YET}{lost}"
    return f"{NONE_OF_LOG if run.of.log.ended else NOT_YET}{lost}"
