"""CFG005: the KL coefficient is as large as the reward that it is weighed against."""

from collections.abc import Iterator, Mapping
from typing import Any

from diagnostics.finding import Evidence, Severity
from diagnostics.remedies import STRONG, looser
from diagnostics.rule import Told, lint


@lint(
    "CFG005",
    Severity.WARNING,
    needs=["kl_coef"],
    fires=[
        {"kl_coef": 0.55},
        {"kl_coef": 1.0, "reward_weight": 1.5},
        {"kl_coef": 0.6, "reward_weight": 5.0, "scale_rewards": "group"},
    ],
    quiet=[
        {"kl_coef": 0.45},
        {"kl_coef": 0.2},  # TRL's PPO up to 0.11
        {"kl_coef": 1.0, "reward_weight": 5.0, "scale_rewards": "none"},
        {"kl_coef": 0.0},
    ],
)
def kl_coef_out_of_scale(settings: Mapping[str, Any], *, limit: float = STRONG) -> Iterator[Told]:
    """The KL penalty weighs as much as the reward, so that nothing is worth leaving the reference for.

    ## Meaning
    `kl_coef` is at least `limit` times the scale of the reward: 1 where rewards are divided by their standard
    deviation, else the weight of the reward function where one is set, else 1 as of a reward from 0 to 1.

    ## Why it matters
    A policy that learns moves by tenths of a nat per token, several nats a completion. At this weight that distance
    costs more than the reward can bring: the run ends where it began.

    ## Look at
    The KL and the reward of the first fifty steps: both flat means that the penalty won (kl_pinned).

    ## What to change
    A usual coefficient: 0.04.

    ## When this is wrong
    Rewards of tens or hundreds that are not scaled, and whose weight is not told. A resumed run that is only to be kept
    where it is.

    ## References
    - `limit` = 0.5: house default; TRL's defaults are 0.04 for GRPO, 0.05 for PPO and 0.2 before 0.12. On our tasks a
      coefficient of 1 kept 0.39 of a reward of 0.92.
    - Shao et al. 2024, DeepSeekMath (arXiv 2402.03300): 0.04.
    """
    coefficient, weight = float(settings["kl_coef"]), settings.get("reward_weight")
    scaled = settings.get("scale_rewards") in ("group", "batch")
    scale = abs(float(weight)) if weight and not scaled else 1.0
    if coefficient >= limit * scale > 0:
        yield Told(
            f"a KL coefficient of {coefficient:g} outweighs a reward of scale {scale:g}",
            0,
            (Evidence("kl_coef", 0, 0, "share of the reward's scale", coefficient / scale, limit),),
            (looser("reward_mean", 0.0),),
        )
