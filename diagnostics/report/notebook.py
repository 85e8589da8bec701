"""A report for a notebook: what the terminal shows, as preformatted HTML. Nothing from a log is markup in it.

A notebook cannot ask for what looks wrong and is not, so that it is told.
"""

from __future__ import annotations

import io

from rich.console import Console
from rich.terminal_theme import TerminalTheme

from diagnostics.finding import Report
from diagnostics.report import terminal

WIDTH = 100
# `{code}` is escaped by rich.
_FORMAT = '<pre style="white-space:pre;overflow-x:auto;line-height:normal;font-family:monospace">{code}</pre>'
# Black, red, green, yellow, blue, magenta, cyan, white: to be read on a light ground and on a dark one.
_COLOURS = [(0, 0, 0), (208, 48, 48), (32, 140, 64), (184, 134, 11), (60, 120, 216), (176, 64, 176), (0, 144, 160)]
_THEME = TerminalTheme((255, 255, 255), (0, 0, 0), [*_COLOURS, (255, 255, 255)])


def render(report: Report) -> str:
    """The report as one element of HTML."""
    console = Console(
        file=io.StringIO(), record=True, width=WIDTH, color_system="truecolor", force_terminal=True,
        legacy_windows=False, highlight=False, emoji=False, markup=False,
    )  # fmt: skip
    console.print(terminal.render(report, explain=True))
    return console.export_html(theme=_THEME, inline_styles=True, code_format=_FORMAT)
