"""UPD003: the policy loss jumps far above what it usually is, again and again."""

from collections.abc import Iterator
from functools import partial

from diagnostics.finding import Severity
from diagnostics.remedies import smaller_updates
from diagnostics.rule import Alarm, Case, rule
from diagnostics.series import RunHistory, example
from diagnostics.spikes import LOOKBACK, USUAL, in_a_row, spike_alarms, spikes

POLICY_LOSS = ("policy_loss.token", "policy_loss")
TOTAL, VALUE_LOSS = "total_loss", "value_loss"


@rule(
    "UPD003",
    Severity.WARNING,
    needs=[(*POLICY_LOSS, TOTAL)],
    uses=[VALUE_LOSS],
    warmup=USUAL,
    lookback=LOOKBACK,
    min_points=12,
    fires=[
        Case(example({POLICY_LOSS[0]: "0~0.05*40 1 0~0.05*10 -2 1.5 0~0.05*20"}), "info@40 warning@52"),
        Case(example({POLICY_LOSS[1]: "0.2*10 0.45 0.2*29 0.9 0.2*9 0.9 0.9 0.2*9"}), "info@40 warning@51"),
        Case(
            example({POLICY_LOSS[1]: "0.2*10 0.45 0.2*29 0.72 0.2*9 0.72 0.72 0.2*9"}), "info@40"
        ),  # it has reached 0.45
        Case(example({POLICY_LOSS[1]: "0~0.05*40 0.6 0~0.05*30"}), "info@40"),
        Case(example({POLICY_LOSS[1]: "-0.3 0.3 " * 20 + "1.05 " + "0.3 -0.3 " * 10}), "info@40"),
        Case(example({POLICY_LOSS[1]: "0.2 0.4 0.6 " * 14 + "1.7 " + "0.2 0.4 0.6 " * 9}), "info@42"),
        Case(example({TOTAL: "0.2~0.05*40 200 0.2~0.05*9 3000 7 0.2~0.05*20"}), "info@40 warning@51"),
        Case(example({TOTAL: "0.2~0.05*40 1.2 0.2~0.05*20"}), "info@40"),
    ],
    quiet=[
        example({POLICY_LOSS[1]: "0~0.02*40 0.4 0~0.02*30"}),  # small, although far above the usual
        example({POLICY_LOSS[1]: "-0.3 0.3 " * 20 + "0.8 " + "0.3 -0.3 " * 10}),  # less than three times as much
        example({POLICY_LOSS[1]: "0.2 0.4 0.6 " * 14 + "1.5 " + "0.2 0.4 0.6 " * 9}),  # within its own scatter
        example({TOTAL: "0*40 0.03 0*5 0.02 0.9 0*20"}),  # GRPO's loss is near 0, and that is no fault
        example({TOTAL: "0.2~0.05*40 0.9 0.2~0.05*20"}),
        example({TOTAL: "0.2~0.05*40 200 300 900 0.2~0.05*9", VALUE_LOSS: "1*52"}),  # the value loss may be in it
    ],
)
def policy_loss_spike(
    run: RunHistory,
    *,
    times: float = 3.0,
    deviations: float = 6.0,
    floor: float = 0.5,
    total_floor: float = 1.0,
    beyond: float = 1.75,
) -> Iterator[Alarm]:
    """The policy loss jumps far above what it usually is.

    ## Meaning
    A spike is a point whose size is above `floor`, at least `times` the running median of the sizes of the 27 points
    before it, and more than `deviations` median absolute deviations above that. INFO: one. WARNING: a third one within
    30 points, the three largest of which are at least `beyond` times what one in fifty of the 200 points before had
    exceeded; or a seventh one, where these had a third of that share at most. Where no policy loss is logged and there
    is no critic, the total loss is judged in its place, with `total_floor`.

    ## Why it matters
    The surrogate is a mean of advantages times probability ratios, and advantages are of unit size: a loss of several
    units means ratios, or a KL term, of many times that. Such an update is the one that wrecks a policy.

    ## Look at
    The largest probability ratio and the KL to the sampling policy at those steps; the value loss; whether the
    log-probabilities of sampler and trainer agree; tokens of nearly no probability, whose k3 overflows.

    ## What to change
    With more than one update epoch: a quarter of them. Otherwise half the learning rate. Gradients clipped at 1 keep
    one batch from undoing what many have learned.

    ## When this is wrong
    Advantages that are not normalised make losses of any size; only the comparison with the run's own past holds then.
    A loss near 0, or one that rises slowly, is normal for GRPO and not reported.

    ## References
    - `times` = 3.0, `deviations` = 6.0: rl-doctor's rule for spikes (6 to 8 deviations, and three times the median).
    - `floor` = 0.5: house default; half of what a mean of normalised advantages can be without any ratio.
    - `total_floor` = 1.0: house default; the loss of GRPO also holds the KL penalty, which is seldom above 1.
    - `beyond` = 1.75: house default, as for the value loss, whose page has the measurements.
    - A third or a seventh spike within 30 points, running medians of 27: house defaults.
    """
    judged = [(name, floor) for name in POLICY_LOSS if name in run]
    if not judged and VALUE_LOSS not in run:
        judged = [(TOTAL, total_floor)]
    for name, least in judged:
        series = run.get(name)
        seen = spikes(series, times=times, deviations=deviations, floor=least)
        row = in_a_row(seen.size, seen.found, beyond)
        yield from spike_alarms(series, seen, row, times, partial(smaller_updates, run, name))
