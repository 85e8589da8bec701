"""The written account of a study, derived from its records: `journal.md` for people, `report.json` for programs.

Both are rebuilt from `study.jsonl` and the trials' events at any time and say nothing that is not in them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import stdev
from typing import Any

from autotune.prescribe import unrepaired
from diagnostics.events import dumps
from diagnostics.finding import Finding, Severity, finding_to_json, hypothesis_to_json
from diagnostics.text import visible
from studies import words
from studies.record import State, StudyRecord, TrialRecord, verdict_to_json

JOURNAL_FILE = "journal.md"
REPORT_FILE = "report.json"


def write(study: StudyRecord) -> None:
    """Write both files into the study's folder, each whole or not at all. Raises OSError where that cannot be."""
    _replace(study.directory / JOURNAL_FILE, journal(study))
    _replace(study.directory / REPORT_FILE, dumps(report(study), indent=1) + "\n")


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def report(study: StudyRecord) -> dict[str, Any]:
    """The study as plain JSON types."""
    best = study.best()
    return {
        "version": 1,
        "study": study.spec.name,
        "objective": study.spec.objective,
        "outcome": study.ended or "running",
        "best": best.number if best else None,
        "trials": [
            {
                "trial": t.number,
                "knobs": dict(t.proposal.knobs),
                "seed": t.seed,
                "origin": str(t.proposal.origin),
                "parent": t.proposal.parent,
                "why": t.proposal.why,
                "hypothesis": t.proposal.hypothesis and hypothesis_to_json(t.proposal.hypothesis),
                "verdict": t.verdict and verdict_to_json(t.verdict),
                "attempt": t.attempt,
                "state": str(t.state),
                "reason": t.reason,
                "value": t.value,
                "evaluations": [[e.step, e.completions, e.value] for e in t.evaluations],
                "steps": t.steps,
                "completions": t.completions,
                "seconds": round(t.seconds, 3),
                "findings": [finding_to_json(f) for f in t.findings],
            }
            for t in study.trials
        ],
    }


def journal(study: StudyRecord) -> str:
    """The account as Markdown, in the order of a good experiment journal."""
    parts = (_summary(study), _table(study), _causes(study), _knobs(study), _notes(study), _trials(study))
    return "\n".join(line for part in parts for line in part) + "\n"


def _summary(study: StudyRecord) -> Iterator[str]:
    spec, best = study.spec, study.best()
    yield f"# {visible(spec.name)}"
    yield ""
    if spec.description:
        yield f"{visible(spec.description)}."
        yield ""
    yield f"{len(study.trials)} of {spec.trials} trials, {_total(study)}. Objective: {spec.objective} at the end."
    if study.ended and study.ended != "finished":
        yield f"The study was {study.ended} before its end."
    yield ""
    yield "## Recommendation"
    yield ""
    if best is None:
        yield "None: no trial ran to its end without a finding at ERROR or above."
        yield ""
        yield from _left(study)
        return
    yield f"Trial {best.number}, {spec.objective} {words.result(study, best)}:"
    yield ""
    for knob, value in study.settings(best).items():
        yield f"- `{knob}`: {words.number(value)}"
    yield ""
    yield _how_sure(study, best)
    yield ""
    yield from _left(study)


def _left(study: StudyRecord) -> Iterator[str]:
    """What the study ends with and cannot repair."""
    left = unrepaired(study)
    if left:
        yield from (f"- {visible(sentence[0].upper() + sentence[1:])}." for sentence in left)
        yield ""


def _how_sure(study: StudyRecord, best: TrialRecord) -> str:
    """What stands behind the recommendation: its seeds, and how far the next best settings are."""
    values = study.values(best)
    others = [
        t.value for t in study.trials if t.feasible and t.value is not None and t.proposal.knobs != best.proposal.knobs
    ]
    lead = f" The best of the other settings reached {max(others):.3g}." if others else ""
    if len(values) == 1:
        return f"How sure: one seed was run at this setting, and one seed cannot tell a small lead from luck.{lead}"
    each = ", ".join(words.number(value) for value in values)
    spread = f"standard deviation {stdev(values):.2g}"
    return f"How sure: {len(values)} seeds were run at this setting ({each}; {spread}).{lead}"


def _total(study: StudyRecord) -> str:
    ran = [t for t in study.trials if t is not study.recorded]
    completions = sum(t.completions for t in ran)
    return f"{completions:,} completions, {words.duration(sum(t.seconds for t in ran))}"


def _table(study: StudyRecord) -> Iterator[str]:
    yield f"| trial | changed | {study.spec.objective} | state | findings | hypothesis |"
    yield "|---:|---|---:|---|---|---|"
    for t in study.trials:
        loud = ", ".join(f.code for f in t.findings if f.severity >= Severity.WARNING) or "none"
        judged = t.verdict.judgement if t.verdict else ""
        cells = (str(t.number), words.change(study, t), words.number(t.value), words.outcome(t), loud, judged)
        yield f"| {' | '.join(cells)} |"
    yield ""


def _causes(study: StudyRecord) -> Iterator[str]:
    seen: dict[str, list[tuple[TrialRecord, Finding]]] = defaultdict(list)
    for t in study.trials:
        for f in t.findings:
            if f.severity >= Severity.WARNING:
                seen[f.code].append((t, f))
    yield "## What went wrong"
    yield ""
    if not seen:
        yield "Nothing at WARNING or above."
    for code, found in sorted(seen.items(), key=lambda entry: -max(f.severity for _, f in entry[1])):
        where = ", ".join(f"{t.number} (step {f.raised_at}, {f.severity.name})" for t, f in found)
        yield f"- **{code} {found[0][1].name}** in trial {where}: {visible(found[0][1].message)}."
        for p in found[0][1].prescriptions[:1]:
            yield f"  Because {visible(p.hypothesis.because)}: `{p.knob}` {p.change}."
    yield ""


def _knobs(study: StudyRecord) -> Iterator[str]:
    yield "## What was learned of each knob"
    yield ""
    for knob in study.spec.space:
        tried = words.tried(study, knob)
        if len(tried) < 2:
            yield f"- `{knob}`: only {', '.join(value for value, _ in tried) or 'nothing'} was tried."
        else:
            yield f"- `{knob}`: {', '.join(f'{value} ({came})' for value, came in tried)}."
    yield ""


def _notes(study: StudyRecord) -> Iterator[str]:
    """What else happened to the study: notes, trials that were begun again, and what people asked."""
    said = []
    for d in study.decisions:
        match d.kind:
            case "noted" if "by" not in d.data:
                said.append(d.data["text"])
            case "trial_retried":
                said.append(f"trial {d.trial} was begun again (attempt {d.data['attempt']}): {d.data['reason']}")
            case "trial_continued":
                said.append(words.decision(study, d))
            case "study_resumed":
                said.append("the study went on after it had stopped")
            case _:
                pass
    for title, told in (("What else happened", said), ("What people asked and noted", words.by_people(study))):
        if told:
            yield f"## {title}"
            yield ""
            yield from (f"- {visible(text)}." for text in told)
            yield ""


def _trials(study: StudyRecord) -> Iterator[str]:
    for t in study.trials:
        yield f"## Trial {t.number}: {words.change(study, t)}"
        yield ""
        yield f"- Settings: {words.knobs(t.proposal.knobs)}; seed {t.seed}."
        yield f"- Why: {visible(t.proposal.why)}."
        if t.proposal.hypothesis is not None:
            yield f"- Hypothesis: {visible(words.hypothesis(t.proposal.hypothesis))}."
        if t.verdict is not None:
            yield f"- Verdict: {t.verdict.judgement}: {visible(t.verdict.why)}."
        if t.state not in (State.WAITING, State.REFUSED):
            values = ", ".join(f"{words.number(e.value)} (step {e.step})" for e in t.evaluations) or "never evaluated"
            yield f"- {study.spec.objective}: {values}."
        for f in t.findings:
            yield f"- {visible(words.finding(f))}."
        for text in words.by_people(study, t.number):
            yield f"- {visible(text)}."
        if t.state in (State.WAITING, State.REFUSED):
            yield f"- Result: {words.outcome(t)}{visible(f', {t.reason}' if t.reason else '')}."
        else:
            cost = f"{t.completions:,} completions, {words.duration(t.seconds)}"
            yield f"- Result: {words.outcome(t)}, {visible(t.reason)}; {cost}."
        yield ""
