"""LEN001: many completions are cut at the length limit."""

from collections.abc import Iterator
from functools import partial

from diagnostics.finding import Confidence, Direction, Evidence, Hypothesis, Prescription, Safety, Scale, Severity
from diagnostics.remedies import setting
from diagnostics.rule import Alarm, Case, NotApplicable, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Values, example
from diagnostics.stats import rolling_mean

CUT, LENGTH = "truncated_share", "completion_length_mean"

WINDOW, SHORT = 10, 5  # points that tell many from few, and nearly all from many


@rule(
    "LEN001",
    Severity.WARNING,
    needs=[(CUT, LENGTH)],
    lookback=WINDOW,
    min_points=SHORT,
    fires=[
        Case(example({CUT: "0+0.01*60"}), "warning@35"),
        Case(example({CUT: "0.9*6 0*30"}), "warning@4"),
        Case(example({CUT: "0.82*6 0*30"}), "warning@4"),
        Case(example({LENGTH: "200+2*40"}, settings={"max_completion_length": 256}), "warning@20"),
    ],
    quiet=[
        example({CUT: "0.25~0.05*60"}),  # often, but most completions end by themselves
        example({CUT: "0.02*20 0.9 0.02*20"}),  # one step
        example({CUT: "0.7*9"}),  # many or few: too young to tell
        example({CUT: "0.1*30", LENGTH: "250*30"}, settings={"max_completion_length": 256}),  # close, and most end
        example({LENGTH: "250*30"}),  # nobody says what the limit is
    ],
)
def truncation(run: RunHistory, *, limit: float = 0.3, severe: float = 0.8, full: float = 0.9) -> Iterator[Alarm]:
    """Many completions reach the length limit before they end.

    ## Meaning
    The mean share of truncated completions is at least `limit` over the last 10 points, or `severe` over the last 5.
    Where that share is not logged: the mean length over the last 10 points is at least `full` of the limit, if the
    settings say what that is.

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
    - `limit` = 0.3, `severe` = 0.8: axolotl's GRPO guide (below 0.3 healthy, above 0.8 bad).
    - `full` = 0.9: house default; with lengths spread evenly up to the limit the mean would be half of it.
    - huggingface/trl issue 5697: everything truncated, no reward, no gradient.
    """
    cut, length, room = run.get(CUT), run.get(LENGTH), setting(run, "max_completion_length")
    if len(cut):
        for width, share in ((WINDOW, limit), (SHORT, severe)):
            level = rolling_mean(cut.values, width)
            yield Alarm(Severity.WARNING, cut.steps, level >= share, partial(_told, cut, level, width, share))
    elif room is None:
        raise NotApplicable(f"needs {CUT}, or the setting max_completion_length to compare {LENGTH} with")
    else:
        level = rolling_mean(length.values, WINDOW)
        full_at = full * room
        yield Alarm(Severity.WARNING, length.steps, level >= full_at, partial(_told, length, level, WINDOW, full_at))


def _told(series: MetricSeries, level: Values, width: int, limit: float, i: int) -> Told:
    first, last = int(series.steps[i - width + 1]), int(series.steps[i])
    shared = series.metric == CUT
    what = (
        f"{level[i]:.0%} of the completions were cut at the length limit between steps {first} and {last}"
        if shared
        else f"completions of {level[i]:.3g} tokens on average fill the length limit between steps {first} and {last}"
    )
    because = "completions with more room reach their end"
    longer = Prescription(
        "max_completion_length",
        Scale(2),
        Hypothesis(CUT, Direction.DOWN, float(level[i]) / 2 if shared else limit, 0.5, because),
        Safety.ADVICE,
    )
    return Told(
        what,
        first,
        (Evidence(series.metric, first, last, f"mean of the last {width} points", float(level[i]), limit),),
        (longer,),
        Confidence.HIGH if shared else Confidence.MEDIUM,
    )
