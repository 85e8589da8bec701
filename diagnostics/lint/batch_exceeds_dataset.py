"""CFG002: one batch asks for more prompts than there are."""

from collections.abc import Iterator, Mapping
from typing import Any

from diagnostics.finding import Direction, Evidence, Hypothesis, Prescription, Safety, Set, Severity
from diagnostics.rule import Told, lint


@lint(
    "CFG002",
    Severity.WARNING,
    needs=["batch_size", "dataset_size"],
    fires=[
        {"batch_size": 128, "num_generations": 8, "dataset_size": 15},
        {"batch_size": 128, "num_generations": 8, "dataset_size": 250, "unique_prompts": 8},
        {"batch_size": 65, "dataset_size": 64},
    ],
    quiet=[
        {"batch_size": 128, "num_generations": 8, "dataset_size": 16},
        {"batch_size": 128, "num_generations": 8, "dataset_size": 250, "unique_prompts": 16},
        {"batch_size": 64, "dataset_size": 64},
    ],
)
def batch_exceeds_dataset(settings: Mapping[str, Any]) -> Iterator[Told]:
    """One batch needs more distinct prompts than the dataset holds.

    ## Meaning
    The prompts of a batch, `batch_size` over `num_generations`, are more than the distinct prompts of the training set,
    `unique_prompts` where it is known and else `dataset_size`.

    ## Why it matters
    Every step then sees the whole dataset, some of it twice: the policy learns these prompts by heart, or the loader
    drops the batch that is not full and the run trains on nothing.

    ## Look at
    The number of prompts after filtering; how the sampler repeats them; held-out reward, which tells learning by heart.

    ## What to change
    A smaller batch, or more prompts.

    ## When this is wrong
    An experiment on a handful of prompts, to see whether a reward can be learned at all.

    ## References
    - House rule, from the journals of this project's first runs: the batch must not exceed the dataset.
    """
    group = max(1, int(settings.get("num_generations") or 1))
    known = [int(settings[name]) for name in ("dataset_size", "unique_prompts") if settings.get(name)]
    prompts, available = int(settings["batch_size"]) / group, min(known, default=0)
    if known and prompts > available:
        because = "a batch of distinct prompts cannot be learned by heart in one step"
        yield Told(
            f"a batch of {prompts:g} prompts, and only {available} distinct ones in the training set",
            0,
            (Evidence("batch_size", 0, 0, "prompts in a batch", prompts, available),),
            (
                Prescription(
                    "batch_size",
                    Set(available * group),
                    Hypothesis("validation_reward", Direction.UP, 0.0, 1.0, because),
                    Safety.ADVICE,
                ),
            ),
        )
