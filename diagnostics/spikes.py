"""Spikes: points that stand far above what a metric usually is, by its own recent life."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from diagnostics.finding import Evidence, Prescription, Severity
from diagnostics.rule import Alarm, Told
from diagnostics.series import MetricSeries, Values
from diagnostics.stats import Mask, lagged, running_median, share

# Points that a metric needs before one of them can stand out: the first ones are its start, a critic's warm-up say.
EARLIEST = 10
# What is usual and how far points scatter about it are each running medians, of 27 points.
USUAL = 27
# Spikes that come together are no accident: so many of them within so many points (house defaults).
CLUSTER, SPAN = 3, 30
# Points before these that tell what a run's own noise reaches, the fewest that can, and the share of them that reach it
# by chance: noise with long tails has spikes, and they come together at times (house defaults).
PAST, FEWEST, CHANCE = 200, 20, 0.02
# So many spikes are no chance either, whatever their size, where these points had a third of that share at most.
MANY, RARER = 7, 3
LOOKBACK = 2 * USUAL + SPAN + PAST
HARMLESS = "A spike that is gone at the next step did no harm: do nothing, unless more of them come."


@dataclass(frozen=True, slots=True)
class Spikes:
    """Where a metric spikes (n,): its `size`, what was `usual` before each point, and which points are far above it."""

    size: Values
    usual: Values
    found: Mask


def spikes(series: MetricSeries, *, times: float, deviations: float, floor: float = 0.0) -> Spikes:
    """The points of `series` whose size is above `floor`, at least `times` what was usual before, and more than
    `deviations` median absolute deviations above that.

    The size is the value without its sign. Where it was usually 0, nothing says what is far above that; what is not
    finite is no spike but a fault of its own.
    """
    size = np.abs(series.values)
    usual = lagged(running_median(size), 1)
    scatter = lagged(running_median(np.abs(size - usual)), 1)
    with np.errstate(invalid="ignore", over="ignore"):
        found = (size > floor) & (size >= times * usual) & (size > usual + deviations * scatter) & (usual > 0)
    found &= np.isfinite(size)
    found[:EARLIEST] = False
    return Spikes(size, usual, found)


def crowded(found: Mask) -> Mask:
    """Which of the points `found` (n,) have two others at least shortly before them."""
    together = share(np.concatenate([np.zeros(SPAN - 1, dtype=bool), found]), SPAN)[SPAN - 1 :]
    return found & (together >= CLUSTER / SPAN)


def in_a_row(size: Values, found: Mask, beyond: float) -> Mask:
    """Which of the points `found` (n,) have two others at least shortly before them, and more or larger ones than the
    run's own noise has: the third largest is `beyond` times what a share of `CHANCE` of the points before had exceeded,
    or they are `MANY`, and were rare.
    """
    row = crowded(found)
    at = np.flatnonzero(row)
    if len(at):
        padded = np.concatenate([np.full(PAST + SPAN - 1, np.nan), np.where(np.isfinite(size), size, np.nan)])
        before = np.lib.stride_tricks.sliding_window_view(padded, PAST)[at]
        known = np.isfinite(before).sum(axis=1)
        top = math.ceil(CHANCE * PAST)
        highest = np.partition(np.nan_to_num(before, nan=-1.0), range(PAST - top, PAST), axis=1)
        reached = highest[np.arange(len(at)), PAST - np.ceil(CHANCE * known).astype(int).clip(1)]
        padded = np.concatenate([np.zeros(PAST + SPAN - 1), np.where(found, size, 0.0)])
        spiked = np.lib.stride_tricks.sliding_window_view(padded, PAST + SPAN)[at]
        third = np.partition(spiked[:, PAST:], SPAN - CLUSTER, axis=1)[:, SPAN - CLUSTER]
        now, then = (spiked[:, PAST:] > 0).sum(axis=1), (spiked[:, :PAST] > 0).sum(axis=1)
        many = (now >= MANY) & (now / SPAN >= RARER * then / known.clip(1))
        row[at] = ((third >= beyond * reached) | many) & (known >= FEWEST)
    return row


def spike_alarms(
    series: MetricSeries,
    seen: Spikes,
    row: Mask,
    times: float,
    remedies: Callable[[float, int], tuple[Prescription, ...]],
) -> Iterator[Alarm]:
    """INFO at a spike; WARNING at the last of a `row` of them, which is `in_a_row`'s.

    `remedies` are what helps against a spike of that size at that step.
    """

    def single(i: int) -> Told:
        return told_of_spike(series, seen, i, times, advice=(HARMLESS,))

    def several(i: int) -> Told:
        return told_of_spike(series, seen, i, times, remedies(float(seen.size[i]), int(series.steps[i])))

    yield Alarm(Severity.INFO, series.steps, seen.found, single)
    yield Alarm(Severity.WARNING, series.steps, row, several)


def told_of_spike(
    series: MetricSeries,
    seen: Spikes,
    i: int,
    times: float,
    prescriptions: tuple[Prescription, ...] = (),
    advice: tuple[str, ...] = (),
    then: str = "",
) -> Told:
    """What is said of the spike at point i: how high it is, of how many it is the last, and what came `then`."""
    step, usual, size = int(series.steps[i]), float(seen.usual[i]), float(seen.size[i])
    since = max(0, i - SPAN + 1)
    recent = since + np.flatnonzero(seen.found[since : i + 1])
    first = int(series.steps[recent[0]])
    message = f"{series.metric} was {series.values[i]:.3g} at step {step}, {size / usual:.3g} times its usual size"
    if len(recent) > 1:
        message += f"; the last of {len(recent)} spikes since step {first}"
    evidence = Evidence(series.metric, step, step, "size, against what was usual before", size, times * usual)
    return Told(message + then, first, (evidence,), prescriptions, advice=advice)
