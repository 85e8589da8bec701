"""CFG010: sampling so hot that most of what is tried is noise."""

from collections.abc import Iterator, Mapping
from typing import Any

from diagnostics.finding import Direction, Evidence, Hypothesis, Prescription, Set, Severity
from diagnostics.rule import Told, lint


@lint(
    "CFG010",
    Severity.INFO,
    needs=["temperature"],
    fires=[
        {"temperature": 1.5},
        {"temperature": 2.0},
    ],
    quiet=[
        {"temperature": 1.3},
        {"temperature": 1.0},
        {"temperature": 0.3},
    ],
)
def temperature_too_high(settings: Mapping[str, Any], *, limit: float = 1.3) -> Iterator[Told]:
    """Completions are sampled hotter than is usual.

    ## Meaning
    The sampling `temperature` of the rollouts is above `limit`.

    ## Why it matters
    The hotter the sampling, the less of the reward is earned by what the policy prefers, and the more by chance: the
    advantages get noisy, and learning slow. What is learned is also learned for a policy as hot as that, and does not
    show in full at the temperature at which it is used.

    ## Look at
    The reward of the completions against that of held-out ones at temperature 1; the samples: words that fit nowhere.

    ## What to change
    A temperature of 1. A study tries it before it searches, where nothing graver calls for a change.

    ## When this is wrong
    A policy that is sure of itself, after much training, samples different answers only when it is hot. It is
    information, not a fault.

    ## References
    - `limit` = 1.3: house default. PPO on this project's boolean queries, at its best settings: held-out reward 0.93 at
      temperature 1, 0.89 at 1.5; with half of the samples 0.88 and 0.50.
    - An et al. 2025, POLARIS (hkunlp.github.io/blog/2025/Polaris), chooses the temperature by how diverse samples are,
      and raises it when they become alike.
    """
    temperature = float(settings["temperature"])
    if temperature > limit:
        because = "colder samples are what the policy prefers, so that the reward says more about it"
        yield Told(
            f"completions are sampled at temperature {temperature:g} (usual: 1): much of what they earn is chance",
            0,
            (Evidence("temperature", 0, 0, "sampling temperature", temperature, limit),),
            (Prescription("temperature", Set(1.0), Hypothesis("reward_mean", Direction.UP, 0.0, 0.5, because)),),
        )
