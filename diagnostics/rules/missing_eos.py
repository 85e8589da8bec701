"""LEN004: completions have never ended by themselves."""

from collections.abc import Iterator
from functools import partial

from diagnostics.finding import Confidence, Evidence, Severity
from diagnostics.progress import NOISE, REWARDS, WARMUP, joined, progress
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Values, example
from diagnostics.stats import mean, rolling_mean

REWARD, CUT, EOS = "reward_mean", "truncated_share", "eos_tokens"

PATIENCE = 30  # points after which a policy that can end its answers has done so once


@rule(
    "LEN004",
    Severity.WARNING,
    needs=[(CUT, EOS)],
    uses=[*REWARDS],
    warmup=NOISE,
    lookback=PATIENCE + 5,
    min_points=PATIENCE,
    fires=[
        Case(example({CUT: "1*60"}), "warning@29"),
        Case(example({CUT: "0.992*60"}), "warning@29"),  # the token at the limit happens to be the end
        Case(example({EOS: "0*60"}), "warning@29"),
        Case(example({CUT: "1*60", REWARD: "0.3~0.05*60"}), "warning@29"),
        # A reward that rises by 0.45 and by 0.57 times its noise: cut by design, it seems.
        Case(example({CUT: "1*60", REWARD: "0.2 0.4 " * 5 + "0.262 0.462 " * 25}), "warning@29"),
        Case(example({CUT: "1*60", REWARD: "0.2 0.4 " * 5 + "0.28 0.48 " * 25}), "info@29"),
    ],
    quiet=[
        example({CUT: "0.988*60"}),
        example({CUT: "1*12 0.5 1*25"}),
        example({CUT: "0.2*5 1*60"}),  # they ended once: a policy that was carried off
        example({EOS: "0*12 1*1 0*10"}),
    ],
)
def missing_eos(run: RunHistory, *, never: float = 0.01, climb: float = 0.5) -> Iterator[Alarm]:
    """Next to no completion has ended by itself since the run began.

    ## Meaning
    Of the completions of the first 10 and of the last 30 points at most a share `never` ended before the length limit,
    or as good as no end-of-sequence token was counted. INFO where the reward has gained more than `climb` times the
    noise of one step all the same.

    ## Why it matters
    A policy that cannot end its answers is judged without their end, pays the longest time for each, and can never
    learn to stop. It looks like a limit that is too short, and a longer one does not help.

    ## Look at
    The end-of-sequence token: is it suppressed (minimum length, banned tokens), is it another one than the chat
    template ends a turn with, is it the padding token and so masked when the model was trained before? Samples: do
    answers go on after they are complete?

    ## What to change
    Let sampling stop at the token that the chat template ends a turn with, without a minimum length. Where samples are
    in the middle of their work, raise the limit instead.

    ## When this is wrong
    A limit that is far too short for the task looks the same, and so do tasks of a fixed number of tokens, whose reward
    can rise all the same: hence INFO.

    ## References
    - `never` = 0.01: house default; where the end was suppressed up to the limit, a few in a thousand fell on it.
    - `climb` = 0.5: house default, the same as entropy_collapse's.
    - huggingface/trl issue 5697: nothing ends, no reward, no gradient.
    """
    for series, ends in ((run.get(CUT), 1 - run.get(CUT).values), (run.get(EOS), run.get(EOS).values)):
        if not mean(ends[:WARMUP]) <= never:
            continue
        ended = rolling_mean(ends, PATIENCE)
        endless = ended <= never
        reward, standing = progress(run)
        climbs = joined(reward, standing.gain, series.steps) > climb
        yield Alarm(Severity.WARNING, series.steps, endless & ~climbs, partial(_told, series, ended, never))
        yield Alarm(Severity.INFO, series.steps, endless, partial(_told, series, ended, never))


def _told(series: MetricSeries, ended: Values, never: float, i: int) -> Told:
    first, last = int(series.steps[0]), int(series.steps[i])
    return Told(
        f"completions have not ended by themselves from step {first} to {last}: they ran to the length limit",
        first,
        (
            Evidence(
                series.metric, first, last, "ended by themselves, mean of the last 30 points", float(ended[i]), never
            ),
        ),
        confidence=Confidence.MEDIUM,
        advice=(
            "Check that sampling stops at the token with which the chat template ends a turn, that no minimum length "
            "suppresses it, and that it is not masked as padding in training.",
            "Raise the completion length once: if completion_length_terminated_mean stays 0, the end is missing; if "
            "not, the limit was too short.",
        ),
    )
