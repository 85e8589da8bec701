"""What a page shows of a run beside the report on it: its curves, thinned, its settings, and some of its samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from diagnostics.events import SAMPLES_FILE, SamplesLogged, Tail
from diagnostics.report.words import spoken
from diagnostics.series import RunHistory, Steps, Values
from diagnostics.sources import Source
from diagnostics.text import count

MOST_POINTS = 72_000  # of all curves of a run together
LEAST_POINTS = 20  # of each, however many there are
WEIGHT = 4  # how many points a metric that a finding rests on has for one of another
SAMPLED_STEPS, SAMPLES_OF_STEP = 4, 4  # that are shown
LONGEST_SAMPLE = 2_000  # characters


@dataclass(frozen=True, eq=False, slots=True)
class Trace:
    """A curve as a page draws it: `points` were logged, of which steps (n,) and values (n,) are kept.

    `logged` is its name in the log; `metric` is the same for a name without a meaning, which is not `understood`.
    """

    metric: str
    logged: str
    understood: bool
    points: int
    steps: Steps
    values: Values


@dataclass(frozen=True, slots=True)
class Sampled:
    """Samples of one step: prompt, completion, and the reward where it is known."""

    step: int
    samples: tuple[tuple[str, str, float | None], ...]


@dataclass(frozen=True, slots=True)
class Details:
    """`traces` are those of each segment; `settings` have the framework's own names, which `canonical` has by ours.

    `changes` are settings that changed while running (step, name, value). `unread` says why there are no samples where
    there is a file of them.
    """

    traces: tuple[tuple[Trace, ...], ...]
    settings: Mapping[str, Any]
    canonical: Mapping[str, str]
    changes: tuple[tuple[int, str, float], ...] = ()
    samples: tuple[Sampled, ...] = ()
    unread: str = ""


def details(runs: Sequence[RunHistory], source: Source, important: Sequence[str], share: int = 1) -> Details:
    """What a page shows of the segments of one log; `important` metrics are drawn with most care.

    `share` is how many runs share the room that a page has.
    """
    last = runs[-1]
    canonical = {name: spoken(name, last.framework) for name in last.settings}
    samples, unread = _samples(source)
    return Details(
        traces=tuple(tuple(_traces(run, set(important), share * len(runs))) for run in runs),
        settings={canonical[name]: value for name, value in last.settings.items()},
        canonical=canonical,
        changes=tuple((step, spoken(name, last.framework), value) for step, name, value in last.knobs),
        samples=samples,
        unread=unread,
    )


def thinned(steps: Steps, values: Values, most: int) -> tuple[Steps, Values]:
    """At most about `most` of the points, such that no spike is lost: of each stretch the lowest and the highest.

    The first and the last stay, and of values that are not finite the first of each stretch.
    """
    n = len(steps)
    if n <= most:
        return steps, values
    stretches = max(1, most // 2)
    starts = np.arange(stretches) * n // stretches
    kept = {0, n - 1}
    finite = np.isfinite(values)
    low = np.where(finite, values, np.inf)
    high = np.where(finite, values, -np.inf)
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), n], strict=True):
        kept |= {start + int(low[start:end].argmin()), start + int(high[start:end].argmax())}
        if not finite[start:end].all():
            kept.add(start + int(finite[start:end].argmin()))
    index = np.array(sorted(kept))
    return steps[index], values[index]


def _traces(run: RunHistory, important: set[str], share: int) -> Iterator[Trace]:
    logged = {**run.series, **run.others}
    weights = {name: WEIGHT if name in important else 1 for name in logged}
    unit = MOST_POINTS / share / max(1, sum(weights.values()))
    for name, series in logged.items():
        steps, values = thinned(series.steps, series.values, max(LEAST_POINTS, int(unit * weights[name])))
        yield Trace(name, run.names.get(name, name), name in run.series, len(series), steps, values)


def _samples(source: Source) -> tuple[tuple[Sampled, ...], str]:
    """Samples of some steps from the first to the last, where the folder of a run of ours has any; else why not."""
    folder = source.paths[0]
    file = folder / SAMPLES_FILE
    if source.format != "events" or not folder.is_dir() or not file.exists():
        return (), ""
    if file.is_symlink() or not file.is_file():
        return (), f"{SAMPLES_FILE} is no file of this folder, and was not read"
    tail = Tail(file)
    try:
        by_step = {e.event.step: e.event.samples for e in tail.poll() if isinstance(e.event, SamplesLogged)}
    except OSError as error:
        return (), f"{SAMPLES_FILE} could not be read: {error.strerror}"
    finally:
        tail.close()
    steps = sorted(by_step)
    some = {steps[round(i * (len(steps) - 1) / (SAMPLED_STEPS - 1))] for i in range(SAMPLED_STEPS)} if steps else set()
    lost = f"{count(tail.unreadable, 'line')} of {SAMPLES_FILE} could not be read" if tail.unreadable else ""
    return tuple(Sampled(step, tuple(map(_sample, _spread(by_step[step])))) for step in sorted(some)), lost


def _spread(samples: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """A few of all, so that not all of them answer the prompt of the first group."""
    few = min(SAMPLES_OF_STEP, len(samples))
    return [samples[i * len(samples) // few] for i in range(few)]


def _sample(sample: Mapping[str, Any]) -> tuple[str, str, float | None]:
    reward = sample.get("reward")
    known = float(reward) if isinstance(reward, int | float) else None
    return _text(sample.get("prompt", "")), _text(sample.get("completion", "")), known


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= LONGEST_SAMPLE else f"{text[:LONGEST_SAMPLE]} [{len(text) - LONGEST_SAMPLE:,} more]"
