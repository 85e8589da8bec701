"""OFF001: the engine that samples and the trainer disagree on the same weights."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Direction, Evidence, Hypothesis, Prescription, Set, Severity
from diagnostics.remedies import setting
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, example
from diagnostics.stats import share

KL = ("kl.sampler.k3.token", "kl.sampler.k1.token", "kl.sampler.unknown.token")
LOGPROB, PROB, CORRELATION = "sampler_logprob_diff_mean", "sampler_prob_diff_mean", "sampler_prob_correlation"

WINDOW = 10
MOST = 0.8  # share of the last points beyond a limit: one long sequence can spoil the mean of a step


@rule(
    "OFF001",
    Severity.WARNING,
    needs=[(*KL, LOGPROB, PROB, CORRELATION)],
    lookback=WINDOW + 5,
    min_points=WINDOW,
    fires=[
        Case(example({KL[0]: "0.001*20 0.0012+0.0005*40"}), "warning@45"),
        Case(example({KL[1]: "-0.012~0.001*30"}), "warning@9"),  # the wrong way round, and as far
        Case(example({KL[2]: "0.0115*30"}), "warning@9"),
        Case(example({LOGPROB: "0.011+0.002*80"}), "warning@52"),
        Case(example({PROB: "0.004*20 0.024*20"}), "warning@27"),
        Case(example({CORRELATION: "0.999*10 0.999-0.005*40"}), "warning@27"),
        Case(example({LOGPROB: "0.12*20"}, settings={"top_p": 0.9}), "warning@9"),
    ],
    quiet=[
        example({KL[0]: "0.0085~0.0005*60"}),
        example({KL[0]: "0.001*20 3 0.001*20 2 0.001*20"}),  # one sequence a while: a token that is hardly sampled
        example({LOGPROB: "0.085*60"}),
        example({PROB: "0.016*60"}),
        example({CORRELATION: "0.97~0.005*60"}),
    ],
)
def sampler_mismatch(
    run: RunHistory, *, kl: float = 0.01, logprob: float = 0.1, prob: float = 0.02, apart: float = 0.05
) -> Iterator[Alarm]:
    """Sampler and trainer give the same tokens different probabilities, though their weights should be the same.

    ## Meaning
    In 8 of the last 10 points the KL between sampler and trainer is beyond `kl` nats per token on either side of 0, or
    the mean difference of a token's log-probabilities above `logprob`, or that of its probabilities above `prob`, or
    their correlation below 1 by more than `apart`.

    ## Why it matters
    The trainer takes the completions for its own. If another distribution gave them, every advantage is credited to
    tokens that it would not have chosen: on-policy training is off-policy without saying so. Collapses of long runs
    were seen to begin with a growing mismatch.

    ## Look at
    Whether it was there from the start (precision, another kernel, top-p or top-k, a chat template) or grew (weights
    that do not reach the sampler, sampling that runs ahead of training).

    ## What to change
    Sampling from the whole distribution: top-p 1. Beyond that no setting of a study: see that weights are sent after
    every update, use the same precision on both sides, correct by truncated importance sampling.

    ## When this is wrong
    Asynchronous training samples with older weights on purpose; mixtures of experts and quantised samplers disagree
    more than dense models in half precision. Some versions of verl compare at different temperatures.

    ## References
    - `kl` = 0.01: tinker-cookbook's limit for kl_sample_train; NeMo-RL accepts 1e-3.
    - `logprob` = 0.1: axolotl's GRPO guide (below 0.1 healthy, above 1.0 bad).
    - `prob` = 0.02: house default, four times what verl's FAQ says is usual, 0.005.
    - `apart` = 0.05: house default; correlations of healthy runs are above 0.99.
    - Liu, Li et al. 2025, When speed kills stability: demystifying RL collapse from the training-inference mismatch.
    """
    for metric in (*KL, LOGPROB, PROB, CORRELATION):
        series = run.get(metric)
        if not len(series):
            continue
        far = 1 - series.values if metric == CORRELATION else np.abs(series.values)
        limit = {LOGPROB: logprob, PROB: prob, CORRELATION: apart}.get(metric, kl)
        often = share(far > limit, WINDOW) >= MOST
        yield Alarm(Severity.WARNING, series.steps, often, partial(_told, run, series, limit))


def _told(run: RunHistory, series: MetricSeries, limit: float, i: int) -> Told:
    first, last = int(series.steps[i - WINDOW + 1]), int(series.steps[i])
    known = np.sort(series.values[i - WINDOW + 1 : i + 1])
    level = float(
        known[np.count_nonzero(~np.isnan(known)) // 2]
    )  # NaN sort last; one of the values, as they may be inf
    if series.metric == CORRELATION:
        limit = 1 - limit
    remedies: tuple[Prescription, ...] = ()
    if (setting(run, "top_p") or 1) < 1 and series.metric != CORRELATION:
        because = "the sampler draws from the distribution that the trainer scores"
        remedies = (
            Prescription("top_p", Set(1.0), Hypothesis(series.metric, Direction.DOWN, abs(level) / 2, 0.5, because)),
        )
    return Told(
        f"sampler and trainer disagree: {series.metric} is {level:.3g} (limit {limit:g}) from step {first} to {last}",
        first,
        (Evidence(series.metric, first, last, "median of the last 10 points", level, limit),),
        remedies,
        advice=(
            "Check that the sampler gets the weights after every update, and that both sides use the same precision, "
            "chat template and temperature; sample without top-p and top-k.",
            "Weigh tokens by truncated importance sampling where the two cannot be made to agree.",
        ),
    )
