"""UPD005: the learning rate has come down to zero, and the run goes on."""

from collections.abc import Iterator

import numpy as np

from diagnostics.finding import Evidence, Severity
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import RunHistory, example
from diagnostics.stats import sustained

RATE = "learning_rate"

FIRST, WINDOW = 100, 20
DECIMALS = 6  # of a log that rounds: in one that prints 0.000001, half of that is 0


@rule(
    "UPD005",
    Severity.WARNING,
    needs=[RATE],
    warmup=FIRST,
    lookback=WINDOW,
    min_points=WINDOW,
    fires=[
        Case(example({RATE: "5e-6-1e-7*50 0*60"}), "warning@69"),  # a linear schedule that took half as many steps
        # Warm-up, decay, and the very small numbers in which a cosine ends.
        Case(example({RATE: "0+1.6e-8*100 1.6e-6-1.6e-8*99 1.4e-11*30"}), "warning@218"),
    ],
    quiet=[
        example({RATE: "1.6e-6-1e-9*100 1.6e-9*100"}),  # held at a low rate on purpose
        example({RATE: "1.6e-6-1e-9*100 1.8e-11*100"}),
        example({RATE: "5e-6-1e-7*50 0*19"}),  # logged a few more times than it was updated
        example({RATE: "0*50 0+1e-8*100"}),  # the critic begins first
        example({RATE: "0*200"}),  # printed with three decimals
        example({RATE: "0.000003*60 0.000002*60 0.000001*60 0*60"}),  # printed with six
    ],
)
def zero_learning_rate(run: RunHistory, *, share: float = 1e-5) -> Iterator[Alarm]:
    """The learning rate has come down to zero, and the run goes on without learning.

    ## Meaning
    At each of the last 20 points the learning rate was at most `share` of the highest of the first 100. Of these, rates
    with at most six decimals do not count: a log that rounds prints small ones as 0.

    ## Why it matters
    Completions are sampled and scored as before, the gradient is as large as before, and the weights stay as they are:
    all that the run still costs is lost. And what was learned before was learned at rates that fell too fast.

    ## Look at
    The number of steps that the schedule was made for beside the number of updates of the run. A scheduler that steps
    once for each mini-batch, update epoch or process, or was made for the number of prompts, is through too early. So
    is one that was restored from the checkpoint of a shorter run.

    ## What to change
    The number of steps of the schedule, or a constant rate with warm-up, which needs none. No other knob makes up for
    it.

    ## When this is wrong
    A run that is left to generate after its training, for an evaluation at leisure. A schedule that begins anew later.

    ## References
    - `share` = 1e-5: house default; a linear schedule spends a hundred thousandth of its steps below it, a cosine one
      in five hundred.
    - Schedules that were made for too few steps: NovaSky-AI/SkyRL#873, allenai/open-instruct#537,
      ContextualAI/HALOs#33, huggingface/accelerate#2318; jzhang38/EasyContext#21 is the question as it is then asked,
      "Model stopped updating after 300-400 steps".
    """
    rate = run[RATE]
    first = rate.values[:FIRST]
    highest = np.fmax.accumulate(np.where(first != first.round(DECIMALS), first, 0.0))
    highest = np.pad(highest, (0, len(rate) - len(first)), mode="edge")
    zero = (rate.values <= share * highest) & (highest > 0)

    def told(i: int) -> Told:
        start, step = int(rate.steps[i - WINDOW + 1]), int(rate.steps[i])
        now = float(rate.values[i - WINDOW + 1 : i + 1].max())
        return Told(
            f"learning_rate is {now:.2g} from step {start} to {step}, after {highest[i]:.2g} at first",
            start,
            (Evidence(RATE, start, step, "highest of the last 20 points", now, share * float(highest[i])),),
            advice=("Make the schedule as long as the run has updates: these steps train nothing.",),
        )

    yield Alarm(Severity.WARNING, rate.steps, sustained(zero, WINDOW), told)
