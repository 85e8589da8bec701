"""Held-out reward beside the reward in training: what the rules on generalisation ask alike.

Evaluations are rare, so everything counts in evaluations: the reward in training is its mean since the one before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from diagnostics.finding import Direction, Prescription, Scale, Set
from diagnostics.progress import REWARD, SUCCESS, UNTOUCHED, early, joined, step_noise
from diagnostics.remedies import USUAL, setting, to_try
from diagnostics.series import MetricSeries, RunHistory, Values
from diagnostics.stats import Mask, lagged, rolling_mean

SETS = "eval_set_reward"
OF_REWARD = ("validation_reward", "validation_reward_greedy", "eval_reward", SETS)
OF_SUCCESS = "eval_success_share"
HELD_OUT = (*OF_REWARD, OF_SUCCESS)

ENVIRONMENTS = ("stable-baselines3", "cleanrl")  # they train in environments, and know no prompts

# Evaluations whose scatter is their noise, where there are so many.
NOISE = 50
# Evaluations that make one level: the mean of three has little more than half the noise of one.
LEVEL = 3


def evaluations(run: RunHistory) -> Iterator[list[MetricSeries]]:
    """The held-out rewards of a run. Several evaluation sets are one entry: what is said has to hold on all of them."""
    for metric in HELD_OUT:
        own = run.get(metric)
        alike = [own] if len(own) else sorted(run.family(metric).values(), key=_begin)
        if alike:
            yield alike


def on_all(alike: Sequence[MetricSeries], masks: Sequence[Mask]) -> Mask:
    """Whether each mask, of as many evaluation sets, holds at the steps of the first one (n,).

    A set that begins later does not count before that.
    """
    steps = alike[0].steps
    held = [joined(series, mask.astype(float), steps) != 0 for series, mask in zip(alike, masks, strict=True)]
    return np.asarray(np.logical_and.reduce(held))


def known_noise(values: Values) -> tuple[Values, Values]:
    """Noise of one of the last `NOISE` evaluations about their trend (n,), and of how many of them it is known (n,).

    From how far each lies off the line through the two before it, so that no rise counts, however few they are.
    """
    bends = (values - 2 * lagged(values, 1) + lagged(values, 2)) ** 2
    bends = np.concatenate([np.full(NOISE - 1, np.nan), bends])
    finite = np.isfinite(bends)
    known = rolling_mean(finite.astype(np.float64), NOISE)[NOISE - 1 :]
    with np.errstate(invalid="ignore"):
        noise = np.sqrt(rolling_mean(np.where(finite, bends, 0.0), NOISE)[NOISE - 1 :] / known / 6)
    return noise, known * NOISE


def in_environment(run: RunHistory) -> bool:
    """Whether a policy acts in an environment instead of answering prompts."""
    return run.framework in ENVIRONMENTS


def _begin(evaluation: MetricSeries) -> tuple[int, str]:
    return int(evaluation.steps[0]), evaluation.metric


@dataclass(frozen=True, slots=True)
class Training:
    """The training reward at each evaluation (n,): its mean since the one before, and the noise of that mean.

    `start` is the mean of its first points, and `known` from which evaluation on they lie before it.
    """

    level: Values
    noise: Values
    start: float
    known: int


def training(run: RunHistory, evaluation: MetricSeries) -> Training:
    """The reward in training of what `evaluation` measures; NaN where it was not logged or has hardly begun."""
    reward = run.get(SUCCESS if evaluation.metric == OF_SUCCESS else REWARD)
    first = early(reward, UNTOUCHED)
    if first is None or not len(evaluation):
        unknown = np.full(len(evaluation), np.nan)
        return Training(unknown, unknown, np.nan, len(evaluation))
    end = reward.steps.searchsorted(evaluation.steps, side="right")
    begin = np.concatenate([[0], end[:-1]])
    count = end - begin
    level = joined(reward, reward.values, evaluation.steps)  # where none was logged since the evaluation before
    some = np.flatnonzero(count)
    if len(some):
        level[some] = np.add.reduceat(reward.values[: end[-1]], begin[some]) / count[some]
    noise = joined(reward, step_noise(reward), evaluation.steps) / np.sqrt(np.maximum(count, 1))
    level = np.where(np.isnan(level) & (end == 0), first.level, level)
    return Training(level, noise, first.level, int(evaluation.steps.searchsorted(first.known_from)))


def shorter(run: RunHistory, metric: str, amount: float) -> tuple[Prescription, ...]:
    """Half the passes over the dataset where there are several, or else a KL penalty where there is none."""
    if (setting(run, "num_train_epochs") or 1) > 1:
        because = "fewer passes over the same prompts leave less of them to learn by heart"
        return (to_try("num_train_epochs", Scale(0.5), metric, Direction.UP, amount, because),)
    if setting(run, "kl_coef") == 0:
        because = "a pull to the reference keeps what the reward in training does not ask for"
        return (to_try("kl_coef", Set(USUAL), metric, Direction.UP, amount, because),)
    return ()
