"""`autotune study list`, `show`, `best` and `export`: look at studies, running or over."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from autotune.cli import ExitStatus
from autotune.folders import RUNS, latest, studies_in, study_argument
from diagnostics.errors import UserError
from diagnostics.text import visible

if TYPE_CHECKING:
    from studies.record import StudyRecord


def configure(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add these actions and their arguments."""
    listing = actions.add_parser("list", help="list the studies in a folder", description="List studies.")
    listing.add_argument("root", nargs="?", type=Path, default=RUNS, help=f"where to look (default {RUNS}/)")
    listing.set_defaults(action=_list)

    show = actions.add_parser("show", help="show the trials of a study", description="Show the trials of a study.")
    study_argument(show)
    show.set_defaults(action=_show)

    best = actions.add_parser("best", help="say the best settings found", description="Say the best settings found.")
    study_argument(best)
    best.add_argument("--format", choices=["terminal", "json"], default="terminal", help="how to write it")
    best.set_defaults(action=_best)

    export = actions.add_parser("export", help="write all trials as a table", description="Write all trials.")
    study_argument(export)
    export.add_argument("--format", choices=["csv", "json"], default="csv", help="how to write it (default csv)")
    export.set_defaults(action=_export)


def _list(args: argparse.Namespace) -> ExitStatus:
    from studies import words
    from studies.log import is_running, read

    folders = studies_in(args.root)
    if not folders:
        print(f"no studies in {args.root}; `autotune study start` makes one")
    for folder in folders:
        try:
            study = read(folder)
        except UserError as error:  # one that cannot be read does not hide the others
            print(visible(f"{folder}  {error.message}"))
            continue
        best = study.best()
        result = f"best {words.result(study, best)} in trial {best.number}" if best else "no feasible trial"
        state = _state(study) if is_running(folder) else study.ended or "killed"
        print(visible(f"{folder}  {study.done}/{study.spec.trials} trials  {state}  {result}"))
    return ExitStatus.CLEAN


def _state(study: StudyRecord) -> str:
    """How a study stands that runs."""
    waiting = [f"trial {t.number} waits for an answer" for t in study.waiting]
    paused = [f"trial {t.number} is paused" for t in study.trials if t.paused]
    return ", ".join(["running", *waiting, *paused])


def _show(args: argparse.Namespace) -> ExitStatus:
    import shutil

    from rich.text import Text

    from autotune.output import show
    from autotune.views.plain import closing, told
    from autotune.views.table import trials_table
    from studies import words
    from studies.log import read

    study = read(args.study or latest(RUNS))
    lines = [line for trial in study.trials for line in told(trial)]
    lines += words.by_people(study)
    if study.unreadable:
        lines.append(f"{study.unreadable} lines of its records could not be read")
    lines += _importance(study)
    lines += closing(study)
    show(trials_table(study, shutil.get_terminal_size().columns), *(Text(visible(line)) for line in lines))
    return ExitStatus.CLEAN


def _importance(study: StudyRecord) -> list[str]:
    """Which knobs mattered, where Optuna is installed and there are enough trials to say."""
    if importlib.util.find_spec("optuna") is None:
        return []
    from autotune.importance import importance

    shares = importance(study) or {}
    told = ", ".join(f"{knob} {share:.0%}" for knob, share in shares.items())
    return [f"importance: {told}"] if told else []


def _best(args: argparse.Namespace) -> ExitStatus:
    from studies import words
    from studies.log import read

    study = read(args.study or latest(RUNS))
    best = study.best()
    if best is None:
        raise UserError(
            f"{study.directory} has no trial that ran to its end without a finding at ERROR",
            "See `autotune study show` for what went wrong.",
        )
    if args.format == "json":
        values = study.values(best)
        told = {"trial": best.number, "value": fmean(values), "seeds": len(values), "knobs": dict(study.settings(best))}
        print(json.dumps(told))
        return ExitStatus.CLEAN
    print(f"trial {best.number}: {study.spec.objective} {words.result(study, best)}")
    for knob, value in study.settings(best).items():
        print(f"  {knob} = {words.number(value)}")
    print(f"train with them: autotune train --study {study.directory}")
    return ExitStatus.CLEAN


def _export(args: argparse.Namespace) -> ExitStatus:
    from autotune.export import export
    from studies.log import read

    sys.stdout.write(export(read(args.study or latest(RUNS)), args.format))
    return ExitStatus.CLEAN
