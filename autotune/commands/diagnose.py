"""`autotune diagnose`: what is wrong with finished or running runs, and what to change."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from autotune.cli import ExitStatus, fail
from autotune.reporting import STDOUT, Format, checked, checked_folder, format_of, save_plots, write
from diagnostics.errors import UserError
from diagnostics.finding import Severity
from diagnostics.stores.store import Wanted, store_of

if TYPE_CHECKING:
    from diagnostics.choice import Choice
    from diagnostics.rule import Catalogue


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "sources",
        metavar="SOURCE",
        nargs="+",
        help="a log of any kind, a folder of them, a run on a server by its name or address (entity/project/run, "
        "mlflow:EXPERIMENT, hf://user/repo), or - for standard input",
    )
    parser.add_argument(
        "--format",
        choices=list(map(str, Format)),
        help="terminal (default), json, markdown, html (a page of its own), or github (annotations of a job)",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="write the report into this file, not to stdout; without --format, .html, .md and .json say which it is",
    )
    parser.add_argument(
        "--save-plots", metavar="DIR", help="draw the curves that findings rest on into this folder, as PNG and SVG"
    )
    parser.add_argument(
        "--follow", action="store_true", help="go on while the logs are written; Ctrl-C ends it with the report"
    )
    parser.add_argument(
        "--map",
        metavar="NAME=METRIC|FILE",
        action="append",
        default=[],
        help="what a name in the log means, or a TOML file that says it; may be repeated",
    )
    parser.add_argument("--only", metavar="CODE", action="append", default=[], help="look for these only: KL002,ENT001")
    parser.add_argument("--ignore", metavar="CODE", action="append", default=[], help="leave these out")
    add_fail_on_option(parser)
    add_rules_option(parser)
    parser.add_argument(
        "--filter",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="of a project, sweep or experiment on a server, runs for which it holds: state=failed; may be repeated",
    )
    parser.add_argument("--last", metavar="N", type=_positive, help="of these the N that began last (default: 10)")
    parser.add_argument(
        "--annotate", action="store_true", help="write what is found back to the runs on wandb: alert, summary, note"
    )
    parser.add_argument("--verbose", action="store_true", help="explain what looks wrong and is not, too")
    parser.add_argument("--no-cache", action="store_true", help="read and judge anew what was looked at before")


def run(args: argparse.Namespace) -> ExitStatus:
    """Diagnose every log found. UserError for a wrong argument, and where nothing that was named can be read."""
    from autotune.judged_by import rules_here
    from autotune.looking import Asked, look, status
    from diagnostics.cache import FETCHED, Cache, default_folder
    from diagnostics.user_map import from_options

    mine = from_options(args.map)
    rules = rules_here(args.rules, args.sources)
    output = None if args.output in (None, STDOUT) else checked(args.output)
    format = format_of(output) if args.format is None else Format(args.format)
    fail_on = Severity.parse(args.fail_on)
    plots = None if args.save_plots is None else checked_folder(args.save_plots)
    detailed = format is Format.HTML or plots is not None
    if args.annotate and (args.only or args.ignore):
        raise UserError(
            "--annotate writes the whole of what is found: with --only or --ignore a sick run would be called well",
            "Leave one of them out.",
        )
    asked = Asked(mine, rules, _choice(args.only, args.ignore, rules), _wanted(args), detailed)
    if args.follow:
        if format not in (Format.TERMINAL, Format.JSON) or output is not None or plots is not None:
            raise UserError(
                "--follow writes to stdout, as terminal or json", "Leave out --output, --save-plots and other formats."
            )
        from autotune.following import follow

        return follow(args.sources, asked, fail_on, as_json=format is Format.JSON, verbose=args.verbose)
    reports, runs = (None, None) if args.no_cache else (default_folder(), default_folder(FETCHED))
    looked = look(args.sources, asked, Cache(reports), runs)
    if looked.reports or format is Format.GITHUB:
        write(looked, format, output, verbose=args.verbose)
    if plots is not None:
        save_plots(looked, plots)
    if args.annotate:
        from autotune.annotating import annotate

        looked.errors += annotate(looked)
    for error in looked.errors:
        fail(error)
    return ExitStatus.ERROR if looked.errors else status(looked.reports, fail_on)


def add_fail_on_option(parser: argparse._ActionsContainer) -> None:
    """Add `--fail-on` to a parser or to a group of its options."""
    parser.add_argument(
        "--fail-on",
        metavar="SEVERITY",
        type=str.lower,
        choices=[severity.name.lower() for severity in Severity],
        default=Severity.ERROR.name.lower(),
        help="exit with 1 for a finding of this severity or above: info, warning, error (default) or fatal",
    )


def add_rules_option(parser: argparse.ArgumentParser) -> None:
    """Add `--rules`."""
    parser.add_argument(
        "--rules",
        metavar="FILE",
        action="append",
        default=[],
        help="a Python file with rules of your own; it is run, so it must be one that you trust; may be repeated",
    )


def _wanted(args: argparse.Namespace) -> Wanted:
    """Which runs of a store. UserError where there is nothing to choose from, or nothing to write to."""
    given = next((name for name in ("filter", "last", "annotate") if getattr(args, name)), None)
    if given and not any(map(store_of, args.sources)):
        raise UserError(f"--{given} is for runs on a server, and this names none", "Name them entity/project.")
    if given and args.follow:
        raise UserError(f"--{given} is for runs on a server, which cannot be followed", "Leave out --follow.")
    return Wanted(tuple(args.filter), args.last)


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of runs")
    return int(text)


def _choice(only: list[str], ignore: list[str], rules: Catalogue | None) -> Choice | None:
    if not only and not ignore:
        return None  # nothing to check against the rules, so that they need not be imported
    from diagnostics.choice import choice

    return choice(only, ignore, rules)
