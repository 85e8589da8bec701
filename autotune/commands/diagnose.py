"""`autotune diagnose`: what is wrong with finished or running runs, and what to change."""

from __future__ import annotations

import argparse
from pathlib import Path

from autotune.cli import ExitStatus
from diagnostics.finding import Severity


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("paths", metavar="DIR", nargs="+", type=Path, help="folder of a run, or of a study")
    parser.add_argument("--format", choices=("terminal", "json"), default="terminal", help="default: terminal")
    parser.add_argument(
        "--fail-on",
        metavar="SEVERITY",
        type=str.lower,
        choices=[severity.name.lower() for severity in Severity],
        default=Severity.ERROR.name.lower(),
        help="exit with 1 for a finding of this severity or above: info, warning, error (default) or fatal",
    )


def run(args: argparse.Namespace) -> ExitStatus:
    """Diagnose every run found; UserError for a path that holds none."""
    from diagnostics import readers
    from diagnostics.engine import diagnose
    from diagnostics.readers import events

    found = dict.fromkeys(run for path in args.paths for run in readers.find(path))
    runs = [events.read(path) for path in found]
    reports = [diagnose(run) for run in runs]
    if args.format == "json":
        from diagnostics.report import json

        print(json.render(reports), end="")
    else:
        from autotune.output import show
        from diagnostics.report import terminal

        show(*(terminal.render(report, run) for report, run in zip(reports, runs, strict=True)))
        if len(reports) > 1:
            show(terminal.overview(reports))
    limit = Severity.parse(args.fail_on)
    worst = max((f.severity for report in reports for f in report.findings), default=None)
    return ExitStatus.FINDINGS if worst is not None and worst >= limit else ExitStatus.CLEAN
