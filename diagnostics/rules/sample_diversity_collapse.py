"""DIV001: the completions of a prompt are all the same, and not because the task is learned."""

from collections.abc import Iterator
from functools import partial

from diagnostics.finding import Direction, Evidence, Severity
from diagnostics.narrowing import GAINED, LOOKBACK, is_sudden, rise
from diagnostics.progress import CEILING, KL_TOKEN, NOISE, RECENT, REWARDS, at_ceiling, joined, progress
from diagnostics.remedies import more_contrast, setting
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Values, example
from diagnostics.stats import rolling_mean

UNIQUE, REWARD = "unique_share", "reward_mean"
OF_EIGHT = {"num_generations": 8}
FALLS = {UNIQUE: "0.6*20 0.6-0.01*48 0.13*40"}  # one of eight is 0.125; 0.1 above it is 0.2125, reached at 64


def swinging(slope: float = 0.0, gain: float = 0.0) -> str:
    """A reward around 0.3 with a noise of sqrt(2) / 10, that climbs all the time, or has gained so much early on."""
    return " ".join(f"{0.3 + slope * i + gain * (i >= 12) + (-1) ** i / 10:.4f}" for i in range(108))


@rule(
    "DIV001",
    Severity.WARNING,
    needs=[UNIQUE],
    uses=[*REWARDS, *KL_TOKEN],
    warmup=NOISE,
    lookback=LOOKBACK,
    min_points=RECENT,
    fires=[
        Case(example(FALLS, settings=OF_EIGHT), "warning@64"),
        Case(example({UNIQUE: "0.6*20 0.6-0.01*48 0.09*40"}), "warning@75"),  # of how many is not known
        Case(example(FALLS | {REWARD: swinging(slope=0.0016)}, settings=OF_EIGHT), "warning@64"),
        Case(example(FALLS | {REWARD: swinging(slope=0.002)}, settings=OF_EIGHT), "info@64"),
        Case(example(FALLS | {REWARD: swinging(gain=0.25)}, settings=OF_EIGHT), "warning@64"),
        Case(example(FALLS | {REWARD: swinging(gain=0.33)}, settings=OF_EIGHT), "info@64"),
        Case(example({UNIQUE: "0.6*68 0.13*40", REWARD: swinging(gain=0.33)}, settings=OF_EIGHT), "warning@76"),
        Case(example(FALLS | {REWARD: "0.79~0.01*108"}, settings=OF_EIGHT, reward_bounds=(-1, 1)), "warning@64"),
        Case(example(FALLS | {REWARD: "0.81~0.01*108"}, settings=OF_EIGHT, reward_bounds=(-1, 1)), "info@64"),
    ],
    quiet=[
        example(
            {UNIQUE: "0.6*20 0.6-0.01*36 0.24*60"}, settings=OF_EIGHT
        ),  # two of eight: short answers, often the same
        example({UNIQUE: "0.9*20 0.9-0.01*33 0.57*60"}, settings={"num_generations": 2}),
    ],
)
def sample_diversity_collapse(
    run: RunHistory, *, spread: float = 0.1, climb: float = 0.5, gained: float = GAINED, ceiling: float = CEILING
) -> Iterator[Alarm]:
    """Nearly all completions of a prompt are the same, and the reward is none the better for it.

    ## Meaning
    Of n completions of a prompt the share that differs is 1/n where all are equal and 1 where all differ. The mean of
    the last 10 points is at most `spread` of the way from the one to the other (of no known n, at most `spread`), while
    the reward climbs by no more than `climb` times the noise of one step over 40 points and never gained `gained` times
    that noise, which counts only where the variety was not lost at once (half of it within 20 of these points). INFO
    where it climbs or has gained, or is within `ceiling` of the top of its declared range.

    ## Why it matters
    Equal completions get equal rewards: no advantage, no gradient. What is not sampled cannot be reinforced, so a
    policy that has lost its variety does not find it again by itself.

    ## Look at
    The completions of one prompt side by side; the sampling temperature, top-p and top-k; the entropy; the share of
    groups without reward variance.

    ## What to change
    Where the policy was carried off, an eighth of the learning rate. A temperature below 0.7: 1. Otherwise larger
    groups.

    ## When this is wrong
    A task with one short right answer leaves little to vary, and a policy that has learned it gives that answer each
    time: hence the comparison with the reward. Whether two completions are the same is decided by their tokens, so long
    ones always differ, even where they all say one thing.

    ## References
    - `spread` = 0.1: house default; healthy runs with short answers were measured to keep 0.12 and more.
    - `climb` = 0.5, `ceiling` = 0.1: house defaults, as for the entropy.
    - `gained` = 2.0: house default; the mean of ten points against the mean of ten has a standard error of 0.45.
    - Kirk et al. 2024, Understanding the effects of RLHF on LLM generalisation and diversity (arXiv 2310.06452).
    """
    unique = run.get(UNIQUE)
    level = rolling_mean(unique.values, RECENT)
    n = setting(run, "num_generations")
    least = 1 / n if n is not None and n > 1 else 0.0
    limit = least + spread * (1 - least)
    alike = level <= limit
    if n == 1 or not alike.any():
        return
    reward, standing = progress(run)
    climbs = joined(reward, rise(standing), unique.steps) > climb
    # What was gained before the variety was lost has not been gained by it.
    better = (joined(reward, standing.gain, unique.steps) >= gained) & ~is_sudden(level)
    learned = joined(reward, at_ceiling(run, standing.recent, ceiling).astype(float), unique.steps) == 1
    told = partial(_told, run, unique, level, limit)
    yield Alarm(Severity.WARNING, unique.steps, alike & ~(climbs | better | learned), told)
    yield Alarm(Severity.INFO, unique.steps, alike, told)


def _told(run: RunHistory, unique: MetricSeries, level: Values, limit: float, i: int) -> Told:
    first, last = int(unique.steps[max(0, i - RECENT + 1)]), int(unique.steps[i])
    now = float(level[i])
    return Told(
        f"only {now:.0%} of the completions of a prompt differ at step {last} (limit {limit:.0%})",
        first,
        (Evidence(UNIQUE, first, last, "mean of the last 10 points", now, limit),),
        (more_contrast(run, UNIQUE, Direction.UP, limit, last),),
    )
