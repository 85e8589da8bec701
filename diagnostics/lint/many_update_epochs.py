"""CFG014: more passes over one batch of rollouts than the clip can keep honest."""

from collections.abc import Iterator, Mapping
from typing import Any

from diagnostics.finding import Direction, Evidence, Hypothesis, Prescription, Safety, Set, Severity
from diagnostics.rule import Told, lint


@lint(
    "CFG014",
    Severity.WARNING,
    needs=["update_epochs", "max_completion_length"],
    fires=[
        {"update_epochs": 16, "max_completion_length": 32},
        {"update_epochs": 17, "max_completion_length": 1024},
    ],
    quiet=[
        {"update_epochs": 4, "max_completion_length": 53},
        {"update_epochs": 15, "max_completion_length": 256},
    ],
)
def many_update_epochs(settings: Mapping[str, Any], *, limit: int = 16) -> Iterator[Told]:
    """One batch of completions is trained on more often than any published recipe for language models does.

    ## Meaning
    `update_epochs` of a run that generates completions is `limit` or more.

    ## Why it matters
    With each pass the policy is farther from the one that sampled, until most probability ratios lie outside the clip
    and say nothing. The last passes then fit the noise of one batch: high clip fractions, a KL that runs away, and all
    of it costs as much time as fresh completions would.

    ## Look at
    The clip fraction and the KL to the policy that sampled, from the first pass to the last.

    ## What to change
    1 for GRPO and its kin, up to 4 for PPO.

    ## When this is wrong
    Tiny steps: a low learning rate, with large batches, where several passes move no farther than one usually does.
    Control tasks take ten passes and more; they have no completions, and this rule does not speak of them.

    ## References
    - `limit` = 16: house default, four times the most of published recipes: 4 in Ziegler et al. 2019 (arXiv
      1909.08593), Ouyang et al. 2022 (arXiv 2203.02155) and TRL's PPO; 1 in DeepSeekMath (arXiv 2402.03300), verl and
      OpenRLHF.
    - At 16 passes a run of this project's corpus clips too much. At 8 one does, and PPO on both of its query tasks does
      better than at 4: there the clip fraction of the run itself has to tell.
    """
    epochs = int(settings["update_epochs"])
    if epochs >= limit:
        because = "the policy stays near the one that sampled, so that the ratios are inside the clip"
        yield Told(
            f"each batch of completions is passed {epochs} times (limit {limit})",
            0,
            (Evidence("update_epochs", 0, 0, "passes over a batch", epochs, limit),),
            (
                Prescription(
                    "update_epochs",
                    Set(2),
                    Hypothesis("clip_fraction.token", Direction.DOWN, 0.0, 0.5, because),
                    Safety.ADVICE,
                ),
            ),
        )
