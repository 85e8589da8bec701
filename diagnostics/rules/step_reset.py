"""LOG001: the log holds more than one run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diagnostics.finding import STEP_RESET, Evidence, Severity
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import RunHistory, example


@rule(
    STEP_RESET,
    Severity.INFO,
    needs=(),
    fires=[Case(example({"reward_mean": "0.1+0.01*9"}, went_back=(12, 0)), "info@0")],
    quiet=[
        example({"reward_mean": "0.1+0.01*9"}),
        example({"reward_mean": "_*40 0.5*9"}),  # a run that was resumed in another file begins in the middle
    ],
)
def step_reset(run: RunHistory) -> Iterator[Alarm]:
    """The steps of the log began anew: it holds several runs, and each is judged by itself.

    ## Meaning
    The steps went back to where a run starts. Several runs were appended to one file, or a script that was started
    again wrote on in the same log.

    ## Why it matters
    A curve drawn through two runs jumps where the second begins, and a jump is what many rules look for. Each segment
    is therefore diagnosed as a run of its own, with its own early life as its baseline.

    ## Look at
    Whether the earlier segments belong to what you want to know: those of a few steps are often false starts.

    ## What to change
    Give each run a file of its own, or a run id. Where training was meant to go on, see that the trainer resumed from
    its checkpoint: steps that begin at the start mean that it did not.

    ## When this is wrong
    The column that was taken for the step counts something that begins anew by design, such as batches within an epoch.

    ## References
    A run that resumes from a checkpoint goes back into its middle; its later rows take the place of the earlier ones,
    which is a note and no finding.
    """
    if run.went_back is None:
        return
    before, first = run.went_back

    def tell(_: int) -> Told:
        return Told(
            f"the steps went back from {before} to {first}: run {run.segment} of this log begins here",
            first,
            (Evidence("step", first, first, "went back by", float(before - first), 0.0),),
            advice=("Give each run a file of its own; if it was meant to go on, resume from a checkpoint.",),
        )

    yield Alarm(Severity.INFO, np.array([first]), np.array([True]), tell)
