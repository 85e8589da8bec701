"""All trials of a study as a table for other programs: CSV for spreadsheets, JSON for the rest."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from diagnostics.events import dumps
from diagnostics.finding import hypothesis_to_json
from diagnostics.text import visible
from studies import words
from studies.record import StudyRecord, TrialRecord, verdict_to_json
from studies.trial import Knob

FORMATS = ("csv", "json")
# A spreadsheet takes a cell that begins so for a formula (Excel the wide forms too), and formulas can fetch addresses.
FORMULA = tuple("=+-@＝＋－＠")


def export(study: StudyRecord, fmt: str) -> str:
    """The trials of `study` in the order they were proposed; `fmt` is one of `FORMATS`.

    What people asked of a trial and noted of it is told with it, in JSON also what they asked of the study. CSV has one
    row per trial and the same columns for every study with the same space; what is not known is empty. Text
    that a spreadsheet would take for a formula begins with an apostrophe. JSON has null for what is not known, and
    "NaN", "Infinity" and "-Infinity" for numbers that are not finite.
    """
    if fmt == "json":
        trials = [_object(trial, words.by_people(study, trial.number)) for trial in study.trials]
        about = {"version": 1, "study": study.spec.name, "objective": study.spec.objective}
        return dumps({**about, "people": words.by_people(study), "trials": trials}, indent=1) + "\n"
    rows = [_row(trial, study.spec.start, words.by_people(study, trial.number)) for trial in study.trials]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_BEFORE, *study.spec.start, *_AFTER])
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


_BEFORE = ("number", "state", "reason", "value")
_AFTER = (
    *("seed", "origin", "parent", "why", "hypothesis", "verdict", "findings"),
    *("steps", "completions", "seconds", "attempt", "people"),
)


def _row(trial: TrialRecord, knobs: Mapping[str, Knob], people: Sequence[str]) -> list[Any]:
    proposal, verdict = trial.proposal, trial.verdict
    return [
        trial.number,
        str(trial.state),
        trial.reason,
        trial.value,
        *(proposal.knobs.get(knob) for knob in knobs),
        trial.seed,
        str(proposal.origin),
        proposal.parent,
        proposal.why,
        proposal.hypothesis and words.hypothesis(proposal.hypothesis),
        verdict and f"{verdict.judgement}: {verdict.why}",
        "; ".join(f"{f.code} {f.name} {f.severity.name.lower()} at step {f.raised_at}" for f in trial.findings),
        trial.steps,
        trial.completions,
        round(trial.seconds, 3),
        trial.attempt,
        "; ".join(people),
    ]


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value  # a number, and a minus before one is no formula
    text = visible(value)
    return f"'{text}" if text.lstrip().startswith(FORMULA) else text


def _object(trial: TrialRecord, people: Sequence[str]) -> dict[str, Any]:
    proposal = trial.proposal
    return {
        "number": trial.number,
        "state": str(trial.state),
        "reason": trial.reason,
        "value": trial.value,
        "knobs": dict(proposal.knobs),
        "seed": trial.seed,
        "origin": str(proposal.origin),
        "parent": proposal.parent,
        "why": proposal.why,
        "hypothesis": proposal.hypothesis and hypothesis_to_json(proposal.hypothesis),
        "verdict": trial.verdict and verdict_to_json(trial.verdict),
        "findings": [
            {
                "code": f.code,
                "name": f.name,
                "severity": f.severity.name.lower(),
                "first_step": f.first_step,
                "raised_at": f.raised_at,
            }
            for f in trial.findings
        ],
        "evaluations": [[e.step, e.completions, e.value] for e in trial.evaluations],
        "steps": trial.steps,
        "completions": trial.completions,
        "seconds": round(trial.seconds, 3),
        "attempt": trial.attempt,
        "people": list(people),
    }
