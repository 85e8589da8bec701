"""CFG007: sampling so cold that the completions of a prompt are nearly the same."""

from collections.abc import Iterator, Mapping
from typing import Any

from diagnostics.finding import Direction, Evidence, Hypothesis, Prescription, Safety, Set, Severity
from diagnostics.rule import Told, lint


@lint(
    "CFG007",
    Severity.WARNING,
    needs=["temperature"],
    fires=[
        {"temperature": 0.0},
        {"temperature": 0.3},
        {"temperature": 0.49},
    ],
    quiet=[
        {"temperature": 0.5},
        {"temperature": 0.6},  # what reasoning models are evaluated at
        {"temperature": 1.0},
    ],
)
def temperature_too_low(settings: Mapping[str, Any], *, limit: float = 0.5) -> Iterator[Told]:
    """Completions are sampled too cold to differ from each other.

    ## Meaning
    The sampling `temperature` of the rollouts is below `limit`.

    ## Why it matters
    Cold sampling repeats the most likely answer. The completions of a prompt get equal rewards, their advantages are
    zero, and what is better than the most likely answer is never seen. Trainers that compute log-probabilities at
    temperature 1 also take these samples for those of a distribution that they were not drawn from: the KL to the
    reference goes below zero, and probability ratios are biased.

    ## Look at
    The share of groups without variance of reward (`zero_std_share`); how many distinct completions a prompt gets.

    ## What to change
    A temperature of 1, the distribution that is trained. Evaluate as cold as you like.

    ## When this is wrong
    A policy so uncertain that only its likeliest answers make sense, such as a base model on its first task.

    ## References
    - `limit` = 0.5: house default; a task of this project had 13% of its groups without variance at temperature 1,
      and 55% at 0.3. TRL's and verl's default is 1; real runs at 0.7 learn.
    """
    temperature = float(settings["temperature"])
    if temperature < limit:
        because = "cold sampling gives the same answer again and again, so no answer is better than another"
        yield Told(
            f"completions are sampled at temperature {temperature:g} (limit {limit:g}): those of a prompt are alike",
            0,
            (Evidence("temperature", 0, 0, "sampling temperature", temperature, limit),),
            (
                Prescription(
                    "temperature",
                    Set(1.0),
                    Hypothesis("zero_std_share", Direction.DOWN, 0.0, 0.5, because),
                    Safety.ADVICE,
                ),
            ),
        )
