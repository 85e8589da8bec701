"""Writes a diagnosis back to the run on wandb's server: an alert, fields of its summary, and a part of its notes.

The fields are those that `AutotuneCallback` sets while a run goes on. Nothing is written twice: what was said of a
finding before is known from these fields, and the note of an earlier diagnosis is replaced.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from diagnostics.errors import UserError
from diagnostics.finding import Finding, Report, Severity
from diagnostics.readers.wandb_remote import GOES_ON
from diagnostics.report.words import amounts, line, short
from diagnostics.stores.wandb_client import Client
from diagnostics.stores.wandb_names import Where
from diagnostics.text import count

WORST, FINDINGS, OURS = "autotune/worst", "autotune/findings", "autotune/"
BEGIN, END = "[autotune diagnose]", "[/autotune diagnose]"  # around our part of the notes; what a person wrote stays
HELD_BACK = 60 * 1_000_000_000  # ns in which an alert of the same title is sent once, should an answer get lost
_CODE = re.compile(r"[A-Z]{2,8}\d{3}")
_LEVELS = {Severity.WARNING: "WARN", Severity.ERROR: "ERROR", Severity.FATAL: "ERROR"}

# As the SDK asks.
_WRITE = """mutation UpsertBucket($id: String, $summaryMetrics: JSONString, $notes: String) {
    upsertBucket(input: {id: $id, summaryMetrics: $summaryMetrics, notes: $notes}) { bucket { id } }
}"""
_ALERT = """mutation NotifyScriptableRunAlert($entityName: String!, $projectName: String!, $runName: String!,
        $title: String!, $text: String!, $severity: AlertSeverity = INFO, $waitDuration: Duration) {
    notifyScriptableRunAlert(input: {entityName: $entityName, projectName: $projectName, runName: $runName,
            title: $title, text: $text, severity: $severity, waitDuration: $waitDuration}) { success }
}"""


def annotate(client: Client, where: Where, told: Mapping[str, Any], report: Report) -> str:
    """Write `report` to the run that the server describes by `told`; what was written, in a line. UserError where not.

    A run that still goes on is left alone: its own process writes the whole summary again and again.
    """
    if str(told.get("state")) in GOES_ON:
        hint = "While a run goes on AutotuneCallback writes there."
        raise UserError(f"{where.shown} still goes on, and would write over what is written to it", hint)
    summary = _read(told.get("summaryMetrics"))
    fields = _fields(report)
    kept = {name: value for name, value in summary.items() if not _ours(name)}
    id, notes = told.get("id"), told.get("notes") or ""
    if not isinstance(id, str) or not isinstance(notes, str):  # without an id it would be written to a new run
        raise UserError(
            f"{client.host} does not say all of {where.shown} that is to be written", "Look at the address."
        )
    note = _noted(notes, short(report))
    new = [f for f in report.findings if f.severity in _LEVELS and not _known(f, summary)]
    if kept | fields == summary and note == notes:
        return f"{where.shown} says all of it already: nothing was written"
    if new:
        _alert(client, where, report, new)
    client.ask(_WRITE, id=id, summaryMetrics=json.dumps(kept | fields), notes=note)
    alert = [f"an alert ({count(len(new), 'new finding')})"] if new else []
    return f"wrote to {where.shown}: {', '.join([*alert, count(len(fields), 'field') + ' of its summary', 'a note'])}"


def _fields(report: Report) -> dict[str, Any]:
    """The fields of the summary: the worst severity, how many findings, and of each code the worst one."""
    found = sorted(report.findings, key=lambda f: f.severity)
    worst = report.worst()
    lines = {OURS + finding.code: line(finding) for finding in found}
    return {WORST: worst.name.lower() if worst is not None else "none", FINDINGS: len(found), **lines}


def _ours(name: str) -> bool:
    return name in (WORST, FINDINGS) or (name.startswith(OURS) and bool(_CODE.fullmatch(name.removeprefix(OURS))))


def _known(finding: Finding, summary: Mapping[str, Any]) -> bool:
    """Whether the summary tells of this finding: its severity, code and step, however the sentence goes on."""
    said = summary.get(OURS + finding.code)
    return isinstance(said, str) and said.partition(":")[0] == line(finding).partition(":")[0]


def _alert(client: Client, where: Where, report: Report, new: list[Finding]) -> None:
    worst = max(finding.severity for finding in new)
    client.ask(
        _ALERT,
        entityName=where.entity,
        projectName=where.project,
        runName=where.run,
        title=f"autotune: {amounts(f.severity for f in report.findings)} in {where.run}",
        text="\n".join(map(line, new)),
        severity=_LEVELS[worst],
        waitDuration=HELD_BACK,
    )


def _noted(notes: str, text: str) -> str:
    """`notes` with `text` in our part of them, which is made at their end where there is none yet."""
    ours = f"{BEGIN}\n{text}\n{END}"
    before, begin, rest = notes.partition(BEGIN)
    _, end, after = rest.partition(END)
    if begin and end:
        return f"{before}{ours}{after}"
    return f"{notes.rstrip()}\n\n{ours}" if notes.strip() else ours


def _read(summary: Any) -> dict[str, Any]:
    """The summary in JSON. UserError for what is none: it would be lost."""
    try:
        read = json.loads(summary or "{}") if isinstance(summary, str | None) else summary
    except ValueError:
        read = None
    if not isinstance(read, dict):
        raise UserError(
            "the summary of the run cannot be read, and would be written over", "Write what was found there."
        )
    return read
