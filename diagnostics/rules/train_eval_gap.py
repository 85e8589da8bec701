"""GEN001: the reward in training goes on rising, and the one on held-out prompts does not."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Evidence, Severity
from diagnostics.heldout import (
    HELD_OUT,
    LEVEL,
    OF_REWARD,
    OF_SUCCESS,
    Training,
    evaluations,
    in_environment,
    on_all,
    shorter,
    training,
)
from diagnostics.progress import NOISE, REWARD, SUCCESS
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Values, example
from diagnostics.stats import Mask, lagged, rolling_mean, rolling_noise, wander

LONG = 10  # evaluations whose mean is compared with that of as many before, beside `LEVEL`: for a slow parting
# Evaluations over which the waves of both rewards are taken, and from how many on: a young run has none yet.
MEMORY, OLD = 60, 20
HELD, GREEDY, EVAL, SETS = OF_REWARD


def every(gap: int, notation: str) -> str:
    """Evaluations every `gap` steps, one each for the values in `notation`."""
    return " ".join(f"_*{gap - 1} {value}" for value in notation.split())


LEARNS = "0.1+0.005*160 0.9*40"
NOISY = "0.3 0.03 0.2 0.2 -0.02 0.16 0.03 0.13"
RISES_A_LITTLE = "0.28 0.3 0.39 0.38 0.42 0.33 0.41 0.52"
LEVEL_OFF = "0.3 0.5 " + "0.52 0.5 0.52 0.51 0.5 " * 4


@rule(
    "GEN001",
    Severity.WARNING,
    needs=[HELD_OUT, (REWARD, SUCCESS)],
    warmup=NOISE,
    lookback=MEMORY + 3 * LONG,
    min_points=2 * LEVEL,
    fires=[
        Case(example({REWARD: LEARNS, EVAL: every(20, "0.15 0.2 0.22 0.2 0.21 0.2 0.21 0.2 0.22")}), "warning@119"),
        Case(example({REWARD: LEARNS, HELD: every(20, NOISY)}), "warning@139"),
        Case(example({SUCCESS: LEARNS, OF_SUCCESS: every(20, RISES_A_LITTLE)}), "warning@139"),
        Case(example({REWARD: "0.4+0.02*10 0.6+0.0008*200", f"{SETS}[math]": every(10, LEVEL_OFF)}), "warning@209"),
        Case(example({REWARD: "0.4+0.02*10 0.6+0.0006*200", GREEDY: every(10, LEVEL_OFF)}), "warning@209"),
        Case(
            example({REWARD: LEARNS, f"{SETS}[a]": every(20, "0.2 " * 9), f"{SETS}[b]": every(20, "0.1 " * 9)}),
            "warning@119",
        ),
        Case(example({REWARD: LEARNS, EVAL: "-0.2 " + every(20, "-0.3 -0.3 -0.4 -0.4 -0.5 -0.5")}), "warning@100"),
    ],
    quiet=[
        example({REWARD: LEARNS, EVAL: every(20, "0.15 0.25 0.35 0.45 0.5 0.6 0.7 0.8 0.85")}),  # it keeps up
        example({REWARD: LEARNS, EVAL: every(20, "0.15 0.25 0.35 0.45 0.5")}),  # too few to say
        example({REWARD: "0.1+0.02*40 0.9*120", EVAL: every(10, "0.3 0.5 0.7 0.82 0.6 0.85 0.83 0.5 0.84 0.6")}),
        example({REWARD: "0.4+0.02*10 0.6+0.0005*200", GREEDY: every(10, LEVEL_OFF)}),  # they part, by little
        example({REWARD: LEARNS, GREEDY: every(20, "0.9 " * 9)}),  # greedy decoding was better from the start
        example({REWARD: LEARNS, EVAL: "-0.9 " + every(20, "-0.7 -0.5 -0.3 -0.1 0.1 0.2 0.2 0.2")}),  # another scale
        example(
            {REWARD: LEARNS, f"{SETS}[a]": every(20, "0.2 " * 9), f"{SETS}[b]": every(20, "0.1 0.2 0.3 0.4 0.5 0.6")}
        ),  # one of two sets keeps up
    ],
)
def train_eval_gap(run: RunHistory, *, errors: float = 4.0, gap: float = 0.15, share: float = 0.25) -> Iterator[Alarm]:
    """The reward in training goes on rising, while the reward on held-out prompts stays where it is or falls.

    ## Meaning
    Between two neighbouring stretches of 3 evaluations, or of 10, the mean reward in training rose and the held-out one
    did not: its rise, with one standard error added, is at most `share` of that in training, and the two differ by more
    than `errors` standard errors. By now the held-out reward lies under that in training by more than as many standard
    errors, and by `gap` of what training has gained in all; a distance that was there from the start does not count. Of
    several evaluation sets all have to show it. Training is its mean since the evaluation before, successes are
    compared with successes, and at least 6 evaluations are needed. After 20 evaluations the errors know the waves of
    both: how far such stretches lie off their trend.

    ## Why it matters
    What training gains from here on is not skill: the prompts are learned by heart, or what is rewarded in training is
    something that held-out prompts do not ask for. More steps cost time and make the model worse at everything else.

    ## Look at
    The number of distinct prompts and how often each was seen; the held-out reward at each checkpoint; whether both are
    sampled at the same temperature and scored by the same function; the KL to the reference.

    ## What to change
    More, and more varied, prompts. Fewer passes over the dataset, or a KL penalty where there is none. The checkpoint
    to keep is the best by held-out reward, not the last one.

    ## When this is wrong
    The two are taken to be on one scale. An evaluation that is scored otherwise, or harder and moves in smaller steps,
    can part from training without any fault. A gap of a few hundredths is in every run that sees its prompts twice.
    Where the held-out reward had reached its top the gap is one of the top, not of the model.

    ## References
    - `gap` = 0.15: rl-doctor, the lower of its limits 0.15 and 0.30 for a normalised gap.
    - `errors` = 4.0, `share` = 0.25: house defaults; of 2,880 simulated healthy runs of 2,000 steps 1.1 % were told,
      with an evaluation every 1, 10 or 50 steps, a reward in training that wanders, and one held out that gains as
      much or a fifth less.
    - Cobbe et al. 2019, Quantifying generalization in reinforcement learning (arXiv 1812.02341).
    """
    for alike in evaluations(run):
        trained = [training(run, one) for one in alike]
        for width in (LEVEL, LONG):
            parted = [_parted(one, of, width, errors, gap, share) for one, of in zip(alike, trained, strict=True)]
            told = partial(_told, run, alike[0], trained[0], width, gap)
            yield Alarm(Severity.WARNING, alike[0].steps, on_all(alike, parted), told)


def _parted(evaluation: MetricSeries, trained: Training, width: int, errors: float, gap: float, share: float) -> Mask:
    """Whether training and `evaluation` part at each evaluation (n,), by the last two stretches of `width` of them."""
    train, held = rolling_mean(trained.level, width), rolling_mean(evaluation.values, width)
    train_rise, held_rise = train - lagged(train, width), held - lagged(held, width)
    from_the_start = max(0.0, trained.start - float(evaluation.values[0]))
    below, gained = train - held - from_the_start, train - trained.start

    def beyond(error: Values) -> Mask:
        apart = (held_rise + error <= share * train_rise) & (train_rise - held_rise > errors * error)
        return np.asarray(apart & (below > errors * error))

    error = np.hypot(rolling_noise(evaluation.values, 2 * width), trained.noise) * np.sqrt(2 / width)
    holds = beyond(error) & (below >= gap * gained) & (gained > 0)
    holds &= np.arange(len(holds)) >= trained.known
    # Noise that is not independent from step to step moves whole stretches, which the noise of one step hides.
    old = holds & (np.arange(len(holds)) >= OLD)
    waves = [np.nan_to_num(wander(values, width, MEMORY, old)) for values in (trained.level, evaluation.values)]
    return holds & beyond(np.maximum(error, np.sqrt(2) * np.hypot(*waves)))


def _told(run: RunHistory, evaluation: MetricSeries, trained: Training, width: int, gap: float, i: int) -> Told:
    first, last = int(evaluation.steps[i - width + 1]), int(evaluation.steps[i])
    held = float(rolling_mean(evaluation.values, width)[i])
    train = float(rolling_mean(trained.level, width)[i])
    below = train - held
    share = below / (train - trained.start)
    keep = f"and keep the checkpoint that is best by {evaluation.metric}."
    advice: tuple[str, ...] = (f"Train on more varied prompts, {keep}",)
    if in_environment(run):
        advice = (
            "Check that evaluation wraps and normalises its environment as training does.",
            f"Train in more varied environments, {keep}",
        )
    return Told(
        f"the reward in training has risen to {train:.3g}, while {evaluation.metric} is {held:.3g} and does not rise",
        first,
        (Evidence(evaluation.metric, first, last, "gap, as a share of what training gained", share, gap),),
        shorter(run, evaluation.metric, below / 2),
        advice=advice,
    )
