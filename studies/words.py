"""How a study is put into words: the same in the plain lines, the live view, `study show` and the journal."""

from __future__ import annotations

from collections.abc import Mapping

from diagnostics.finding import Finding, Hypothesis
from studies.record import State, StudyRecord, TrialRecord
from studies.trial import Knob


def number(value: float | int | str | None) -> str:
    """A setting or a metric for a person: three significant digits."""
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def knobs(values: Mapping[str, Knob]) -> str:
    """All settings of a trial in one line."""
    return ", ".join(f"{knob} {number(value)}" for knob, value in values.items())


def change(study: StudyRecord, trial: TrialRecord) -> str:
    """What a trial changed, in one line."""
    changes = study.changes(trial)
    if not changes:
        return "as the preset starts" if trial.proposal.parent is None else "nothing"
    return ", ".join(f"{knob} {number(before)} → {number(after)}" for knob, (before, after) in changes.items())


def outcome(trial: TrialRecord) -> str:
    """How a trial stands, in a few words."""
    share = f"{trial.steps}/{trial.max_steps}" if trial.max_steps else f"{trial.steps}"
    match trial.state:
        case State.RUNNING:
            return f"step {share}"
        case State.COMPLETE:
            return "complete"
        case State.PRUNED:
            return f"stopped {share}"
        case State.FAILED:
            return "failed"


def finding(found: Finding) -> str:
    """A finding in one line."""
    return f"{found.severity.name} {found.code} {found.name} at step {found.raised_at}: {found.message}"


def hypothesis(claim: Hypothesis) -> str:
    """What a proposal counts on, as it will be judged."""
    moves = "rises" if claim.direction == "up" else "falls"
    by = f" by {number(claim.amount)}" if claim.amount else ""
    return f"{claim.because}; so {claim.metric} {moves}{by} within {claim.by:.0%} of the run"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
