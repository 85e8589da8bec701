"""UPD002: too many tokens are beyond the clip range."""

from collections.abc import Iterator
from functools import partial

from diagnostics.finding import Direction, Evidence, Hypothesis, Prescription, Scale, Severity
from diagnostics.remedies import fewer_epochs, setting
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Values, example
from diagnostics.stats import rolling_mean

CLIPPED, OF_SOMETHING = "clip_fraction.token", "clip_fraction"  # of tokens, and where the log does not say of what
OF_ACTIONS = "clip_fraction.action"

ROLLOUTS = 4  # whose mean is judged
MOST = 64  # points that are looked back at

# Rows of optimizer steps: four passes over each rollout, of which the first cannot clip and the last clips most.
STEPWISE = {"update_epochs": 4, "steps_per_generation": 2, "gradient_accumulation_steps": 2}
SETTLES = "0 0.3 0.55 0.75 0 0.2 0.3 0.4 " + "0 0.1 0.25 0.4 " * 2 + "0 0.05 0.2 0.3 " * 6


@rule(
    "UPD002",
    Severity.ERROR,
    needs=[(CLIPPED, OF_SOMETHING, OF_ACTIONS)],
    warmup=2,
    lookback=MOST,
    min_points=ROLLOUTS,
    fires=[
        Case(example({CLIPPED: "0+0.01*45"}), "warning@22 error@32"),
        Case(example({CLIPPED: "0.3 0.18 0.2 0.16 0.19 0.16*10"}), "warning@3"),
        Case(example({OF_SOMETHING: "0+0.01*45"}), "warning@22 error@32"),
        Case(example({OF_ACTIONS: "0+0.01*60"}), "warning@32"),
        Case(example({CLIPPED: SETTLES}, settings=STEPWISE), "warning@15"),  # 24 % of the first four rollouts
        Case(example({CLIPPED: "0 0.5 0.7 0.8 " * 6}, settings=STEPWISE), "error@15"),
    ],
    quiet=[
        example({CLIPPED: "0.15~0.01*60"}),  # within what PPO does
        example({CLIPPED: "0.05*20 0.5 0.05*20"}),  # one step
        example({OF_ACTIONS: "0.25~0.01*60"}),  # ten epochs of continuous control
        example({CLIPPED: "0*50"}),  # one pass over each batch: nothing can be clipped
        example({CLIPPED: "0 0.3 0.35 0.4 " + "0 0.05 0.15 0.2 " * 9}, settings=STEPWISE),  # the first one only
    ],
)
def high_clip_fraction(
    run: RunHistory, *, limit: float = 0.2, severe: float = 0.3, action_limit: float = 0.3
) -> Iterator[Alarm]:
    """For too many tokens the update wants to leave the trust region.

    ## Meaning
    The mean clip fraction of the last 4 points is above `limit` (WARNING) or `severe` (ERROR). Where the settings say
    that a rollout is used in several optimizer steps and the log has them all, it is the mean of the last 4 rollouts
    (of at most 64 points): within each, the first step clips nothing and the last one most. One of which the log does
    not say whether it is of tokens is held to the same limits. Of actions in an environment, WARNING above
    `action_limit`: with ten epochs on each batch a quarter of them is usual.

    ## Why it matters
    Clipped tokens give no gradient: a large share means that the policy moves further on each batch than its data
    supports. Learning becomes slow and noisy, and the reward lower than with fewer passes over each batch.

    ## Look at
    The number of update epochs and mini-batches for each batch of rollouts; the learning rate; how the clip fraction
    grows within the epochs; the KL between the policy and the one that sampled.

    ## What to change
    With more than one update epoch: a quarter of them, at least one. Otherwise half the learning rate.

    ## When this is wrong
    The first rollouts of a run may clip much and settle: Adam's first steps are its largest. Where rows are optimizer
    steps but the settings do not say how many a rollout has, 4 points may be its last ones, which clip most. Very short
    clip ranges, as in sequence-level methods, clip by design.

    ## References
    - `limit` = 0.2: the middle one of three levels that rl-doctor uses (0.10, 0.20, 0.40). `severe` = 0.3: axolotl
      calls above 0.3 bad, and below 0.1 healthy.
    - `action_limit` = 0.3: PTT's limit for PPO.
    - Schulman et al. 2017, Proximal policy optimization (arXiv 1707.06347).
    """
    tokens = [(Severity.WARNING, limit), (Severity.ERROR, severe)]
    for metric, levels in ((CLIPPED, tokens), (OF_SOMETHING, tokens), (OF_ACTIONS, [(Severity.WARNING, action_limit)])):
        series = run.get(metric)
        window = _window(run, series)
        level = rolling_mean(series.values, window)
        for severity, most in levels:
            yield Alarm(severity, series.steps, level > most, partial(_told, run, series, window, level, most))


def _window(run: RunHistory, series: MetricSeries) -> int:
    """The points that 4 rollouts take: one each, but where a row is an optimizer step of several on a rollout."""
    epochs, parts = setting(run, "update_epochs"), setting(run, "steps_per_generation")
    summed = setting(run, "gradient_accumulation_steps")
    if not epochs or not parts or not summed or len(series.steps) < 2:
        return ROLLOUTS
    spacing = int(series.steps[1] - series.steps[0])
    return min(MOST, ROLLOUTS * max(1, round(min(MOST, epochs * parts / summed / spacing))))


def _told(run: RunHistory, series: MetricSeries, window: int, level: Values, limit: float, i: int) -> Told:
    first, last = int(series.steps[max(0, i - window + 1)]), int(series.steps[i])
    of = {CLIPPED: " of the tokens were", OF_ACTIONS: " of the actions were"}.get(series.metric, " of the ratios were")
    return Told(
        f"{level[i]:.0%}{of} clipped between steps {first} and {last} (limit {limit:.0%})",
        first,
        (Evidence(series.metric, first, last, f"mean of the last {window} points", float(level[i]), limit),),
        (_remedy(run, series.metric, float(level[i])),),
    )


def _remedy(run: RunHistory, clipped: str, level: float) -> Prescription:
    epochs = fewer_epochs(run, clipped, level / 4)
    if epochs is not None:
        return epochs
    because = "smaller updates stay within the trust region"
    return Prescription("learning_rate", Scale(0.5), Hypothesis(clipped, Direction.DOWN, level / 4, 0.5, because))
