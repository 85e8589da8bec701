"""KL002: the policy is far from the reference, and the reward does not show for it."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Confidence, Direction, Evidence, Severity
from diagnostics.kl import ALL, COEFFICIENT, LENGTH, OF_SOMETHING, PER_TOKEN, SUMMED, coefficient, measured, tokens
from diagnostics.progress import CEILING, NOISE, REWARDS, at_ceiling, bounds_of, joined, progress, recent_median
from diagnostics.remedies import FAR, LOST, fewer_epochs, slower, tighter
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Steps, Values, example
from diagnostics.stats import Mask, lagged, rolling_mean, share, sustained

ZERO_STD, GOOD = "zero_std_share", "zero_std_share_ceiling"

# k3 is heavy-tailed: one step of 13 between steps of 0.9 says nothing, so most of the last points must be high.
WINDOW = 10
MOST = 0.8
AGO = 30  # points before which a KL that leaps and a reward that pays for it stood elsewhere

FALLS = "-0.2~0.1*3 -0.4~0.1*2 -0.65~0.1*75"
SLIDES = "-0.2~0.1*20 -0.2-0.01~0.1*60"
LEARNED = "0.2 0.4 " * 10 + "0.9 1.1 " * 20
AGREED = {
    PER_TOKEN[0]: "0 0.3 0.9~0.1*98",
    "reward_mean": "-0.5~0.1*100",
    ZERO_STD: "0.1+0.02*40 0.9*60",
}
AWAY = {PER_TOKEN[0]: "0.6~0.02*80"}


@rule(
    "KL002",
    Severity.FATAL,
    needs=[ALL],
    uses=[*REWARDS, ZERO_STD, GOOD, COEFFICIENT, LENGTH],
    warmup=NOISE,
    lookback=50,
    fires=[
        Case(example({PER_TOKEN[0]: "0+0.01*260", "reward_mean": "0.3~0.05*262"}), "warning@87"),
        Case(
            example({PER_TOKEN[0]: "0+0.01*300"}), "warning@208"
        ),  # no reward to compare with: the published divergence
        Case(example({SUMMED[0]: "0+0.2*300", "reward_mean": "0.3~0.05*300"}), "warning@87"),
        Case(example({SUMMED[0]: "0+0.2*300", "reward_mean": "0.3+0.01~0.05*300"}), "warning@208"),
        Case(example({OF_SOMETHING: "0+0.2*300", "reward_mean": "0.3~0.05*300"}), "warning@87"),
        Case(
            example({PER_TOKEN[0]: "0.02*30 0.9*60", "reward_mean": "0.2 0.4 " * 15 + "0.327 0.527 " * 30}),
            "warning@66",
        ),  # a gain too small for the distance
        Case(example({PER_TOKEN[0]: "0.3*60 0.66*20", "reward_mean": LEARNED + "0.66 0.86 " * 10}), "warning@69"),
        Case(example({PER_TOKEN[0]: "0 0.3 0.9~0.1*78", "reward_mean": FALLS}), "error@19"),
        Case(example({PER_TOKEN[0]: "0 0.3 0.9~0.1*78", "reward_mean": SLIDES}), "warning@48 error@55"),
        Case(example(AGREED, reward_bounds=(-1, 1)), "error@30 fatal@59"),  # groups that agree on bad answers
        Case(example(AGREED | {GOOD: "0.3*100"}, reward_bounds=(-1, 1)), "error@49 fatal@78"),  # some on good ones
        Case(example(AWAY | {"reward_mean": "0.76~0.02*80"}, reward_bounds=(-1, 1)), "warning@48"),
    ],
    quiet=[
        example(
            AWAY | {"reward_mean": "0.82~0.02*80", ZERO_STD: "0.8*80"}, reward_bounds=(-1, 1)
        ),  # resumed, at the top
        example({PER_TOKEN[0]: "0.3*60 0.56*20", "reward_mean": LEARNED + "0.66 0.86 " * 10}),  # nearly as far before
        example({PER_TOKEN[0]: "0.3*60 0.66*20", "reward_mean": LEARNED + "0.73 0.93 " * 10}),  # paid little for it
        example({PER_TOKEN[0]: "0+0.006*100", "reward_mean": "-0.3+0.007~0.1*100"}),  # distance that bought reward
        example(
            {PER_TOKEN[0]: "0.02*30 0.9*60", "reward_mean": "0.2 0.4 " * 15 + "0.356 0.556 " * 30}
        ),  # bought a little
        example({PER_TOKEN[0]: "0.02~0.005*60 13 0.02~0.005*40", "reward_mean": "0.3~0.05*101"}),  # one spike
        example({SUMMED[0]: "0+0.1*60 6*60", "reward_mean": "0.3~0.05*120"}),  # a sum over tokens is larger
        example({OF_SOMETHING: "0+0.1*60 6*60", "reward_mean": "0.3~0.05*120"}),  # it may be such a sum
        example({SUMMED[0]: "0+1*45 45*60", LENGTH: "200*105", "reward_mean": "0.3~0.05*105"}),  # little for each token
        example({PER_TOKEN[0]: "0*80", "reward_mean": "-0.6~0.1*80"}, settings={"kl_coef": 0.0}),  # not measured
    ],
)
def kl_explosion(
    run: RunHistory,
    *,
    token_limit: float = FAR,
    token_diverged: float = 2.0,
    sequence_limit: float = 10.0,
    sequence_diverged: float = 40.0,
    gain: float = 1.0,
    patience: int = 30,
    loss: float = LOST,
    dead: float = 0.6,
    rise: float = 2.0,
    cost: float = 1.5,
    ceiling: float = CEILING,
) -> Iterator[Alarm]:
    """The policy has left the reference far behind without a better reward to show for it.

    ## Meaning
    Far: in 8 of the last 10 points the KL to the reference was above the limit of its unit, `token_limit` nats per
    token or `sequence_limit` per completion, and for completions so long that this is less per token, the former times
    their mean length. Where the log does not say which it is, it is held to the limit of a sum. Fruitless: the
    mean reward of the last 10 points stands less than `gain` times the noise of one step above the mean of the first
    10, and is not within `ceiling` of the top of its range.

    WARNING: far and fruitless for `patience` points; or far, and within 30 points the KL rose to more than `rise` times
    itself while the reward fell by more than `cost` times its noise; or above the published divergence
    (`token_diverged`, `sequence_diverged`) whatever the reward does. ERROR: far, and the reward lies more than `loss`
    times the noise below the best of its first 5 points; or far and fruitless, while in a share of `dead` of the groups
    all completions get the same reward and it is not the highest. FATAL: the latter for `patience` points. The policy
    then repeats bad answers, and nothing is left to learn from. Where the groups at the highest reward are not counted,
    the mean reward has to lie in the lower half of its range or, without bounds, to have fallen as for ERROR.

    ## Why it matters
    A policy far from the reference without a better reward was carried off by noise: its text degrades, and the KL
    penalty pulls it back at random. Once its groups agree on bad answers the advantages are zero and no later step
    repairs it.

    ## Look at
    The reward and the entropy in the five steps where the KL rose; the gradient norm; the share of groups without
    reward variance; the learning rate against what others use for this size of model and kind of training.

    ## What to change
    First an eighth of the learning rate: of the five knobs it alone repairs a run that was carried off. A larger KL
    coefficient at the same learning rate repairs it in part and only slowly, so it comes second. With several update
    epochs on each batch, a quarter of them as well. Start from the beginning or from a checkpoint before the rise.

    ## When this is wrong
    A long, successful run may earn a KL above the limit: hence the comparison with the reward. A run resumed from a
    trained policy starts far from the reference, and has only its own first points to show what it gained. An isolated
    spike is no explosion. A KL of exactly 0 throughout means that it was not measured.

    ## References
    - `token_limit` = 0.5, `token_diverged` = 2.0: axolotl's GRPO guide (0 to 0.5 healthy, above 2.0 diverged).
    - `sequence_limit` = 10: TRL's PPO guide (keep the summed KL between 0 and 10). `sequence_diverged` = 40: house
      default, the same ratio as per token.
    - `gain` = 1.0: house default; the mean of ten points against the mean of ten has a standard error of 0.45.
    - `loss` = 4.0: measured on flat runs of Gaussian noise at a KL of 0.6 per token. They stand 1.16 times the noise
      below the best of their first five points, with a standard deviation of 0.74; 0.17 % of 10,000 runs of 100 steps
      raised an ERROR, and 0.75 % of 4,000 runs of 1,000 steps.
    - `dead` = 0.6: house default, between the 0.5 and 0.75 at which public dashboards warn.
    - `rise` = 2.0: house default. `cost` = 1.5: house default; the difference of two means of ten points has a standard
      error of 0.45.
    - `ceiling` = 0.1: house default, as for a plateau.
    - `patience` = 30: house default; runs that gain from their KL show it within so many steps.
    - Schulman 2020, Approximating KL divergence (joschu.net/blog/kl-approx.html): the estimators.
    """
    for series in measured(run):
        per_token = series.metric in PER_TOKEN
        if not (series.values > (token_limit if per_token else sequence_limit)).any():
            continue
        limit, diverged = np.full(len(series), token_limit), np.full(len(series), token_diverged)
        if not per_token:
            long = tokens(run, series.steps)
            limit, diverged = np.fmax(sequence_limit, limit * long), np.fmax(sequence_diverged, diverged * long)
        above = np.isfinite(series.values) & (series.values > limit)
        far = share(above, WINDOW) >= MOST
        if not far.any():
            continue
        very_far = share(above & (series.values > diverged), WINDOW) >= MOST
        reward, standing = progress(run)
        recent = joined(reward, standing.recent, series.steps)
        fruitless = far & (joined(reward, standing.gain, series.steps) < gain) & ~at_ceiling(run, recent, ceiling)
        lower = joined(reward, standing.loss, series.steps) > loss
        wrecked = fruitless & (_agree_on_bad(run, recent, lower, series.steps) >= dead)
        harmful = wrecked | (far & lower)
        level = rolling_mean(series.values, WINDOW)
        leapt = level > rise * lagged(level, AGO)
        fell = joined(reward, (lagged(standing.recent, AGO) - standing.recent) / standing.scale, series.steps) > cost
        yield Alarm(
            Severity.WARNING, series.steps, sustained(fruitless, patience), partial(_told, run, series, limit, patience)
        )
        yield Alarm(Severity.WARNING, series.steps, far & leapt & fell, partial(_told, run, series, limit, WINDOW))
        yield Alarm(Severity.WARNING, series.steps, very_far, partial(_told, run, series, diverged, WINDOW))
        yield Alarm(Severity.ERROR, series.steps, harmful, partial(_told, run, series, limit, WINDOW))
        yield Alarm(
            Severity.FATAL, series.steps, sustained(wrecked, patience), partial(_told, run, series, limit, patience)
        )


def _agree_on_bad(run: RunHistory, recent: Values, lower: Mask, steps: Steps) -> Values:
    """The share of groups whose completions all got the same reward, and not because they are all good (n,).

    By the metric that counts the good ones; without it all of them, where the reward is in the lower half of its range
    or, without bounds, has fallen.
    """
    groups, good = run.get(ZERO_STD), run.get(GOOD)
    share_equal = joined(groups, rolling_mean(groups.values, WINDOW), steps)
    share_good = joined(good, rolling_mean(good.values, WINDOW), steps)
    bounds = bounds_of(run)
    bad = lower if bounds is None else recent < np.mean(bounds)
    return np.where(np.isnan(share_good), np.where(bad, share_equal, 0.0), share_equal - share_good)


def _told(run: RunHistory, series: MetricSeries, limits: Values, points: int, i: int) -> Told:
    first, last = int(series.steps[max(0, i - points + 1)]), int(series.steps[i])
    level, limit = recent_median(run, (series.metric,), last), float(limits[i])
    reward, standing = progress(run)
    where = np.searchsorted(reward.steps, last, side="right") - 1
    message = f"{series.metric} is {level:.3g} (limit {limit:g}) from step {first} to {last}"
    if where >= 0 and np.isfinite(standing.gain[where]):
        message += f", while the reward stands at {standing.recent[where]:.3g}, {_compared(standing.gain[where])}"
    because = "the updates are so large that the policy is carried off faster than the reward can guide it"
    remedies = [slower(series.metric, Direction.DOWN, level / 2, because)]
    if coefficient(run, last) != 0:  # a coefficient of 0 is a choice; to tighten it would change the objective
        remedies.append(tighter(run, series.metric, level / 2))
    epochs = fewer_epochs(run, series.metric, level / 4)
    if epochs is not None:
        remedies.append(epochs)
    evidence = Evidence(series.metric, first, last, "median of the last 10 points", level, limit)
    if series.metric != OF_SOMETHING:
        return Told(message, first, (evidence,), tuple(remedies))
    unit = (
        "Log the KL as a mean over tokens: not knowing what it is, it was held to the limit of a sum, the larger one."
    )
    return Told(message, first, (evidence,), tuple(remedies), Confidence.MEDIUM, (unit,))


def _compared(gain: float) -> str:
    return f"{abs(gain):.1f} times its noise {'above' if gain > 0 else 'below'} its early mean"
