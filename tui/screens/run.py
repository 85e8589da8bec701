"""One run on the whole screen: all its curves by what they tell, with the run beneath that it is compared with."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.widgets import Static

from diagnostics.text import count, visible
from studies import words
from studies.record import State, StudyRecord, TrialRecord
from tui import theme
from tui.marks import KNOB
from tui.plots import plots
from tui.screens.frame import Frame
from tui.watched import RunView
from tui.widgets.curves import Curves
from tui.widgets.titles import entitle


class RunScreen(Frame):
    """The curves of the selected run, and the run in a line or two."""

    PANES = ("curves",)
    DEFAULT_CSS = "RunScreen #run-words { height: auto; max-height: 2; padding: 0 1; }"

    def body(self) -> ComposeResult:
        """The words, then the curves."""
        yield Static(id="run-words", markup=False)
        yield Curves(id="curves", by_group=True)

    def display_run(self, *, anew: bool) -> None:
        """The curves of the selected run."""
        run, beneath = self.watched.run, self.watched.beneath
        if run is None:
            return
        self.query_one("#run-words", Static).update(in_words(run, self.watched.study))
        curves = self.query_one(Curves)
        dotted = f"  (dotted: {beneath.name})" if beneath else ""
        entitle(curves, visible(f"{run.name}{dotted}"))
        curves.show(plots(run, beneath), anew=anew)


def in_words(run: RunView, study: StudyRecord | None) -> Text:
    """How a run stands, the worst that was found and since when, and what was changed, before it and while it ran."""
    parts = []
    if isinstance(run.of, TrialRecord):
        parts.append(Text(words.outcome(run.of), style=theme.STATES[run.of.state]))
    if run.findings:
        worst, others = run.findings[0], len(run.findings) - 1
        name = f" {worst.severity.name} {visible(worst.code)} {visible(worst.name)} "
        more = f" and {count(others, 'more finding')}" if others else ""
        parts.append(Text.assemble((name, theme.SEVERITIES[worst.severity]), f" since step {worst.first_step}{more}"))
    elif run.metrics:
        over = run.of.state is not State.RUNNING if isinstance(run.of, TrialRecord) else run.of.log.ended
        parts.append(Text(f"nothing is found wrong{'' if over else ' so far'}", style=theme.GOOD))
    if study is not None and isinstance(run.of, TrialRecord):
        parts.append(Text(visible(words.change(study, run.of))))
    changed = (f"{visible(knob)} {words.number(value)} at step {step}" for step, knob, value in run.knobs)
    parts += [Text(f"{KNOB} {change}", style=theme.CHANGED) for change in changed]
    return Text(" · ").join(parts)
