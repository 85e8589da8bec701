"""`autotune compare`: what changed between runs, and what came of it."""

from __future__ import annotations

import argparse
import string
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from autotune.cli import ExitStatus, Parser, fail, say
from autotune.commands.diagnose import add_rules_option
from diagnostics.errors import UserError

if TYPE_CHECKING:
    from autotune.looking import Asked
    from diagnostics.comparison import Comparison
    from diagnostics.differences import Judged

SIDES = "--"  # divides the runs of one side from those of the next; the parser has it with a space before it


class Format(StrEnum):
    """What a comparison is written as."""

    TERMINAL = "terminal"
    JSON = "json"
    MARKDOWN = "markdown"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    assert isinstance(parser, Parser)
    parser.keeps_dashes = True
    parser.add_argument(
        "sources",
        metavar="SOURCE",
        nargs="+",
        help="a log of any kind, a folder of them, or a run on a server; -- between the runs of either side, where "
        "one side has several (without it, those of equal settings are one side)",
    )
    parser.add_argument(
        "--format", choices=list(map(str, Format)), default=str(Format.TERMINAL), help="default: terminal"
    )
    parser.add_argument(
        "--map",
        metavar="NAME=METRIC|FILE",
        action="append",
        default=[],
        help="what a name in the logs means, or a TOML file that says it; may be repeated",
    )
    add_rules_option(parser)
    parser.add_argument("--no-cache", action="store_true", help="judge anew what was looked at before")


def run(args: argparse.Namespace) -> ExitStatus:
    """Compare the first side with each other one. UserError for less than two runs, and where one cannot be read."""
    from autotune.judged_by import rules_here
    from autotune.looking import Asked
    from diagnostics.comparison import compare, sides
    from diagnostics.user_map import from_options

    named = _divided(args.sources)
    places = [place for side in named for place in side]
    asked = Asked(from_options(args.map), rules_here(args.rules, places), whole=True)
    errors: list[str] = []
    judged = [[run for place in side for run in _judged(place, asked, args.no_cache, errors)] for side in named]
    groups: Sequence[Sequence[Judged]] = judged if len(judged) > 1 else sides(judged[0])
    if len(groups) < 2:
        raise UserError("there is only one run to compare", "Name two or more: autotune compare BEFORE AFTER.")
    comparisons = [compare(groups[0], group) for group in groups[1:]]
    _write(comparisons, Format(args.format))
    for error in errors:
        fail(error)
    return ExitStatus.ERROR if errors else ExitStatus.CLEAN


def _divided(sources: Sequence[str]) -> list[list[str]]:
    """The sources of each side; all in one where nothing divides them. UserError for a side without any."""
    divided: list[list[str]] = [[]]
    for source in sources:
        if source == f" {SIDES}":
            divided.append([])
        else:
            divided[-1].append(source)
    if not all(divided):
        raise UserError(f"there is no run on one side of {SIDES}", f"Name them: autotune compare A1 A2 {SIDES} B1 B2.")
    return divided


def _judged(place: str, asked: Asked, no_cache: bool, errors: list[str]) -> list[Judged]:
    """The runs at one place, of a log that holds several the last. UserError where there is none that can be judged."""
    from autotune.looking import look
    from diagnostics.cache import FETCHED, Cache, default_folder
    from diagnostics.differences import Judged
    from diagnostics.engine import diagnose

    reports, fetched = (None, None) if no_cache else (default_folder(), default_folder(FETCHED))
    looked = look([place], asked, Cache(reports), fetched)
    if looked.errors and not any(report.judged for report in looked.reports):
        raise UserError(looked.errors[0])
    errors += looked.errors
    for source, reason in looked.unread.items():
        say(f"not read: {source}: {reason}")
    return [
        Judged(runs[-1], report if len(runs) == 1 else diagnose(runs[-1], asked.rules))
        for runs, report in zip(looked.runs, looked.reports, strict=True)
        if report.judged
    ]


def _write(comparisons: Sequence[Comparison], format: Format) -> None:
    names = [("A", _letter(place)) for place in range(1, len(comparisons) + 1)]
    match format:
        case Format.TERMINAL:
            from autotune.output import show
            from diagnostics.report.comparison_terminal import render

            show(*(render(one, sides) for one, sides in zip(comparisons, names, strict=True)))
        case Format.MARKDOWN:
            from diagnostics.report import comparison_markdown

            sys.stdout.write(comparison_markdown.render(comparisons, names))
        case Format.JSON:
            from diagnostics.report import comparison_json

            sys.stdout.write(comparison_json.render(comparisons, names))


def _letter(place: int) -> str:
    letters = string.ascii_uppercase
    return letters[place] if place < len(letters) else f"#{place + 1}"
