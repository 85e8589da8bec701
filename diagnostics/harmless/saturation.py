"""The reward stands still because it is at the top."""

from diagnostics.explaining import Seen, first_logged, harmless
from diagnostics.progress import CEILING, RECENT, REWARD, at_ceiling
from diagnostics.series import RunHistory
from diagnostics.stats import rolling_mean

SOLVED = "success_share"


@harmless(
    "The reward no longer rises",
    unless=("GEN001", "GEN002", "RWD002", "RWD003", "RWD009", "LEN002", "LEN003", "DIV001", "KL002", "ENT001"),
)
def saturation(run: RunHistory) -> Seen | None:
    """The reward stands still because it is at the top of its range.

    ## What it looks like
    A flat reward, groups that agree, a loss and a gradient that vanish.

    ## Why it is harmless
    The mean of the last 10 points is within a tenth of the highest reward there is: there is nothing left to gain on
    these prompts, and groups in which all answers are right teach nothing.

    ## When it is not
    The held-out reward stays behind (GEN001), or the reward is had without doing what is wanted (RWD009).
    """
    reward = first_logged(run, REWARD, SOLVED, least=2 * RECENT)
    if reward is None:
        return None
    level = rolling_mean(reward.values, RECENT)
    top = level >= 1 - CEILING if reward.metric == SOLVED else at_ceiling(run, level, CEILING)
    if not top[-1]:
        return None
    since = int(reward.steps[top.nonzero()[0][0]])
    return Seen(
        f"{reward.metric} is {level[-1]:.3g}, at the top of its range since step {since}. That it stands still, that "
        "groups agree and that gradients vanish is success; harder prompts would give more to learn.",
        reward,
    )
