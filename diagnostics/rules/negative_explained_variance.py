"""VAL002: the critic predicts the returns worse than a constant would."""

from collections.abc import Iterator

from diagnostics.finding import Evidence, Severity
from diagnostics.remedies import truer_critic
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import RunHistory, example
from diagnostics.stats import median, share

EXPLAINED = "explained_variance"

WINDOW = 20


@rule(
    "VAL002",
    Severity.WARNING,
    needs=[EXPLAINED],
    uses=["value_loss", "return_var", "return_mean"],
    lookback=WINDOW,
    min_points=WINDOW,
    fires=[
        Case(example({EXPLAINED: "-6+0.2*30 0.1*20"}), "warning@19"),
        Case(example({EXPLAINED: "0.5~0.1*40 -0.3~0.1*40"}), "warning@55"),
        Case(example({EXPLAINED: "0.3*16 -0.06*40"}), "warning@31"),
        Case(example({EXPLAINED: "-0.3*4 0.1 " * 9}), "warning@19"),
        Case(example({EXPLAINED: "-0.2 -3900 -0.3*20"}), "warning@19"),
    ],
    quiet=[
        example({EXPLAINED: "-1.2 0.4 0.3 0.2 0.5~0.1*60"}),  # the first update of a new critic
        example({EXPLAINED: "-3+0.3*10 0.1+0.01*60"}),  # a warm-up
        example({EXPLAINED: "-0.04*60"}),  # no better than a constant, and hardly worse
        example({EXPLAINED: "0~0.3*60"}),  # noise about 0
        example({EXPLAINED: "-0.3*3 0.1*2 " * 12}),
    ],
)
def negative_explained_variance(run: RunHistory, *, limit: float = -0.05, most: float = 0.8) -> Iterator[Alarm]:
    """The critic predicts the returns worse than a constant would.

    ## Meaning
    The explained variance was below `limit` in a share of `most` of the last 20 points. It is 1 where values are the
    returns, 0 where they are no better than one constant, and negative where they are worse.

    ## Why it matters
    Advantages are returns less values. With a critic that is worse than none they are noisier than the returns
    themselves: learning is slow, and its direction now and then wrong.

    ## Look at
    Whether it rises: a critic that starts from scratch needs time. The value loss and its share of clipped values (a
    clip range that is too small holds the critic back); the scale of the returns; whether padding is masked in them.

    ## What to change
    A tenth of the critic's learning rate, or of the weight of its loss, where its early loss was more than four times
    the mean square of the returns, which is that of a critic that knows nothing, or where its learning rate is more
    than a hundred times the policy's. Otherwise ten times the learning rate; one ten times the policy's where it has
    none of its own, and twice the weight of its loss where there can be none. Steps on the critic alone before the
    policy moves help as well.

    ## When this is wrong
    Where all completions get nearly the same return there is nothing to explain, and the quotient is large and
    meaningless. A mean of microbatches instead of a global quotient is biased downwards.

    ## References
    - `limit` = -0.05: house default, below what Stable-Baselines3's logger and PTT (which warns at 0.1) call worse than
      a constant by the error of a batch of some hundred returns.
    - `most` = 0.8: house default; 16 or more of 20 are below 0 by chance, about 0, in 0.6 % of windows.
    - RLinf #1297: the quotient must be one of global sums.
    """
    series = run.get(EXPLAINED)
    below = share(series.values < limit, WINDOW) >= most

    def told(i: int) -> Told:
        first, last = int(series.steps[max(0, i - WINDOW + 1)]), int(series.steps[i])
        level = median(series.values[max(0, i - WINDOW + 1) : i + 1])
        return Told(
            f"the critic explained {level:.3g} of the variance of the returns between steps {first} and {last}: "
            "less than a constant would",
            first,
            (Evidence(EXPLAINED, first, last, "median of the last 20 points", level, limit),),
            (truer_critic(run, EXPLAINED, max(-level, -limit), last),),
        )

    yield Alarm(Severity.WARNING, series.steps, below, told)
