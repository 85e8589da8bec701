"""CFG003: the same prompts occur again and again in the training set."""

from collections.abc import Iterator, Mapping
from typing import Any

from diagnostics.finding import Evidence, Severity
from diagnostics.rule import Told, lint


@lint(
    "CFG003",
    Severity.WARNING,
    needs=["dataset_size", "unique_prompts"],
    fires=[
        {"dataset_size": 100, "unique_prompts": 86},
        {"dataset_size": 250, "unique_prompts": 8},
    ],
    quiet=[
        {"dataset_size": 100, "unique_prompts": 92},
        {"dataset_size": 100, "unique_prompts": 89},
        {"dataset_size": 100, "unique_prompts": 100},
    ],
)
def duplicate_prompts(settings: Mapping[str, Any], *, limit: float = 0.12) -> Iterator[Told]:
    """A real share of the training prompts are copies of others.

    ## Meaning
    More than `limit` of the rows of the training set repeat a prompt that is there already.

    ## Why it matters
    Repeated prompts are learned by heart first, and weigh as often as they occur. If copies also sit among the
    validation or test prompts, their score measures memory.

    ## Look at
    Where the copies come from: a join, templates with few slots, sampling with replacement. Whether train, validation
    and test share prompts.

    ## What to change
    Remove the copies before splitting the data.

    ## When this is wrong
    Repetition meant as weighting, or small finite tasks (all sums up to ten) sampled with replacement.

    ## References
    - `limit` = 0.12: house default; a tenth of repetitions is common in scraped prompts and does no harm.
    - Lee et al. 2022, Deduplicating training data makes language models better (arXiv 2107.06499).
    """
    rows, unique = int(settings["dataset_size"]), int(settings["unique_prompts"])
    copies = 1 - unique / rows if rows else 0.0
    if copies > limit:
        yield Told(
            f"{copies:.0%} of the {rows} training prompts are copies: only {unique} are distinct",
            0,
            (Evidence("unique_prompts", 0, 0, "share of copies", copies, limit),),
            advice=("Remove the copies before the data is split, so that no prompt is in two of the splits.",),
        )
