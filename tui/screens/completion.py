"""One completion on the whole screen, with its prompt."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Footer, Static

from diagnostics.samples import Group
from diagnostics.text import visible
from tui.screens.shown import Shown
from tui.watched import Watched
from tui.widgets.completions import FAINT, about, lines_of, standing, written


class Completion(Shown):
    """The completion of that `index` among those of `group`; left and right turn to the others."""

    DEFAULT_CSS = """
    Completion VerticalScroll { border-top: heavy $accent; border-title-color: $accent; padding: 0 1;
        scrollbar-size-vertical: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "dismiss", "Back", key_display="esc"),
        Binding(
            "right,l",
            "turn(1)",
            "Completion",
            key_display="←→",
            priority=True,
            tooltip="The next completion of the group",
        ),
        Binding("left,h", "turn(-1)", "Completion before", show=False, priority=True),
    ]

    def __init__(self, group: Group, step: int, index: int, needle: str) -> None:
        super().__init__()
        self._group, self._step, self._index, self._needle = group, step, index, needle

    def compose(self) -> ComposeResult:
        """The text, the keys."""
        with VerticalScroll():
            yield Static(markup=False)
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Show it."""
        self.query_one(VerticalScroll).focus()
        self._show()

    def show(self, watched: Watched) -> None:
        """A text that somebody reads stays, whatever comes."""

    def _show(self) -> None:
        all_of_them = standing(self._group)
        sample, times, stands = all_of_them[self._index]
        prompt = Text.assemble(("prompt\n", FAINT), lines_of(sample.prompt, self._needle), "\n")
        text = Text.assemble(("completion\n", FAINT), written(sample, self._needle))
        box = self.query_one(VerticalScroll)
        where = f"step {self._step}, {self._group.split}: {self._index + 1} of {len(all_of_them)}"
        box.border_title = Text(visible(where))
        self.query_one(Static).update(Text("\n").join([*about(sample, times, stands), Text(), prompt, text]))
        box.scroll_home(animate=False)

    def action_turn(self, step: int) -> None:
        """To another completion of the group."""
        self._index = (self._index + step) % len(standing(self._group))
        self._show()
