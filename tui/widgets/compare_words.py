"""What came of a change, in words: the hypothesis and its verdict, then what `autotune compare` says."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from diagnostics.report import comparison_terminal
from diagnostics.text import visible
from studies import words
from studies.record import StudyRecord, TrialRecord
from tui import theme
from tui.compare_feed import CompareView
from tui.watched import RunView

Row = tuple[str, Text]


def told(view: CompareView, before: RunView, after: RunView, study: StudyRecord | None) -> RenderableType:
    """All that is known of the difference between two runs, for any width; the answer first."""
    verdict, claim = _verdict(before, after), _claim(before, after)
    parts: list[RenderableType] = [_table(rows) for rows in [[*verdict, *_seeds(view, before, after, study)]] if rows]
    if view.comparison is None:
        parts.append(Text(visible(view.trouble or "being compared"), style=theme.FAINT))
    else:
        if not view.comparison.partings and not view.comparison.short:
            parts.append(Text("They have no metric in common that could be compared.", style=theme.WARNING))
        parts.append(comparison_terminal.render(view.comparison, view.names))
    return Group(*parts, *([_table(claim)] if claim else []))


def _table(rows: list[Row]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for lead, text in rows:
        table.add_row(lead, text)
    return table


def _verdict(before: RunView, after: RunView) -> list[Row]:
    """Whether what was expected of the change came; nothing where it is not a change of `before`."""
    trial = _change(before, after)
    if trial is None:
        return []
    if trial.verdict is None:
        return [("Verdict", Text("not judged yet", style=theme.FAINT))] if trial.proposal.hypothesis else []
    judged = Text(str(trial.verdict.judgement).upper(), style=theme.JUDGEMENTS[trial.verdict.judgement])
    return [("Verdict", Text.assemble(judged, f": {visible(trial.verdict.why)}"))]


def _claim(before: RunView, after: RunView) -> list[Row]:
    """What was expected of the change, and the numbers that it was judged by."""
    trial = _change(before, after)
    if trial is None or trial.proposal.hypothesis is None:
        return []
    rows = [("Expected", Text(visible(words.hypothesis(trial.proposal.hypothesis))))]
    for compared in (trial.verdict.objective, trial.verdict.mechanism) if trial.verdict else ():
        if compared is not None:
            rows.append(("Judged by", Text(visible(words.comparison(compared)))))
    return rows


def _change(before: RunView, after: RunView) -> TrialRecord | None:
    """The trial `after`, where it is a change of `before`."""
    is_one = isinstance(after.of, TrialRecord) and after.of.proposal.parent == before.key
    return after.of if is_one and isinstance(after.of, TrialRecord) else None


def _seeds(view: CompareView, before: RunView, after: RunView, study: StudyRecord | None) -> Iterator[Row]:
    """Whether chance was the same on both sides."""
    if study is None or not isinstance(before.of, TrialRecord) or not isinstance(after.of, TrialRecord):
        return
    if before.of.proposal.knobs == after.of.proposal.knobs:
        yield "Settings", Text("the same on both sides: what differs is chance")
    comparison = view.comparison
    many = max(len(comparison.before), len(comparison.after)) if comparison else 1
    if many > 1:
        yield "Seeds", Text("all that ran with these settings are compared")
    elif before.of.seed == after.of.seed:
        yield "Seed", Text(f"the same on both sides ({before.of.seed})")
    else:
        yield "Seed", Text(f"{before.of.seed} → {after.of.seed}: a part of what differs is chance")
