"""GRD001: the gradient jumps far above what it usually is, and the reward suffers or it does not stop."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Severity
from diagnostics.progress import NOISE, REWARD, joined
from diagnostics.remedies import smaller_updates
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Values, example
from diagnostics.spikes import LOOKBACK, USUAL, Spikes, in_a_row, spike_alarms, spikes, told_of_spike
from diagnostics.stats import MAD_TO_SIGMA, lagged, noise, running_median

GRAD = "grad_norm"

AFTER = 10  # points after which a reward that a spike has wrecked shows it

CALM = "1~0.1*40"


@rule(
    "GRD001",
    Severity.WARNING,
    needs=[GRAD],
    uses=[REWARD],
    warmup=max(USUAL, NOISE),
    lookback=LOOKBACK + AFTER,
    min_points=12,
    fires=[
        Case(example({GRAD: f"{CALM} 9 {CALM}"}), "info@40"),
        Case(example({GRAD: f"{CALM} 9 {CALM}", REWARD: "0.5~0.05*80"}), "info@40"),
        Case(example({GRAD: f"{CALM} 9 {CALM}", REWARD: "0.5~0.05*40 0.2~0.05*40"}), "info@40 warning@50"),
        Case(example({GRAD: f"{CALM} 9 {CALM}", REWARD: "0.3 0.5 " * 20 + "-0.2 0 " * 20}), "info@40 warning@50"),
        Case(example({GRAD: f"{CALM} 9 {CALM}", REWARD: "0.3 0.5 " * 20 + "-0.03 0.17 " * 20}), "info@40"),
        Case(example({GRAD: f"{CALM} 30 1~0.1*9 20 25 {CALM}"}), "info@40 warning@51"),
        Case(example({GRAD: f"{CALM} 12 1~0.1*9 12 12 {CALM}"}), "info@40 warning@51"),
        Case(example({GRAD: "1.2~0.1*40 10.5 1.2~0.1*9 10.5 10.5 1.2~0.1*9"}), "info@40"),
        Case(example({GRAD: "0.5~0.01*40 9 0.5~0.01*9 9 9 0.5~0.01*9"}), "info@40"),
        Case(example({GRAD: "5~0.1*40 60 5~0.1*9 60 60 5~0.1*40"}), "info@40 warning@51"),
        Case(example({GRAD: "2*10 16 2*29 32 2*9 32 32 2*9"}), "info@10 warning@51"),
        Case(example({GRAD: "2*10 16 2*29 25 2*9 25 25 2*9"}), "info@10"),  # it has reached 16
        Case(example({GRAD: "1 2 3 " * 14 + "11 " + "1 2 3 " * 9}), "info@42"),
        Case(example({GRAD: "0.3~0.01*40 1.1 0.3~0.01*20"}), "info@40"),
    ],
    quiet=[
        example({GRAD: "1~0.1*40 2.5 1~0.1*20"}),  # less than three times as much
        example({GRAD: "1 2 3 " * 14 + "9 " + "1 2 3 " * 9}),  # within its own scatter
        example({GRAD: "0.01~0.001*40 0.9 0.01~0.001*20"}),  # small, although far above the usual
        example({GRAD: "0 0.5 0 0 " * 20}),  # a group a row: most are 0
        example({GRAD: "50 20 9 4 2~0.1*60"}),  # a beginning
    ],
)
def grad_norm_spike(
    run: RunHistory,
    *,
    times: float = 3.0,
    deviations: float = 8.0,
    floor: float = 1.0,
    harm: float = 3.0,
    exploding: float = 10.0,
    unstable: float = 10.0,
    beyond: float = 1.75,
) -> Iterator[Alarm]:
    """The gradient norm jumps far above what it usually is.

    ## Meaning
    A spike is a point above `floor`, at least `times` the running median of the 27 points before it and more than
    `deviations` median absolute deviations above that. INFO: one. WARNING: 10 points after it the reward has fallen
    by more than `harm` times its noise, as running medians of 9 points; or a third one within 30 points of at
    least `exploding` times the usual norm and above `unstable`, the three largest of which are at least `beyond` times
    what one in fifty of the 200 points before had exceeded; or a seventh such, where these had a third of that share at
    most.

    ## Why it matters
    Where gradients are clipped, one odd batch costs one step. Where they are not, or where the batch is odd because the
    policy is leaving the region it knows, it is the step after which the reward does not come back.

    ## Look at
    The samples of that step: broken, repeated or empty completions; the reward and the KL in the ten steps after it;
    the limit of the norm; log-probabilities of nearly impossible tokens.

    ## What to change
    With more than one update epoch: a quarter of them. Otherwise half the learning rate. Gradients clipped at 1.

    ## When this is wrong
    Healthy runs have isolated spikes of thirty times the usual norm, above all early: they are INFO. Logs with one
    group a row alternate between zeros and ordinary gradients, which is no spike either.

    ## References
    - `times` = 3.0, `deviations` = 8.0: rl-doctor's rule for spikes (8 deviations, and three times the median).
    - `floor` = 1.0: axolotl's GRPO guide (0.001 to 1 is healthy), and the norm at which transformers clips.
    - `unstable` = 10.0: axolotl's guide (above 10 unstable). `exploding` = 10.0: rlprobe (ten times the median).
    - `beyond` = 1.75: house default, as for the value loss, whose page has the measurements.
    - `harm` = 3.0: house default; the difference of two such medians has a standard error of 0.6 times the noise.
    """
    grad = run.get(GRAD)
    seen = spikes(grad, times=times, deviations=deviations, floor=floor)
    if not seen.found.any():
        return
    with np.errstate(invalid="ignore"):
        huge = seen.found & (seen.size > unstable) & (seen.size >= exploding * seen.usual)
    row = in_a_row(seen.size, huge, beyond)
    yield from spike_alarms(grad, seen, row, times, partial(smaller_updates, run, GRAD))
    harmful = lagged(seen.found.astype(float), AFTER) * _fell(run, grad) > harm
    yield Alarm(Severity.WARNING, grad.steps, harmful, partial(_harm, run, grad, seen, times))


def _fell(run: RunHistory, grad: MetricSeries) -> Values:
    """By how many times its noise the reward has fallen in the last `AFTER` points (n,); NaN while that is not known.

    Levels and noise are medians, so that one lucky batch before the spike is not taken for the level.
    """
    reward = run.get(REWARD)
    if len(reward) < NOISE:
        return np.full(len(grad), np.nan)
    level = joined(reward, running_median(reward.values, threes=2), grad.steps)
    changes = np.abs(np.diff(reward.values, prepend=np.nan))
    recent = joined(reward, running_median(changes) * MAD_TO_SIGMA / np.sqrt(2), grad.steps)
    scale = np.maximum(recent, noise(reward.values[:NOISE]))
    known = (grad.steps >= reward.steps[NOISE - 1]) & (scale > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, (lagged(level, AFTER + 1) - level) / scale, np.nan)


def _harm(run: RunHistory, grad: MetricSeries, seen: Spikes, times: float, i: int) -> Told:
    remedies = smaller_updates(run, GRAD, float(seen.size[i - AFTER]), int(grad.steps[i - AFTER]))
    return told_of_spike(grad, seen, i - AFTER, times, remedies, then="; the reward fell after it")
