"""A long curve thinned to what can be seen of it on so many stretches of steps.

Of each stretch the first, the lowest, the highest and the last value are kept, and whether one was not finite, so that
no spike is lost: `diagnostics.plot` draws the same curve from these, where it has fewer columns than there are
stretches.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # who has short curves waits for no numpy
    from numpy.typing import NDArray

    from diagnostics.series import Steps, Values

POINTS = 5  # that are kept of a stretch


@dataclass(frozen=True, slots=True, eq=False)
class Stretches:
    """Where each of m stretches begins and ends among n points, and the steps (`POINTS` m,) of what is kept of them."""

    first: NDArray[Any]
    last: NDArray[Any]
    steps: array[int]


def divided(steps: Sequence[int] | Steps, stretches: int) -> Stretches:
    """The stretches that `steps` (n,), which do not fall, lie in; n > 0, and at most so many stretches."""
    import numpy as np

    at = np.asarray(steps, np.int64)
    stretch = ((at - at[0]) / (at[-1] - at[0] + 1) * stretches).astype(np.int64)
    first = np.flatnonzero(np.append(True, stretch[1:] != stretch[:-1]))
    last = np.append(first[1:], len(at)) - 1
    kept = np.stack([at[first], at[first], at[last], at[last], at[last]], axis=1)
    return Stretches(first, last, array("q", kept.tobytes()))


def extremes(values: Sequence[float] | Values, by: Stretches) -> array[float]:
    """What is kept of `values` (n,)."""
    import numpy as np

    values = np.asarray(values, np.float64)
    begin, end = values[by.first], values[by.last]
    finite = np.isfinite(values)
    if finite.all():
        lowest, highest = np.minimum.reduceat(values, by.first), np.maximum.reduceat(values, by.first)
        broken = end
    else:
        known = np.where(finite, values, np.nan)
        lowest, highest = np.fmin.reduceat(known, by.first), np.fmax.reduceat(known, by.first)
        begin = np.where(finite[by.first], begin, lowest)  # what is not finite is told once
        broken = np.where(np.logical_and.reduceat(finite, by.first), end, np.nan)
    return array("d", np.stack([begin, lowest, highest, broken, end], axis=1).tobytes())
