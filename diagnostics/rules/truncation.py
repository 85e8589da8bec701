"""LEN001: many completions are cut at the length limit."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Direction, Evidence, Hypothesis, Prescription, Safety, Scale, Severity
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, example
from diagnostics.stats import rolling_mean

CUT = "truncated_share"

WINDOW = 5


@rule(
    "LEN001",
    Severity.WARNING,
    needs=[CUT],
    lookback=WINDOW,
    min_points=WINDOW,
    fires=[
        Case(example({CUT: "0+0.01*60"}), "warning@32"),
        Case(example({CUT: "0.9*6 0*30"}), "warning@4"),
    ],
    quiet=[
        example({CUT: "0.25~0.02*60"}),  # often, but most completions end by themselves
        example({CUT: "0.02*20 0.9 0.02*20"}),  # one step
    ],
)
def truncation(run: RunHistory, *, limit: float = 0.3) -> Iterator[Alarm]:
    """Many completions reach the length limit before they end.

    ## Meaning
    The mean share of truncated completions over the last 5 points is at least `limit`.

    ## Why it matters
    A cut completion is judged without its end: an answer that comes last is lost, and the reward measures brevity or
    nothing. Where every completion is cut there is no reward, no variance and no gradient.

    ## Look at
    Samples that were cut: do they still think, do they repeat themselves, or is the end-of-sequence token suppressed
    (minimum length, banned tokens, a chat template without it)? The mean length of those that ended by themselves.

    ## What to change
    Twice the completion length, if the samples are sound; it costs memory and time, so a person decides. If they repeat
    themselves, look for a policy that collapsed; if none ever ends, for a suppressed end-of-sequence token.

    ## When this is wrong
    Tasks with a fixed number of tokens cut every completion by design. Some losses mask truncated completions, which
    makes them harmless but wasted.

    ## References
    - `limit` = 0.3: axolotl's GRPO guide (below 0.3 healthy, above 0.8 bad).
    - huggingface/trl issue 5697: everything truncated, no reward, no gradient.
    """
    series = run.get(CUT)
    level = rolling_mean(series.values, WINDOW)
    yield Alarm(Severity.WARNING, series.steps, level >= limit, partial(_told, series, level, limit))


def _told(series: MetricSeries, level: np.ndarray, limit: float, i: int) -> Told:
    first, last = int(series.steps[max(0, i - WINDOW + 1)]), int(series.steps[i])
    because = "completions with more room reach their end"
    longer = Prescription(
        "max_completion_length",
        Scale(2),
        Hypothesis(CUT, Direction.DOWN, float(level[i]) / 2, 0.5, because),
        Safety.ADVICE,
    )
    return Told(
        f"{level[i]:.0%} of the completions were cut at the length limit between steps {first} and {last}",
        first,
        (Evidence(CUT, first, last, "mean of the last 5 points", float(level[i]), limit),),
        (longer,),
    )
