"""GEN002: the held-out reward has fallen from its best."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Evidence, Severity
from diagnostics.heldout import HELD_OUT, LEVEL, NOISE, OF_REWARD, OF_SUCCESS, evaluations, known_noise, on_all, shorter
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Values, example
from diagnostics.stats import Mask, lagged, rolling_max, rolling_mean

MEMORY = 20  # evaluations among which the best is looked for
ROUGH = 4  # noise that is known from a few evaluations is too small by chance, so that the limit is higher

HELD, GREEDY, EVAL, SETS = OF_REWARD
RISES = "0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.7 0.7 "


@rule(
    "GEN002",
    Severity.WARNING,
    needs=[HELD_OUT],
    warmup=NOISE,
    lookback=MEMORY + LEVEL + NOISE,
    min_points=2 * LEVEL + 2,  # so many tell the noise of 3
    fires=[
        Case(example({EVAL: RISES + "0.65 0.6 0.55 0.5 0.45 0.4"}), "warning@12"),
        Case(example({HELD: "0.1+0.02*31 0.7*15 0.63*6"}), "warning@47"),
        Case(example({OF_SUCCESS: "0.5 0.52 0.49 0.5 0.51 0.49 0.5 0.4 0.38 0.36 0.34"}), "warning@9"),  # never gained
        Case(example({EVAL: "0.5~0.02*30 0.41~0.02*10"}), "warning@32"),
        Case(
            example(
                {
                    f"{SETS}[a]": RISES + "0.65 0.6 0.55 0.5 0.45 0.4",
                    f"{SETS}[b]": "0.9 " * 9 + "0.85 0.8 0.75 0.7 0.65 0.6",
                }
            ),
            "warning@12",
        ),
    ],
    quiet=[
        example({EVAL: RISES + "0.69 0.7 0.68 0.66 0.67 0.66"}),  # by a little
        example({EVAL: RISES + "0.3 0.7 0.7 0.7"}),  # one bad evaluation
        example({GREEDY: "0.1+0.02*31 0.7*15 0.645*6"}),  # not a tenth of what it gained
        example({f"{SETS}[a]": RISES + "0.65 0.6 0.55 0.5 0.45 0.4", f"{SETS}[b]": "0.5 " * 15}),  # one set of two
        example({EVAL: "0.1 0.3 0.62 0.66 0.47 0.62 0.7 0.58 0.43 0.39 0.44 0.35"}),  # it swings as much
        example({EVAL: "0 6 40 57 41 47 53 53 57 37 48 30"}),  # ten episodes each
        example({EVAL: "0.5~0.02*30 0.43~0.02*10"}),  # it may be chance
        example({EVAL: "0.3~0.03*200"}),  # one of so many is low by chance
        example({GREEDY: "0.5 " * 12 + "0.48 0.5 0.48 0.48 0.5"}),  # few prompts: it was still by chance
    ],
)
def eval_decline(run: RunHistory, *, errors: float = 5.5, lost: float = 0.1) -> Iterator[Alarm]:
    """The reward on held-out prompts has come down from its best, and stays down.

    ## Meaning
    The mean of the last 3 evaluations lies more than `errors` standard errors under the best such mean of the last 20,
    and each of the last 2 under it by the share `lost` of what that best had gained on the first evaluation. The noise
    of an evaluation is the scatter about their trend of up to 50 before these 3; where it is known from few, the limit
    is higher: nearly twice as high with 5, hardly with 50. Of several sets all have to show it.

    ## Why it matters
    What is kept of a run is what it can do on prompts that it has not seen. From its best on, training has made the
    model worse, whatever the reward in training says: it learns prompts by heart, exploits the reward, or falls apart.

    ## Look at
    The reward in training over the same steps: where it rises the prompts or the reward are exploited, where it falls
    too the run is breaking. The KL to the reference, the length of completions, samples from before and after.

    ## What to change
    Keep the checkpoint of the best evaluation, and stop there the next time. Fewer passes over the dataset, or a KL
    penalty where there is none.

    ## When this is wrong
    An evaluation of a few episodes or prompts swings by itself; its swings are counted as noise, but a few evaluations
    tell their size only roughly. In a task that can be solved in several ways the evaluation may dip while one way
    takes the place of another.

    ## References
    - `errors` = 5.5: house default; the best of many means lies about two standard errors above the usual one by luck,
      and with many evaluations it is asked often. Of 2,880 simulated healthy runs of 2,000 steps, with an evaluation
      every 1, 10 or 50 steps, 13 were told.
    - `lost` = 0.1: house default; less is not worth a stop.
    - Prechelt 1998, Early stopping - but when?: generalisation loss against the best so far.
    - Gao et al. 2022, Scaling laws for reward model overoptimization (arXiv 2210.10760).
    """
    for alike in evaluations(run):
        levels = [rolling_mean(one.values, LEVEL) for one in alike]
        bests = [rolling_max(level, MEMORY) for level in levels]
        fallen = [_fallen(*of, errors, lost) for of in zip(alike, levels, bests, strict=True)]
        told = partial(_told, run, alike[0], levels[0], bests[0], lost)
        yield Alarm(Severity.WARNING, alike[0].steps, on_all(alike, fallen), told)


def _fallen(evaluation: MetricSeries, level: Values, best: Values, errors: float, lost: float) -> Mask:
    recent, of = known_noise(evaluation.values)
    before, known = lagged(recent, LEVEL), lagged(of, LEVEL)  # the fall itself is no noise, unless there was none
    noise = np.where(before > 0, before, recent)
    drop, stays = best - level, best - rolling_max(evaluation.values, 2)  # one bad evaluation is none
    gained = np.fmax(best - evaluation.values[:1], 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = noise * np.sqrt(2 / LEVEL) * (1 + ROUGH / known)
        return np.asarray((known >= LEVEL) & (drop > errors * error) & (stays >= lost * gained) & (stays > 0))


def _told(run: RunHistory, evaluation: MetricSeries, level: Values, best: Values, lost: float, i: int) -> Told:
    since = max(0, i - MEMORY + 1)
    at = since + int(np.nanargmax(level[since : i + 1]))
    first, last = int(evaluation.steps[at]), int(evaluation.steps[i])
    drop, gained = float(best[i] - level[i]), float(best[i] - evaluation.values[0])
    share = drop / gained if gained > 0 else 1.0
    return Told(
        f"{evaluation.metric} has fallen from {best[i]:.3g} at step {first} to {level[i]:.3g} at step {last}",
        first,
        (Evidence(evaluation.metric, first, last, "fall, as a share of what was gained", share, lost),),
        shorter(run, evaluation.metric, drop / 2),
        advice=(
            f"Keep the checkpoint of step {first}, the best by {evaluation.metric}, and stop there the next time.",
        ),
    )
