"""A study as a live screen: the trials, the curves of the one that runs, findings, and how long it will take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from diagnostics.events import Event
from diagnostics.finding import Finding, Severity
from diagnostics.report.terminal import STYLES
from diagnostics.text import sparkline, visible
from studies import words
from studies.record import State, StudyRecord, TrialRecord
from studies.spec import StudySpec
from studies.trial_log import TrialLog

STATES = {State.RUNNING: "bold cyan", State.COMPLETE: "green", State.PRUNED: "yellow", State.FAILED: "red"}
# What a person looks at first, in this order; those that a run does not log are left out.
CURVES = (
    "validation_reward", "reward_mean", "kl.reference.k3.token", "entropy.token", "zero_std_share", "grad_norm",
)  # fmt: skip
REFRESH_PER_SECOND = 4


class LiveView:
    """The screen; a context manager. After it the last state stays in the terminal's scrollback."""

    def __init__(self, spec: StudySpec, directory: Path, console: Console) -> None:
        self._study = StudyRecord(directory, spec)
        self._log: TrialLog | None = None
        self._began = time.monotonic()
        self._console = console
        self._live = Live(console=console, refresh_per_second=REFRESH_PER_SECOND, get_renderable=self.screen)

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def began(self, trial: TrialRecord) -> None:
        """Show the trial and its reason."""
        self._study = self._study.with_trial(trial)

    def moved(self, trial: TrialRecord, log: TrialLog, events: Sequence[Event]) -> None:
        """Show how far it is."""
        self._log = log
        self._study = self._study.with_trial(trial)

    def ended(self, trial: TrialRecord) -> None:
        """Show what became of it."""
        self._log = None
        self._study = self._study.with_trial(trial)

    def screen(self) -> RenderableType:
        """What stands on the screen now."""
        width = self._console.width
        parts: list[RenderableType] = [trials_table(self._study, width)]
        if self._study.trials:
            now = self._study.trials[-1]
            parts.append(_reason(self._study, now))
            if self._log is not None:
                parts.append(curves(self._log, width))
            if now.findings:
                parts.append(findings(now.findings))
        parts.append(self._progress(width))
        return Group(*parts)

    def _progress(self, width: int) -> RenderableType:
        spec, trials = self._study.spec, self._study.trials
        done = [t for t in trials if t.state is not State.RUNNING]
        running = [t for t in trials if t.state is State.RUNNING and t.max_steps]
        total = len(done) + sum(t.steps / t.max_steps for t in running)
        elapsed = time.monotonic() - self._began
        left = (
            f", about {words.duration(elapsed / total * (spec.trials - total))} left"
            if 0.2 < total < spec.trials
            else ""
        )
        line = Table.grid(padding=(0, 1))
        line.add_row(
            ProgressBar(total=spec.trials, completed=total, width=max(10, min(40, width - 44))),
            Text(
                f"{len(done)}/{spec.trials} trials, {words.duration(elapsed)}{left}", no_wrap=True, overflow="ellipsis"
            ),
        )
        return line


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


def _reason(study: StudyRecord, trial: TrialRecord) -> RenderableType:
    lines = [Text.assemble(("why ", "bold"), visible(trial.proposal.why))]
    if trial.proposal.hypothesis is not None:
        lines.append(Text.assemble(("hypothesis ", "bold"), visible(words.hypothesis(trial.proposal.hypothesis))))
    return Panel(Group(*lines), title=f"trial {trial.number}: {escape(words.change(study, trial))}", title_align="left")


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
