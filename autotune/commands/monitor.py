"""`autotune monitor`: watch a study, running or over, from any terminal."""

from __future__ import annotations

import argparse
from pathlib import Path

from autotune.cli import ExitStatus
from autotune.extras import require
from autotune.folders import RUNS, latest
from diagnostics.errors import UserError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("study", nargs="?", type=Path, help=f"folder of the study (default: the latest in {RUNS}/)")


def run(args: argparse.Namespace) -> ExitStatus:
    """Show the study until a person leaves. UserError where there is none, or no terminal."""
    require("textual")

    from studies.log import STUDY_FILE, is_study
    from tui.app import run_monitor

    directory: Path = args.study or latest(RUNS)
    if not is_study(directory):
        raise UserError(f"{directory} is no study: it has no {STUDY_FILE}", "See `autotune study list`.")
    run_monitor(directory)
    return ExitStatus.CLEAN
