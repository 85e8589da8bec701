"""CFG006: groups so small that most of them teach nothing."""

from collections.abc import Iterator, Mapping
from typing import Any

from diagnostics.finding import Direction, Evidence, Hypothesis, Prescription, Safety, Set, Severity
from diagnostics.remedies import GROUP
from diagnostics.rule import Told, lint


@lint(
    "CFG006",
    Severity.INFO,
    needs=["num_generations"],
    fires=[
        {"num_generations": 2},
        {"num_generations": 3},
    ],
    quiet=[
        {"num_generations": 4},
        {"num_generations": 8},
        {"num_generations": 1},  # no groups at all: PPO, REINFORCE
    ],
)
def too_few_generations(settings: Mapping[str, Any], *, enough: int = 4) -> Iterator[Told]:
    """The groups hold so few completions that few of them hold both a good and a bad one.

    ## Meaning
    `num_generations` is above 1 and below `enough`.

    ## Why it matters
    GRPO learns from differences within a group. Where an answer is right with probability p, a group of n has no
    difference with probability p^n + (1 - p)^n: at p = 0.2 that is 68% of the groups of two and 17% of those of eight.
    With two completions the advantages are always the same two numbers: how much better the better one is, is lost.

    ## Look at
    The share of groups without variance of reward (`zero_std_share`); the success rate of the policy on the prompts.

    ## What to change
    Groups of 8, at the same number of completions a step if memory or time allow no more: fewer prompts each step, but
    each of them worth its cost.

    ## When this is wrong
    Where the reward is continuous, or prompts are solved about half of the time, pairs learn nearly as well as groups
    of 16 for the same number of completions: hence INFO.

    ## References
    - `enough` = 4: house default; real runs with groups of 4 learn. TRL's default is 8, DeepSeekMath (arXiv
      2402.03300) samples 64, DAPO (arXiv 2503.14476) 16.
    - Wu et al. 2025, It takes two: your GRPO is secretly DPO (arXiv 2510.00977): pairs keep 97.6% of the performance
      of groups of 16, with an eighth of the completions.
    """
    group = int(settings["num_generations"])
    if 1 < group < enough:
        because = "a larger group more often holds both a good and a bad answer"
        yield Told(
            f"groups of {group}: with rewards of right or wrong, most of them have nothing to compare",
            0,
            (Evidence("num_generations", 0, 0, "completions for each prompt", group, enough),),
            (
                Prescription(
                    "num_generations",
                    Set(GROUP),
                    Hypothesis("zero_std_share", Direction.DOWN, 0.0, 1.0, because),
                    Safety.ADVICE,
                ),
            ),
        )
