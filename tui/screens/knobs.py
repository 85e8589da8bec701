"""A dialog for a trial with changed knobs: those of a trial, each checked as the loop will check it, while typing."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Input, Static

from diagnostics.errors import UserError
from diagnostics.text import visible
from studies.record import StudyRecord, TrialRecord
from studies.requests import LONGEST, Action
from studies.space import check_knob, typed
from studies.trial import Knob
from tui.actions import Ask
from tui.screens.dialog import Dialog, Keys


class KnobForm(Dialog[Ask]):
    """The knobs of `trial`, a line for each, with the values that it may have."""

    DEFAULT_CSS = """
    KnobForm #rows { height: auto; max-height: 1fr; margin-top: 1; }
    KnobForm .row { height: 1; }
    KnobForm .knob { width: 22; height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    KnobForm Input { width: 18; margin-right: 1; }
    KnobForm #why { width: 1fr; }
    KnobForm .box > .row { margin-top: 1; }
    KnobForm .space { width: 1fr; height: 1; text-wrap: nowrap; text-overflow: ellipsis; color: $text-muted; }
    KnobForm .problem { min-height: 2; margin-top: 1; }
    KnobForm .keys { margin-top: 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "app.focus_next", "Next knob", show=False),
        Binding("up", "app.focus_previous", "Knob before", show=False),
    ]

    def __init__(self, study: StudyRecord, trial: TrialRecord) -> None:
        super().__init__()
        self._space, self._trial = study.spec.space, trial
        known = {**study.spec.start, **trial.proposal.knobs}
        self._before: dict[str, Knob] = {knob: known[knob] for knob in self._space if knob in known}

    def compose(self) -> ComposeResult:
        """A line for each knob, what would be asked for, the keys."""
        with VerticalScroll(classes="box", can_focus=False):
            title = f"Run trial {self._trial.number} once more, with other knobs: it is the next to begin."
            yield Static(title, markup=False)
            with VerticalScroll(id="rows", can_focus=False):
                for knob, value in self._before.items():
                    with Horizontal(classes="row"):
                        yield Static(visible(knob), markup=False, classes="knob")
                        yield Input(str(value), select_on_focus=False)
                        yield Static(visible(str(self._space[knob])), markup=False, classes="space")
            with Horizontal(classes="row"):
                yield Static("why", classes="knob")
                yield Input(id="why", placeholder="may stay empty", max_length=LONGEST)
            yield Static(markup=False, classes="problem")
            yield Keys({"enter": ("ask for it", "take"), "esc": ("not at all", "leave")})

    def on_mount(self) -> None:
        """Begin with the first knob."""
        self.set_focus(self.query(Input).first())
        self._changed()

    def changes(self) -> dict[str, Knob]:
        """The knobs that are not as they were. UserError where one is outside its space."""
        changed = {}
        for (knob, before), field in zip(self._before.items(), self.query("#rows Input").results(Input), strict=True):
            written = field.value.strip()
            value = check_knob(knob, typed(written) if written != str(before) else before, self._space, "as it stands")
            if value != before:
                changed[knob] = value
        return changed

    @on(Input.Changed)
    def _changed(self) -> None:
        try:
            said = ", ".join(f"{knob} {self._before[knob]} → {value}" for knob, value in self.changes().items())
        except UserError as error:
            said = str(error)
        self.query_one(".problem", Static).update(visible(said) or "nothing is changed yet")

    @on(Input.Submitted)
    def action_take(self) -> None:
        """Ask for it, where every knob is inside its space and one is changed."""
        try:
            changes = self.changes()
        except UserError:  # which is said already
            return
        if changes:
            why = self.query_one("#why", Input).value.strip()
            self.dismiss(Ask(Action.TRY, self._trial.number, changes, why))
