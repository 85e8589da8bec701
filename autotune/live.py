"""A trial under way: what is known of it, its process, and what it was asked."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from autotune.launch import Running
from diagnostics.events import Event
from studies.record import TrialRecord
from studies.trial_log import TrialLog

# What a trial gets to end by itself once it has no future: it finishes its step, and a script may save its model.
PATIENCE_SECONDS = 90.0


@dataclass(slots=True)
class Live:
    """A trial under way; `why_stopped` once it was asked to end early."""

    record: TrialRecord
    log: TrialLog
    running: Running
    began: float  # on the monotonic clock, as all times here
    failures: int = 0
    reported: int = 0  # evaluations that Optuna knows of
    why_stopped: str = ""
    condemned: bool = False  # it was found to have no future
    last_call: float = math.inf  # when it is ended, should it not have ended by itself
    paused_at: float | None = None  # since when it is to stand still
    paused_for: float = 0.0  # seconds, in pauses that are over

    def read(self) -> Sequence[Event]:
        """Take in what its events say by now; what is new of them."""
        news = self.log.poll()
        now = time.monotonic() if self.paused_at is None else self.paused_at
        self.record = replace(self.record.with_log(self.log), seconds=now - self.began - self.paused_for)
        return news

    def pause(self) -> None:
        """Have it stand still, which is not counted as its time."""
        self.paused_at = time.monotonic()
        self.record = replace(self.record, paused=True)
        self.running.pause()

    def go_on(self) -> float:
        """End the pause; returns its seconds."""
        before = self.paused_for
        self._end_pause()
        self.running.go_on()
        return self.paused_for - before

    def condemn(self) -> None:
        """It has no future, and is to end soon."""
        self.condemned = True
        self.hurry()

    def hurry(self) -> None:
        """Give it `PATIENCE_SECONDS` to end, unless it has less left. Its time counts again where it was paused."""
        self._end_pause()
        self.last_call = min(self.last_call, time.monotonic() + PATIENCE_SECONDS)

    def stop(self, why: str) -> None:
        """Ask it to end early, for this reason."""
        self.why_stopped = why
        self.condemn()
        self.running.ask_to_stop()

    def _end_pause(self) -> None:
        if self.paused_at is not None:
            self.paused_for += time.monotonic() - self.paused_at
            self.paused_at = None
            self.record = replace(self.record, paused=False, paused_seconds=self.paused_for)
