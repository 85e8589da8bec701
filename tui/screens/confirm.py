"""A question before something that costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from tui.screens.dialog import Answer, Dialog, Keys


class Confirm(Dialog[Answer]):
    """`choices` are, by the keys y and a, in words and as the answer; return alone confirms nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "choose('y')", "Yes"),
        Binding("a", "choose('a')", "After"),
        Binding("n,q", "leave", "No"),
    ]

    def __init__(self, question: str, choices: Mapping[str, tuple[str, Answer]]) -> None:
        super().__init__()
        self._question, self._choices = question, choices

    def compose(self) -> ComposeResult:
        """The question and the keys."""
        keys = {key: (text, f"choose('{key}')") for key, (text, _) in self._choices.items()}
        with VerticalScroll(classes="box", can_focus=False):
            yield Static(self._question, markup=False)
            yield Keys({**keys, "n": ("not at all", "leave")})

    def action_choose(self, key: str) -> None:
        """Answer with the choice of that key, where it is one."""
        if key in self._choices:
            self.dismiss(self._choices[key][1])
