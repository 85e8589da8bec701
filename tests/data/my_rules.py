"""The rules of our house."""

from diagnostics.finding import Evidence, Severity
from diagnostics.rule import Alarm, Case, Told, lint, rule
from diagnostics.series import example


@rule(
    "ACME001",
    Severity.ERROR,
    needs=["reward_mean"],
    fires=[Case(example({"reward_mean": "0*5 200*3"}), "error@5")],
    quiet=[example({"reward_mean": "0*5 50*3"})],
)
def reward_too_good(run, *, limit: float = 100.0):
    """The reward is higher than our scorer can give.

    ## Meaning
    A point of the mean reward above `limit`.

    ## Why it matters
    The scorer is broken.

    ## Look at
    The scorer.

    ## What to change
    The scorer.

    ## When this is wrong
    Never.

    ## References
    - `limit` = 100.0: what the scorer gives at most.
    """
    reward = run["reward_mean"]

    def told(i):
        step, value = int(reward.steps[i]), float(reward.values[i])
        evidence = Evidence("reward_mean", step, step, "value", value, limit)
        return Told(f"a reward of {value:g}", step, (evidence,), advice=("Look at the scorer.",))

    yield Alarm(Severity.ERROR, reward.steps, reward.values > limit, told)


RATE = "learning_rate"


@lint("ACME002", Severity.WARNING, needs=[RATE], fires=[{RATE: 1.0}], quiet=[{RATE: 0.1}])
def rate_of_one(settings, *, most: float = 0.5):
    """The learning rate is above what our house allows.

    ## Meaning
    Above `most`.

    ## Why it matters
    It was decided.

    ## Look at
    The decision.

    ## What to change
    The learning rate.

    ## When this is wrong
    Never.

    ## References
    - `most` = 0.5: the decision.
    """
    rate = settings["learning_rate"]
    if rate > most:
        yield Told("too fast", 0, (Evidence("learning_rate", 0, 0, "value", rate, most),), advice=("Lower it.",))
