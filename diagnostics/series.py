"""Metric series and run histories: the data that rules read. numpy only."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Steps = NDArray[np.int64]
Values = NDArray[np.float64]
T = TypeVar("T")


@dataclass(frozen=True, eq=False, slots=True)
class MetricSeries:
    """One metric over a run: strictly increasing steps (n,) and their values (n,).

    NaN and infinities are kept, they are evidence; a step at which the metric was not logged has no point.
    """

    metric: str
    steps: Steps
    values: Values

    def __post_init__(self) -> None:
        if self.steps.shape != self.values.shape or self.steps.ndim != 1:
            raise ValueError(f"{self.metric}: {self.steps.shape} steps but {self.values.shape} values")

    def __len__(self) -> int:
        return len(self.steps)

    def upto(self, step: int) -> MetricSeries:
        """The points at or before `step`, as views."""
        n = int(self.steps.searchsorted(step, side="right"))
        return MetricSeries(self.metric, self.steps[:n], self.values[:n])

    def at(self, steps: Steps) -> Values:
        """The last known value at each of `steps`, NaN before the first: an as-of join, so it is causal."""
        if not len(self.steps):
            return np.full(len(steps), np.nan)
        if np.array_equal(steps, self.steps):  # most metrics are logged together: a hundredth of the time of a search
            return self.values.copy()
        index = self.steps.searchsorted(steps, side="right") - 1
        return np.where(index >= 0, self.values[np.maximum(index, 0)], np.nan)


@dataclass(frozen=True, eq=False, slots=True)
class RunHistory:
    """One run: metrics and settings under canonical names, whatever framework they came from.

    `knobs` is the timeline of settings changed while running, as (step, knob, value); `reward_bounds` (low, high)
    when the task or the user declares them, else None; `notes` say what a reader had to repair. `names` (metric: name)
    are the names in the log that metrics were read from, `unmapped` those without a meaning and `others` their points;
    `recognised` says why the names are read as `framework`'s, `version` which of its versions can have logged them.

    A log whose steps begin anew holds several runs: this is its `segment`-th (from 1), and `went_back` are the last
    step before it and its first one, None in the first segment.

    `times` are the seconds at which steps were logged, since 1970 or since the run began; None where no log says it.
    """

    series: Mapping[str, MetricSeries]
    settings: Mapping[str, Any] = field(default_factory=dict)
    raw_settings: Mapping[str, Any] = field(default_factory=dict)
    knobs: tuple[tuple[int, str, float], ...] = ()
    reward_bounds: tuple[float, float] | None = None
    source: str = ""
    framework: str = "autotune"
    unmapped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    format: str = ""
    version: str = ""
    recognised: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, MetricSeries] = field(default_factory=dict)
    segment: int = 1
    went_back: tuple[int, int] | None = None
    times: MetricSeries | None = None
    _known: dict[Callable[[RunHistory], Any], Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __getitem__(self, metric: str) -> MetricSeries:
        return self.series[metric]

    def __contains__(self, metric: object) -> bool:
        return metric in self.series

    def get(self, metric: str) -> MetricSeries:
        """The series of `metric`, empty where it was not logged."""
        return self.series.get(metric) or MetricSeries(metric, np.empty(0, np.int64), np.empty(0))

    @property
    def last_step(self) -> int:
        """The last step with any point, -1 for an empty run."""
        return max((int(s.steps[-1]) for s in self.series.values() if len(s)), default=-1)

    def family(self, metric: str) -> dict[str, MetricSeries]:
        """The series of each component of a family such as `reward_component_mean`, by the component's name."""
        return {n[len(metric) + 1 : -1]: s for n, s in self.series.items() if n.startswith(f"{metric}[") and len(s)}

    def points(self, metric: str) -> int:
        """How many points `metric` has; of a family the component that has most."""
        own = self.series.get(metric)
        return len(own) if own is not None else max((len(s) for s in self.family(metric).values()), default=0)

    def once(self, compute: Callable[[RunHistory], T]) -> T:
        """`compute` of this run, computed once however many rules ask for it; a function of a module."""
        if compute not in self._known:
            self._known[compute] = compute(self)
        known: T = self._known[compute]
        return known

    def upto(self, step: int) -> RunHistory:
        """The run as it was known when `step` was closed."""
        return self.with_series({name: s.upto(step) for name, s in self.series.items()})

    def with_series(self, series: Mapping[str, MetricSeries]) -> RunHistory:
        """The same run with other points."""
        return replace(self, series=series)


def are_bounds(bounds: tuple[float, float]) -> bool:
    """Whether `bounds` can be the lowest and the highest reward: finite, in that order, and their distance too."""
    low, high = bounds
    return low < high and math.isfinite(high - low)


_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|nan|inf|-inf"
_TOKEN = re.compile(
    rf"(?P<start>{_NUMBER}|_)"
    r"(?P<slope>[-+](?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)?"
    r"(?:~(?P<noise>(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?))?"
    r"(?:\*(?P<count>\d+))?"
)


def expand(notation: str) -> list[float | None]:
    """Series shorthand to samples; None where a sample is missing.

    `1.2*20` is twenty samples of 1.2; `1.2-0.05*22` twenty-two samples from 1.2 downwards in steps of 0.05;
    `1.2~0.1*20` twenty samples around 1.2 with Gaussian noise of standard deviation 0.1, the same in every process;
    `_*3` three missing samples; `nan`, `inf` and `-inf` are themselves. ValueError names a token it cannot read.
    """
    samples: list[float | None] = []
    for position, token in enumerate(notation.split()):
        match = _TOKEN.fullmatch(token)
        if not match:
            raise ValueError(f"cannot read series token {token!r}; write '1*10', '1+0.5*4', '1~0.1*9', '_*3' or 'nan'")
        count = int(match["count"] or 1)
        if match["start"] == "_":
            samples += [None] * count
            continue
        values = float(match["start"]) + float(match["slope"] or 0) * np.arange(count)
        if match["noise"]:
            seed = zlib.crc32(f"{position} {token}".encode())
            values = values + float(match["noise"]) * np.random.default_rng(seed).standard_normal(count)
        samples += [float(v) for v in values]
    return samples


def example(
    metrics: Mapping[str, str],
    *,
    settings: Mapping[str, Any] | None = None,
    reward_bounds: tuple[float, float] | None = None,
    went_back: tuple[int, int] | None = None,
) -> RunHistory:
    """A run written in the shorthand of `expand`; the sample at position i is step i."""
    series = {}
    for metric, notation in metrics.items():
        points = [(step, value) for step, value in enumerate(expand(notation)) if value is not None]
        series[metric] = MetricSeries(
            metric, np.array([s for s, _ in points], dtype=np.int64), np.array([v for _, v in points], dtype=np.float64)
        )
    return RunHistory(series, settings or {}, reward_bounds=reward_bounds, source="example", went_back=went_back)
