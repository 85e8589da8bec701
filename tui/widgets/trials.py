"""The table of trials: what each changed, how it stands, its score, its worst finding, its verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual.binding import Binding, BindingType

from diagnostics.finding import Severity
from diagnostics.text import sparkline, visible
from studies import words
from studies.record import State, StudyRecord, TrialRecord
from studies.trial import Knob
from tui import theme
from tui.feed import Snapshot
from tui.widgets.row_table import Column, Row, RowTable, cut

CURVE = 12  # cells
# Cells from which on there is room for the curve, for the name of a finding and its onset, for whole states.
WITH_CURVE, WITH_NAME, WITH_STATE = 84, 112, 120
CHANGED = 40  # cells that what was changed keeps where knobs have columns of their own
KNOB = (9, 16)  # cells of such a column, at least and at most


def columns(width: int, knobs: Sequence[str] = ()) -> list[Column]:
    """Names and widths of the columns, a blank behind each included; `changed` takes what is left.

    Where that is much, as many of `knobs` as fit have columns of their own.
    """
    fixed = [
        ("state", 21 if width >= WITH_STATE else 15),
        ("curve", CURVE + 1),
        ("score", 8),
        ("finding", 32 if width >= WITH_NAME else 8),
        ("verdict", 10),
    ]
    if width < WITH_CURVE:
        del fixed[1]
    number = 5
    left = width - number - sum(cells for _, cells in fixed)
    own = []
    for knob in knobs:
        cells = min(KNOB[1], max(KNOB[0], cell_len(visible(knob)) + 1))
        if left - cells < CHANGED:
            break
        own.append((knob, cells))
        left -= cells
    return [("#", number), ("changed", max(8, left)), *own, *fixed]


def row(study: StudyRecord, trial: TrialRecord, wanted: Sequence[Column], *, star: bool, running: bool) -> Row:
    """The cells of a trial under the columns `wanted`; `star` says that it is the best, `running` that the study is."""
    before = _before(study, trial)
    cells = []
    for name, room in wanted:
        match name:
            case "#":
                cell = Text(f"{trial.number} ★" if star else f"{trial.number}", style=theme.BEST if star else "")
            case "changed":
                cell = Text(_changed(study, trial, room - 1))
            case "state":
                cell = _state(trial, running)
            case "curve":
                cell = Text(sparkline([e.value for e in trial.evaluations], CURVE), style=theme.OWN)
            case "score":
                cell = Text(_score(trial.value))
            case "finding":
                cell = _worst(trial, room)
            case "verdict":
                cell = _verdict(trial)
            case knob:
                value = trial.proposal.knobs.get(knob)
                same = value == before.get(knob)
                cell = Text(visible(words.number(value)), style=theme.FAINT if same else "")
        cells.append(cut(cell, room - 1))
    return tuple(cells)


def _before(study: StudyRecord, trial: TrialRecord) -> Mapping[str, Knob]:
    """The knobs of the trial that it was changed from, else those that the study starts from."""
    parent = study.trial(trial.proposal.parent)
    return parent.proposal.knobs if parent else study.spec.start


def _changed(study: StudyRecord, trial: TrialRecord, room: int) -> str:
    """What a trial changed; where there is no room for that, what it changed it to."""
    told = visible(words.change(study, trial))
    changes = study.changes(trial)
    if cell_len(told) <= room or not changes:
        return told
    return visible(", ".join(f"{knob} {words.number(after)}" for knob, (_, after) in changes.items()))


def varied(study: StudyRecord) -> list[str]:
    """The knobs of which more than one value was tried, those first of which the most were."""
    values = {knob: {t.proposal.knobs.get(knob) for t in study.trials} for knob in study.spec.space}
    return sorted((knob for knob in values if len(values[knob]) > 1), key=lambda knob: -len(values[knob]))


def _score(value: float | None) -> str:
    return f"{value:+.3f}" if value is not None and abs(value) < 1000 else words.number(value)


def _state(trial: TrialRecord, running: bool) -> Text:
    share = f"{trial.steps}/{trial.max_steps}" if trial.max_steps else f"{trial.steps}"
    style = theme.STATES[trial.state]
    if trial.state is State.RUNNING and not running:
        return Text(f"cut at {share}" if trial.max_steps else "cut off", style=theme.BAD)
    if trial.state is State.RUNNING and trial.paused:
        return Text(f"paused {share}", style=f"bold {theme.CHANGED}")
    if trial.state is State.WAITING:
        return Text("waits for you" if running else "never began", style=style)
    return Text(words.outcome(trial), style=style)


def _worst(trial: TrialRecord, room: int) -> Text:
    worst = trial.findings[0] if trial.findings else None
    if worst is None or worst.severity < Severity.WARNING:
        return Text("none" if trial.steps else "-", style=theme.FAINT)
    more = f" {visible(worst.name)} from {worst.first_step}" if room > 8 else ""
    return Text(f"{worst.severity.name[0]} {visible(worst.code)}{more}", style=theme.SEVERITIES[worst.severity])


def _verdict(trial: TrialRecord) -> Text:
    if trial.verdict is None:
        return Text("-", style=theme.FAINT)
    return Text(str(trial.verdict.judgement), style=theme.JUDGEMENTS[trial.verdict.judgement])


class Trials(RowTable):
    """The trials of a study; the highlighted row is the selected trial."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "cursor_down", "Trial", key_display="↑↓"),
        Binding("up,k", "cursor_up", "Trial before", show=False),
        Binding("enter", "app.turn('run')", "Open", tooltip="The curves of the selected trial"),
    ]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.border_title = "Trials"
        self._snapshot = Snapshot()
        self._best: tuple[object, TrialRecord | None] = None, None  # of those that have ended
        self._rows: dict[int, tuple[object, Row]] = {}  # what each was made of, and it

    def show(self, snapshot: Snapshot) -> None:
        """Bring the table up to date; the highlighted row stays."""
        self._snapshot = snapshot
        self.refill()

    def refill(self) -> None:
        """Bring the table up to date for the width that it has; only what is new is put into words."""
        width, study = self.scrollable_content_region.width, self._snapshot.study
        if not width or study is None:
            return
        over = tuple(t for t in study.trials if t.state not in (State.RUNNING, State.WAITING))
        if self._best[0] != over:
            self._best = over, study.best()
        wanted = columns(width, varied(study))
        self.fill(wanted, [self._row(study, trial, wanted) for trial in study.trials])

    def _row(self, study: StudyRecord, trial: TrialRecord, wanted: list[Column]) -> Row:
        star, running = trial is self._best[1], self._snapshot.running
        made_of = trial, star, running, wanted
        known = self._rows.get(trial.number)
        if known is None or known[0] != made_of:
            made = row(study, trial, wanted, star=star, running=running)
            known = self._rows[trial.number] = made_of, made
        return known[1]
