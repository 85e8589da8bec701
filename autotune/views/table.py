"""The trials of a study as a table, the curves of a run, its findings: what the terminal commands draw with rich."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from diagnostics.finding import Finding, Severity
from diagnostics.report.styles import STYLES
from diagnostics.text import sparkline, visible
from studies import words
from studies.record import State, StudyRecord
from studies.trial_log import TrialLog

STATES = {
    State.WAITING: "bold magenta",
    State.RUNNING: "bold cyan",
    State.COMPLETE: "green",
    State.PRUNED: "yellow",
    State.FAILED: "red",
    State.REFUSED: "dim",
}
# What a person looks at first, in this order; those that a run does not log are left out.
CURVES = (
    "validation_reward", "reward_mean", "kl.reference.k3.token", "entropy.token", "zero_std_share", "grad_norm",
)  # fmt: skip


def trials_table(study: StudyRecord, width: int) -> RenderableType:
    """One row per trial: what it changed, its validation curve, its result, its findings."""
    best = study.best()
    table = Table(
        title=f"{escape(study.spec.name)}  {escape(str(study.directory))}", title_justify="left", expand=False
    )
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("changed", ratio=1, overflow="fold")
    if width >= 70:
        table.add_column("curve", no_wrap=True)
    table.add_column(study.spec.objective.replace("_", "\n"), justify="right", no_wrap=True)
    if width >= 72:
        table.add_column("state", no_wrap=True)
    table.add_column("findings", overflow="fold")
    for trial in study.trials:
        row: list[RenderableType] = [
            Text(f"{'★ ' if best is trial else ''}{trial.number}", style="bold green" if best is trial else ""),
            Text(words.change(study, trial).replace(", ", "\n")),
        ]
        if width >= 70:
            row.append(Text(sparkline([e.value for e in trial.evaluations], 11), style="blue"))
        row.append(Text(f"{trial.value:+.3f}" if trial.value is not None else "-"))
        if width >= 72:
            row.append(Text(words.outcome(trial), style=STATES[trial.state]))
        row.append(_codes(trial.findings))
        table.add_row(*row)
    return table


def _codes(findings: Sequence[Finding]) -> Text:
    loud = [f for f in findings if f.severity >= Severity.WARNING]
    return Text(" ").join(Text(f.code, style=STYLES[f.severity]) for f in loud) if loud else Text("none", style="dim")


def curves(log: TrialLog, width: int) -> RenderableType:
    """The curves of one run that a person looks at first, each with its last value."""
    table = Table.grid(padding=(0, 2))
    for metric in CURVES:
        values = [value for _, value in log.curves.get(metric, [])]
        if values:
            curve = sparkline(values, max(8, min(48, width - 40)))
            table.add_row(Text(metric), Text(curve, style="blue"), Text(words.number(values[-1])))
    return table


def findings(found: Sequence[Finding]) -> RenderableType:
    """A line for each finding in the colour of its severity."""
    return Group(*(Text(visible(words.finding(f)), style=STYLES[f.severity]) for f in found))
