"""`autotune study`: start a study, list studies, show one, say the best settings."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from pathlib import Path

from autotune.cli import ExitStatus
from autotune.extras import require
from diagnostics.errors import UserError
from diagnostics.text import visible
from studies.spec import DEFAULT_PRESET

RUNS = Path("autotune-runs")  # where studies and runs go unless --dir says otherwise


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their arguments."""
    actions = parser.add_subparsers(metavar="ACTION", title="actions", required=True)

    start = actions.add_parser("start", help="start a study", description="Train, diagnose, tune: trial after trial.")
    start.add_argument(
        "preset", nargs="?", default=DEFAULT_PRESET, help=f"a preset or a .toml file (default {DEFAULT_PRESET})"
    )
    start.add_argument("--trials", type=int, metavar="N", help="how many trials (default: the preset's)")
    start.add_argument(
        "--start", action="append", default=[], metavar="KNOB=VALUE", help="where a knob starts; may be repeated"
    )
    start.add_argument("--dir", type=Path, metavar="D", help=f"folder of the study (default: a new one in {RUNS}/)")
    start.add_argument("--seed", type=int, metavar="S", help="seed of the study (default: the preset's)")
    start.add_argument("--plain", action="store_true", help="plain lines instead of the live screen")
    start.set_defaults(action=_start)

    listing = actions.add_parser("list", help="list the studies in a folder", description="List studies.")
    listing.add_argument("root", nargs="?", type=Path, default=RUNS, help=f"where to look (default {RUNS}/)")
    listing.set_defaults(action=_list)

    show = actions.add_parser("show", help="show the trials of a study", description="Show the trials of a study.")
    _study_argument(show)
    show.set_defaults(action=_show)

    best = actions.add_parser("best", help="say the best settings found", description="Say the best settings found.")
    _study_argument(best)
    best.add_argument("--format", choices=["terminal", "json"], default="terminal", help="how to write it")
    best.set_defaults(action=_best)


def _study_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", nargs="?", type=Path, help=f"folder of the study (default: the latest in {RUNS}/)")


def run(args: argparse.Namespace) -> ExitStatus:
    """Carry out the chosen action."""
    status: ExitStatus = args.action(args)
    return status


def _start(args: argparse.Namespace) -> ExitStatus:
    from dataclasses import replace

    from studies.space import parse_knob
    from studies.spec import load

    spec = load(args.preset)
    if args.trials is not None:
        if args.trials < 1:
            raise UserError(f"--trials {args.trials} is no study", "Give 1 or more.")
        spec = replace(spec, trials=args.trials)
    if args.seed is not None:
        if args.seed < 0:
            raise UserError(f"--seed {args.seed} is negative", "Give 0 or more.")
        spec = replace(spec, seed=args.seed)
    spec = spec.with_start(dict(parse_knob(text, spec.space, "--start") for text in args.start))
    require("optuna", "torch", "transformers", "trl")

    from autotune.loop import run_study
    from autotune.views.plain import PlainView, closing

    directory = args.dir if args.dir is not None else new_directory(RUNS, spec.name)
    try:
        if args.plain or not sys.stdout.isatty():
            study = run_study(spec, directory, PlainView(spec, directory, sys.stdout))
        else:
            from rich.console import Console

            from autotune.views.live import LiveView

            with LiveView(spec, directory, Console()) as view:
                study = run_study(spec, directory, view)
    except KeyboardInterrupt:
        print(f"autotune: interrupted; what was done is kept: autotune study show {directory}", file=sys.stderr)
        return ExitStatus.INTERRUPTED
    for line in closing(study):
        print(visible(line))
    return ExitStatus.CLEAN


def new_directory(root: Path, name: str) -> Path:
    """Makes the first of `name-1`, `name-2`, ... in `root` that does not exist yet, and returns it."""
    for number in itertools.count(1):
        try:
            (root / f"{name}-{number}").mkdir(parents=True)
        except FileExistsError:
            continue
        return root / f"{name}-{number}"
    raise AssertionError("unreachable: the count has no end")


def _list(args: argparse.Namespace) -> ExitStatus:
    from studies import words
    from studies.log import read

    folders = _studies(args.root)
    if not folders:
        print(f"no studies in {args.root}; `autotune study start` makes one")
    for folder in folders:
        try:
            study = read(folder)
        except UserError as error:  # one that cannot be read does not hide the others
            print(visible(f"{folder}  {error.message}"))
            continue
        best = study.best()
        result = f"best {words.number(best.value)} in trial {best.number}" if best else "no feasible trial"
        state = study.ended or "running or killed"
        print(visible(f"{folder}  {len(study.trials)}/{study.spec.trials} trials  {state}  {result}"))
    return ExitStatus.CLEAN


def _show(args: argparse.Namespace) -> ExitStatus:
    import shutil

    from rich.text import Text

    from autotune.output import show
    from autotune.views.live import trials_table
    from autotune.views.plain import closing
    from studies import words
    from studies.log import read

    study = read(args.study or latest(RUNS))
    lines = []
    for trial in study.trials:
        lines.append(f"trial {trial.number}: {trial.proposal.why}")
        if trial.proposal.hypothesis is not None:
            lines.append(f"  hypothesis: {words.hypothesis(trial.proposal.hypothesis)}")
        lines += [f"  {words.finding(finding)}" for finding in trial.findings]
        if trial.reason:
            lines.append(f"  {words.outcome(trial)}: {trial.reason}")
    if study.unreadable:
        lines.append(f"{study.unreadable} lines of its records could not be read")
    lines += closing(study)
    show(trials_table(study, shutil.get_terminal_size().columns), *(Text(visible(line)) for line in lines))
    return ExitStatus.CLEAN


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
        print(json.dumps({"trial": best.number, "value": best.value, "knobs": dict(best.proposal.knobs)}))
        return ExitStatus.CLEAN
    print(f"trial {best.number}: {study.spec.objective} {words.number(best.value)}")
    for knob, value in best.proposal.knobs.items():
        print(f"  {knob} = {words.number(value)}")
    print(f"train with them: autotune train --study {study.directory}")
    return ExitStatus.CLEAN


def latest(root: Path) -> Path:
    """The study in `root` that was written to last; UserError where there is none."""
    from studies.log import STUDY_FILE

    folders = _studies(root)
    if not folders:
        raise UserError(
            f"no studies in {root}", "Give the folder of a study, or start one with `autotune study start`."
        )
    return max(folders, key=lambda folder: (folder / STUDY_FILE).stat().st_mtime)


def _studies(root: Path) -> list[Path]:
    from studies.log import is_study

    if not root.is_dir():
        return []
    return sorted((child for child in root.iterdir() if is_study(child)), key=lambda child: child.name)
