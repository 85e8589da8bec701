"""Comparisons as Markdown, for a pull request or a chat: the answer, the tables, the rest folded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from diagnostics.comparison import Comparison
from diagnostics.report.comparison import Rows, told
from diagnostics.report.markdown import escaped


def render(comparisons: Sequence[Comparison], names: Sequence[tuple[str, str]]) -> str:
    """All comparisons; `names` are those of the sides of each."""
    parts = ["\n".join(_comparison(one, sides)) for one, sides in zip(comparisons, names, strict=True)]
    return "\n\n".join(parts) + "\n"


def _comparison(comparison: Comparison, names: tuple[str, str]) -> Iterator[str]:
    words = told(comparison, names)
    yield from (f"# {names[1]} against {names[0]}", "")
    yield from (f"- **{lead}** {_cell(text)}" for lead, text in (*words.sides, *words.answer))
    for rows in words.tables:
        yield from ("", f"## {rows.title}", "", *_table(rows))
    yield from ("", "<details><summary>More</summary>", "")
    yield from (f"- {escaped(note)}" for note in words.notes)
    yield from ("", "</details>")


def _table(rows: Rows) -> Iterator[str]:
    yield f"| {' | '.join(rows.heads)} |"
    yield f"|{'---|' * len(rows.heads)}"
    yield from (f"| {' | '.join(map(_cell, row))} |" for row in rows.rows)


def _cell(text: str) -> str:
    """`text` within a line, where a number needs no escape."""
    return escaped(f" {text}").removeprefix(" ")
