"""The keys, and what the signs on the screen mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from tui.keys import Row
from tui.screens.dialog import Dialog, Keys

SIGNS = {
    "━━F━": "below a plot: where a finding holds, and the step at which it could first be known",
    "I W E F": "info, warning, error, fatal: a fatal run cannot recover",
    "×": "a value that is no finite number",
    "dotted": "the curve of the run that this one is compared with; m marks another one",
    "◆": "a setting was changed while the run went on, and its new value",
}
STUDY_SIGNS = {
    "★": "the best trial so far, the one to recommend",
    **SIGNS,
    "stale": "a trial has been silent for much longer than its steps take",
    "killed": "no process runs the study, and its record has no end",
}
LOG_SIGNS = {
    **SIGNS,
    "segment": "a log whose steps begin anew holds several runs, each judged by itself",
    "quiet": "nobody has written to the log for five minutes, and it does not say that its run is over",
}
MOUSE = {
    "click": "choose a screen, a trial, a plot, a key below; twice on a plot: the whole screen",
    "drag": "select text, for y to copy; on one large plot: show these steps",
    "wheel": "scroll; on one large plot: fewer or more steps around the mouse",
    "y": "copies through the terminal, over ssh too; tmux passes it on after: tmux set -g set-clipboard on",
}


def _table(rows: Iterable[Row]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="bold", min_width=9)
    table.add_column(ratio=1)
    for name, meaning in rows:
        table.add_row(Text(name), Text(meaning))
    return table


class Help(Dialog[None]):
    """The keys by `groups`, then signs; closed by any of the keys that one would try."""

    DEFAULT_CSS = """
    Help > .box { height: 96%; padding: 1 1 0 2; }
    Help VerticalScroll { height: 1fr; scrollbar-size-vertical: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,enter", "leave", "Back")]

    def __init__(self, groups: Mapping[str, list[Row]], signs: Mapping[str, str]) -> None:
        super().__init__()
        self._sections = {**groups, "Mouse and clipboard": list(MOUSE.items()), "Signs": list(signs.items())}

    def compose(self) -> ComposeResult:
        """Keys first."""
        with Vertical(classes="box"):
            with VerticalScroll():
                for number, (title, rows) in enumerate(self._sections.items()):
                    yield Static(Text(f"{'' if not number else chr(10)}{title}", style="bold underline"))
                    yield Static(_table(rows))
            yield Keys({"esc": ("back", "leave")})
