"""A report in which there is something of all that a report can have, for the tests of its formats."""

from dataclasses import replace

from diagnostics.cause import Cause, Explained, Link
from diagnostics.excerpt import Excerpt
from diagnostics.finding import (
    Add,
    Confidence,
    Direction,
    Evidence,
    Finding,
    Hypothesis,
    Prescription,
    Report,
    Safety,
    Scale,
    Set,
    Severity,
    Skip,
)

EVIL = "\x1b[2J\x1b]0;title\x07[red]a[/red] :skull:\r\nb\x9b31m\u202e\u2028"
ESCAPED = r"\x1b[2J\x1b]0;title\x07[red]a[/red] :skull:\r\nb\x9b31m\u202e\u2028"
NEEDS_VALUE = "needs value_loss, which this run did not log"
RULES = 20
CURVE = Excerpt(
    "KL002", 1, "kl.reference.k3.token", tuple(range(10, 40)), tuple(0.5 if s < 22 else s - 21.0 for s in range(10, 40))
)
BECAUSE = Hypothesis("kl.reference.k3.token", Direction.DOWN, 0.5, 0.25, "the pull to the reference was too weak")
FINDING = Finding(
    "KL002",
    "kl_explosion",
    Severity.ERROR,
    Confidence.MEDIUM,
    22,
    39,
    25,
    "KL to the reference rose from 0.02 to 3.02 nats per token",
    (Evidence("kl.reference.k3.token", 22, 25, "median of the last 4", 2.42, 1.0),),
    (
        Prescription("kl_coef", Scale(2), BECAUSE),
        Prescription("learning_rate", Scale(0.1), BECAUSE, Safety.ADVICE),
        Prescription("update_epochs", Set(1), BECAUSE),
        Prescription("temperature", Add(-0.1), BECAUSE),
    ),
)
CAUSE = Cause(
    "learning_rate_too_high",
    "The learning rate is too high",
    (Link("KL002", "kl_explosion", 22), Link("RWD003", "reward_decline", 31)),
    ("the reward fell", "the policy was carried off before all that else went wrong"),
    ("num_iterations is 4",),
    Confidence.MEDIUM,
    Prescription("learning_rate", Scale(1 / 8), BECAUSE),
    "start from a checkpoint before step 22",
    ("temperature", "entropy.token"),
)
EXPLAINED = Explained("policy_loss_near_zero", "The policy loss is about zero", "policy_loss is 0.01.", "loss", 1, 39)
REPORT = Report(
    "runs/3",
    "trl-grpo",
    39,
    (FINDING, replace(FINDING, code="RWD003", name="reward_decline", severity=Severity.WARNING)),
    (replace(FINDING, severity=Severity.WARNING, raised_at=23), FINDING),
    (Skip("VAL001", NEEDS_VALUE), Skip("VAL003", NEEDS_VALUE)),
    ("mystery", "riddle", "avg return"),
    ("the run has not ended",),
    format="wandb run file",
    recognised="trl-grpo 0.17.0 or newer, by clip_ratio/region_mean",
    names={"kl.reference.k3.token": "train/kl"},
    suggestions={"avg return": ("reward_mean", "return_mean")},
    rules=RULES,
    excerpts=(CURVE,),
    causes=(CAUSE,),
    explained=(EXPLAINED,),
)


def controls(text: str) -> set[str]:
    """The characters in `text` that move a cursor or turn the direction of writing."""
    return {c for c in text if (ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160 or c in "\u202e\u2028"}
