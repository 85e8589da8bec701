"""Numbers that two rules or more need. Each result at point i uses points up to i only.

A window is summed in the same order wherever it lies (no running sums, no blocking by the length of the series), so
that it gives the same bits whether the run is read whole or followed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diagnostics.series import Values

Mask = NDArray[np.bool_]

# Scales a median absolute deviation to the standard deviation of a Gaussian: 1 / Phi^-1(3/4).
MAD_TO_SIGMA = 1.4826


def _windows(
    combine: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]], values: NDArray[Any], width: int
) -> NDArray[Any]:
    """`combine` over each full window (n - width + 1,), by doubling: a window of 20 is one of 16 and one of 4."""
    length = len(values) - width + 1
    block, size, start = values, 1, 0  # block[i] covers the `size` values from i on
    total: NDArray[Any] | None = None  # total[i] covers the `start` values from i on
    while True:
        if width & size:
            part = block[start : start + length]
            total = part if total is None else combine(total, part)
            start += size
            if start == width:
                return total
        block, size = combine(block[:-size], block[size:]), 2 * size


def _padded(result: Values, n: int) -> Values:
    padded = np.empty(n)
    padded[: n - len(result)] = np.nan
    padded[n - len(result) :] = result
    return padded


def rolling_mean(values: Values, width: int) -> Values:
    """Mean of the last `width` values at each point (n,); NaN until there are so many, and where one is not finite."""
    if len(values) < width:
        return np.full(len(values), np.nan)
    with np.errstate(invalid="ignore", over="ignore"):
        means = _windows(np.add, values, width) / width
    means[np.isinf(means)] = np.nan
    return _padded(means, len(values))


def rolling_max(values: Values, width: int) -> Values:
    """Highest of the last `width` values at each point (n,), fewer at the start; NaN values are left out."""
    padded = np.concatenate([np.full(width - 1, np.nan), values])
    return _windows(np.fmax, padded, width) if len(values) else values


def rolling_noise(values: Values, width: int) -> Values:
    """Standard deviation of the last `width` values about their trend, at each point (n,).

    From the differences of neighbours (von Neumann 1941), so that a trend does not count as noise.
    """
    if not len(values):
        return values
    with np.errstate(invalid="ignore", over="ignore"):
        squares = np.concatenate([[np.nan], np.diff(values) ** 2])
        return np.sqrt(rolling_mean(squares, width - 1) / 2)


def lagged(values: Values, by: int) -> Values:
    """The value `by` points before each point (n,), NaN where there is none."""
    return _padded(values[: max(0, len(values) - by)], len(values))


def running_median(values: Values, threes: int = 3) -> Values:
    """Median of the last 3 ** `threes` values at each point (n,), as the median of threes of medians of threes.

    Rousseeuw and Bassett 1990, "The remedian": of 27 values it stands as many as 7 outliers. Fewer values at the start;
    NaN is left out.
    """
    for level in range(threes):
        second, third = lagged(values, 3**level), lagged(values, 2 * 3**level)
        low, high = np.fmin(values, second), np.fmax(values, second)
        values = np.fmax(low, np.fmin(high, third))
    return values


def block_trend(values: Values, width: int, blocks: int) -> Values:
    """Kendall's tau, from -1 to 1, of the means of the last `blocks` blocks of `width` points, at each point (n,)."""
    means = rolling_mean(values, width)
    newest_first = [lagged(means, width * k) for k in range(blocks)]
    with np.errstate(invalid="ignore"):
        signs = [np.sign(newest_first[i] - older) for i in range(blocks) for older in newest_first[i + 1 :]]
    tau: Values = np.sum(signs, axis=0) / len(signs)
    return tau


def wander(values: Values, width: int, span: int, where: Mask) -> Values:
    """Standard deviation of means of `width` values about their trend, at the points (n,) `where` holds, else NaN.

    From the second differences of neighbouring means within the last `span` points, which reach 3 `width` - 1 values
    further back: their median size, so that neither a trend nor one step between two levels counts. It is the noise of
    one value over the root of `width` where values are independent, and more where they are not: logs smooth, and
    rewards come in waves (batch means: Law and Carson 1979). NaN too where fewer than 5 differences are known.
    """
    means = rolling_mean(values, width)
    with np.errstate(invalid="ignore"):
        bends = np.abs(means - 2 * lagged(means, width) + lagged(means, 2 * width))
    spread = np.full(len(values), np.nan)
    at = np.flatnonzero(where)
    if not len(at):
        return spread
    padded = np.concatenate([np.full(span - 1, np.nan), bends])
    # Means that share most of their values say nearly the same, so that some of them suffice.
    seen = np.lib.stride_tricks.sliding_window_view(padded, span)[:, :: -max(1, width // 5)][at]
    known = np.isfinite(seen).sum(axis=1)
    for count in np.unique(known[known >= 5]):  # NaN is sorted behind the others
        of_so_many = known == count
        middle = (count - 1) // 2
        spread[at[of_so_many]] = np.partition(seen[of_so_many], middle, axis=1)[:, middle]
    spread *= MAD_TO_SIGMA / math.sqrt(6)
    return spread


def sustained(mask: Mask, count: int) -> Mask:
    """Whether `mask` holds at a point and at the `count` - 1 points before it."""
    if len(mask) < count:
        return np.zeros(len(mask), dtype=bool)
    return np.concatenate([np.zeros(count - 1, dtype=bool), _windows(np.logical_and, mask, count)])


def share(mask: Mask, width: int) -> Values:
    """Share of the last `width` points at which `mask` holds; NaN until there are so many."""
    return rolling_mean(mask.astype(np.float64), width)


def noise(values: Values) -> float:
    """Robust standard deviation about the trend, from the median size of neighbours' differences; NaN for none."""
    finite = values[np.isfinite(values)]
    return float(MAD_TO_SIGMA * np.median(np.abs(np.diff(finite))) / math.sqrt(2)) if len(finite) > 1 else math.nan


def median(values: Values) -> float:
    """Median of the finite values, NaN where there are none."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else math.nan


def mean(values: Values) -> float:
    """Mean of the finite values, NaN where there are none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else math.nan
