"""`autotune monitor`: watch a study or any log, running or over, from any terminal."""

from __future__ import annotations

import argparse
from pathlib import Path

from autotune.cli import ExitStatus
from autotune.extras import require
from autotune.folders import RUNS, latest
from diagnostics.errors import UserError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "path",
        nargs="?",
        type=Path,
        help=f"folder of a study, a log of any kind, or a folder of them (default: the latest study in {RUNS}/)",
    )
    parser.add_argument(
        "--map",
        metavar="NAME=METRIC|FILE",
        action="append",
        default=[],
        help="what a name in a log means, or a TOML file that says it; may be repeated",
    )


def run(args: argparse.Namespace) -> ExitStatus:
    """Show the study or the logs until a person leaves. UserError where there are none, or no terminal."""
    require("textual")

    from autotune.looking import rules_here
    from diagnostics.sources import find
    from diagnostics.stores.store import store_of
    from diagnostics.stores.trackio import database
    from diagnostics.user_map import from_options
    from studies.log import is_study
    from tui.app import run_monitor

    path: Path = args.path or latest(RUNS)
    path = database(str(path)) or path
    store = store_of(str(path))
    if store is not None:
        hint = "Look at it with autotune diagnose: a second look fetches what is new only."
        raise UserError(f"{path} is nothing here, and what lies in {store.NAME} cannot be watched", hint)
    mine = from_options(args.map)
    if is_study(path):
        if args.map:
            raise UserError("--map is for logs of others", f"{path} is a study, whose names are known.")
        run_monitor(path)
    else:
        run_monitor(path, found=find(path), mine=mine, rules=rules_here([], [str(path)]))
    return ExitStatus.CLEAN
