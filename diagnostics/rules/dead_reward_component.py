"""RWD006: one of several reward functions always gives the same."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Evidence, Severity
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Steps, example
from diagnostics.stats import Mask, mean, sustained

COMPONENT = "reward_component_mean"
FORMAT, ANSWER = f"{COMPONENT}[format]", f"{COMPONENT}[answer]"

EARLY = 10


@rule(
    "RWD006",
    Severity.INFO,
    needs=[COMPONENT],
    warmup=EARLY,
    lookback=60,
    min_points=20,
    fires=[
        Case(example({FORMAT: "0*60", ANSWER: "0.2~0.1*60"}), "info@39"),
        Case(example({FORMAT: "nan*60", ANSWER: "0.2~0.1*60"}), "info@39"),  # no completion was ever judged
        Case(example({FORMAT: "0.1 0.15*8 0.1 0*80", ANSWER: "0.2~0.1*90"}), "info@50"),  # died on the way
        Case(example({FORMAT: "0*45 0.1~0.1*20", ANSWER: "0.2~0.1*65"}), "info@39"),
    ],
    quiet=[
        example({FORMAT: "0*80"}),  # the only one: a plateau of the reward
        example({FORMAT: "0*80", ANSWER: "0*80"}),  # all of them
        example({FORMAT: "0.2+0.05*16 1*80", ANSWER: "0.2~0.1*96"}),  # learned
        example({FORMAT: "0*35 0.1~0.1*20", ANSWER: "0.2~0.1*55"}),  # a sparse reward, found late
        example({FORMAT: "0.2~0.1*80", ANSWER: "0.2~0.1*80"}),
    ],
)
def dead_reward_component(run: RunHistory, *, still: int = 40) -> Iterator[Alarm]:
    """One of several reward functions gives exactly the same, step after step, while others move.

    ## Meaning
    The mean of one reward function did not change at all for `still` points, or was not a number, while that of another
    one did change. It stands no higher than the mean of its first 10 points: one that rose to where it stays is
    learned.

    ## Why it matters
    What never differs within a group gives no advantage: this function costs time and teaches nothing. Where it is 0
    from the start it often cannot be met at all, as a format that no prompt asks for; where it died on the way, the
    policy gave up what it rewards, and the total reward hides that.

    ## Look at
    What the function gives for an answer that is known to be right. A handful of completions beside the pattern it
    looks for. Its weight against those of the others, where it died.

    ## What to change
    The function or the prompt, so that some completions meet it and others do not; or leave it out.

    ## When this is wrong
    A reward for something rare is 0 for long and is found late. A penalty that is never due is 0 by right.

    ## References
    - `still` = 40: house default; sparse rewards of healthy runs are found within 30 points.
    """
    means = run.family(COMPONENT)
    if len(means) < 2:
        return
    still_at = {name: sustained(_same(series), still) for name, series in means.items()}
    dead = {name: still_at[name] & ~_risen(series) for name, series in means.items()}
    for name, series in means.items():
        if dead[name].any():
            others = [_moves(other, still_at[o], series.steps) for o, other in means.items() if o != name]
            holds = dead[name] & np.logical_or.reduce(others)
            yield Alarm(Severity.INFO, series.steps, holds, partial(_told, means, dead, name, still))


def _same(series: MetricSeries) -> Mask:
    """Whether each point is what the one before it was (n,)."""
    before, now = series.values[:-1], series.values[1:]
    return np.concatenate([[True], (before == now) | (np.isnan(before) & np.isnan(now))])


def _risen(series: MetricSeries) -> Mask:
    risen: Mask = series.values > mean(series.values[:EARLY])
    return risen


def _moves(series: MetricSeries, stands: Mask, steps: Steps) -> Mask:
    """Whether `series`, which `stands` still at some of its points, changed lately at each of `steps` (n,)."""
    moves: Mask = MetricSeries(series.metric, series.steps, stands.astype(np.float64)).at(steps) == 0
    return moves


def _told(means: dict[str, MetricSeries], dead: dict[str, Mask], name: str, still: int, i: int) -> Told:
    series = means[name]
    first, last = int(series.steps[max(0, i - still + 1)]), int(series.steps[i])
    alike = [other for other, mask in dead.items() if other != name and mask[means[other].upto(last).steps.size - 1]]
    gives = f"{series.values[i]:.3g}" if np.isfinite(series.values[i]) else "no number"
    return Told(
        f"the reward function {name} gives {gives} on every step from {first} to {last}, while others move"
        + (f"; {', '.join(alike)} stands still too" if alike else ""),
        first,
        (Evidence(series.metric, first, last, "points without a change", float(still), float(still)),),
        advice=(f"Check what {name} gives for an answer that is known to be right; mend it or leave it out.",),
    )
