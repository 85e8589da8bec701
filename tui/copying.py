"""What y puts on the clipboard: what the mouse has selected, else the text of the pane that has the focus."""

from __future__ import annotations

import math
from collections.abc import Iterator

from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import DataTable, Static

from diagnostics.text import count, visible
from studies import words
from studies.record import TrialRecord
from tui.watched import Watched
from tui.widgets.completions import Completions, as_text
from tui.widgets.curves import Curves
from tui.widgets.headline import Headline
from tui.widgets.tab_line import TabLine
from tui.widgets.words import Words, laid_out

LARGEST = 74_000  # characters: some terminals take 100,000 bytes of base64 and drop what is longer


def copied(screen: Screen[object]) -> tuple[str, str]:
    """What is to be copied, and what it is, in a few words; empty where there is nothing."""
    selected = screen.get_selected_text()
    if selected:
        return selected, "what is selected"
    pane = screen.focused
    if pane is None:
        return _written(screen), "the screen's words"
    match pane:
        case DataTable():
            return _table(pane), "the table"
        case Curves():
            return _curves(pane), "the curves as a table"
        case Completions():
            return as_text(pane.group) if pane.group is not None else "", "the completions"
    return _written(pane), str(pane.border_title or pane.id or "the pane").partition(":")[0]


def told(text: str, what: str) -> str:
    """What is said of it once it is copied."""
    if not text:
        return f"there is nothing to copy in {what}"
    cut = "" if len(text) <= LARGEST else f", cut after {LARGEST:,} characters"
    return f"copied {what}: {count(text.count(chr(10)) + 1, 'line')}{cut}"


def settings(watched: Watched) -> str:
    """The settings of the selected trial, a line KNOB=VALUE for each, as --start and --space take them."""
    run, study = watched.run, watched.study
    if study is None or run is None or not isinstance(run.of, TrialRecord):
        return ""
    return "\n".join(f"{visible(knob)}={visible(str(value))}" for knob, value in study.settings(run.of).items())


def findings(watched: Watched) -> str:
    """The findings of the selected run, a line for each."""
    return "\n".join(visible(words.finding(found)) for found in watched.run.findings) if watched.run else ""


def _table(table: DataTable[object]) -> str:
    """With tabs between the cells, as a spreadsheet takes it."""
    names = "\t".join(str(column.label) for column in table.ordered_columns)
    rows = ("\t".join(str(cell) for cell in table.get_row_at(row)) for row in range(table.row_count))
    return "\n".join((names, *rows))


def _curves(pane: Curves) -> str:
    """Of each curve where it stands, and between which values it moved."""
    lines = ["metric\tstep\tvalue\tlowest\thighest"]
    for plot in pane.plots:
        curve = plot.curve
        if curve.steps:
            low, high = (curve.low, curve.high) if curve.low <= curve.high else (math.nan, math.nan)
            numbers = (curve.values[-1], low, high)
            lines.append(
                "\t".join((visible(plot.metric), str(curve.steps[-1]), *(f"{value:.6g}" for value in numbers)))
            )
    return "\n".join(lines) if len(lines) > 1 else ""


def _written(place: Widget) -> str:
    """The words in `place`, as they are laid out."""
    return "\n".join(line for told in _told_in(place) for line in laid_out(told)).strip("\n")


def _told_in(place: Widget) -> Iterator[Widget]:
    for found in (place, *place.query("*")):
        if isinstance(found, (Static, Words)) and found.display and not isinstance(found, (Headline, TabLine)):
            yield found
