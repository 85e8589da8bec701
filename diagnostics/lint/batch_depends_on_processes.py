"""CFG017: the batch holds whole groups with some numbers of processes only."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from diagnostics.finding import Evidence, Severity
from diagnostics.rule import Told, lint


@lint(
    "CFG017",
    Severity.INFO,
    needs=["process_batch_size", "num_generations"],
    fires=[
        {"process_batch_size": 4, "num_generations": 8},
        {"process_batch_size": 12, "num_generations": 8},
    ],
    quiet=[
        {"process_batch_size": 8, "num_generations": 8},
        {"process_batch_size": 16, "num_generations": 8},
        {"process_batch_size": 4, "num_generations": 8, "batch_size": 16},  # the number of processes is known
    ],
    ahead=True,
)
def batch_depends_on_processes(settings: Mapping[str, Any]) -> Iterator[Told]:
    """Whether groups are whole depends on how many processes train, which the configuration does not say.

    ## Meaning
    `num_generations` does not divide `process_batch_size`, the completions of one process, and the number of processes
    is not known. INFO: with the right number all is well.

    ## Why it matters
    The same file starts on eight GPUs and is refused on one, or on the six that are left of them.

    ## Look at
    How the script is launched: `accelerate launch --num_processes`, `torchrun --nproc_per_node`.

    ## What to change
    Nothing where the number of processes is a multiple of the one that the finding names. Else more gradient
    accumulation steps, or another group size.

    ## When this is wrong
    It is information, not a fault.

    ## References
    - TRL, GRPOConfig: the generation batch size must be divisible by `num_generations`.
    """
    if settings.get("batch_size") is not None:
        return
    each, group = int(settings["process_batch_size"]), int(settings["num_generations"])
    if each % group:
        least = group // math.gcd(each, group)
        yield Told(
            f"{each} completions of one process do not hold whole groups of {group}: the number of processes has to be "
            f"a multiple of {least}",
            0,
            (Evidence("process_batch_size", 0, 0, "completions left over", each % group, 0),),
            advice=(
                f"Launch it with a multiple of {least} processes, or on one process with {least} times the batch.",
            ),
        )
