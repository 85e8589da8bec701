"""VAL001: the value loss jumps far above what it usually is, again and again."""

from collections.abc import Iterator
from functools import partial

from diagnostics.finding import Severity
from diagnostics.progress import KL_TOKEN
from diagnostics.remedies import calmer_critic
from diagnostics.rule import Alarm, Case, rule
from diagnostics.series import RunHistory, example
from diagnostics.spikes import LOOKBACK, USUAL, in_a_row, spike_alarms, spikes

VALUE_LOSS = "value_loss"


@rule(
    "VAL001",
    Severity.WARNING,
    needs=[VALUE_LOSS],
    uses=KL_TOKEN,
    warmup=USUAL,
    lookback=LOOKBACK,
    min_points=12,
    fires=[
        Case(example({VALUE_LOSS: "0.5~0.02*40 3 0.5~0.02*8 2.9 4.6 0.5~0.02*40"}), "info@40 warning@50"),
        Case(example({VALUE_LOSS: "0.5~0.02*40 3 0.5~0.02*40 3 0.5~0.02*40"}), "info@40"),  # far apart
        Case(example({VALUE_LOSS: "0.5*10 1.2 0.5*29 2.4 0.5*8 2.4 2.4 0.5*9"}), "info@40 warning@50"),
        Case(example({VALUE_LOSS: "0.5*10 1.2 0.5*29 1.8 0.5*8 1.8 1.8 0.5*9"}), "info@40"),  # it has reached 1.2
        Case(example({VALUE_LOSS: "0.1~0.01*40 0.35 0.1~0.01*20"}), "info@40"),
        Case(example({VALUE_LOSS: "0.02 0.1 0.18 " * 14 + "0.8 " + "0.02 0.1 0.18 " * 9}), "info@42"),
        Case(example({VALUE_LOSS: "0.2 -0.1 " * 25 + "2 -1.5 1.8 " + "0.2 -0.1 " * 9}), "info@50 warning@52"),  # fp16
    ],
    quiet=[
        example({VALUE_LOSS: "14 16 8 2.4 1 0.5 0.3 0.2 0.1~0.01*60"}),  # a critic that warms up
        example({VALUE_LOSS: "0.5+0.3*100"}),  # rises with the returns
        example({VALUE_LOSS: "0.1~0.01*40 0.27 0.1~0.01*20"}),  # less than three times as much
        example({VALUE_LOSS: "0.02 0.1 0.18 " * 14 + "0.7 " + "0.02 0.1 0.18 " * 9}),  # within its own scatter
        example({VALUE_LOSS: "0*40 0.001 0*10 0.002 0.001 0*20"}),  # rounded to nothing
    ],
)
def value_loss_spike(
    run: RunHistory, *, times: float = 3.0, deviations: float = 8.0, beyond: float = 1.75
) -> Iterator[Alarm]:
    """The value loss jumps far above what it usually is.

    ## Meaning
    A spike is a point at least `times` the running median of the 27 points before it and more than `deviations` median
    absolute deviations above that. INFO: one. WARNING: a third one within 30 points, the three largest of which are at
    least `beyond` times what one in fifty of the 200 points before had exceeded; or a seventh one, where these had a
    third of that share at most.

    ## Why it matters
    The critic meets returns that it did not expect at all, so the advantages of those batches are mostly its error, and
    the policy is trained on that. One such batch is survived; a row of them moves the policy at random.

    ## Look at
    The returns at those steps, the KL penalty that enters them included; outliers of the reward; the share of clipped
    values; the policy loss and the clip fraction at the same steps.

    ## What to change
    Far from the reference (KL per token above 0.5): an eighth of the learning rate, since the penalty makes the returns
    jump. Otherwise a tenth of the critic's own learning rate where it has one, or half the weight of the value loss.

    ## When this is wrong
    The first steps of a critic are high and fall: they are left out. Where rewards are rare, the first successes are
    spikes too. A loss that grows slowly with the returns is no spike.

    ## References
    - `times` = 3.0, `deviations` = 8.0: rl-doctor's rule for spikes (6 to 8 deviations, and three times the median),
      which asks for both because either alone fires on healthy runs.
    - `beyond` = 1.75: house default; of 100 runs of 2,000 points of lognormal noise (of 0.7) one has such a row by
      chance.
    - A third or a seventh spike within 30 points, running medians of 27: house defaults.
    """
    series = run.get(VALUE_LOSS)
    seen = spikes(series, times=times, deviations=deviations)
    row = in_a_row(seen.size, seen.found, beyond)
    yield from spike_alarms(series, seen, row, times, partial(calmer_critic, run, VALUE_LOSS))
