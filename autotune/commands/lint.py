"""`autotune lint`: what a configuration tells before anything is started."""

from __future__ import annotations

import argparse
import sys

from autotune.cli import ExitStatus, Parser, fail
from autotune.commands.diagnose import add_fail_on_option, add_rules_option
from diagnostics.finding import Severity


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    assert isinstance(parser, Parser)
    parser.behind = "command"
    parser.add_argument(
        "sources",
        metavar="CONFIG",
        nargs="*",
        help="a YAML or JSON file of settings, a Python or shell script, a study or its preset, or a folder; or a "
        "command line behind --",
    )
    parser.add_argument(
        "--format", choices=("terminal", "json", "github"), default="terminal", help="default: terminal"
    )
    parser.add_argument("--only", metavar="CODE", action="append", default=[], help="check these only: CFG001,CFG009")
    parser.add_argument("--ignore", metavar="CODE", action="append", default=[], help="leave these out")
    add_fail_on_option(parser)
    parser.add_argument(
        "--skip-others",
        action="store_true",
        help="pass over files that hold no configuration, and say how many: for hooks, which name every file",
    )
    add_rules_option(parser)


def run(args: argparse.Namespace) -> ExitStatus:
    """Check every configuration. UserError for a wrong argument, and where nothing that was named can be read."""
    from autotune.linting import check
    from diagnostics.errors import UserError
    from diagnostics.report import lint as report

    checked = check(args.sources, args.command, args.rules, args.only, args.ignore, skip_others=args.skip_others)
    if not checked.linted and len(checked.errors) == 1:
        raise UserError(checked.errors[0])
    if args.format == "json":
        sys.stdout.write(report.to_json(checked.linted, checked.passed_over, checked.errors))
    elif args.format == "github":
        sys.stdout.write(report.to_github(checked.linted, checked.errors))
    else:
        from autotune.output import show

        alone = len(checked.linted) == 1
        show(
            *(report.render(linted, brief=not (alone or linted.loud())) for linted in checked.linted),
            *checked.remarks(),
        )
    for error in checked.errors:
        fail(error)
    if checked.errors:
        return ExitStatus.ERROR
    worst = max((w for linted in checked.linted if (w := linted.worst()) is not None), default=None)
    return ExitStatus.FINDINGS if worst is not None and worst >= Severity.parse(args.fail_on) else ExitStatus.CLEAN
