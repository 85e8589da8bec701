"""What dialogs share: a box in the middle of what they stand before, and their choices, which take keys and clicks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, TypeVar

from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import Static

Answer = TypeVar("Answer")


class Dialog(ModalScreen[Answer]):
    """Answers nothing where it is left."""

    DEFAULT_CSS = """
    Dialog { align: center middle; background: $background 60%; }
    Dialog > .box {
        width: 84; max-width: 96%; height: auto; max-height: 96%;
        padding: 1 2; border: heavy $accent; background: $panel;
    }
    Dialog .keys { color: $accent; height: auto; margin-top: 1; }
    Dialog .problem { color: $text-warning; height: auto; }
    Dialog Input { border: none; height: 1; padding: 0 1; background: $surface; }
    Dialog Input:focus { border: none; text-style: none; background: $background; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Not at all")]

    def action_leave(self) -> None:
        """Close it; nothing is asked."""
        self.dismiss(None)


class Keys(Static):
    """The choices below a dialog: the key of each, what it does, and the action that a click on it runs."""

    def __init__(self, choices: Mapping[str, tuple[str, str]]) -> None:
        lines = [Text.assemble((f" {key} ", "bold reverse"), f" {text}").copy() for key, (text, _) in choices.items()]
        for line, (_, action) in zip(lines, choices.values(), strict=True):
            line.stylize(Style(meta={"@click": f"screen.{action}"}))
        short = sum(line.cell_len + 3 for line in lines) < 70
        super().__init__(Text("   " if short else "\n").join(lines), markup=False, classes="keys")
