"""UPD004: ratios are clipped where each batch is used once, so that none can be."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Evidence, Severity
from diagnostics.remedies import setting
from diagnostics.rule import Alarm, Case, NotApplicable, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Values, example
from diagnostics.stats import share

CLIPPED = ("clip_fraction.token", "clip_fraction")
MOVED = ("kl.rollout.k3.token", "kl.rollout.k2.token", "kl.rollout.unknown.token")

WINDOW = 10

ONCE = {"update_epochs": 1, "steps_per_generation": 4, "gradient_accumulation_steps": 4}


@rule(
    "UPD004",
    Severity.WARNING,
    needs=[CLIPPED + MOVED],
    lookback=WINDOW,
    min_points=WINDOW,
    fires=[
        Case(example({CLIPPED[0]: "0.02~0.002*30"}, settings=ONCE), "warning@9"),
        Case(example({CLIPPED[0]: "0*20 0.02*20"}, settings=ONCE), "warning@24"),
        Case(example({CLIPPED[1]: "0.0012*30"}, settings=ONCE), "warning@9"),
        Case(example({MOVED[0]: "0.0012*30"}, settings=ONCE | {"steps_per_generation": 2}), "warning@9"),
    ],
    quiet=[
        example({CLIPPED[0]: "0*40"}, settings=ONCE),
        example({CLIPPED[0]: "0*20 0.02*3 0*20"}, settings=ONCE),
        example({CLIPPED[0]: "0 0.02 0.02 0 0 " * 8}, settings=ONCE),  # now and then
        example({CLIPPED[0]: "0.0009*40", MOVED[0]: "0.0009*40"}, settings=ONCE),  # what rounding leaves
        example({CLIPPED[0]: "0.02*40"}, settings=ONCE | {"update_epochs": 2}),
        example({CLIPPED[0]: "0.02*40"}, settings=ONCE | {"steps_per_generation": 8}),  # two optimizer steps a rollout
        example({CLIPPED[0]: "0.02*40"}, settings={"update_epochs": 1, "gradient_accumulation_steps": 4}),
        example({CLIPPED[0]: "0.02*40"}, settings={"update_epochs": 1}),  # it may be split into mini-batches
    ],
)
def stale_rollouts(
    run: RunHistory, *, clipped: float = 0.001, moved: float = 0.001, most: float = 0.5
) -> Iterator[Alarm]:
    """Ratios are clipped, or the policy has moved, where each batch is used once and right away.

    ## Meaning
    With one pass over each rollout in one optimizer step the policy that is trained is the one that sampled: no ratio
    differs from 1. Yet in at least `most` of the last 10 points the clip fraction was above `clipped`, or the KL to
    the sampling policy above `moved` nats per token. Judged only where the settings say that a batch is used once.

    ## Why it matters
    The log-probabilities that ratios are taken against are not those of the policy that is trained: the completions
    are stale, or one of the two is computed wrongly. The gradient is biased, and no learning rate repairs that.

    ## Look at
    Whether the engine that samples gets the new weights before each rollout; buffers that hold completions over;
    another temperature, dropout or precision in one of the two passes; padding and the mask of the prompt.

    ## What to change
    No setting of the optimizer: make sampling and training use the same weights and the same computation.

    ## When this is wrong
    Asynchronous training is stale by design. Settings that a script overrides are not seen here.

    ## References
    - `clipped` = 0.001, `moved` = 0.001: house defaults, above the rounding of bf16 in two passes; slime's invariants
      ask for less than 1e-8 in exact arithmetic. AReaL: with one mini-batch the ratio is exactly 1.
    - `most` = 0.5: house default.
    """
    split, summed = setting(run, "steps_per_generation"), setting(run, "gradient_accumulation_steps")
    if setting(run, "update_epochs") != 1 or split is None or summed is None or split > summed:
        raise NotApplicable("a batch may be used in several updates, or the settings do not say")
    for name, limit in [(name, clipped) for name in CLIPPED] + [(name, moved) for name in MOVED]:
        series = run.get(name)
        with np.errstate(invalid="ignore"):
            often = share(series.values > limit, WINDOW)
        yield Alarm(Severity.WARNING, series.steps, often >= most, partial(_told, series, often, most))


def _told(series: MetricSeries, often: Values, most: float, i: int) -> Told:
    first, last = int(series.steps[max(0, i - WINDOW + 1)]), int(series.steps[i])
    return Told(
        f"{series.metric} was above 0 in {often[i]:.0%} of the points between steps {first} and {last}, although each "
        "batch is used once",
        first,
        (Evidence(series.metric, first, last, "share of the last 10 points", float(often[i]), most),),
        advice=(
            "See that the sampling engine gets the new weights before every rollout, and that no completions are kept.",
            "Compare the log-probabilities of one batch in both passes: temperature, precision, dropout and padding.",
        ),
    )
