"""What Optuna has no place for, where its dashboard shows it: as user attributes and as notes.

Curves and states the dashboard has from the trials themselves. A note is Markdown and can be written at any time, user
attributes only until a trial is told: a verdict that comes later stands in the note alone.
"""

from __future__ import annotations

import importlib.util
import re
from textwrap import shorten
from typing import TYPE_CHECKING

from diagnostics.finding import Severity
from diagnostics.text import visible
from studies import words
from studies.record import StudyRecord, TrialRecord

if TYPE_CHECKING:
    import optuna

# What a person writes into a note in the dashboard is theirs; this line tells it from ours.
BELOW = "*Autotune keeps what stands above this line up to date; what you write below it stays.*"
WIDTH = 100


def annotate(study: optuna.Study, trial: TrialRecord) -> None:
    """Write findings, why, hypothesis and verdict of `trial` to where the dashboard shows them.

    Safe to call again: what is there already is not written twice. Whatever the storage raises passes through.
    """
    from optuna.trial import Trial

    storage = study._storage
    trial_id = storage.get_trial_id_from_study_id_trial_number(study._study_id, trial.number)
    frozen = storage.get_trial(trial_id)
    if not frozen.state.is_finished():
        for key, value in _attributes(trial).items():
            if frozen.user_attrs.get(key) != value:
                storage.set_trial_user_attr(trial_id, key, value)
    _note(Trial(study, trial_id), _about_trial(trial))


def annotate_study(study: optuna.Study, record: StudyRecord) -> None:
    """Write what the study has come to into its note. Safe to call again."""
    _note(study, _about_study(record))


def _attributes(trial: TrialRecord) -> dict[str, object]:
    proposal = trial.proposal
    attributes: dict[str, object] = {
        "origin": str(proposal.origin),
        "why": _short(proposal.why),
        "findings": {f.code: f.severity.name.lower() for f in trial.findings},
        "seed": trial.seed,
    }
    if proposal.hypothesis is not None:
        attributes["hypothesis"] = _short(words.hypothesis(proposal.hypothesis))
    return attributes


def _short(text: str) -> str:
    # The dashboard does not break the lines of attributes, and a long one makes its whole page as wide as it is.
    return shorten(text, WIDTH, placeholder=" ...")


def _about_trial(trial: TrialRecord) -> str:
    proposal = trial.proposal
    lines = [f"**Why:** {_plain(proposal.why)}"]
    if proposal.parent is not None:
        lines[0] += f" (from trial {proposal.parent})"
    if proposal.hypothesis is not None:
        lines.append(f"**Hypothesis:** {_plain(words.hypothesis(proposal.hypothesis))}")
    if trial.verdict is not None:
        lines.append(f"**Verdict:** {trial.verdict.judgement}: {_plain(trial.verdict.why)}")
    if trial.reason:
        lines.append(f"**Result:** {words.outcome(trial)}, {_plain(trial.reason)}")
    lines.append("**Findings:**" if trial.findings else "**Findings:** none")
    findings = "\n".join(f"- {_plain(words.finding(finding))}" for finding in trial.findings)
    return "\n\n".join([*lines, findings] if findings else lines)


def _about_study(record: StudyRecord) -> str:
    best = record.best()
    lines = [f"{_plain(record.spec.description or record.spec.name)}. Objective: {record.spec.objective}."]
    if best is None:
        lines.append("**Best:** no trial ran to its end without a finding at ERROR or above so far.")
    else:
        value = words.result(record, best)
        lines.append(f"**Best:** trial {best.number}, {value}: {_plain(words.knobs(best.proposal.knobs))}")
    rows = ["| trial | changed | value | state | findings |", "|---:|---|---:|---|---|"]
    for t in record.trials:
        loud = ", ".join(f.code for f in t.findings if f.severity >= Severity.WARNING)
        change, value = _plain(words.change(record, t)), words.number(t.value)
        rows.append(f"| {t.number} | {change} | {value} | {words.outcome(t)} | {loud} |")
    return "\n\n".join([*lines, "\n".join(rows)])


def _plain(text: str) -> str:
    """Text of others in Markdown: nothing in it becomes a picture, a table, HTML or a link under another name."""
    return re.sub(r"([\\`*_\[\]<>|#!])", r"\\\1", visible(text))


def _note(place: optuna.Study | optuna.Trial, ours: str) -> None:
    """Put `ours` above what a person wrote; nothing where the dashboard is not installed."""
    if importlib.util.find_spec("optuna_dashboard") is None:
        return
    from optuna_dashboard import get_note, save_note

    before = get_note(place)
    _, mark, theirs = before.partition(BELOW)
    if before and not mark:
        theirs = f"\n\n{before}"
    after = f"{ours}\n\n{BELOW}{theirs}"
    if after != before:
        save_note(place, after)
