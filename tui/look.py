"""How curves are drawn, on all screens alike: plain data that the app owns, so that it can be remembered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

SMOOTHING = (0.0, 1 / 20, 1 / 6)  # shares of the width that a running median spans, in the order of its key
LEAST = 4  # steps; the closest zoom
NEAR = 20  # of so many parts the last one: a part of the steps that reaches it follows the newest step


@dataclass(frozen=True, slots=True)
class Reach:
    """The steps of a run and of the one beneath it: where plots begin, the newest, and where plots end."""

    first: int = 0
    newest: int = 0
    last: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """How every plot is drawn.

    `smooth` is an index of `SMOOTHING`. `span` is how many steps are shown, None for the whole run, and `end` the last
    of them, None where plots follow the newest step. `search` narrows which metrics are shown.
    """

    log: bool = False
    time: bool = False
    smooth: int = 0
    span: int | None = None
    end: int | None = None
    search: str = ""
    baseline: bool = True

    def choices(self) -> dict[str, str | bool | float]:
        """What of it holds for any run, under the names that it is remembered by."""
        return {
            "curves.log": self.log,
            "curves.time": self.time,
            "curves.smooth": self.smooth,
            "curves.baseline": self.baseline,
        }

    @classmethod
    def chosen(cls, known: Callable[[str], object]) -> Look:
        """As it was chosen before; what is not `known`, or means nothing, is as usual."""
        usual = cls()
        log, time, baseline = (known(f"curves.{name}") for name in ("log", "time", "baseline"))
        smooth = known("curves.smooth")
        return cls(
            log=log if isinstance(log, bool) else usual.log,
            time=time if isinstance(time, bool) else usual.time,
            smooth=smooth if type(smooth) is int and 0 <= smooth < len(SMOOTHING) else usual.smooth,
            baseline=baseline if isinstance(baseline, bool) else usual.baseline,
        )

    def shown(self, reach: Reach) -> tuple[int, int]:
        """The first and the last step that plots show."""
        if self.span is None:
            return reach.first, reach.last
        end = min(reach.last, self.end if self.end is not None else reach.newest)
        first = max(reach.first, end - self.span)
        return first, min(reach.last, max(end, first + self.span))

    def zoomed(self, reach: Reach, factor: float, at: int | None = None) -> Look:
        """With `factor` times as many steps, around the step `at`, which keeps its place, or else at the newest end."""
        first, last = self.shown(reach)
        span = max(LEAST, round((last - first) * factor))
        if span >= reach.last - reach.first:
            return replace(self, span=None, end=None)
        if at is None:
            return replace(self, span=span)
        share = (at - first) / max(1, last - first)
        return self.between(reach, round(at - share * span), round(at - share * span) + span)

    def between(self, reach: Reach, first: int, last: int) -> Look:
        """With the steps from `first` to `last`; plots follow the newest step where that is among them, or nearly."""
        first = min(max(first, reach.first), reach.last - LEAST)
        last = max(first + LEAST, last)
        if first <= reach.first and last >= reach.last:
            return replace(self, span=None, end=None)
        span = last - first
        return replace(self, span=span, end=None if last >= reach.newest - span // NEAR else last)
