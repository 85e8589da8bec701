"""CFG008: nothing holds the policy near the reference."""

from collections.abc import Iterator, Mapping
from typing import Any

from diagnostics.finding import Evidence, Severity
from diagnostics.rule import Told, lint


@lint(
    "CFG008",
    Severity.INFO,
    needs=["kl_coef"],
    fires=[
        {"kl_coef": 0.0},
        {"kl_coef": 0.0, "num_generations": 8},
    ],
    quiet=[
        {"kl_coef": 0.001},
        {"kl_coef": 0.04},
        {"kl_coef": 0.0, "kl_controller_adaptive": True},  # a controller sets it while the run goes
    ],
)
def no_kl_on_exact_answer(settings: Mapping[str, Any]) -> Iterator[Told]:
    """The run has no KL penalty: right for exact answers, a risk with any reward that can be gamed.

    ## Meaning
    `kl_coef` is 0, and no controller changes it.

    ## Why it matters
    Where the reward is exact (a number, a proof, a test that passes), a penalty mostly costs reward and the memory of a
    reference model, and runs without it often do better. Where a reward can be gamed (a learned model, a format, a
    length) nothing keeps the policy from whatever is rewarded: one phrase, one token, nothing. And most trainers log no
    KL then, so that drift is not seen.

    ## Look at
    The entropy per token, the completion length and samples: what is left to warn you. The held-out reward.

    ## What to change
    Nothing for an exact answer. For a reward that can be gamed a coefficient of 0.001 to 0.04.

    ## When this is wrong
    It is information, not a fault.

    ## References
    - DAPO (arXiv 2503.14476) and Dr. GRPO (arXiv 2503.20783) drop the penalty on tasks with exact answers.
    - TRL, GRPOConfig: `beta` is 0 by default since 0.19, and 0.04 before; DeepSeekMath (arXiv 2402.03300) used 0.04.
    """
    if float(settings["kl_coef"]) == 0 and not settings.get("kl_controller_adaptive"):
        yield Told(
            "there is no KL penalty: nothing but the reward says what the policy becomes",
            0,
            (Evidence("kl_coef", 0, 0, "weight of the KL penalty", 0.0, 0.0),),
            advice=(
                "Keep it at 0 if the reward checks an exact answer; if the reward can be gamed (a model, a format, a "
                "length), set the KL coefficient to 0.001 to 0.04.",
                "Watch entropy.token and completion_length_mean, which show a policy that is carried off when no KL is "
                "logged.",
            ),
        )
