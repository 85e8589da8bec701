"""What the steps of a run cost in time, what that time goes into, and how busy the machine is; pure, no numpy.

A step of on-policy training goes through its phases one after the other: completions are sampled, scored under the
policy and the reference, rewarded, and then learned from. While one phase runs the others wait, so that their shares
say where a faster engine, a batched reward or a larger batch would help.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from diagnostics.axes import Clock
from diagnostics.metrics import metrics
from diagnostics.plot import NONE, Curve

PHASES = {
    "generation": "generation_seconds",
    "scoring": "scoring_seconds",
    "reward": "reward_seconds",
    "update": "update_seconds",
}
GAUGES = (
    "gpu_utilization", "gpu_memory_allocated", "gpu_memory_reserved", "gpu_memory_peak", "process_memory",
    "process_cpu",
)  # fmt: skip
OTHER = "other"  # what the log does not tell apart
STEP, COMPLETIONS, LENGTH = "step_seconds", "completions_generated", "completion_length_mean"
NOW, USUAL = 10, 1_000  # the last steps that tell how fast it is now, and how fast it usually is
SLOW = 3.0  # times the usual step
MOST, BUSY, IDLE = (
    0.5,
    0.25,
    0.5,
)  # shares: of a step, for most of it and for much; of a GPU's time


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds that a step takes: the last few, the usual one, and the slowest of all, which was step `slowest_at`.

    `slow` of the `steps` took several times the usual: an evaluation, a checkpoint, a machine that others use.
    """

    now: float
    usual: float
    slowest: float
    slowest_at: int
    slow: int
    steps: int


@dataclass(frozen=True, slots=True)
class Phase:
    """Seconds of a usual step that one of its phases takes, and the share of the step that these are."""

    name: str
    seconds: float
    share: float


@dataclass(frozen=True, slots=True)
class Gauge:
    """How much of the machine is used: the last value and the highest, in `unit`."""

    metric: str
    unit: str
    now: float
    highest: float


@dataclass(frozen=True, slots=True)
class Cost:
    """All that a run says of it; `waits` are sentences on what waits for what, `missing` on what the log does not say.

    Completions and tokens are those of a second, now.
    """

    pace: Pace | None
    phases: tuple[Phase, ...]
    gauges: tuple[Gauge, ...]
    completions: float | None
    tokens: float | None
    waits: tuple[str, ...]
    missing: tuple[str, ...]


def cost(curves: Mapping[str, Curve], clock: Clock | None) -> Cost:
    """What the run with these `curves`, by canonical metric, costs; `clock` says when its steps were logged."""
    pace = _pace(*_steps(curves, clock))
    phases = tuple(_phases(curves, pace))
    gauges = tuple(_gauges(curves))
    completions = _completions(curves, clock, pace)
    length = _recent(curves.get(LENGTH, NONE))
    tokens = completions * length if completions is not None and length is not None else None
    missing = tuple(_missing(pace, phases, gauges, completions))
    return Cost(pace, phases, gauges, completions, tokens, tuple(_waits(phases, gauges)), missing)


def _steps(curves: Mapping[str, Curve], clock: Clock | None) -> tuple[Sequence[int], Sequence[float]]:
    """The seconds of each step: from one line of the log to the next, where it says times, else as it counts them."""
    if clock is not None and len(clock.steps) > 1:
        pairs = zip(clock.steps, clock.steps[1:], clock.seconds, clock.seconds[1:], strict=False)
        each = [(step, (till - since) / (step - before)) for before, step, since, till in pairs]
    else:
        known = curves.get(STEP, NONE)
        each = list(zip(known.steps, known.values, strict=True))
    told = [(step, seconds) for step, seconds in each if math.isfinite(seconds) and seconds > 0]
    return [step for step, _ in told], [seconds for _, seconds in told]


def _pace(steps: Sequence[int], seconds: Sequence[float]) -> Pace | None:
    if not seconds:
        return None
    usual = median(seconds[-USUAL:])
    slowest = max(range(len(seconds)), key=seconds.__getitem__)
    slow = sum(value > SLOW * usual for value in seconds)
    return Pace(fmean(seconds[-NOW:]), usual, seconds[slowest], steps[slowest], slow, len(seconds))


def _recent(curve: Curve) -> float | None:
    """The mean of the last values."""
    finite = [value for value in curve.values[-NOW:] if math.isfinite(value)]
    return fmean(finite) if finite else None


def _phases(curves: Mapping[str, Curve], pace: Pace | None) -> Iterator[Phase]:
    """Those that the log tells, and what is left of the step."""
    recent = {name: _recent(curves.get(metric, NONE)) for name, metric in PHASES.items()}
    known = {name: seconds for name, seconds in recent.items() if seconds is not None}
    told = sum(known.values())
    whole = max(told, _recent(curves.get(STEP, NONE)) or (pace.now if pace else 0.0))
    if not known or whole <= 0:
        return
    for name, seconds in known.items():
        yield Phase(name, seconds, seconds / whole)
    yield Phase(OTHER, whole - told, 1 - told / whole)


def _gauges(curves: Mapping[str, Curve]) -> Iterator[Gauge]:
    for metric in GAUGES:
        curve = curves.get(metric, NONE)
        if curve.steps and curve.low <= curve.high:
            yield Gauge(metric, metrics()[metric].unit, curve.values[-1], curve.high)


def _completions(curves: Mapping[str, Curve], clock: Clock | None, pace: Pace | None) -> float | None:
    """Completions of a second."""
    curve = curves.get(COMPLETIONS, NONE)
    if len(curve.steps) < 2 or pace is None:
        return None
    first = max(0, len(curve.steps) - 1 - NOW)
    steps, made = curve.steps[-1] - curve.steps[first], curve.values[-1] - curve.values[first]
    if clock is not None and len(clock.steps) > 1:
        seconds = clock.elapsed(curve.steps[-1]) - clock.elapsed(curve.steps[first])
    else:
        seconds = steps * pace.now
    return made / seconds if seconds > 0 and math.isfinite(made) and made >= 0 else None


def _waits(phases: Sequence[Phase], gauges: Sequence[Gauge]) -> Iterator[str]:
    longest = max((phase for phase in phases if phase.name != OTHER), key=lambda phase: phase.share, default=None)
    for phase in phases:
        if phase is longest and phase.share >= MOST:
            yield f"all else waits for {phase.name}: {phase.share:.0%} of a step"
        elif phase.name == "reward" and phase.share >= BUSY:
            yield f"the model waits for the reward for {phase.share:.0%} of a step: could rewards be made side by side?"
        elif phase.name == OTHER and phase.share >= BUSY:
            yield f"{phase.share:.0%} of a step is none of these: data, logging, saving, or work of the trainer's own"
    for gauge in gauges:
        if gauge.metric == "gpu_utilization" and gauge.highest < IDLE:
            yield f"the GPU was at work for at most {gauge.highest:.0%} of the time: larger batches would use it better"


def _missing(
    pace: Pace | None, phases: Sequence[Phase], gauges: Sequence[Gauge], completions: float | None
) -> Iterator[str]:
    if pace is None:
        yield "the time of a step: the log says neither when its steps were logged nor how long they took"
    told = {phase.name for phase in phases}
    lacking = [metric for name, metric in PHASES.items() if name not in told]
    if lacking:
        yield f"what a step's time goes into: no {', '.join(lacking)}"
    if completions is None:
        yield f"completions and tokens of a second: no {COMPLETIONS}, or no times"
    if not gauges:
        yield f"how busy the machine is: none of {', '.join(GAUGES)}"
