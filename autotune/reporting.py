"""Writes what came of a look in the format that a person asks for, to stdout or into a file."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from autotune.cli import say
from autotune.extras import require
from diagnostics.errors import UserError
from diagnostics.events import EVENTS_FILE, SAMPLES_FILE
from diagnostics.text import count

if TYPE_CHECKING:
    from rich.console import RenderableType

    from autotune.looking import Looked

SUMMARY = "GITHUB_STEP_SUMMARY"  # the file that a step of a GitHub job fills with Markdown
STDOUT = "-"  # as the name of an output
COLUMNS = 100  # of a terminal's report in a file


class Format(StrEnum):
    """What a report is written as."""

    TERMINAL = "terminal"
    JSON = "json"
    MARKDOWN = "markdown"
    HTML = "html"
    GITHUB = "github"


_BY_SUFFIX = {".html": Format.HTML, ".htm": Format.HTML, ".md": Format.MARKDOWN, ".json": Format.JSON}


def format_of(output: Path | None) -> Format:
    """The format of a report that nobody named one for: what the name of its file says, else that of a terminal."""
    return Format.TERMINAL if output is None else _BY_SUFFIX.get(output.suffix.lower(), Format.TERMINAL)


def checked(output: str) -> Path:
    """The file that a report goes to. UserError for one that cannot be."""
    path = Path(output)
    if not output or path.is_dir():
        what = f"{output} is a folder" if output else "the name of the output is empty"
        raise UserError(what, "Give --output the name of a file.")
    if not path.parent.is_dir():
        raise UserError(f"there is no folder {path.parent} for {path.name}", "Make it first, or choose another.")
    return path


def checked_folder(plots: str) -> Path:
    """The folder that pictures go to. UserError where it cannot be one, or without what draws them."""
    require("matplotlib")
    if not plots or (Path(plots).exists() and not Path(plots).is_dir()):
        what = f"{plots} is no folder" if plots else "the name of the folder is empty"
        raise UserError(what, "Give --save-plots the name of a folder.")
    return Path(plots)


def write(looked: Looked, format: Format, output: Path | None, *, verbose: bool) -> None:
    """Write the reports. UserError where a file cannot be written, or is a log that was read."""
    if output is not None and output.exists() and any(map(output.samefile, _files(looked))):
        raise UserError(f"{output} is a log, which the report would overwrite", "Give --output another name.")
    if format is Format.TERMINAL and output is None:
        from autotune.output import show

        show(*_terminal(looked, verbose=verbose))
        return
    text = _text(looked, format, verbose=verbose)
    if output is None:
        sys.stdout.write(text)
    else:
        _write(output, text)
    if format is Format.GITHUB and os.environ.get(SUMMARY):
        _summarise(looked, Path(os.environ[SUMMARY]), verbose=verbose)


def save_plots(looked: Looked, folder: Path) -> None:
    """Draw the curves that findings rest on. UserError where that cannot be written."""
    from diagnostics.report.plots import save

    try:
        drawn = save(looked.reports, looked.details, folder)
    except OSError as error:
        raise UserError(f"cannot write into {folder}: {error.strerror}", "Give --save-plots another folder.") from None
    say(f"{count(len(drawn), 'picture')} in {folder}" if drawn else "no finding has a curve to draw")


def _files(looked: Looked) -> Iterator[Path]:
    """The files of the logs that were read, as far as they are still there."""
    for path in (path for source in looked.sources for path in source.paths):
        files = (path / EVENTS_FILE, path / SAMPLES_FILE) if path.is_dir() else (path,)
        yield from (file for file in files if file.exists())


def _text(looked: Looked, format: Format, *, verbose: bool) -> str:
    match format:
        case Format.TERMINAL:
            return _plain(looked, verbose=verbose)
        case Format.JSON:
            from diagnostics.report import json

            return json.render(looked.reports, looked.unread)
        case Format.MARKDOWN:
            from diagnostics.report import markdown

            return markdown.render(looked.reports, looked.unread, verbose=verbose)
        case Format.HTML:
            from diagnostics.report import html

            return html.render(looked.reports, looked.details, looked.unread, verbose=verbose)
        case Format.GITHUB:
            from diagnostics.report import github

            return github.render(looked.reports, looked.unread, looked.errors)


def _terminal(looked: Looked, *, verbose: bool) -> list[RenderableType]:
    from diagnostics.report import terminal
    from diagnostics.report.overview import overview

    shown: list[RenderableType] = [terminal.render(report, verbose=verbose) for report in looked.reports]
    if len(looked.reports) > 1 or looked.unread or looked.others:
        shown.append(overview(looked.reports, looked.unread, looked.others))
    return shown


def _plain(looked: Looked, *, verbose: bool) -> str:
    from rich.console import Console

    file = io.StringIO()
    console = Console(file=file, width=COLUMNS, highlight=False, emoji=False, markup=False)
    for renderable in _terminal(looked, verbose=verbose):
        console.print(renderable)
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


def _summarise(looked: Looked, file: Path, *, verbose: bool) -> None:
    """Add the reports to the summary of a GitHub step, as far as there is room."""
    from diagnostics.report import markdown
    from diagnostics.report.github import MOST_SUMMARY_BYTES

    try:
        room = MOST_SUMMARY_BYTES - (file.stat().st_size if file.exists() else 0)
        text = markdown.render(looked.reports, looked.unread, verbose=verbose, most_bytes=room)
        with file.open("a", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise UserError(f"cannot write the summary {file}: {error.strerror}", f"Check {SUMMARY}.") from None


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}", "Give --output a file that you may write.") from None
