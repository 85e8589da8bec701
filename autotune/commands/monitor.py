"""`autotune monitor`: watch a study or any log, running or over, from any terminal."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from autotune.cli import ExitStatus
from autotune.extras import require
from autotune.folders import RUNS, latest
from diagnostics.errors import UserError

if TYPE_CHECKING:
    from studies.record import StudyRecord


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
    parser.add_argument(
        "--replay",
        metavar="SPEED",
        help="play a study or a run that is over as if it went on now, this many times as fast: 60; a log without "
        "times so many steps a second",
    )


def run(args: argparse.Namespace) -> ExitStatus:
    """Show the study or the logs until a person leaves; a folder without a log, or an empty file, may come to one.

    UserError where there is nothing that could be watched, or no terminal.
    """
    require("textual")

    from autotune.judged_by import rules_here
    from diagnostics.sources import Found, NothingYet, find
    from diagnostics.stores.store import store_of
    from diagnostics.stores.trackio import database
    from diagnostics.user_map import from_options
    from studies.log import is_study
    from tui.replay import Playback, parse
    from tui.run import run_monitor

    playback = None if args.replay is None else Playback(parse(args.replay))
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
        found = None
    else:
        try:
            found = find(path)
        except NothingYet:
            if playback is not None:
                raise
            found = Found(())
    if playback is not None:
        from tui.replay_feed import check

        check(path, found)
    rules = rules_here([], [str(path)])
    run_monitor(path, found=found, mine=mine, rules=rules, playback=playback, account=account)
    return ExitStatus.CLEAN


def account(study: StudyRecord) -> str:
    """The study in words: its journal, which nobody waits for who only looks."""
    from autotune.journal import journal

    return journal(study)
