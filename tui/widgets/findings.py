"""The list of what was found in a run, the worst first, and of what else there is to know of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.console import Group, RenderableType
from rich.text import Text
from textual.binding import Binding, BindingType

from diagnostics.report.digest import Digest, ToldFinding
from diagnostics.text import count
from tui import theme
from tui.widgets.row_table import Column, Row, RowTable, cut

SINCE = 12  # cells


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the list: a finding, or else a `title` with what there is to `tell` under it."""

    key: str
    title: Text
    since: str = ""
    told: ToldFinding | None = None
    tell: RenderableType | None = None


def entries(digest: Digest, *, read: bool, begun: bool = True) -> list[Entry]:
    """What there is to choose from; `read` says that the rules have judged the run, and not only told findings.

    Of a run that has not `begun` nothing can be said: that no rule found what it needs would look like a fault of it.
    """
    found = [_of_finding(told) for told in (*digest.findings, *digest.worth_knowing)]
    if not found and not begun:
        waits = Text("Nothing is judged before the first step.", style=theme.FAINT)
        return [Entry("", Text("no step yet", style=theme.FAINT), tell=waits)]
    if not found:
        summary = digest.summary if read else "No findings so far."
        style = theme.GOOD if digest.clean or not read else theme.WARNING
        found = [Entry("", Text("nothing was found", style=style), tell=Text(summary, style=style))]
    return [*found, *_besides(digest)]


def _of_finding(told: ToldFinding) -> Entry:
    title = Text.assemble(
        (f"{told.severity.name[0]}", theme.SEVERITIES[told.severity]), f" {told.code} ", (told.name, "bold")
    )
    known = told.finding.raised_at
    since = f"{told.onset}" if told.onset == known else f"{told.onset}, {known}"
    return Entry(told.code, title, since, told)


def _besides(digest: Digest) -> Iterator[Entry]:
    """What could not be checked or understood, what looks wrong and is not, and what else the log is noted for."""
    if digest.skips:
        lines = [Text.assemble((f"{lack}: ", theme.FAINT), needs) for lack, needs in digest.lacking]
        lines += [Text.assemble((codes, "bold"), f"  {reason}") for codes, reason in digest.skipped]
        yield _section("unchecked", f"not checked: {count(digest.skips, 'rule')}", lines, digest.summary)
    if digest.unmapped:
        lines = [Text.assemble((n.name, "bold"), f"  {n.perhaps}: ", (n.option, "bold")) for n in digest.suggested]
        lines += [Text(digest.unknown)] if digest.unknown else []
        lead = "Names of the log that no rule reads, for nobody knows what they mean:"
        yield _section("unmapped", f"not understood: {count(digest.unmapped, 'name')}", lines, lead)
    if digest.explained:
        lines = [
            Text.assemble((title, "bold"), (f"  {steps}  ", theme.FAINT), text)
            for title, steps, text in digest.explained
        ]
        yield _section("explained", f"looks wrong and is not: {len(lines)}", lines, "")
    if digest.notes:
        lines = [Text(note) for note in digest.notes]
        yield _section("notes", f"worth a note: {len(lines)}", lines, "")


def _section(key: str, title: str, lines: Sequence[Text], lead: str) -> Entry:
    first = [Text(lead), Text()] if lead else []
    spaced = [part for line in lines for part in (line, Text())]
    return Entry(key, Text(title, style=theme.FAINT), tell=Group(*first, *spaced))


def in_short(digest: Digest) -> Text:
    """The run as a whole in a few lines."""
    verdict, lines = digest.verdict, []
    style = "bold" if verdict.severity else theme.GOOD if verdict.checked else f"bold {theme.WARNING}"
    lines.append(Text(verdict.what, style=style))
    if verdict.since:
        lines.append(Text(verdict.since))
    if verdict.remedy:
        lines.append(Text.assemble((f"{verdict.remedy.lead}: ", theme.BEST), verdict.remedy.what))
    lines += [Text(digest.summary, style=theme.FAINT), Text(digest.unexplained, style=theme.FAINT)]
    return Text("\n\n").join(line for line in lines if line)


def columns(width: int) -> list[Column]:
    """Names and widths of the columns."""
    return [("finding", max(8, width - SINCE)), ("since, known", SINCE)]


class Findings(RowTable):
    """The highlighted row is what is told of."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "cursor_down", "Finding", key_display="↑↓", tooltip="Another finding"),
        Binding("up,k", "cursor_up", "Finding before", show=False, tooltip="The finding before"),
        Binding("enter", "screen.zoom_evidence", "Zoom", tooltip="The curve that it rests on, on the whole screen"),
    ]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._entries: Sequence[Entry] = ()

    def show(self, entries: Sequence[Entry], chosen: int) -> None:
        """List `entries`, of which the `chosen`-th is highlighted."""
        self._entries = entries
        self.refill()
        self.choose(chosen)

    def refill(self) -> None:
        """Bring the table up to date for the width that it has."""
        width = self.scrollable_content_region.width
        if width:
            wanted = columns(width)
            self.fill(wanted, [_row(entry, wanted) for entry in self._entries])


def _row(entry: Entry, wanted: Sequence[Column]) -> Row:
    cells = entry.title.copy(), Text(entry.since)
    return tuple(cut(cell, room - 1) for cell, (_, room) in zip(cells, wanted, strict=True))
