"""The stretch of a run around a finding: what a report shows of it, so that it needs no run to be shown.

Imports no numpy, so that a report that was kept is shown at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diagnostics.finding import Finding
    from diagnostics.series import RunHistory

STRETCHES = 64  # of each the lowest, the highest and one point that is not finite are kept
MOST_GAPS = 20
LEAST_AROUND, SHARE_AROUND = 10, 0.25  # points shown before and after a finding, at least and of its length
GAP = 4  # times the usual distance of two points without one: the metric was not logged there


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Points of the metric that the finding `code` of a segment rests on: rising steps (n,) and values (n,).

    NaN and infinities are kept; a value None stands between two points where the metric was not logged for long. Of
    many points the extremes are kept: at most 3 x `STRETCHES` + 2 points, and two more at each of `MOST_GAPS` gaps.
    """

    code: str
    segment: int
    metric: str
    steps: tuple[int, ...]
    values: tuple[float | None, ...]


def excerpt(finding: Finding, run: RunHistory) -> Excerpt | None:
    """What `run` logged from a little before `finding` to a little after it; None for less than two points."""
    if not finding.evidence:
        return None
    metric = finding.evidence[0].metric
    series = run.get(metric)
    onset = min(finding.first_step, finding.evidence[0].first_step)
    start = int(series.steps.searchsorted(onset))
    end = int(series.steps.searchsorted(max(finding.last_step, finding.raised_at), side="right"))
    around = max(LEAST_AROUND, int(SHARE_AROUND * (end - start)))
    shown = slice(max(0, start - around), end + around)
    steps, values = series.steps[shown].tolist(), series.values[shown].tolist()
    if len(steps) < 2:
        return None
    gaps = _gaps(steps)
    kept = _extremes(values).union(gaps, (i + 1 for i in gaps))
    points = [(steps[i], values[i]) for i in kept] + [(steps[i] + 1, None) for i in gaps]
    return Excerpt(finding.code, finding.segment, metric, *zip(*sorted(points, key=itemgetter(0)), strict=True))


def _extremes(values: list[float]) -> set[int]:
    """Where the lowest, the highest and a point that is not finite stand in each stretch; the ends too."""
    n = len(values)
    if n <= 3 * STRETCHES:
        return set(range(n))
    kept = {0, n - 1}
    for k in range(STRETCHES):
        stretch = range(n * k // STRETCHES, n * (k + 1) // STRETCHES)
        finite = [i for i in stretch if math.isfinite(values[i])]
        if finite:
            kept |= {min(finite, key=values.__getitem__), max(finite, key=values.__getitem__)}
        if len(finite) < len(stretch):
            kept.add(next(i for i in stretch if not math.isfinite(values[i])))
    return kept


def _gaps(steps: list[int]) -> list[int]:
    """The points after which the metric was not logged for long, the longest gaps of many."""
    gaps = [b - a for a, b in pairwise(steps)]
    usual = median(gaps)
    wide = [i for i, gap in enumerate(gaps) if gap > GAP * usual]
    return sorted(wide, key=gaps.__getitem__, reverse=True)[:MOST_GAPS]
