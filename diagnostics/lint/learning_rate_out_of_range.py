"""CFG009: a learning rate that no published recipe comes near."""

from collections.abc import Iterator, Mapping
from typing import Any

from diagnostics.finding import Direction, Evidence, Hypothesis, Prescription, Safety, Set, Severity
from diagnostics.rule import Told, lint


@lint(
    "CFG009",
    Severity.WARNING,
    needs=["learning_rate", "max_completion_length"],
    fires=[
        {"learning_rate": 0.012, "max_completion_length": 256, "peft": False},
        {"learning_rate": 9e-9, "max_completion_length": 256},
        {"learning_rate": 0.0, "max_completion_length": 256, "peft": True},
        {"learning_rate": 2.4e-3, "max_completion_length": 256, "peft": True},
        {"learning_rate": 0.9e-7, "max_completion_length": 256, "peft": True},
    ],
    quiet=[
        {"learning_rate": 1e-6, "max_completion_length": 1024},
        {"learning_rate": 5e-4, "max_completion_length": 256},  # much for a large model, usual for a tiny one
        {"learning_rate": 0.0090, "max_completion_length": 6, "peft": False},
        {"learning_rate": 1.2e-8, "max_completion_length": 256, "peft": False},
        {"learning_rate": 1.8e-3, "max_completion_length": 256, "peft": True},
        {"learning_rate": 1.2e-7, "max_completion_length": 256, "peft": True},
    ],
)
def learning_rate_out_of_range(
    settings: Mapping[str, Any],
    *,
    low: float = 1e-8,
    high: float = 1e-2,
    low_adapter: float = 1e-7,
    high_adapter: float = 2e-3,
) -> Iterator[Told]:
    """The learning rate is outside everything that language models are trained with by reinforcement.

    ## Meaning
    The peak `learning_rate` of a run that generates completions is below `low` or above `high`, or, where an adapter is
    trained (`peft`), below `low_adapter` or above `high_adapter`.

    ## Why it matters
    Too high a rate destroys the policy within a few steps; too low a one spends the whole budget on standing still.
    Both look like a bad reward at first.

    ## Look at
    Whether a digit of the exponent is wrong, or a scheduler's peak was taken for the start; whether all weights or an
    adapter are trained; the size of the model.

    ## What to change
    1e-6 where all weights of a model of a billion parameters and more are trained, ten times that for an adapter, and
    more for smaller models.

    ## When this is wrong
    The log does not say how large the model is, and small models bear, and need, much higher rates: the limits are
    those of any size, so a rate within them may still be wrong by a factor of a hundred for yours.

    ## References
    - `high` = 1e-2: house default; models below a million parameters were measured to learn at 1e-4 to 4e-4, and to
      collapse at 3e-3. Recipes for large models: TRL's PPO 1.41e-5 and 3e-6, verl's examples 1e-6.
    - `low` = 1e-8: house default, a hundredth of the usual 1e-6.
    - `high_adapter` = 2e-3: house default, ten times what TRL's page on adapters trains them with under supervision.
    - `low_adapter` = 1e-7: house default, ten times `low`.
    - Schulman et al. 2025, LoRA without regret: an adapter's best rate is ten times that of all weights.
    """
    rate, adapter = float(settings["learning_rate"]), bool(settings.get("peft"))
    lowest, highest = (low_adapter, high_adapter) if adapter else (low, high)
    if not lowest <= rate <= highest:
        limit, side = (lowest, "below") if rate < lowest else (highest, "above")
        what = "an adapter" if adapter else "a language model"
        because = "updates of a usual size change what the policy says without wrecking it"
        yield Told(
            f"the learning rate {rate:g} is {side} {limit:g}, outside all that {what} is known to learn with",
            0,
            (Evidence("learning_rate", 0, 0, "peak learning rate", rate, limit),),
            (
                Prescription(
                    "learning_rate",
                    Set(1e-5 if adapter else 1e-6),
                    Hypothesis("reward_mean", Direction.UP, 0.0, 1.0, because),
                    Safety.ADVICE,
                ),
            ),
        )
