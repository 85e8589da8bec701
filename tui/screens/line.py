"""A dialog that takes one line of text: a note, a reason, the name of a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Checkbox, Input, Static

from studies.requests import LONGEST
from tui.screens.dialog import Answer, Dialog, Keys


class Line(Dialog[Answer]):
    """`answer` makes of the text, and of whether `option` is chosen, what the dialog answers.

    `check` says in one line what is wrong with a text, and nothing where it can be taken; `tell` what will be done.
    """

    DEFAULT_CSS = """
    Line Input { margin-top: 1; }
    Line Checkbox { border: none; padding: 0; margin-top: 1; background: $panel; }
    Line Checkbox:focus { border: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "app.focus_next", "Next", show=False),
        Binding("up", "app.focus_previous", "Before", show=False),
    ]

    def __init__(
        self,
        title: str,
        answer: Callable[[str, bool], Answer],
        *,
        doing: str,
        value: str = "",
        placeholder: str = "",
        option: str = "",
        check: Callable[[str], str] = lambda _: "",
        tell: Callable[[str], str] = lambda _: "",
    ) -> None:
        super().__init__()
        self._title, self._answer, self._doing = title, answer, doing
        self._value, self._placeholder, self._option = value, placeholder, option
        self._check, self._tell = check, tell

    def compose(self) -> ComposeResult:
        """What is asked for, the line, what is wrong with it, the keys."""
        with VerticalScroll(classes="box", can_focus=False):
            yield Static(self._title, markup=False)
            yield Input(self._value, placeholder=self._placeholder, max_length=LONGEST, select_on_focus=False)
            if self._option:
                yield Checkbox(self._option, value=True)
            yield Static(markup=False, classes="problem")
            yield Keys({"enter": (self._doing, "take"), "esc": ("not at all", "leave")})

    def on_mount(self) -> None:
        """Begin to write."""
        self.set_focus(self.query_one(Input))
        self._changed()

    @on(Input.Changed)
    def _changed(self) -> None:
        text = self.query_one(Input).value
        problem = self._check(text)
        # What is not begun is not wrong yet.
        self.query_one(".problem", Static).update((problem if text else "") or self._tell(text))

    @on(Input.Submitted)
    def action_take(self) -> None:
        """Answer with the text, where it can be taken."""
        text = self.query_one(Input).value
        problem = self._check(text)
        if problem:
            self.query_one(".problem", Static).update(problem)
            return
        self.dismiss(self._answer(text.strip(), any(box.value for box in self.query(Checkbox))))
