"""CFG004: completions are sampled from another distribution than the one that the KL penalty scores."""

from collections.abc import Iterator, Mapping
from typing import Any

from diagnostics.finding import Direction, Evidence, Hypothesis, Prescription, Set, Severity
from diagnostics.rule import Told, lint

# Sampling settings, and the values at which every token can be sampled.
ALL_TOKENS = {
    "top_p": 1.0,
    "top_k": 0.0,
    "min_p": 0.0,
    "min_completion_length": 0.0,
    "suppressed_tokens": 0.0,
    "repetition_penalty": 1.0,
}
KNOBS = ("top_p", "temperature")


@lint(
    "CFG004",
    Severity.INFO,
    needs=["kl_coef"],
    fires=[
        {"kl_coef": 0.05, "top_p": 0.9},
        {"kl_coef": 0.05, "top_k": 50, "top_p": 1.0},
        {"kl_coef": 0.05, "min_p": 0.05},
        {"kl_coef": 0.2, "min_completion_length": 16},
        {"kl_coef": 0.5, "suppressed_tokens": 1},
        {"kl_coef": 0.04, "repetition_penalty": 1.1},
        {"kl_coef": 0.2, "temperature": 0.7, "scoring_temperature": 1.0},
    ],
    quiet=[
        {"kl_coef": 0.05, "top_p": 1.0, "top_k": 0, "min_p": 0, "min_completion_length": 0},
        {"kl_coef": 0.05, "suppressed_tokens": 0, "repetition_penalty": 1.0},
        {"kl_coef": 0.0, "top_p": 0.9, "top_k": 50},  # no KL
        {"kl_coef": 0.05, "temperature": 0.7, "scoring_temperature": 0.7},
        {"kl_coef": 0.05, "temperature": 0.7},  # most trainers score at the temperature that they sample at
    ],
)
def truncating_sampling(settings: Mapping[str, Any]) -> Iterator[Told]:
    """Sampling leaves out what the KL to the reference counts.

    ## Meaning
    There is a KL penalty (`kl_coef` above 0), and completions are sampled with top-p below 1, with top-k or min-p, with
    a minimum length, without some tokens, with a penalty for repetition, or at another temperature than the one at
    which log probabilities are taken. INFO: many a run does well with mild truncation; negative_kl tells where it shows
    in the KL.

    ## Why it matters
    The KL is a mean over samples of the policy itself. Over samples of a narrower distribution it is another number,
    which may be below zero: the penalty then pays for moving probability to tokens that are never sampled. The ratio to
    the policy that sampled is off by the mass that was cut away, too.

    ## Look at
    The KL: its sign, if the estimator is k1. The entropy: it rises where the penalty pays for it.

    ## What to change
    top_p 1, top_k 0, no min_p, no minimum length, all tokens, no penalty, one temperature for sampling and scoring.
    Where truncation is wanted, score with the same truncation.

    ## When this is wrong
    A trainer that renormalises the log probabilities over what can be sampled. A top-k near the size of the vocabulary.

    ## References
    - TRL, how to train: negative KL with top-k, top-p and a minimum length; it recommends min_length -1, top_k 0.0 and
      top_p 1.0.
    - TRL issue 6789: truncated sampling biases the importance ratio by the log of the mass that is left.
    """
    if not settings["kl_coef"] > 0:
        return
    sampled = {name: float(settings[name]) for name in ALL_TOKENS if settings.get(name) is not None}
    everything = dict(ALL_TOKENS)
    if settings.get("scoring_temperature") is not None and settings.get("temperature") is not None:
        sampled["temperature"] = float(settings["temperature"])
        everything["temperature"] = float(settings["scoring_temperature"])
    differs = {name: value for name, value in sampled.items() if value != everything[name]}
    if not differs:
        return
    mechanism = Hypothesis(
        "reward_mean", Direction.UP, 0.0, 1.0, "completions come from the distribution that is scored"
    )
    yield Told(
        f"completions are sampled with {_listed(differs)}, and the KL is taken as if with "
        f"{_listed({name: everything[name] for name in differs})}",
        0,
        tuple(Evidence(name, 0, 0, "setting", value, everything[name]) for name, value in differs.items()),
        tuple(Prescription(name, Set(everything[name]), mechanism) for name in differs if name in KNOBS),
        advice=(f"Sample with {_listed({name: everything[name] for name in differs})}, or score as is sampled.",),
    )


def _listed(settings: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in settings.items())
