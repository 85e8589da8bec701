"""A comparison for a person at a terminal, the answer first.

Everything is built from `Text`, never from markup: names come from logs of others.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from diagnostics.comparison import Comparison
from diagnostics.report.comparison import Rows, told


def render(comparison: Comparison, names: tuple[str, str]) -> RenderableType:
    """The comparison of two sides that are called `names`, for any width."""
    words = told(comparison, names)
    parts: list[RenderableType] = [_pairs(words.sides), Text(), _pairs(words.answer)]
    for rows in words.tables:
        parts += [Text(), Text(rows.title, "bold"), Padding(_table(rows), (0, 0, 0, 2))]
    parts.append(Text())
    parts += [Text(note, "dim") for note in words.notes]
    return Group(*parts, Text())


def _pairs(pairs: Sequence[tuple[str, str]]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for lead, text in pairs:
        table.add_row(lead, Text(text))
    return table


def _table(rows: Rows) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for head in rows.heads:
        table.add_column(head, overflow="fold")
    for row in rows.rows:
        table.add_row(*map(Text, row))
    return table
