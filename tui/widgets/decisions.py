"""The log of a study: what was decided when, and what was asked and not answered yet."""

from __future__ import annotations

import time
from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll

from diagnostics.text import visible
from studies import words
from studies.record import Decision, Judgement
from studies.requests import Request
from tui import theme
from tui.feed import Snapshot
from tui.widgets.words import Words

KINDS = {
    "trial_proposed": "bold",
    "trial_stopped": theme.WARNING,
    "trial_retried": theme.WARNING,
    "request_answered": theme.CHANGED,
    "noted": theme.INFO,
}


def asked_at(request: Request) -> float | None:
    """When a request was left (seconds since the epoch), which its id begins with; None for another's id."""
    head = request.id.partition("-")[0]
    return int(head) / 1e9 if head.isdecimal() and len(head) < 20 else None


def decisions(snapshot: Snapshot) -> Table:
    """The requests without an answer, then a line per decision, the newest first; for any width."""
    table = Table.grid(padding=(0, 1))
    table.add_column(width=8, no_wrap=True, style=theme.FAINT)
    table.add_column(ratio=1, overflow="fold")
    study = snapshot.study
    for request in reversed(snapshot.requests):
        at = asked_at(request)
        wait = "no answer yet" if snapshot.running else "no answer: nothing runs this study"
        told = f"{words.asked(request.action, request.trial)}: {wait}"
        table.add_row(_clock(at) if at else "", Text(told, style=f"bold {theme.CHANGED}"))
    for taken in reversed(study.decisions if study else ()):
        assert study is not None
        table.add_row(_clock(taken.time), Text(visible(words.decision(study, taken)), style=_style(taken)))
    return table


def _clock(seconds: float) -> str:
    try:
        return time.strftime("%H:%M:%S", time.localtime(seconds))
    except (ValueError, OverflowError, OSError):  # a time that no calendar has
        return "?"


def _style(taken: Decision) -> str:
    if taken.kind == "trial_judged" and taken.data.get("judgement") in list(Judgement):
        return theme.JUDGEMENTS[Judgement(taken.data["judgement"])]
    return KINDS.get(taken.kind, "")


class Decisions(VerticalScroll):
    """The log of the study."""

    ALLOW_MAXIMIZE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "scroll_down", "Scroll", key_display="↑↓"),
        Binding("up,k", "scroll_up", "Scroll up", show=False),
        Binding("enter", "screen.zoom_pane", "Zoom"),
    ]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._said: object = None

    def compose(self) -> ComposeResult:
        """A text that scrolls."""
        yield Words()

    def on_mount(self) -> None:
        """Say what it is."""
        self.border_title = "Log, the newest first"

    def show(self, snapshot: Snapshot) -> None:
        """Show all that was decided until now; a long log is laid out again only where it says something new."""
        count = len(snapshot.study.decisions) if snapshot.study else 0
        said = (count, snapshot.requests, snapshot.running)
        if said != self._said:
            self._said = said
            self.query_one(Words).update(decisions(snapshot))
