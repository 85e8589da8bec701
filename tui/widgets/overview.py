"""What a study has come to: the best so far against the start, what is tried now and why, what was learned of knobs."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text
from textual.geometry import Size
from textual.widget import Widget

from diagnostics.text import visible
from studies import words
from studies.record import State, StudyRecord, TrialRecord
from tui import theme
from tui.widgets.row_table import cut

LABEL = 8  # cells, a blank included
VALUES = 6  # of a knob, that are told apart
Part = tuple[str, Text]


def overview(study: StudyRecord, most: int, *, running: bool = True) -> list[Part]:
    """At most `most` lines with their labels, the most important ones; in the order of reading."""
    best, now, learned = [_best(study)], list(_now(study)) if running else [], list(_learned(study))
    room = most - len(best)
    if room < len(now):  # one line for all that runs
        now = [("now", Text("; ".join(text.plain for label, text in now if label == "now")))]
    return [*best, *now, *learned[: max(0, room - len(now))]][:most]


def _best(study: StudyRecord) -> Part:
    """The best so far, its lead on the start, and what is set otherwise than there."""
    best, start = study.best(), _start(study)
    objective, was = visible(study.spec.objective), _worth(study, start)
    if best is None:
        ended = (t for t in study.trials if t.state is not State.RUNNING and t.value is not None)
        highest = max(ended, key=lambda t: t.value or 0.0, default=None)
        reached = f"; the highest is trial {highest.number}, {_worth(study, highest)}" if highest else ""
        return "best", Text(f"none yet has ended well{reached}", style=theme.FAINT)
    knobs = ", ".join(
        f"{knob} {words.number(study.spec.start.get(knob))} → {words.number(value)}"
        for knob, value in best.proposal.knobs.items()
        if value != study.spec.start.get(knob)
    )
    lead = f" (start: {was})" if start and start.proposal.knobs != best.proposal.knobs else ""
    return "best", Text.assemble(
        (f"★ trial {best.number}", theme.BEST),
        f", {objective} ",
        (words.result(study, best), theme.BEST),
        lead,
        f": {visible(knobs)}" if knobs else ": the settings of the start",
    )


def _start(study: StudyRecord) -> TrialRecord | None:
    """The trial with the settings that the study starts from: the recorded run, where there is one."""
    return study.recorded or next((t for t in study.trials if t.proposal.knobs == study.spec.start), None)


def _worth(study: StudyRecord, trial: TrialRecord | None) -> str:
    if trial is None:
        return "-"
    stopped = ", stopped" if trial.state is State.PRUNED else ""
    return f"{words.result(study, trial) if trial.value is not None else 'no score'}{stopped}"


def _now(study: StudyRecord) -> Iterator[Part]:
    """What runs or waits, why, and what it will be judged by."""
    under_way = [t for t in study.trials if t.state in (State.RUNNING, State.WAITING)]
    for trial in under_way:
        lead = "tries" if trial.state is State.RUNNING else "would try"
        told = f"trial {trial.number} {lead} {words.change(study, trial)}: {trial.proposal.why}"
        if trial.proposal.parent is None and trial.proposal.knobs == study.spec.start:  # nothing is changed yet
            told = f"trial {trial.number} {lead} what the study starts with: {words.knobs(study.spec.start)}"
        yield "now", Text(visible(told))
        if trial.proposal.hypothesis is not None and len(under_way) == 1:
            yield "judged", Text(visible(_judged(study, trial)), style=theme.FAINT)


def _judged(study: StudyRecord, trial: TrialRecord) -> str:
    claim, parent = trial.proposal.hypothesis, trial.proposal.parent
    assert claim is not None
    moves = "rises" if claim.direction == "up" else "falls"
    by = f" by {words.number(claim.amount)}" if claim.amount else ""
    against = f" than in trial {parent} at equal cost" if parent is not None else ""
    return (
        f"at its end: {claim.metric} {moves}{by} within {claim.by:.0%} of the run, and {study.spec.objective} is "
        f"higher{against}"
    )


def _learned(study: StudyRecord) -> Iterator[Part]:
    """A line for each knob of which several values were tried, and one for the others."""
    tried = {knob: words.tried(study, knob, VALUES) for knob in study.spec.space}
    several = [knob for knob, values in tried.items() if len(values) > 1]
    for knob in several:
        values = ", ".join(f"{value} ({came})" for value, came in tried[knob])
        yield "learned", Text(visible(f"{knob}: {values}"))
    others = [knob for knob in study.spec.space if knob not in several]
    if several and others:
        yield "", Text(visible(f"one value only: {', '.join(others)}"), style=theme.FAINT)


class Overview(Widget):
    """The top of a study's screen; each line is cut at the edge."""

    DEFAULT_CSS = "Overview { height: auto; }"

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._lines: list[Part] = []
        self._said: object = None

    def show(self, study: StudyRecord | None, most: int, *, running: bool) -> None:
        """Show at most `most` lines of `study`, which some process is `running`; nothing before its first trial.

        The steps of a trial that runs change none of them.
        """
        said = study and [t.number if t.state is State.RUNNING else t for t in study.trials], most, running
        if said == self._said:
            return
        self._said = said
        lines = overview(study, most, running=running) if study is not None and study.trials else []
        self.display = bool(lines)
        if lines != self._lines:
            self._lines = lines
            self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as there are."""
        return len(self._lines)

    def render(self) -> Text:
        """The lines, as wide as the screen."""
        lines = [Text.assemble((f"{label:<{LABEL}}", theme.FAINT), text) for label, text in self._lines]
        return Text("\n").join(cut(line, self.size.width) for line in lines)
