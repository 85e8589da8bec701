"""The clock of a replay: what went on once goes on again, some times as fast, and can be paused."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from diagnostics.errors import UserError
from studies import words

if TYPE_CHECKING:  # the first paint waits for no numpy
    from diagnostics.series import Values

SLOWEST, FASTEST = 1 / 1024, 1024.0 * 1024.0
LONGEST = 600.0  # seconds of silence that are played; of a longer one the rest is passed over


class Playback:
    """Tells the time of what is replayed, in seconds since 1970, from any thread.

    `begin` says at which moments something was written. Who reads takes the next look with `advance`, and says with
    `show` that what he saw is shown: so what is shown and the time that it is shown at belong together. Before it
    begins, and once the last moment is past, the time is the present: then what is shown stands as it stands today.
    Where a log says no times, a step takes a second.
    """

    def __init__(
        self,
        speed: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        present: Callable[[], float] = time.time,
    ) -> None:
        self.speed, self.paused, self.by_steps = speed, False, False
        self.moment = -math.inf  # of the last look; infinite once all is past
        self._shown = -math.inf  # the moment of what is shown
        self.passed_over = 0.0  # seconds of silence
        self._clock, self._present = clock, present
        self._lock = threading.Lock()
        self._since, self._position = 0.0, 0.0  # what was played when the clock stood at `_since`
        self._moments: Values | None = None  # (n,)
        self._places: Values | None = None  # (n,) seconds of the replay, at speed 1

    def begin(self, moments: Values, *, by_steps: bool = False) -> None:
        """Begin to play; `moments` (n,) do not decrease. `by_steps`: they are made up, a second for each step."""
        import numpy as np

        silences = np.diff(moments, prepend=moments[:1])
        with self._lock:
            self._moments, self._places = moments, np.cumsum(np.minimum(silences, LONGEST))
            self.by_steps = by_steps
            self.passed_over = float((silences - np.minimum(silences, LONGEST)).sum())
            self._since = self._clock()
        self.advance()

    def advance(self) -> None:
        """Look at how far it is by now."""
        with self._lock:
            if self._moments is None or self._places is None:
                return
            position = self._now()
            if position >= self._end:
                self.moment = math.inf
                return
            at = int(self._places.searchsorted(position, side="right")) - 1
            self.moment = float(self._moments[at] + position - self._places[at])

    def show(self) -> None:
        """What was seen at the last look is shown now."""
        self._shown = self.moment

    def __call__(self) -> float:
        """The time of what is shown."""
        return self._time(self._shown)

    def reading(self) -> float:
        """The time of the last look."""
        return self._time(self.moment)

    def _time(self, moment: float) -> float:
        return moment if math.isfinite(moment) else self._present()

    @property
    def over(self) -> bool:
        """Whether all of it was played."""
        return self.moment == math.inf

    @property
    def share(self) -> float:
        """How much of it was played, from 0 to 1."""
        with self._lock:
            return self._now() / self._end if self._end else 0.0

    def pause(self) -> None:
        """Pause, or go on."""
        self._settle()
        self.paused = not self.paused

    def faster(self) -> None:
        """Double the speed."""
        self._settle()
        self.speed = min(FASTEST, 2 * self.speed)

    def slower(self) -> None:
        """Halve the speed."""
        self._settle()
        self.speed = max(SLOWEST, self.speed / 2)

    def finish(self) -> None:
        """Play all that is left at once."""
        with self._lock:
            self._position = math.inf

    def badge(self) -> str:
        """That it is a replay, how fast and how far, in a few words."""
        if self._shown == math.inf:
            return "REPLAY OVER"
        pace = f"{self.speed:,.4g} STEPS/S" if self.by_steps else f"{self.speed:,.4g}x"
        return f"REPLAY {pace} {math.floor(100 * self.share)}%{' PAUSED' if self.paused else ''}"

    def note(self) -> str:
        """What else a person should know of it."""
        return f"{words.duration(self.passed_over)} without a line are passed over" if self.passed_over else ""

    @property
    def _end(self) -> float:
        """The length of it at speed 1, 0 before it has begun."""
        return float(self._places[-1]) if self._places is not None and len(self._places) else 0.0

    def _now(self) -> float:
        """The seconds of it that were played, at speed 1."""
        if self._places is None:
            return self._position
        passed = 0.0 if self.paused else (self._clock() - self._since) * self.speed
        return min(self._end, self._position + passed)

    def _settle(self) -> None:
        """What was played so far was played at the speed so far."""
        with self._lock:
            self._position, self._since = self._now(), self._clock()


def parse(text: str) -> float:
    """The speed that a person asks for. UserError where it is none."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not SLOWEST <= value <= FASTEST:  # NaN is neither
        raise UserError(
            f"--replay {text} is no speed",
            f"Say how many times as fast as it was, such as 60; from {SLOWEST:.3g} to {FASTEST:,.0f}.",
        )
    return value
