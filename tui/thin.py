"""Long series thinned to what a terminal can show, where they are read, so that drawing them costs what short ones do.

Of each stretch of steps the first, the lowest, the highest and the last value are kept, and whether one was not finite:
`diagnostics.plot` draws the same curve from these. A terminal has a few hundred dots across; there are more stretches.
"""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING

from diagnostics.axes import Clock, clock
from diagnostics.plot import NONE, Curve

if TYPE_CHECKING:  # the first paint waits for no numpy
    from diagnostics.series import MetricSeries, Steps, Values

STRETCHES = 1024


def thinned(series: MetricSeries) -> Curve:
    """The curve of `series`, of at most 5 x `STRETCHES` points; what is left out of them can still be asked for."""
    import numpy as np

    from diagnostics.series import MetricSeries

    if not len(series):
        return NONE
    steps, values = series.steps, series.values
    finite = np.isfinite(values)
    whole = bool(finite.all())
    known = values if whole else values[finite]
    low, high = (float(known.min()), float(known.max())) if len(known) else (math.inf, -math.inf)
    if len(steps) <= 5 * STRETCHES:
        return Curve(*_arrays(steps, values), whole, low, high)

    def closer(first: float, last: float) -> Curve:
        start = max(0, int(steps.searchsorted(first)) - 1)  # the neighbours outside, which lines come from and lead to
        end = int(steps.searchsorted(last, side="right")) + 1
        return thinned(MetricSeries(series.metric, steps[start:end], values[start:end]))

    return Curve(*_arrays(*_extremes(steps, values)), whole, low, high, closer)


def _arrays(steps: Steps, values: Values) -> tuple[array[int], array[float]]:
    """Steps and values as `diagnostics.plot` wants them."""
    return array("q", steps.tobytes()), array("d", values.tobytes())


def clock_of(times: MetricSeries) -> Clock | None:
    """When steps were logged, of at most 2 x `STRETCHES` of them; between them time passes evenly."""
    apart = -(-len(times) // (2 * STRETCHES - 1)) or 1
    kept = [*range(0, len(times) - 1, apart), *([len(times) - 1] if len(times) else [])]
    return clock(times.steps[kept].tolist(), times.values[kept].tolist())


def _extremes(steps: Steps, values: Values) -> tuple[Steps, Values]:
    """Steps (m,), not decreasing, and values (m,) of the stretches that `steps` (n,) lie in."""
    import numpy as np

    stretch = ((steps - steps[0]) / (steps[-1] - steps[0] + 1) * STRETCHES).astype(np.int64)
    first = np.flatnonzero(np.append(True, stretch[1:] != stretch[:-1]))
    last = np.append(first[1:], len(steps)) - 1
    finite = np.isfinite(values)
    known = np.where(finite, values, np.nan)
    lowest, highest = np.fmin.reduceat(known, first), np.fmax.reduceat(known, first)
    broken = np.where(np.logical_and.reduceat(finite, first), values[last], np.nan)
    begin = np.where(finite[first], values[first], lowest)  # what is not finite is told once
    thin = np.stack([begin, lowest, highest, broken, values[last]], axis=1)
    at = np.stack([steps[first], steps[first], steps[last], steps[last], steps[last]], axis=1)
    return at.ravel(), thin.ravel()
