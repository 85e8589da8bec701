"""The top of the screen: which study it is, how far, and how it stands."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text
from textual.widgets import Static

from diagnostics.text import visible
from studies import words
from tui.feed import Snapshot
from tui.status import Phase, progress, status
from tui.widgets.decisions import asked_at

STYLES = {
    Phase.READING: "bold white on blue",
    Phase.WAITING: "bold white on blue",
    Phase.EMPTY: "bold white on blue",
    Phase.RUNNING: "bold black on cyan",
    Phase.STALE: "bold black on yellow",
    Phase.QUIET: "bold black on yellow",
    Phase.FINISHED: "bold black on green",
    Phase.INTERRUPTED: "bold black on yellow",
    Phase.FAILED: "bold white on red",
    Phase.KILLED: "bold white on red",
    Phase.TROUBLE: "bold white on red",
}


def headline(directory: Path, snapshot: Snapshot | None, now: float, width: int) -> Text:
    """A line of `width` cells, and what there is to say, which may take more than one."""
    study = snapshot.study if snapshot else None
    right = Text(progress(snapshot, now) if snapshot else "")
    left = Text(visible(f"{study.spec.name}  {directory}" if study else str(directory)), style="bold")
    left.truncate(max(0, width - len(right.plain) - 1), overflow="ellipsis")
    first = Text.assemble(left, " " * max(1, width - left.cell_len - right.cell_len), right)
    stands = status(snapshot, now)
    extra = _extra(snapshot, now) if snapshot else ""
    second = Text.assemble((f" {stands.phase.upper()} ", STYLES[stands.phase]), " ", extra, visible(stands.text))
    return Text("\n").join([first, second])


def _extra(snapshot: Snapshot, now: float) -> Text:
    """Requests that wait, and lines that could not be read."""
    extra = Text()
    for request in snapshot.requests if snapshot.running else ():
        at = asked_at(request)
        since = f", asked {words.duration(max(0.0, now - at))} ago" if at else ""
        told = words.asked(request.action, request.trial)
        extra.append(f"{told}: no answer yet{since}", style="bold magenta").append("; ")
    if snapshot.study and snapshot.study.unreadable:
        extra.append(f"{snapshot.study.unreadable} lines could not be read", style="yellow").append("; ")
    return extra


class Headline(Static):
    """The top of the screen."""

    def __init__(self, directory: Path, *, id: str) -> None:
        super().__init__(id=id, markup=False)
        self._directory = directory

    def show(self, snapshot: Snapshot | None, now: float) -> None:
        """Say how it stands at `now`."""
        self.update(headline(self._directory, snapshot, now, self.size.width))
