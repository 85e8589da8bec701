"""A long curve thinned to what can be seen of it on so many stretches of steps.

Of each stretch the first, the lowest, the highest and the last value are kept, and whether one was not finite, so that
no spike is lost: `diagnostics.plot` draws the same curve from these, where it has fewer columns than there are
stretches.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # who has short curves waits for no numpy
    from diagnostics.series import Steps, Values

POINTS = 5  # that are kept of a stretch


def extremes(
    steps: Sequence[int] | Steps, values: Sequence[float] | Values, stretches: int
) -> tuple[array[int], array[float]]:
    """Steps (m,), not decreasing, and values (m,) of the stretches that `steps` (n,) in their order lie in; n > 0."""
    import numpy as np

    steps, values = np.asarray(steps, np.int64), np.asarray(values, np.float64)
    stretch = ((steps - steps[0]) / (steps[-1] - steps[0] + 1) * stretches).astype(np.int64)
    first = np.flatnonzero(np.append(True, stretch[1:] != stretch[:-1]))
    last = np.append(first[1:], len(steps)) - 1
    finite = np.isfinite(values)
    known = np.where(finite, values, np.nan)
    lowest, highest = np.fmin.reduceat(known, first), np.fmax.reduceat(known, first)
    begin = np.where(finite[first], values[first], lowest)  # what is not finite is told once
    broken = np.where(np.logical_and.reduceat(finite, first), values[last], np.nan)
    thin = np.stack([begin, lowest, highest, broken, values[last]], axis=1)
    at = np.stack([steps[first], steps[first], steps[last], steps[last], steps[last]], axis=1)
    return array("q", at.tobytes()), array("d", thin.tobytes())
