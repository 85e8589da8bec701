"""CFG015: a learning rate of the critic at which no value head is known to learn."""

from collections.abc import Iterator, Mapping
from typing import Any

from diagnostics.finding import Direction, Evidence, Hypothesis, Prescription, Safety, Set, Severity
from diagnostics.rule import Told, lint


@lint(
    "CFG015",
    Severity.WARNING,
    needs=["value_learning_rate", "max_completion_length"],
    fires=[
        {"value_learning_rate": 0.3, "max_completion_length": 32},
        {"value_learning_rate": 0.11, "max_completion_length": 512},
    ],
    quiet=[
        {"value_learning_rate": 0.01, "max_completion_length": 32},  # a head alone, on a tiny model
        {"value_learning_rate": 9e-6, "max_completion_length": 1024},
        {"value_learning_rate": 0.09, "max_completion_length": 1024},
    ],
)
def value_learning_rate_out_of_range(settings: Mapping[str, Any], *, high: float = 0.1) -> Iterator[Told]:
    """The critic's learning rate is above everything that a value head is known to learn at.

    ## Meaning
    `value_learning_rate` of a run that generates completions is above `high`.

    ## Why it matters
    A critic that jumps past its target predicts worse than the mean of the returns: the advantages are noise, and the
    policy is moved by the critic's mistakes.

    ## Look at
    Whether a digit of the exponent is wrong; the explained variance, which should rise above 0 within the first steps.

    ## What to change
    1e-5 where the critic is a whole model, up to 1e-2 where only a head is trained on a small one.

    ## When this is wrong
    A linear head on features of tiny size.

    ## References
    - `high` = 0.1: house default; a head on a model below a million parameters was measured to learn at 0.01, and to
      diverge at 0.3. OpenRLHF's default is 9e-6, verl's 1e-5.
    """
    rate = float(settings["value_learning_rate"])
    if rate > high:
        because = "a critic that takes smaller steps settles on the returns"
        yield Told(
            f"the critic's learning rate {rate:g} is above {high:g}, outside all that value heads are known to bear",
            0,
            (Evidence("value_learning_rate", 0, 0, "learning rate of the critic", rate, high),),
            (
                Prescription(
                    "value_learning_rate",
                    Set(1e-5),
                    Hypothesis("explained_variance", Direction.UP, 0.0, 0.5, because),
                    Safety.ADVICE,
                ),
            ),
        )
