"""The keys, and what the signs on the screen mean."""

from __future__ import annotations

from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

STUDY_KEYS = {
    "up down, j k": "select a trial; in another pane: scroll it, or choose a plot",
    "tab": "to the next pane: trials, the trial in words, its curves, the log",
    "enter": "the chosen plot, or the pane, on the whole screen; escape goes back",
    "b": "show or hide, in grey, the trial from which this one was changed",
    "s": "ask the study to stop after the running steps",
    "x": "ask the selected trial to stop after its step",
    "q": "leave; the study goes on",
    "ctrl+c": "leave; if this terminal started the study, interrupt it",
}
SIGNS = {
    "━━F━": "below a plot: where a finding holds, and the step at which it could first be known",
    "I W E F": "info, warning, error, fatal: a fatal run cannot recover",
    "×": "a value that is no finite number",
}
STUDY_SIGNS = {
    "★": "the best trial so far, the one to recommend",
    **SIGNS,
    "stale": "a trial has been silent for much longer than its steps take",
    "killed": "no process runs the study, and its record has no end",
}
LOG_KEYS = {
    "up down, j k": "select a log; in another pane: scroll it, or choose a plot",
    "tab": "to the next pane: the logs (where there are several), the log in words, its curves",
    "enter": "the chosen plot, or the pane, on the whole screen; escape goes back",
    "q, ctrl+c": "leave; whatever writes the logs goes on",
}
LOG_SIGNS = {
    **SIGNS,
    "segment": "a log whose steps begin anew holds several runs, each judged by itself",
    "quiet": "nobody has written to the log for five minutes, and it does not say that its run is over",
}


def _table(rows: dict[str, str]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(ratio=1)
    for name, meaning in rows.items():
        table.add_row(Text(name), Text(meaning))
    return table


class Help(ModalScreen[None]):
    """Closed by any of the keys that one would try."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,enter", "dismiss", "Back")]

    def __init__(self, keys: dict[str, str], signs: dict[str, str]) -> None:
        super().__init__()
        self._keys, self._signs = keys, signs

    def compose(self) -> ComposeResult:
        """Keys first."""
        with VerticalScroll(classes="box"):
            yield Static(Text("Keys", style="bold underline"))
            yield Static(_table(self._keys))
            yield Static(Text("\nSigns", style="bold underline"))
            yield Static(_table(self._signs))
            yield Static("\nescape back", markup=False, classes="keys")
