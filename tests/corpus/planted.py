"""Healthy runs of any length, made from recorded ones, and faults put into them at a known step.

A recorded healthy run is taken apart into the slow course of each metric and what is left of each row. A longer run is
its course, drawn out so that it learns quickly at first and then hardly moves, and blocks of rows of what was left,
each drawn from near the same place of the course, all metrics of a row together, so that neighbours in time and metrics
of one step stay related as they were (block bootstrap: Kunsch 1989).

A fault changes some metrics from a known row on, by `strength` units. The units were fixed before any rule was run on
them: the noise of the run's own step where a fault has no published size, else the part of it that `FAULTS` says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray

from diagnostics.metrics import Aggregation, Estimator, metrics
from diagnostics.series import MetricSeries, RunHistory, Values
from diagnostics.stats import noise
from diagnostics.vocabulary import vocabulary

Rows = dict[str, Values]  # a metric's value at each row (n,); NaN where it was not logged

BLOCK = 10  # rows that stay together: as many as the rules' shortest windows look at
NEAR = 0.25  # of the recorded run: from how far away a block may be taken
COURSE = 15  # points that the slow course of a metric is a mean of
LEARNS = 4.0  # how quickly a drawn-out run learns: it has gone 1 - exp(-4 t) of its course by the share t of its length
HELD_OUT = ("validation_reward", "validation_reward_greedy")
KL_TOKEN = ("kl.reference.k3.token", "kl.reference.k1.token", "kl.reference.unknown.token")


# ---- healthy runs


def healthy(recorded: RunHistory, length: int, seed: int) -> RunHistory:
    """A healthy run of `length` rows with the metrics and settings of `recorded`, a healthy one.

    The held-out reward does not fall: from one evaluation to the next it does by chance, but over the many evaluations
    that a drawn-out run has between them it would be true that it falls.
    """
    random = np.random.default_rng(seed)
    steps = recorded["grad_norm"].steps
    n = len(steps)
    share = np.arange(length) / length
    place = (n - 1) * (1 - np.exp(-LEARNS * share)) / (1 - math.exp(-LEARNS))
    taken = _taken(place, n, random)
    rows = {}
    for name, series in recorded.series.items():
        if len(series) < 4:
            continue
        at = np.searchsorted(steps, series.steps).clip(0, n - 1)
        in_proportion = _in_proportion(name, series.values)
        recorded_values = np.log(series.values) if in_proportion else series.values
        course = _course(recorded_values)
        left = np.full(n, np.nan)
        tops = np.maximum.accumulate(course) if name in HELD_OUT else course
        # The course has followed each point by so much.
        left[at] = (recorded_values - course) / math.sqrt(1 - 1 / _of_one_mean(len(series)))
        values = np.interp(place, at, tops) + left[taken]
        rows[name] = _within(name, np.exp(values) if in_proportion else values, recorded.reward_bounds)
    return _run(recorded, rows, steps=np.arange(1, length + 1))


def _in_proportion(name: str, values: Values) -> bool:
    """Whether the noise of a metric is taken for a share of its level: losses, norms and divergences fall by tens, and
    what is noise at the level of the beginning would be a spike at that of the end.
    """
    return metrics()[name.partition("[")[0]].range == (0.0, math.inf) and bool((values > 0).all())


def _taken(place: Values, n: int, random: np.random.Generator) -> NDArray[np.int64]:
    """The recorded row whose rest is used at each row of the run, in blocks, each from near its place (length,).

    At both ends of the recorded run, where a long one spends most of its rows, there are as many rows to draw from.
    """
    starts = np.arange(0, len(place), BLOCK)
    lowest = (place[starts] - NEAR * n).clip(0, n - BLOCK - 2 * NEAR * n)
    first = (lowest + 2 * NEAR * n * random.uniform(0, 1, len(starts))).round().astype(np.int64)
    return (first[:, None] + np.arange(BLOCK)).ravel()[: len(place)]


def _of_one_mean(points: int) -> int:
    """Of how many points one of the course is a mean; of a metric that was logged rarely fewer, since it has moved."""
    return 2 * max(1, min(COURSE, points // 4) // 2) + 1


def _course(values: Values) -> Values:
    """The slow part: a running median, which an isolated spike does not move, and over that a mean; both centred."""
    wide = _of_one_mean(len(values)) // 2
    for middle in (np.nanmedian, np.nanmean):
        padded = np.concatenate([np.full(wide, np.nan), values, np.full(wide, np.nan)])
        values = middle(np.lib.stride_tricks.sliding_window_view(padded, 2 * wide + 1), axis=1)
    return values


def _within(name: str, values: Values, bounds: tuple[float, float] | None) -> Values:
    """`values` kept in the metric's range, and rewards in their bounds."""
    low, high = metrics()[name.partition("[")[0]].range
    if bounds is not None and name.startswith(("reward_mean", "reward_best", "reward_worst", "validation", "eval_re")):
        low, high = bounds
    return np.clip(values, low, high)


def _run(recorded: RunHistory, rows: Rows, steps: NDArray[np.int64]) -> RunHistory:
    series = {}
    for name, values in rows.items():
        logged = ~np.isnan(values)
        series[name] = MetricSeries(name, steps[logged], values[logged])
    settings = {**recorded.settings, "max_steps": len(steps)}
    return replace(recorded.with_series(series), source="planted", settings=settings)


def every(run: RunHistory, cadence: int) -> RunHistory:
    """The run as a trainer logs it that writes a row every `cadence` steps."""
    kept = {name: s.steps % cadence == 0 for name, s in run.series.items()}
    return run.with_series({n: MetricSeries(n, s.steps[kept[n]], s.values[kept[n]]) for n, s in run.series.items()})


# ---- what a framework logs

PER_TOKEN = (Aggregation.TOKEN, Aggregation.GROUP)
ESTIMATORS = (Estimator.K3, Estimator.K2, Estimator.K1, None)  # what stands for another one, the nearest to it first


def origins(run: RunHistory, framework: str) -> Mapping[str, str]:
    """The metrics that `framework` can log of `run`, and which of its metrics each is or is made from.

    Frameworks log one quantity by another estimator, over tokens, summed over completions, or without saying which.
    """
    found = {}
    for means in sorted({entry.means for entry in vocabulary(framework).metrics}):
        same = {name: name for name in run.series if name.partition("[")[0] == means}
        twin = _twin(run, means)
        found.update(same or ({means: twin} if twin else {}))
    return found


def as_logged(run: RunHistory, framework: str) -> RunHistory:
    """`run` with the metrics that `framework` can log of it, under the identities that it logs them in."""
    series = {}
    for name, origin in origins(run, framework).items():
        of, values = run[origin], run[origin].values
        summed = metrics()[name.partition("[")[0]].aggregation is Aggregation.SEQUENCE and name.startswith("kl.")
        if name != origin and summed:
            values = values * run["completion_length_mean"].at(of.steps)
        series[name] = MetricSeries(name, of.steps, values)
    return run.with_series(series)


def same_unit(name: str, origin: str) -> bool:
    """Whether numbers of `name`, made from `origin`, mean the same: not where they are of actions or summed, nor where
    a log does not say whether its KL is.
    """
    aggregation = metrics()[name.partition("[")[0]].aggregation
    return name == origin or aggregation in PER_TOKEN or (aggregation is None and not name.startswith("kl."))


def _twin(run: RunHistory, means: str) -> str:
    """The metric of `run` that is the quantity of `means` for a token, "" where there is none."""
    wanted = metrics()[means]
    twins = [
        name
        for name, metric in metrics().items()
        if name in run
        and (metric.quantity, metric.against) == (wanted.quantity, wanted.against)
        and metric.aggregation in PER_TOKEN
    ]
    return min(twins, key=lambda name: ESTIMATORS.index(metrics()[name].estimator), default="")


# ---- faults


class Unit(Enum):
    """What one unit of a change is, where it is no number."""

    NOISE = auto()  # of one step of the metric in this run, about its trend
    MEDIAN = auto()  # half the median of the metric's size in this run, or its noise where that is more
    LEVEL = auto()  # a quarter of the metric's level before the fault
    UNSTABLE = auto()  # twice the median, or 2 where that is more
    UNEXPLAINED = auto()  # what the metric, a share, lacks of 1
    RETURNS = auto()  # twice the square of the mean reward, which is what a critic has lost that always predicts 0


class Shape(Enum):
    """How a change comes on: the share of it that is there so many rows of the log after its onset."""

    STEP = auto()  # within five rows, for good
    RAMP = auto()  # evenly over fifty rows, for good
    SPIKES = auto()  # three of ten rows, for thirty rows
    WAVE = auto()  # up and down, a period of forty rows


SHAPES: Mapping[Shape, Callable[[Values], Values]] = {
    Shape.STEP: lambda t: np.clip((t + 1) / 5, 0, 1),
    Shape.RAMP: lambda t: np.clip((t + 1) / 50, 0, 1),
    Shape.SPIKES: lambda t: ((t % 10 < 3) & (t < 30)).astype(float),
    Shape.WAVE: lambda t: np.sin(2 * np.pi * t / 40),
}


@dataclass(frozen=True, slots=True)
class Change:
    """`metric`, a tuple for each of several, moves by `per_unit` units (a number, or one of this run's own)."""

    metric: str | tuple[str, ...]
    per_unit: float
    unit: Unit | float = Unit.NOISE
    shape: Shape = Shape.STEP
    from_zero: bool = False  # whether its level is gone first, so that it ends up so many units from 0, with its noise


@dataclass(frozen=True, slots=True)
class Toward:
    """`metric` goes a sixth of its way to `target` for each unit, and all of it at six; with its noise."""

    metric: str
    target: float


def named(change: Change | Toward) -> tuple[str, ...]:
    """The metrics that are said to move."""
    return (change.metric,) if isinstance(change.metric, str) else change.metric


def summed(metric: str) -> str:
    """The metric that is the sum over a completion of what `metric` is the mean of over tokens, if it is one."""
    return metric.replace(".token", ".sequence")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong, found where any of `codes` is raised at WARNING or above after its onset."""

    name: str
    codes: frozenset[str]
    changes: tuple[Change | Toward, ...]
    ppo: bool = False  # whether it needs the metrics of a critic
    notes: str = field(default="", compare=False)

    @property
    def absolute(self) -> bool:
        """Whether it moves something by a number rather than by units of the run itself."""
        return any(isinstance(change, Change) and not isinstance(change.unit, Unit) for change in self.changes)

    def shows(self, logged: Collection[str]) -> bool:
        """Whether each of its changes is seen in one of the metrics `logged`."""
        return all(any(name in logged or summed(name) in logged for name in named(c)) for c in self.changes)


def fault(name: str, codes: str, *changes: Change | Toward, ppo: bool = False) -> Fault:
    """A fault, its codes written in one string."""
    return Fault(name, frozenset(codes.split()), changes, ppo)


# Where a limit is published for the very unit, one unit is a fifth of it, so that the fault is there at five.
FAULTS = (
    fault("the reward falls at once", "RWD002 RWD003 RWD008", Change("reward_mean", -1)),
    fault("the reward declines", "RWD002 RWD003 RWD008", Change("reward_mean", -1, shape=Shape.RAMP)),
    fault("the reward swings", "RWD010 RWD003", Change("reward_mean", 1, shape=Shape.WAVE)),
    # axolotl: above 0.5 nats per token is too far, here with a reward that suffers half as much as it may
    fault("KL explodes", "KL002 KL005", Change(KL_TOKEN, 1, 0.1), Change("reward_mean", -0.5)),
    # TRL: a summed KL below -1 is a fault. From 0: of a KL of 4 the same change would leave 3, which is none
    fault("KL is negative", "KL001", Change("kl.reference.k1.sequence", -1, 0.2, from_zero=True),
          Change("kl.reference.k1.token", -1, 0.02, from_zero=True)),
    fault("groups agree", "RWD001", Change("zero_std_share", 1, 0.1)),  # rl-doctor warns at 0.5
    fault("entropy collapses", "ENT001", Toward("entropy.token", 0.005)),
    fault("entropy explodes", "ENT002", Change("entropy.token", 2, Unit.LEVEL, Shape.RAMP)),  # four times at six
    # rlprobe: ten times the median, axolotl: above 10; what a gradient that is clipped does below that is harmless
    fault("the gradient spikes", "GRD001", Change("grad_norm", 1, Unit.UNSTABLE, Shape.SPIKES)),
    fault("the gradient dies", "GRD002", Toward("grad_norm", 0.0)),
    fault("completions are cut", "LEN001 LEN004", Change("truncated_share", 1, 0.06)),  # axolotl: above 0.3
    fault("completions grow", "LEN003", Change("completion_length_mean", 1, Unit.LEVEL)),  # rl-doctor: by half
    fault("completions shrink", "LEN002", Toward("completion_length_mean", 1.0)),
    fault("samples are alike", "DIV001", Toward("unique_share", 0.0)),
    fault("validation falls", "GEN001 GEN002", Change("validation_reward", -1)),
    fault("the updates are clipped", "UPD002", Change("clip_fraction.token", 1, 0.04), ppo=True),  # rl-doctor: 0.2
    # PTT: 0.02 is the target; here the usual is 0.0001, and many times that is still nothing
    fault("old-to-new KL spikes", "UPD001", Change("kl.rollout.k2.token", 1, 0.02, Shape.SPIKES), ppo=True),
    # A mean of normalised advantages is at most 1 while ratios are; the usual is 0.002, and many times that is nothing
    fault("the policy loss spikes", "UPD003", Change("policy_loss.token", 1, 0.2, Shape.SPIKES), ppo=True),
    fault("the value loss spikes", "VAL001 VAL003", Change("value_loss", 1, Unit.MEDIAN, Shape.SPIKES), ppo=True),
    # The returns stay, so that a loss which grows by so many times explains so many times less of them
    fault("the value loss diverges", "VAL001 VAL002 VAL003", Change("value_loss", 2, Unit.MEDIAN, Shape.RAMP),
          Change("explained_variance", -1, Unit.UNEXPLAINED, Shape.RAMP), ppo=True),
    # What VAL003 calls lost has ten times the square of the rewards
    fault("the critic is lost", "VAL001 VAL003", Change("value_loss", 1, Unit.RETURNS, Shape.RAMP), ppo=True),
    fault("the critic explains less than nothing", "VAL002", Change("explained_variance", -1, 0.25), ppo=True),
    fault("the loss is not finite", "NUM001", Change("total_loss", math.inf)),
)  # fmt: skip


def plant(run: RunHistory, what: Fault, at: int, strength: float) -> RunHistory:
    """`run` with `what` in it from row `at` on, `strength` units strong."""
    series = dict(run.series)
    moved = {name: change for change in what.changes for name in named(change) if name in run}
    for name, change in moved.items():
        series[name] = _changed(run[name], change, at, strength, run)
        if name.startswith("kl.") and summed(name) in run and summed(name) not in moved:
            by = MetricSeries(name, run[name].steps, series[name].values - run[name].values)
            whole, length = run[summed(name)], run["completion_length_mean"]
            more = by.at(whole.steps) * length.at(whole.steps)
            series[whole.metric] = MetricSeries(whole.metric, whole.steps, whole.values + more)
    return run.with_series(series)


def _changed(before: MetricSeries, change: Change | Toward, at: int, strength: float, run: RunHistory) -> MetricSeries:
    rows = run["grad_norm"].steps
    onset = rows[at]
    after = before.steps >= onset
    elapsed = (before.steps - onset) / (onset - rows[at - 1])
    values = before.values.copy()
    recent = values[~after][-100:]
    if isinstance(change, Toward):
        part = min(1.0, strength / 6) * SHAPES[Shape.STEP](elapsed[after])
        values[after] += part * (change.target - values[after])
    else:
        earned = run["reward_mean"].upto(onset - 1).values[-100:]
        size = _unit(change.unit, recent, earned) * change.per_unit * strength
        size -= float(np.mean(recent)) if change.from_zero else 0.0
        values[after] += np.where((moved := SHAPES[change.shape](elapsed[after])) != 0, size * moved, 0.0)
    return MetricSeries(before.metric, before.steps, _within(before.metric, values, run.reward_bounds))


def _unit(unit: Unit | float, recent: Values, earned: Values) -> float:
    match unit:
        case Unit.NOISE:
            return noise(recent)
        case Unit.MEDIAN:
            return max(noise(recent), float(np.median(np.abs(recent))) / 2)
        case Unit.LEVEL:
            return float(np.mean(recent)) / 4
        case Unit.UNSTABLE:
            return 2 * max(1.0, float(np.median(recent)))
        case Unit.UNEXPLAINED:
            return 1 - float(np.median(recent))
        case Unit.RETURNS:
            return 2 * float(np.mean(earned)) ** 2
        case _:
            return unit


# ---- healthy runs that look ill


def hard_cases(run: RunHistory, seed: int) -> Iterator[tuple[str, RunHistory]]:
    """What a healthy run may do that looks like a fault; `run` is a healthy one of 500 rows or more."""
    random = np.random.default_rng(seed)
    n = len(run["grad_norm"])

    def all_with(changed: Mapping[str, Values]) -> RunHistory:
        return run.with_series(
            {**run.series, **{name: MetricSeries(name, run[name].steps, values) for name, values in changed.items()}}
        )

    def with_(name: str, values: Values) -> RunHistory:
        return all_with({name: values})

    reward = run["reward_mean"]
    start = float(np.mean(reward.values[:5]))
    waits = np.where(np.arange(len(reward)) < 20, start, np.concatenate([np.full(20, start), reward.values[:-20]]))
    yield "twenty steps without reward before it learns", with_("reward_mean", waits)
    for kl in KL_TOKEN:
        if kl in run:
            spiked = run[kl].values.copy()
            spiked[len(spiked) // 2] += 50 * max(float(np.median(np.abs(spiked))), 1e-3)
            yield "an isolated spike of the KL", with_(kl, spiked)
            break
    grad = run["grad_norm"].values
    yield "a heavy-tailed gradient norm", with_("grad_norm", grad * np.exp(0.4 * random.standard_normal(len(grad))))
    single = grad.copy()
    single[n // 3] *= 60
    yield "one gradient sixty times the usual", with_("grad_norm", single)
    share = np.arange(n) / n
    entropy = run["entropy.token"].values
    falls = entropy[0] * np.exp(-2.3 * share) * (entropy / _course(entropy))
    gained = 10 * noise(reward.values)
    yield (
        "entropy falls by nine tenths while it learns",
        all_with(
            {
                "entropy.token": falls,
                "reward_mean": reward.values - _course(reward.values) + start + gained * share,
                **{name: run[name].values + gained * run[name].steps / n for name in HELD_OUT if name in run},
            }
        ),
    )
    if "value_loss" in run:
        value = run["value_loss"].values.copy()
        value[:2] = 30 * np.median(value)
        yield "a critic that warms up", with_("value_loss", value)
    length = run["completion_length_mean"].values
    shorter = length * (1 - 0.35 * np.arange(len(length)) / len(length))
    yield "completions a third shorter at the end", with_("completion_length_mean", shorter)
    bounds = run.reward_bounds
    if bounds is not None:
        short = bounds[1] - float(np.max(_course(reward.values)))
        learned = {name: np.minimum(run[name].values + short, bounds[1]) for name in ("reward_mean", *HELD_OUT)}
        yield "learned to the top", all_with(learned)
