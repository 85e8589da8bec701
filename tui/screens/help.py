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

KEYS = {
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
    "★": "the best trial so far, the one to recommend",
    "━━F━": "below a plot: where a finding holds, and the step at which it could first be known",
    "I W E F": "info, warning, error, fatal: a fatal run cannot recover",
    "×": "a value that is no finite number",
    "stale": "a trial has been silent for much longer than its steps take",
    "killed": "no process runs the study, and its record has no end",
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

    def compose(self) -> ComposeResult:
        """Keys first."""
        with VerticalScroll(classes="box"):
            yield Static(Text("Keys", style="bold underline"))
            yield Static(_table(KEYS))
            yield Static(Text("\nSigns", style="bold underline"))
            yield Static(_table(SIGNS))
            yield Static("\nescape back", markup=False, classes="keys")
