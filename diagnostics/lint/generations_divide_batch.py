"""CFG001: the group size does not divide the batch."""

from collections.abc import Iterator, Mapping
from typing import Any

from diagnostics.finding import Direction, Evidence, Hypothesis, Prescription, Safety, Set, Severity
from diagnostics.rule import Told, lint


@lint(
    "CFG001",
    Severity.ERROR,
    needs=["num_generations", "batch_size"],
    fires=[
        {"num_generations": 8, "batch_size": 60},
        {"num_generations": 16, "batch_size": 8},
    ],
    quiet=[
        {"num_generations": 8, "batch_size": 64},
        {"num_generations": 8, "batch_size": 8},
        {"num_generations": 1, "batch_size": 7},
    ],
)
def generations_divide_batch(settings: Mapping[str, Any]) -> Iterator[Told]:
    """The completions of a batch cannot be split into whole groups.

    ## Meaning
    `num_generations` does not divide `batch_size`, the completions sampled at a time by all processes together.

    ## Why it matters
    GRPO compares the completions of one prompt. A batch that ends in the middle of a group has a group whose members
    are not all there; trainers refuse to start, some only after the model was loaded.

    ## Look at
    How the batch is made up: per-device batch, processes, gradient accumulation.

    ## What to change
    The batch size to the nearest multiple of the group size, or the group size to a divisor of the batch.

    ## When this is wrong
    An algorithm without groups does not care; there the group size is 1, which divides everything.

    ## References
    - TRL, GRPOConfig: the generation batch size must be divisible by `num_generations`.
    """
    group, batch = int(settings["num_generations"]), int(settings["batch_size"])
    if group > 0 and batch % group:
        nearest = max(1, round(batch / group)) * group
        because = "whole groups are compared"
        yield Told(
            f"{group} generations for each prompt do not divide a batch of {batch} completions; {nearest} would do",
            0,
            (Evidence("batch_size", 0, 0, "completions left over", batch % group, 0),),
            (
                Prescription(
                    "batch_size",
                    Set(nearest),
                    Hypothesis("reward_mean", Direction.UP, 0.0, 1.0, because),
                    Safety.ADVICE,
                ),
            ),
        )
