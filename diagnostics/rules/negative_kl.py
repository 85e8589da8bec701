"""KL001: the KL to the reference is below zero, which no divergence can be, by more than noise."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from diagnostics.finding import Confidence, Direction, Evidence, Hypothesis, Prescription, Set, Severity
from diagnostics.kl import (
    ALL,
    COEFFICIENT,
    LENGTH,
    NEVER_NEGATIVE,
    OF_SOMETHING,
    PER_TOKEN,
    coefficient,
    measured,
    tokens,
)
from diagnostics.progress import REWARDS, UNTOUCHED, WARMUP, early, joined, progress, recent_median
from diagnostics.remedies import setting
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Values, example
from diagnostics.stats import Mask, rolling_mean, rolling_noise, share, sustained

K1, K1_SUM, K3, UNKNOWN = (
    "kl.reference.k1.token", "kl.reference.k1.sequence", "kl.reference.k3.token", OF_SOMETHING,
)  # fmt: skip

ENTROPIES = ("entropy.token", "entropy", "entropy.sequence")
LONGEST, CUT, EOS = "completion_length_max", "truncated_share", "eos_tokens"

SHORT, LONG = 10, 20  # points of a mean that is large, and of one that is told from zero by its error alone
STEADY = 40  # points of the noise of one step: a window that happens to be calm makes no mean sure
MOST = 0.8  # share of a window's points that must be below zero, so that no outlier makes its mean
SLIGHT = 0.1  # share of the smallest level worth a warning from which on a sure one is explained

ALL_CUT = 0.95  # share of completions cut, or of the longest length reached, from which on none seems to end by itself
HALF = 0.5  # share of the longest completion below which most of a batch's tokens may be padding
BROADER = 0.05  # share by which the entropy must have risen to have risen
LEARNED = 1.0  # times its noise that a reward must have gained to have been learned

FALLEN = {K1: "0.02~0.005*20 -0.0058~0.002*40"}


@rule(
    "KL001",
    Severity.ERROR,
    needs=[ALL],
    uses=[*ENTROPIES, LENGTH, LONGEST, CUT, EOS, COEFFICIENT, *REWARDS],
    warmup=WARMUP,
    lookback=75,
    min_points=SHORT,
    fires=[
        Case(example(FALLEN, settings={"top_p": 0.9, "temperature": 0.7, "scoring_temperature": 1.0}), "warning@44"),
        Case(example({K1: "0-0.001~0.002*60"}), "warning@19 error@55"),
        Case(example({K1: "0~0.001*20 -0.003~0.003*60"}), "info@56"),  # sure, and too small to matter
        Case(example({K1_SUM: "0~0.1*20 -1.15~0.2*40"}), "warning@29 error@58"),
        Case(example({K1_SUM: "0~0.1*20 -0.3~0.05*40", LENGTH: "20*60", "truncated_share": "1*60"}), "warning@29"),
        Case(example({UNKNOWN: "0~0.01*20 -0.023~0.005*40 -1.15~0.2*40"}), "info@35 warning@37 error@97"),
        Case(
            example({K3: "0.02~0.005*20 -0.0015 0.02~0.005*20 -0.00115*20"}), "info@20 warning@50"
        ),  # another estimator than it says
    ],
    quiet=[
        example({K1: "0~0.002*400"}),  # noise about zero: half the points are below
        example({K1: "0.001~0.02*60"}),
        example({K1: "0.01~0.005*40 -0.5 0.01~0.005*40"}),  # one point
        example({K1_SUM: "0~0.5*200"}),
        example({K3: "0.01~0.002*40 -8e-4 0.01~0.002*20"}),  # rounding in low precision
        example({K3: "0.01~0.002*40 -2.8e-9 0.01~0.002*40"}),  # float noise
        example({"kl.reference.k2.token": "0.01*40", "kl.rollout.k1.token": "-0.1~0.01*60"}),  # old to new: may be so
    ],
)
def negative_kl(
    run: RunHistory,
    *,
    small: float = 0.005,
    large: float = 0.02,
    total: float = 1.0,
    errors: float = 5.0,
    rounding: float = 1e-3,
    patience: int = 30,
) -> Iterator[Alarm]:
    """The KL to the reference is below zero by more than its noise, so the samples are not those that are scored.

    ## Meaning
    WARNING: a mean of the KL is below zero by `errors` times its standard error, most of its points are below zero,
    and it is beyond a limit of its unit: over 10 points `large` nats per token or `total` nats summed over a
    completion; over 20 points `small` nats per token, a sum that many times the mean length where that is logged. A
    sum counts as large beyond `large` times the mean length where that is more than `total`. Where the log does not
    say whether it is per token or a sum, `large` is the limit over 20 points and `total` over 10. ERROR: the mean of
    10 points was large for `patience` points.

    An estimator that cannot be negative (k2, k3) is another one than the log says, or has a bug: WARNING where its
    mean over 10 points is below -`rounding`, INFO for a single point. INFO also for a KL that is surely below zero and
    too small to matter.

    ## Why it matters
    The true divergence is never negative, and neither is the mean of log(policy / reference) over samples of the
    policy. Where it is, completions come from another distribution than the one that is scored, or the two passes are
    not comparable. The penalty then pays for the difference: kl_coef times the KL is free reward, and the policy
    follows it, mostly towards noise. The reward of such a run means little.

    ## Look at
    The sampling settings (top-p, top-k, temperature, minimum length, suppressed tokens) beside what is scored; the
    first points, where policy and reference are the same model and the KL has to be 0; the entropy, which rises where
    the penalty pays for unlikely tokens; lengths at the limit; the mask over padding; the estimator and its direction.

    ## What to change
    One thing for each cause, and the message says which of them log and settings speak for. Sampling that differs from
    scoring: top_p 1, top_k 0, one temperature for both. Suppressed ends: no minimum length. From the first point on:
    both passes without dropout, the same precision, padding masked. The wrong sign: log(policy / reference).

    ## When this is wrong
    k1 is noisy, and half its points are below zero while the policy is near the reference: hence the error of the mean,
    and most of the points. A KL between the policy and the one that sampled may be below zero by right and is not
    looked at. A reference that is no longer the policy of the first step does not matter: every KL is positive.

    ## References
    - `large` = 0.02 per token and `total` = 1.0 summed: TRL warns of a mean summed KL below -1 (pull request 352); the
      same per token at the 50 tokens that its PPO examples sample.
    - `small` = 0.005: house default; two passes over the same tokens in bf16 were seen to differ by 0.002 on average.
    - `errors` = 5.0: house default; of 2,000-step runs of noise about zero, heavy-tailed or not, 1 % at most raise it.
    - `rounding` = 1e-3: house default; float32 leaves 1e-8, bf16 less than this in a mean over many tokens.
    - `patience` = 30: house default, as for a KL that is too high.
    - Schulman 2020, Approximating KL divergence (joschu.net/blog/kl-approx.html): the estimators.
    - TRL, how to train: negative KL with top-k, top-p and a minimum length; TRL issues 925, 1005, 101, 1161.
    """
    for series in measured(run):
        below = series.values < 0
        most, long_most = share(below, SHORT) >= MOST, share(below, LONG) >= MOST
        told = partial(_told, run, series)
        if series.metric in NEVER_NEGATIVE:
            limit, impossible = np.full(len(series), rounding), series.values < -rounding
            for_long = most & (rolling_mean(series.values, SHORT) < -rounding)
            yield Alarm(Severity.WARNING, series.steps, for_long, partial(told, SHORT, limit))
            yield Alarm(Severity.INFO, series.steps, impossible, partial(told, 1, limit))
        if not (most.any() or long_most.any()):
            continue
        little, much = _limits(run, series, small, large, total)
        mean, sure = _surely_below(series.values, SHORT, errors)
        far = most & sure & (mean < -much)
        long_mean, long_sure = _surely_below(series.values, LONG, errors)
        long_sure &= long_most
        slight = partial(_explained, series, little)
        yield Alarm(Severity.ERROR, series.steps, sustained(far, patience), partial(told, patience, much))
        yield Alarm(Severity.WARNING, series.steps, far, partial(told, SHORT, much))
        yield Alarm(Severity.WARNING, series.steps, long_sure & (long_mean < -little), partial(told, LONG, little))
        yield Alarm(Severity.INFO, series.steps, long_sure & (long_mean < -SLIGHT * little), slight)


def _limits(run: RunHistory, series: MetricSeries, small: float, large: float, total: float) -> tuple[Values, Values]:
    """How far below zero is worth a warning where it is sure, and how far is large, at each point (n,)."""
    n = len(series)
    if series.metric in PER_TOKEN:
        return np.full(n, small), np.full(n, large)
    if series.metric == OF_SOMETHING:
        return np.full(n, large), np.full(n, total)
    long = tokens(run, series.steps)
    return np.fmin(total, small * long), np.fmax(total, large * long)


def _surely_below(values: Values, width: int, errors: float) -> tuple[Values, Mask]:
    """Mean of the last `width` values at each point (n,), and whether it is below zero by so many times its error."""
    mean = rolling_mean(values, width)
    scatter = np.sqrt(np.maximum(rolling_mean(values * values, width) - mean * mean, 0))
    error = np.fmax(scatter, rolling_noise(values, STEADY)) / np.sqrt(width - 1)
    return mean, mean + errors * error < 0


def _explained(series: MetricSeries, limit: Values, i: int) -> Told:
    first, last = int(series.steps[max(0, i - LONG + 1)]), int(series.steps[i])
    level = float(np.mean(series.values[max(0, i - LONG + 1) : i + 1]))
    return Told(
        f"{series.metric} averages {level:.3g} from step {first} to {last}, surely below zero and too small to matter",
        first,
        (Evidence(series.metric, first, last, "mean of the last 20 points", level, -float(limit[i])),),
        confidence=Confidence.MEDIUM,
        advice=(
            "Leave it: two passes in low precision differ by as much. If it grows, compare how completions are sampled "
            "and how they are scored.",
        ),
    )


def _told(run: RunHistory, series: MetricSeries, points: int, limit: Values, i: int) -> Told:
    recent = series.values[max(0, i - points + 1) : i + 1]
    first, last = int(series.steps[max(0, i - points + 1)]), int(series.steps[i])
    level, below = float(np.mean(recent)), int(np.count_nonzero(recent < 0))
    found = _causes(run, series, i, level)
    message = f"{series.metric} is {level:.3g} at step {last}"
    if points > 1:
        message = f"{series.metric} averages {level:.3g} from step {first} to {last}"
        message += f", {below} of {len(recent)} points below zero"
    message += "; likely " + "; or ".join(cause.what for cause in found[:2])
    advice = [sentence for cause in found for sentence in cause.advice]
    if coefficient(run, last) > 0:
        advice.append("Until then judge the run by the reward without the penalty, which now pays for the difference.")
    sure = points <= SHORT and series.metric != OF_SOMETHING
    return Told(
        message,
        first,
        (Evidence(series.metric, first, last, f"mean of {len(recent)} points", level, -float(limit[i])),),
        tuple(remedy for cause in found for remedy in cause.remedies),
        Confidence.HIGH if sure or points > LONG else Confidence.MEDIUM,
        tuple(advice),
    )


# ---- which cause log and settings speak for


@dataclass(frozen=True, slots=True)
class _Cause:
    """One reason for a KL below zero, and what is done about it."""

    what: str
    advice: tuple[str, ...] = ()
    remedies: tuple[Prescription, ...] = ()


def _causes(run: RunHistory, series: MetricSeries, i: int, level: float) -> list[_Cause]:
    """What speaks for itself in settings and log, the surest first; where nothing does, the commonest."""
    found = [
        cause
        for cause in (
            _not_that_estimator(series),
            _sampled_otherwise(run, series.metric, level),
            _ends_suppressed(run, int(series.steps[i])),
            _wrong_sign(run, series, i),
            _from_the_start(run, series, level),
            _broader(run, int(series.steps[i])),
        )
        if cause is not None
    ]
    return found or [
        _Cause(
            "sampling that differs from scoring, or padding that is scored; log and settings do not tell which",
            (
                "Compare the settings of sampling with those of scoring (top_p 1, top_k 0, one temperature, no minimum "
                "length), then the log probabilities of one batch under policy and reference before the first update.",
                "Log the entropy and the share of truncated completions: they tell which of these it is.",
            ),
        )
    ]


def _not_that_estimator(series: MetricSeries) -> _Cause | None:
    if series.metric not in NEVER_NEGATIVE:
        return None
    estimator = series.metric.split(".")[2]
    return _Cause(
        f"another estimator than {estimator}, which cannot be negative",
        (f"Look up how the trainer computes this KL: {estimator} has no negative terms, k1 (the log ratio) has.",),
    )


def _sampled_otherwise(run: RunHistory, metric: str, level: float) -> _Cause | None:
    top_p, top_k, min_p, temperature, scored = (
        setting(run, name) for name in ("top_p", "top_k", "min_p", "temperature", "scoring_temperature")
    )
    because = "completions come from the distribution that is scored"
    mechanism = Hypothesis(metric, Direction.UP, abs(level), 0.5, because)
    how, remedies, advice = [], [], []
    if top_p is not None and top_p < 1:
        how.append(f"top_p {top_p:g}")
        remedies.append(Prescription("top_p", Set(1.0), mechanism))
    if top_k:
        how.append(f"top_k {top_k:g}")
        advice.append("Set top_k to 0, so that every token can be sampled that the scoring counts.")
    if min_p:
        how.append(f"min_p {min_p:g}")
        advice.append("Set no min_p, so that every token can be sampled that the scoring counts.")
    if temperature is not None and scored is not None and temperature != scored:
        how.append(f"temperature {temperature:g} and scored at {scored:g}")
        remedies.append(Prescription("temperature", Set(scored), mechanism))
    if not how:
        return None
    return _Cause(f"sampling that differs from scoring (sampled with {', '.join(how)})", tuple(advice), tuple(remedies))


def _ends_suppressed(run: RunHistory, step: int) -> _Cause | None:
    shortest, longest = setting(run, "min_completion_length"), setting(run, "max_completion_length")
    length = recent_median(run, (LENGTH,), step)
    if shortest:
        how = f"no completion may end before {shortest:g} tokens"
    elif recent_median(run, (EOS,), step) == 0 or recent_median(run, (CUT,), step) >= ALL_CUT:
        how = "no completion ends by itself"
    elif longest and length >= ALL_CUT * longest:
        how = f"completions are {length:.0f} tokens long, at the limit of {longest:g}"
    else:
        return None
    return _Cause(
        f"an end token that is scored and never sampled ({how})",
        (
            "Let completions end by themselves: no minimum length, the end token not suppressed, and room for it "
            "within max_completion_length.",
        ),
    )


def _from_the_start(run: RunHistory, series: MetricSeries, level: float) -> _Cause | None:
    """Before the first updates policy and reference are one model, so that even then a KL is a difference of passes."""
    first = series.values[:UNTOUCHED]
    if np.count_nonzero(first < 0) < UNTOUCHED - 1 or np.median(first) > SLIGHT * level:
        return None
    check = "Compare both passes on one batch before the first update: each log probability has to be the same."
    if run.settings.get("peft"):
        what = "a reference that is not the policy without its adapter, for it is below zero from the first points"
        return _Cause(what, (f"{check} Dropout of the adapter off in both, and the same quantised weights below.",))
    longest, length = run.get(LONGEST).values[:UNTOUCHED], run.get(LENGTH).values[:UNTOUCHED]
    if len(longest) and len(length) and np.median(length) < HALF * np.median(longest):
        what = "padding that is scored, for it is below zero from the first points, where lengths differ most"
        return _Cause(what, (f"{check} Mask the tokens after each completion's end, and pad prompts on the left.",))
    what = "two passes that differ (dropout, precision, padding), for it is below zero from the first points"
    return _Cause(what, (f"{check} Both in evaluation mode, in one precision, with padding masked.",))


def _wrong_sign(run: RunHistory, series: MetricSeries, i: int) -> _Cause | None:
    """A policy that learns moves away: where the log does not say what it logs, that may be counted downwards."""
    reward, standing = progress(run)
    gain = joined(reward, standing.gain, series.steps[i : i + 1])[0]
    if ".unknown" not in series.metric or not gain > LEARNED or np.mean(series.values[:WARMUP]) > 0:
        return None
    what = "log(reference / policy) instead of log(policy / reference), for the reward rises while it falls"
    return _Cause(what, ("Check the sign of the log ratio: policy less reference, over samples of the policy.",))


def _broader(run: RunHistory, step: int) -> _Cause | None:
    metric = next((metric for metric in ENTROPIES if run.points(metric)), ENTROPIES[0])
    known, now = early(run.get(metric), WARMUP), recent_median(run, (metric,), step)
    if known is None or not now > known.level + max(known.noise, BROADER * abs(known.level)):
        return None
    return _Cause(
        f"sampling narrower than scoring, for the entropy rose from {known.level:.3g} to {now:.3g}",
        (
            "Sample what is scored: top_p 1, top_k 0, and one temperature for both. The policy spreads over tokens "
            "that are scored and never sampled, because the penalty pays for it.",
        ),
    )
