"""LOG002: the run will log too few points to be judged."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Evidence, Severity
from diagnostics.progress import NOISE, REWARD
from diagnostics.remedies import setting
from diagnostics.rule import Alarm, Case, NotApplicable, Told, rule
from diagnostics.series import MetricSeries, RunHistory, example

CADENCE = 5  # points that tell how often a run logs


@rule(
    "LOG002",
    Severity.INFO,
    needs=[REWARD],
    warmup=CADENCE,
    min_points=2,
    fires=[
        Case(example({REWARD: "_*4 0.1 _*4 0.2 _*4 0.3"}, settings={"max_steps": 70}), "info@9"),
        Case(example({REWARD: "0.1+0.01*9"}, settings={"max_steps": 15}), "info@1"),
    ],
    quiet=[
        example({REWARD: "0.1 _*9 0.2 _*9 0.3 _*9 0.4"}, settings={"max_steps": 5}),  # its steps count something else
        example({REWARD: "0.1+0.01*9"}, settings={"max_steps": 100}),  # young, and will be long
        example({REWARD: "_*4 0.1 _*4 0.2 _*4 0.3"}, settings={"max_steps": 120}),
        example({REWARD: "0.1+0.01*60"}, settings={"max_steps": 60}),
        example({REWARD: "0.1 0.2 0.3 0.4 0.5 0.6 _*60 0.7"}, settings={"max_steps": 67}),  # told by its first points
    ],
)
def too_little_history(run: RunHistory, *, enough: int = NOISE) -> Iterator[Alarm]:
    """At the pace at which it logs, the run will end before the rules on its reward can judge it.

    ## Meaning
    The steps that the run will take (`max_steps`), at the distance of its first points, give fewer than `enough` points
    of reward.

    ## Why it matters
    A trend, a plateau or a decline is told from the noise of a step, and that noise has to be known first. With fewer
    points neither a person nor a rule can tell a fault from chance, and the report is silent on most of what can go
    wrong: silence then says nothing.

    ## Look at
    How often the trainer logs: transformers' default is every 500 steps, and many scripts log every 10.

    ## What to change
    Log every step: it costs nothing next to sampling completions. Where it does already, more steps.

    ## When this is wrong
    A run that only tries whether everything works is short on purpose. The step column may count something else than
    `max_steps` does.

    ## References
    - `enough` = 20: the points from which the noise of a step is taken; of 10 it is known to a third only.
    """
    reward, planned = run.get(REWARD), setting(run, "max_steps")
    if planned is None:
        raise NotApplicable("needs the setting max_steps, to know how many points the run will log")
    first = reward.steps[:CADENCE]
    if len(first) < 2:
        return
    before = np.arange(1, len(first))
    points = np.full(len(reward), np.inf)
    points[1 : len(first)] = before + 1 + (planned - first[1:]) * before / (first[1:] - first[0])
    too_few = (points < enough) & (reward.steps <= planned)  # steps beyond the last count something else
    yield Alarm(Severity.INFO, reward.steps, too_few, partial(_told, reward, planned, points, enough))


def _told(reward: MetricSeries, planned: float, points: np.ndarray, enough: int, i: int) -> Told:
    first, last = int(reward.steps[0]), int(reward.steps[i])
    every = (last - first) / i
    more = "Take more steps, or judge by hand: no trend of the reward can be told from noise."
    return Told(
        f"{planned:g} steps, one point every {every:g}: {points[i]:.0f} points, too few to tell a trend of the reward "
        "from noise",
        first,
        (Evidence(REWARD, first, last, "points of the whole run", float(points[i]), enough),),
        advice=(f"Log every step: {planned:g} points instead of {points[i]:.0f}." if every > 1 else more,),
    )
