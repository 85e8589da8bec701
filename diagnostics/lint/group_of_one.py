"""CFG013: advantages are taken against the other completions of a prompt, and there are none."""

from collections.abc import Iterator, Mapping
from typing import Any

from diagnostics.finding import Direction, Evidence, Hypothesis, Prescription, Safety, Set, Severity
from diagnostics.remedies import GROUP
from diagnostics.rule import Told, lint


@lint(
    "CFG013",
    Severity.ERROR,
    needs=["num_generations", "group_baseline"],
    fires=[
        {"num_generations": 1, "group_baseline": True},
    ],
    quiet=[
        {"num_generations": 2, "group_baseline": True},
        {"num_generations": 1, "group_baseline": False},
    ],
)
def group_of_one(settings: Mapping[str, Any]) -> Iterator[Told]:
    """A completion is compared with the others of its prompt, and each prompt has one.

    ## Meaning
    `num_generations` is 1, and the algorithm takes the mean of a prompt's completions for its baseline: GRPO, RLOO and
    their kin.

    ## Why it matters
    TRL and OpenRLHF refuse it. verl goes on, without a baseline: the advantage is the reward itself, which is never
    below zero where rewards are not, so that every completion is made likelier, the wrong ones too.

    ## Look at
    Whether the number of completions was set at all: verl's and OpenRLHF's default is 1, which is PPO's.

    ## What to change
    Groups of 8 or more; or an algorithm with a critic, such as PPO.

    ## When this is wrong
    Rewards that are centred by other means, with a trainer that does not touch them.

    ## References
    - verl, trainer/ppo/core_algos.py: the mean of a group of one is taken for 0 and its deviation for 1.
    - TRL, GRPOConfig: at least 2 generations; OpenRLHF, train_ppo_ray.py: n_samples_per_prompt > 1.
    - Shao et al. 2024, DeepSeekMath (arXiv 2402.03300): groups of 64.
    """
    if settings["group_baseline"] and settings["num_generations"] == 1:
        because = "a completion is better or worse than others of its prompt"
        yield Told(
            "advantages are taken against the other completions of a prompt, and each prompt has one completion",
            0,
            (Evidence("num_generations", 0, 0, "completions for each prompt", 1, 2),),
            (
                Prescription(
                    "num_generations",
                    Set(GROUP),
                    Hypothesis("reward_mean", Direction.UP, 0.0, 1.0, because),
                    Safety.ADVICE,
                ),
            ),
        )
