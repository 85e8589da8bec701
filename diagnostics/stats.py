"""Numbers that two rules or more need. Each result at point i uses points up to i only.

Windows are evaluated one by one on the raw values (no running sums), so that the same window gives the same bits
whether the run is read whole or followed.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from diagnostics.series import Values

Mask = NDArray[np.bool_]

# Scales a median absolute deviation to the standard deviation of a Gaussian: 1 / Phi^-1(3/4).
MAD_TO_SIGMA = 1.4826


def _padded(result: Values, n: int) -> Values:
    return np.concatenate([np.full(n - len(result), np.nan), result])


def rolling_mean(values: Values, width: int) -> Values:
    """Mean of the last `width` values at each point (n,); NaN until there are so many, and where one is NaN."""
    if len(values) < width:
        return np.full(len(values), np.nan)
    return _padded(sliding_window_view(values, width).mean(axis=-1), len(values))


def rolling_median(values: Values, width: int) -> Values:
    """Median of the last `width` values at each point (n,); NaN until there are so many, and where one is NaN."""
    if len(values) < width:
        return np.full(len(values), np.nan)
    return _padded(np.median(sliding_window_view(values, width), axis=-1), len(values))


def rolling_max(values: Values, width: int) -> Values:
    """Highest of the last `width` values at each point (n,), fewer at the start; NaN values are left out."""
    padded = np.concatenate([np.full(width - 1, np.nan), values])
    return np.fmax.reduce(sliding_window_view(padded, width), axis=-1) if len(values) else values


def sustained(mask: Mask, count: int) -> Mask:
    """Whether `mask` holds at a point and at the `count` - 1 points before it."""
    if len(mask) < count:
        return np.zeros(len(mask), dtype=bool)
    held = sliding_window_view(mask, count).all(axis=-1)
    return np.concatenate([np.zeros(count - 1, dtype=bool), held])


def share(mask: Mask, width: int) -> Values:
    """Share of the last `width` points at which `mask` holds; NaN until there are so many."""
    return rolling_mean(mask.astype(np.float64), width)


def sigma(values: Values) -> float:
    """Robust standard deviation: 1.4826 times the median absolute deviation; NaN for no values."""
    finite = values[np.isfinite(values)]
    return float(MAD_TO_SIGMA * np.median(np.abs(finite - np.median(finite)))) if len(finite) else float("nan")


def median(values: Values) -> float:
    """Median of the finite values, NaN where there are none."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else float("nan")


def onset(mask: Mask, i: int) -> int:
    """Index at which the unbroken stretch of `mask` that reaches point i began."""
    broken = np.flatnonzero(~mask[: i + 1])
    return int(broken[-1]) + 1 if len(broken) else 0


def theil_sen(values: Values) -> float:
    """Slope per point: the median of the slopes of all pairs (Sen 1968). NaN for fewer than two finite values."""
    at = np.flatnonzero(np.isfinite(values))
    if len(at) < 2:
        return float("nan")
    first, second = np.triu_indices(len(at), k=1)
    return float(np.median((values[at[second]] - values[at[first]]) / (at[second] - at[first])))


def mann_kendall(values: Values) -> float:
    """Z score of a monotonic trend (Mann 1945, Kendall 1975), ties corrected; 0 for fewer than three finite values."""
    finite = values[np.isfinite(values)]
    n = len(finite)
    if n < 3:
        return 0.0
    first, second = np.triu_indices(n, k=1)
    s = float(np.sign(finite[second] - finite[first]).sum())
    _, ties = np.unique(finite, return_counts=True)
    variance = (n * (n - 1) * (2 * n + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())) / 18
    return (s - np.sign(s)) / variance**0.5 if variance > 0 else 0.0
