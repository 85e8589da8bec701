"""Long series thinned to what a terminal can show, where they are read, so that drawing them costs what short ones do.

A plot on the whole of a terminal 320 cells wide has 620 dots across; there are more stretches.
"""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING

from diagnostics.axes import Clock, clock
from diagnostics.plot import NONE, Curve
from diagnostics.thin import POINTS, Stretches, divided, extremes

if TYPE_CHECKING:  # the first paint waits for no numpy
    from diagnostics.series import MetricSeries, Steps

STRETCHES = 640


class Thinner:
    """Thins the series of one run: most are logged together, and their steps are divided once."""

    def __init__(self) -> None:
        self._steps: Steps | None = None
        self._stretches: Stretches | None = None

    def thinned(self, series: MetricSeries) -> Curve:
        """The curve of `series`, of at most `POINTS` x `STRETCHES` points; what is left out can still be asked for."""
        import numpy as np

        from diagnostics.series import MetricSeries

        if not len(series):
            return NONE
        steps, values = series.steps, series.values
        finite = np.isfinite(values)
        whole = bool(finite.all())
        known = values if whole else values[finite]
        low, high = (float(known.min()), float(known.max())) if len(known) else (math.inf, -math.inf)
        if len(steps) <= POINTS * STRETCHES:
            return Curve(array("q", steps.tobytes()), array("d", values.tobytes()), whole, low, high)
        by = self._divided(steps)

        def closer(first: float, last: float) -> Curve:
            start = max(0, int(steps.searchsorted(first)) - 1)  # the neighbours outside: lines come from there
            end = int(steps.searchsorted(last, side="right")) + 1
            return thinned(MetricSeries(series.metric, steps[start:end], values[start:end]))

        return Curve(by.steps, extremes(values, by), whole, low, high, closer=closer)

    def _divided(self, steps: Steps) -> Stretches:
        import numpy as np

        if self._steps is None or self._stretches is None or not np.array_equal(steps, self._steps):
            self._steps, self._stretches = steps, divided(steps, STRETCHES)
        return self._stretches


def thinned(series: MetricSeries) -> Curve:
    """The curve of one `series`."""
    return Thinner().thinned(series)


def clock_of(times: MetricSeries) -> Clock | None:
    """When steps were logged, of at most 2 x `STRETCHES` of them; between them time passes evenly."""
    apart = -(-len(times) // (2 * STRETCHES - 1)) or 1
    kept = [*range(0, len(times) - 1, apart), *([len(times) - 1] if len(times) else [])]
    return clock(times.steps[kept].tolist(), times.values[kept].tolist())
