"""One trial in words: what is wrong and since when, what was changed and why, whether it helped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from rich.console import Group, RenderableType
from rich.style import Style
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll

from diagnostics.finding import Finding, Severity
from diagnostics.text import visible
from studies import words
from studies.log import trial_directory
from studies.record import State, StudyRecord, TrialRecord
from tui import theme
from tui.feed import Snapshot
from tui.widgets.titles import entitle
from tui.widgets.words import Words

Part = tuple[str, Text]
TO_FINDING = Style(bold=True, meta={"@click": "app.turn('finding')"})


def about(snapshot: Snapshot, trial: TrialRecord) -> RenderableType:
    """All that is known of `trial`, the most urgent first; for any width."""
    study = snapshot.study
    assert study is not None
    parts = [
        *_stands_still(snapshot, trial),
        *_wrong(trial),
        *_next(study, trial),
        *_change(study, trial),
        *_helped(trial),
        *_reason(trial),
        *(("also", finding(found)) for found in trial.findings[_sick(trial) :]),
        *_end(study, trial),
    ]
    feed = snapshot.trials.get(trial.number)
    noted = [words.note(d) for d in study.decisions if d.kind == "noted" and d.trial == trial.number]
    parts += [("note", Text(visible(note))) for note in (*noted, *(feed.notes if feed else ()))]
    return table(parts)


def beginning(study: StudyRecord) -> RenderableType:
    """A study that has no trial yet."""
    spec = study.spec
    cost = f" of {spec.trial.completions:,} completions" if spec.trial.completions else ""
    parts = [
        ("study", Text(visible(f"{spec.name}: {spec.description}" if spec.description else spec.name))),
        ("aim", Text(visible(f"{spec.trials} trials{cost}, maximising {spec.objective}"))),
        ("start", Text(visible(words.knobs(spec.start)))),
    ]
    return table(parts)


def table(parts: Iterable[Part]) -> RenderableType:
    """Texts with their labels before them; for any width."""
    table = Table.grid(padding=(0, 1))
    table.add_column(width=8, no_wrap=True, style=theme.FAINT)
    table.add_column(ratio=1, overflow="fold")
    for label, text in parts:
        table.add_row(label, text)
    return table


def _stands_still(snapshot: Snapshot, trial: TrialRecord) -> Iterator[Part]:
    """Why it does not go on, and what brings it on; what kept it from going on before."""
    study = snapshot.study
    assert study is not None
    if snapshot.running and trial.state is State.WAITING:
        yield "waits", Text("for you: a accepts it and r refuses it", style=f"bold {theme.CHANGED}")
    elif snapshot.running and trial.paused:
        yield "paused", Text("after its step; p lets it go on", style=f"bold {theme.CHANGED}")
    elif not snapshot.running and trial.state is State.RUNNING:
        again = f"autotune study resume {study.directory} takes it up again"
        yield "cut off", Text(visible(f"the study ended while it ran; {again}"), style=theme.BAD)
    for decision in study.decisions:
        if decision.kind == "trial_retried" and decision.trial == trial.number:
            told = f"attempt {decision.data.get('attempt')}: {decision.data.get('reason')}"
            yield "again", Text(visible(told), style=theme.WARNING)


def _wrong(trial: TrialRecord) -> Iterator[Part]:
    if _sick(trial):
        yield "wrong", finding(trial.findings[0])
    else:
        told = "nothing is found wrong" if trial.state is not State.RUNNING else "nothing is found wrong so far"
        yield "wrong", Text(told if trial.steps else "no step yet", style=theme.GOOD if trial.steps else theme.FAINT)


def _sick(trial: TrialRecord) -> bool:
    """Whether something is wrong; what is only worth knowing is not."""
    return bool(trial.findings) and trial.findings[0].severity > Severity.INFO


def finding(found: Finding) -> Text:
    """A finding with when it began and when it could first be known."""
    if found.first_step == found.last_step:
        when = f" at step {found.first_step}"
    else:
        when = f" since step {found.first_step}, known at step {found.raised_at}"
    return Text.assemble(
        (f" {found.severity.name} ", theme.SEVERITIES[found.severity]),
        (f" {visible(found.code)} {visible(found.name)}", TO_FINDING),
        (when, "bold"),
        f": {visible(found.message)}",
    )


def _next(study: StudyRecord, trial: TrialRecord) -> Iterator[Part]:
    """What was changed in response, in which trials, and whether it helped."""
    for other in study.trials:
        if other.proposal.parent == trial.number:
            verdict = f": {other.verdict.judgement}" if other.verdict else ""
            style = theme.JUDGEMENTS[other.verdict.judgement] if other.verdict else ""
            did = f"changed {words.change(study, other)}" if study.changes(other) else "ran the same on another seed"
            yield "then", Text.assemble(f"trial {other.number} {visible(did)}", (verdict, style))


def _change(study: StudyRecord, trial: TrialRecord) -> Iterator[Part]:
    proposal = trial.proposal
    origin = f"  (from trial {proposal.parent})" if proposal.parent is not None else ""
    changed = visible(words.change(study, trial) if origin else words.knobs(proposal.knobs))
    yield "changed" if origin else "settings", Text.assemble((changed, "bold"), origin)


def _reason(trial: TrialRecord) -> Iterator[Part]:
    proposal = trial.proposal
    yield "because", Text(visible(proposal.why))
    if proposal.hypothesis is not None:
        yield "expected", Text(visible(words.hypothesis(proposal.hypothesis)))


def _helped(trial: TrialRecord) -> Iterator[Part]:
    verdict = trial.verdict
    if verdict is None:
        if trial.proposal.hypothesis is not None and trial.state is not State.WAITING:
            running = trial.state is State.RUNNING
            yield "helped?", Text("not judged before the trial ends" if running else "not judged", style=theme.FAINT)
        return
    yield (
        "helped?",
        Text.assemble(
            (str(verdict.judgement).upper(), theme.JUDGEMENTS[verdict.judgement]),
            f": {visible(verdict.why)}",
        ),
    )
    for compared in (verdict.mechanism, verdict.objective):
        if compared is not None:
            yield "", Text(visible(words.comparison(compared)))


def _end(study: StudyRecord, trial: TrialRecord) -> Iterator[Part]:
    origin = trial.proposal.parent is not None
    if trial.reason:
        first = words.number(trial.evaluations[0].value) if trial.evaluations else "-"
        value = f"; {study.spec.objective} {first} → {words.number(trial.value)}"
        yield "end", Text(visible(f"{words.outcome(trial)}: {trial.reason}{value}, {words.duration(trial.seconds)}"))
    if trial.state is State.FAILED:
        yield "printed", Text(visible(f"what it printed lies in {trial_directory(study.directory, trial.number)}"))
    if origin:
        yield "settings", Text(visible(words.knobs(trial.proposal.knobs)), style=theme.FAINT)
    again = f", attempt {trial.attempt}" if trial.attempt > 1 else ""
    cost = f", {trial.completions:,} completions" if study.spec.trial.completions else ""  # a script counts none
    yield "", Text(f"seed {trial.seed}{again}{cost}", style=theme.FAINT)


class About(VerticalScroll):
    """The selected trial in words."""

    ALLOW_MAXIMIZE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "scroll_down", "Scroll", key_display="↑↓"),
        Binding("up,k", "scroll_up", "Scroll up", show=False),
        Binding("enter", "screen.zoom_pane", "Zoom"),
    ]

    def compose(self) -> ComposeResult:
        """A text that scrolls."""
        yield Words()

    def show(self, text: RenderableType, title: str, *, anew: bool) -> None:
        """Show `text`; `anew` goes back to its top."""
        entitle(self, title)
        self.query_one(Words).update(Group(text))
        if anew:
            self.scroll_home(animate=False)
