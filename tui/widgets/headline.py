"""The top of the screen: what is watched, how far it is, and how it stands."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text
from textual.widgets import Static

from diagnostics.finding import Severity
from diagnostics.report.words import amounts
from diagnostics.text import count, visible
from studies import words
from tui import theme
from tui.feed import Snapshot
from tui.log_feed import Logs
from tui.log_status import Run
from tui.log_status import status as log_status
from tui.replay import Playback
from tui.status import progress, status
from tui.watched import Watched
from tui.widgets.decisions import asked_at
from tui.widgets.logs import middle

REPLAY = "bold reverse"


def study_headline(directory: Path, snapshot: Snapshot | None, now: float, width: int) -> Text:
    """A line of `width` cells, and what there is to say, which may take more than one."""
    study = snapshot.study if snapshot else None
    right = Text(progress(snapshot, now) if snapshot else "")
    left = Text(visible(f"{study.spec.name}  {directory}" if study else str(directory)), style="bold")
    left.truncate(max(0, width - len(right.plain) - 1), overflow="ellipsis")
    first = Text.assemble(left, " " * max(1, width - left.cell_len - right.cell_len), right)
    stands = status(snapshot, now)
    extra = _extra(snapshot, now) if snapshot else ""
    second = Text.assemble((f" {stands.phase.upper()} ", theme.PHASES[stands.phase]), " ", extra, visible(stands.text))
    return Text("\n").join([first, second])


def _extra(snapshot: Snapshot, now: float) -> Text:
    """Requests that wait, and lines that could not be read."""
    extra = Text()
    for request in snapshot.requests if snapshot.running else ():
        at = asked_at(request)
        since = f", asked {words.duration(max(0.0, now - at))} ago" if at else ""
        told = words.asked(request.action, request.trial)
        extra.append(f"{told}: no answer yet{since}", style=f"bold {theme.CHANGED}").append("; ")
    if snapshot.study and snapshot.study.unreadable:
        extra.append(f"{count(snapshot.study.unreadable, 'line')} could not be read", style=theme.WARNING).append("; ")
    return extra


def log_headline(path: Path, logs: Logs, run: Run | None, now: float, width: int) -> Text:
    """A line of `width` cells, and what there is to say, which may take more than one."""
    stands = log_status(run, logs, now)
    worst = run.findings[0] if run and run.findings else None
    right = Text()
    if worst:
        right = Text(f"{worst.severity.name} {visible(worst.code)}", style=theme.SEVERITIES[worst.severity])
    if len(logs.logs) > 1:
        worst_of_each = [log.report.worst() for log in logs.logs if log.report]
        sick = amounts(severity for severity in worst_of_each if severity is not None and severity > Severity.INFO)
        right = Text(f"{count(len(logs.logs), 'log')}{f': {sick}' if sick else ''}")
        if logs.others:
            right.append(f", {count(len(logs.others), 'other file')}", style=theme.FAINT)
    left = Text(middle(visible(str(path)), max(0, width - right.cell_len - 1)), style="bold")
    first = Text.assemble(left, " " * max(1, width - left.cell_len - right.cell_len), right)
    unread = run.log.report.unread if run and run.log.report else ()
    second = Text.assemble(
        (f" {stands.phase.upper()} ", theme.PHASES[stands.phase]),
        " ",
        *((f"{visible(note)}; ", theme.WARNING) for note in unread),
        visible(stands.text),
    )
    return Text("\n").join([first, second])


def replayed(headline: Text, playback: Playback) -> Text:
    """The headline of what is replayed."""
    first, second = headline.split("\n")
    note = playback.note()
    told = Text(f"; {note}" if note else "", style=theme.FAINT)
    return Text("\n").join([first, Text.assemble((f" {playback.badge()} ", REPLAY), " ", second, told)])


class Headline(Static):
    """The top of the screen."""

    def __init__(self, path: Path, playback: Playback | None, *, id: str) -> None:
        super().__init__(id=id, markup=False)
        self._path, self._playback = path, playback
        self._told = Text()

    def show(self, watched: Watched, now: float) -> None:
        """Say how it stands at `now`."""
        width = self.size.width
        match watched.source:
            case Logs() as logs:
                run = watched.run.of if watched.run and isinstance(watched.run.of, Run) else None
                told = log_headline(self._path, logs, run, now, width)
            case snapshot:
                told = study_headline(self._path, snapshot, now, width)
        self._say(replayed(told, self._playback) if self._playback else told)

    def _say(self, told: Text) -> None:
        """Show `told`. Laying the screen out anew costs more than all else of a second, and needs another height."""
        before, self._told = self._told, told
        if told != before:
            width, console = max(1, self.size.width), self.app.console
            self.update(told, layout=len(told.wrap(console, width)) != len(before.wrap(console, width)))
