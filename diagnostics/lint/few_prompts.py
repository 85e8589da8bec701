"""CFG018: so few prompts that they are learned by heart."""

from collections.abc import Iterator, Mapping
from typing import Any

from diagnostics.finding import Evidence, Severity
from diagnostics.rule import Told, lint


@lint(
    "CFG018",
    Severity.INFO,
    needs=["dataset_size"],
    fires=[
        {"dataset_size": 8},
        {"dataset_size": 63},
        {"dataset_size": 400, "unique_prompts": 20},
    ],
    quiet=[
        {"dataset_size": 64},
        {"dataset_size": 65},
        {"dataset_size": 250, "unique_prompts": 250},
    ],
)
def few_prompts(settings: Mapping[str, Any], *, limit: int = 64) -> Iterator[Told]:
    """There are fewer prompts than one usual batch holds.

    ## Meaning
    The training set has fewer than `limit` prompts, distinct ones where that is known.

    ## Why it matters
    A policy learns the answers to a few dozen prompts by heart within some passes. The reward in training climbs to the
    top, and says nothing of prompts that were not among them.

    ## Look at
    The reward on held-out prompts beside that of training; how many passes over the set the run takes.

    ## What to change
    More prompts, or fewer passes, and the checkpoint with the best held-out reward.

    ## When this is wrong
    A trial whether a reward can be learned at all, or whether a script runs: hence INFO. One example can teach a large
    model the form of an answer that it can give already.

    ## References
    - `limit` = 64: house default, fewer than one usual batch. A run of this project on 8 prompts learns these by heart
      while its held-out reward stays.
    - Wang et al. 2025, Reinforcement learning for reasoning in large language models with one training example (arXiv
      2504.20571).
    """
    known = [int(settings[name]) for name in ("unique_prompts", "dataset_size") if settings.get(name) is not None]
    if min(known) < limit:
        yield Told(
            f"there are {min(known)} prompts to train on (limit {limit}): they are learned by heart",
            0,
            (Evidence("dataset_size", 0, 0, "distinct prompts", min(known), limit),),
            advice=("Train on more prompts, or watch the held-out reward and keep its best checkpoint.",),
        )
