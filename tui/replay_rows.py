"""Plays a log of any other format: what its runs had logged by the moment that the replay has come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from diagnostics.series import MetricSeries, RunHistory, Steps, Values
from tui.replay import Playback

if TYPE_CHECKING:
    from diagnostics.logs import Log

SINCE_1970 = 1e9  # seconds; of a log whose times are smaller they count from where its run began


class Rows:
    """A log (see `diagnostics.logs.Log`) that is read whole and shown step by step.

    `written` is when the original was written last; steps of a log without times are told from there backwards.
    """

    def __init__(self, log: Log, playback: Playback, written: float) -> None:
        self._log, self._playback, self._ended_at = log, playback, written
        self._runs: Sequence[RunHistory] | None = None
        self._steps: list[Steps] = []  # of each run those at which anything was logged
        self._ends = [0]  # how many steps there are up to each run's end
        self._times: Values = np.empty(0)  # of all steps of all runs
        self._shown = 0

    @property
    def began(self) -> bool:
        """Whether the original was read."""
        return self._runs is not None

    @property
    def ended(self) -> bool:
        """Whether the log says that its run is over, once all of it was shown."""
        return self._log.ended and self._shown == len(self._times)

    @property
    def position(self) -> int:
        """How many bytes were read of the original."""
        return self._log.position

    @property
    def shown(self) -> tuple[int, float]:
        """How many steps are due by now, and when the last of them was logged."""
        due = self._due()
        return due, float(self._times[max(0, due - 1)]) if len(self._times) else self._ended_at

    def poll(self) -> bool:
        """Read a part of the original, or see what is due; whether there was anything."""
        if self._runs is None:
            if self._log.poll():
                return True
            self._log.finish()
            self._begin(self._log.histories())
        before, self._shown = self._shown, self._due()
        return self._shown > before

    def finish(self) -> None:
        """Nothing is torn in what was read already."""

    def histories(self) -> list[RunHistory]:
        """The runs as far as they are shown; the first of them before its first step."""
        found: list[RunHistory] = []
        for run, steps, (start, end) in zip(self._runs or (), self._steps, pairwise(self._ends), strict=True):
            if self._shown >= end:
                found.append(run)
            elif self._shown > start or not found:
                found.append(_upto(run, int(steps[self._shown - start - 1]) if self._shown > start else -1))
        return found

    def close(self) -> None:
        """Stop reading."""
        self._log.close()

    def _due(self) -> int:
        return int(self._times.searchsorted(self._playback.moment, "right"))

    def _begin(self, runs: Sequence[RunHistory]) -> None:
        self._steps = [_steps(run) for run in runs]
        self._ends = [0, *np.cumsum([len(steps) for steps in self._steps]).tolist()]
        told = [run.times.at(steps) for run, steps in zip(runs, self._steps, strict=True) if run.times is not None]
        by_steps = len(told) < len(runs) or not all(len(run.times or ()) for run in runs)
        times = np.arange(float(self._ends[-1])) if by_steps else _increasing(np.concatenate(told))
        if len(times) and times[-1] < SINCE_1970:
            times += self._ended_at - times[-1]
        self._runs, self._times = runs, times
        self._playback.begin(times, by_steps=by_steps)


def _steps(run: RunHistory) -> Steps:
    """The steps at which anything was logged."""
    every = [series.steps for series in (*run.series.values(), *run.others.values())]
    return np.unique(np.concatenate(every)) if every else np.empty(0, np.int64)


def _increasing(times: Values) -> Values:
    """Times (n,) that do not decrease; of what was logged before the first of them it is the first."""
    known = np.flatnonzero(np.isfinite(times))
    if len(known):
        times[: known[0]] = times[known[0]]
    return np.maximum.accumulate(times)


def _upto(run: RunHistory, step: int) -> RunHistory:
    times = run.times.upto(step) if run.times is not None else None
    return replace(run, series=_cut(run.series, step), others=_cut(run.others, step), times=times)


def _cut(every: Mapping[str, MetricSeries], step: int) -> dict[str, MetricSeries]:
    """The series that have begun by `step`, up to it."""
    cut = {name: series.upto(step) for name, series in every.items()}
    return {name: series for name, series in cut.items() if len(series)}
