"""Long series thinned to what a terminal can show, where they are read, so that drawing them costs what short ones do.

A terminal has a few hundred dots across; there are more stretches.
"""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING

from diagnostics.axes import Clock, clock
from diagnostics.plot import NONE, Curve
from diagnostics.thin import POINTS, extremes

if TYPE_CHECKING:  # the first paint waits for no numpy
    from diagnostics.series import MetricSeries

STRETCHES = 1024


def thinned(series: MetricSeries) -> Curve:
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

    def closer(first: float, last: float) -> Curve:
        start = max(0, int(steps.searchsorted(first)) - 1)  # the neighbours outside, which lines come from and lead to
        end = int(steps.searchsorted(last, side="right")) + 1
        return thinned(MetricSeries(series.metric, steps[start:end], values[start:end]))

    return Curve(*extremes(steps, values, STRETCHES), whole, low, high, closer)


def clock_of(times: MetricSeries) -> Clock | None:
    """When steps were logged, of at most 2 x `STRETCHES` of them; between them time passes evenly."""
    apart = -(-len(times) // (2 * STRETCHES - 1)) or 1
    kept = [*range(0, len(times) - 1, apart), *([len(times) - 1] if len(times) else [])]
    return clock(times.steps[kept].tolist(), times.values[kept].tolist())
