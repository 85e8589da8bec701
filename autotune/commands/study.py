"""`autotune study`: start a study, go on with one, end one, list studies, show or export one, say the best settings."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from autotune.cli import ExitStatus
from autotune.extras import EXTRAS, require
from autotune.folders import RUNS, latest, new_directory, studies_in
from diagnostics.errors import UserError
from diagnostics.text import visible
from studies.spec import DEFAULT_PRESET

if TYPE_CHECKING:
    from autotune.from_run.started import FromRun
    from autotune.launch import Launcher
    from studies.record import Search, StudyRecord
    from studies.spec import StudySpec


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their arguments."""
    actions = parser.add_subparsers(metavar="ACTION", title="actions", required=True)

    start = actions.add_parser("start", help="start a study", description="Train, diagnose, tune: trial after trial.")
    start.add_argument("preset", nargs="?", help=f"a preset or a .toml file (default {DEFAULT_PRESET})")
    again = start.add_argument_group("a run that went wrong instead of a preset")
    again.add_argument(
        "--from", dest="run", metavar="RUN", help="what `autotune diagnose` reads: what was found there is repaired"
    )
    again.add_argument("--reward", metavar="MODULE:FUNCTION", help="the reward function of that run, if it had its own")
    what = start.add_argument_group("a script of your own instead of a preset (some go with --from, too)")
    what.add_argument("--command", metavar="C", help="what a trial runs, with {knob}, {seed} and {dir} to be filled in")
    what.add_argument(
        "--space", action="append", default=[], metavar="KNOB=SPACE", help="1e-6..1e-3:log, 1..4:int or 4,8"
    )
    what.add_argument("--objective", metavar="M", help="the metric to maximise, as the script logs it")
    what.add_argument("--log", metavar="FILE", help="what the script logs to, in {dir} (default: what appears there)")
    what.add_argument("--stall", type=float, metavar="MIN", help="minutes without a sign of life that are a hang (30)")
    how = start.add_argument_group("how")
    how.add_argument(
        "--start", action="append", default=[], metavar="KNOB=VALUE", help="where a knob starts; may be repeated"
    )
    how.add_argument("--dir", type=Path, metavar="D", help=f"folder of the study (default: a new one in {RUNS}/)")
    how.add_argument("--seed", type=int, metavar="S", help="seed of the study (default: the preset's)")
    how.add_argument(
        "--sampler", default="autotune", metavar="S", help="autotune (default), tpe, random, gp, cmaes or module:Class"
    )
    how.add_argument(
        "--pruner", default="autotune", metavar="P", help="autotune (default), median, none or module:Class"
    )
    how.add_argument("--storage", default="", metavar="URL", help="Optuna storage (default: study.db in the folder)")
    how.add_argument("--name", default="", metavar="N", help="of the study in that storage (default: the preset's)")
    how.add_argument("--dry-run", action="store_true", help="say what the study would do and cost, and do nothing")
    _budget_arguments(how)
    start.set_defaults(action=_start)

    resume = actions.add_parser("resume", help="go on with a study", description="Go on where a study stopped.")
    _study_argument(resume)
    resume.add_argument("--storage", metavar="URL", help="where its Optuna storage is now, or its password")
    _budget_arguments(resume)
    resume.set_defaults(action=_resume)

    stop = actions.add_parser("stop", help="end a running study", description="End a running study after its step.")
    _study_argument(stop)
    stop.add_argument("--trial", type=int, metavar="N", help="end this trial only")
    stop.set_defaults(action=_stop)

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

    export = actions.add_parser("export", help="write all trials as a table", description="Write all trials.")
    _study_argument(export)
    export.add_argument("--format", choices=["csv", "json"], default="csv", help="how to write it (default csv)")
    export.set_defaults(action=_export)


def _study_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", nargs="?", type=Path, help=f"folder of the study (default: the latest in {RUNS}/)")


def _budget_arguments(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--trials", type=int, metavar="N", help="how many trials in all (default: the preset's)")
    parser.add_argument("--timeout", type=float, metavar="S", help="seconds after which no new trial begins")
    parser.add_argument("--parallel", type=int, metavar="N", help="trials at once (default 1)")
    parser.add_argument("--plain", action="store_true", help="plain lines instead of the monitor")


def run(args: argparse.Namespace) -> ExitStatus:
    """Carry out the chosen action."""
    status: ExitStatus = args.action(args)
    return status


# ---- running a study


def _start(args: argparse.Namespace) -> ExitStatus:
    from studies.record import Search

    first = _from_run(args) if args.run is not None else None
    spec = _with_trials(args, _spec(args) if first is None else first.spec)
    first = replace(first, spec=spec) if first is not None else None
    how = _with_budget(args, Search(args.sampler, args.pruner, args.storage, args.name))
    if args.dry_run:
        from autotune.dry_run import dry_run

        for line in dry_run(spec, how, RUNS, first):
            print(visible(line))
        return ExitStatus.CLEAN
    _require(spec)

    from autotune import preflight, search
    from autotune.loop import create
    from diagnostics.catalogue import here

    search.check(how)
    here()  # what is wrong with the project's rules is told before anything begins
    preflight.check(spec)  # and with the study's settings
    directory = args.dir if args.dir is not None else new_directory(RUNS, spec.name)
    create(spec, _without_password(how), directory, first)
    return _go(directory, spec, plain=args.plain)


def _spec(args: argparse.Namespace) -> StudySpec:
    """The study that the arguments describe."""
    from studies.space import parse_knob
    from studies.spec import load

    if args.command is not None:
        from studies.command import STALL_MINUTES, study_from_command

        if args.preset is not None:
            raise UserError("give a preset or --command, not both", "A command's space comes from --space.")
        spec = study_from_command(
            args.command,
            space=args.space,
            objective=args.objective,
            start=args.start,
            log=args.log,
            stall_minutes=STALL_MINUTES if args.stall is None else args.stall,
        )
    else:
        for option in ("space", "objective", "log", "stall"):
            if getattr(args, option) not in (None, []):
                raise UserError(
                    f"--{option} goes with --command", "A preset's space and objective are in its TOML file."
                )
        if args.reward is not None:
            raise UserError("--reward goes with --from", "A preset's reward is in its TOML file.")
        spec = load(args.preset or DEFAULT_PRESET)
        spec = spec.with_start(dict(parse_knob(text, spec.space, "--start") for text in args.start))
    return spec


def _from_run(args: argparse.Namespace) -> FromRun:
    """The study that repairs the run that the arguments name."""
    from autotune.from_run import study_from_run
    from autotune.from_run.recorded import recorded
    from autotune.from_run.started import LEAST
    from autotune.from_run.values import Wishes
    from studies.command import STALL_MINUTES

    if args.preset is not None:
        raise UserError("give a preset or --from, not both", "What is trained comes from the run.")
    if args.trials is not None:  # the run counts as one of them
        _whole("--trials", args.trials, LEAST)
    return study_from_run(
        recorded(args.run),
        Wishes(
            space=args.space,
            start=args.start,
            command=args.command,
            objective=args.objective,
            log=args.log,
            stall_minutes=STALL_MINUTES if args.stall is None else args.stall,
            reward=args.reward,
        ),
    )


def _with_trials(args: argparse.Namespace, spec: StudySpec) -> StudySpec:
    if args.trials is not None:
        spec = replace(spec, trials=_whole("--trials", args.trials, 1))
    if args.seed is not None:
        spec = replace(spec, seed=_whole("--seed", args.seed, 0))
    return spec


def _without_password(how: Search) -> Search:
    """As it is recorded: the password of the storage stays in the environment, for this process and those it starts."""
    from autotune import search
    from autotune.ledger import STORAGE_VARIABLE

    if not how.storage:
        return how
    os.environ[STORAGE_VARIABLE] = search.absolute(how.storage)
    return replace(how, storage=search.hide_password(search.absolute(how.storage)))


def _whole(option: str, value: int, least: int) -> int:
    if value < least:
        raise UserError(f"{option} {value} is too small", f"Give {least} or more.")
    return value


def _with_budget(args: argparse.Namespace, how: Search) -> Search:
    if args.parallel is not None:
        how = replace(how, parallel=_whole("--parallel", args.parallel, 1))
    if args.timeout is not None and not args.timeout > 0:
        raise UserError(f"--timeout {args.timeout:g} is no time", "Give seconds, more than 0.")
    return replace(how, timeout=args.timeout)


def _require(spec: StudySpec) -> None:
    from studies.command import CommandSpec

    require("optuna")
    if not isinstance(spec.trial, CommandSpec):
        from trainers.supported import require_trl

        require("torch", "transformers", "trl")
        require_trl()


def _resume(args: argparse.Namespace) -> ExitStatus:
    from autotune import preflight
    from diagnostics.catalogue import here
    from studies.log import StudyLog, read

    directory = args.study or latest(RUNS)
    study = read(directory)
    spec, how = study.spec, _with_budget(args, study.search)
    if args.trials is not None:
        spec = replace(spec, trials=_whole("--trials", args.trials, 1))
    if args.storage is not None:
        how = _without_password(replace(how, storage=args.storage))
    _require(spec)
    here()
    preflight.check(spec)
    if (spec, how) != (study.spec, study.search):
        log = StudyLog(directory)
        log.resumed(spec, how)
        log.close()
    return _go(directory, spec, plain=args.plain)


def _go(directory: Path, spec: StudySpec, *, plain: bool) -> ExitStatus:
    """Run the study here, with plain lines; in a terminal, in a process of its own with the monitor before it."""
    from autotune.views.plain import PlainView, closing
    from studies.log import read

    if not plain and sys.stdout.isatty() and _has_monitor():
        from autotune.attended import attend

        return attend(directory)
    from autotune.loop import run as run_study

    try:
        study = run_study(directory, _launcher(spec, read(directory).search), PlainView(read(directory), sys.stdout))
    except KeyboardInterrupt:
        print(f"autotune: interrupted; go on with: autotune study resume {directory}", file=sys.stderr)
        return ExitStatus.INTERRUPTED
    for line in closing(study):
        print(visible(line))
    return ExitStatus.CLEAN


def _has_monitor() -> bool:
    """Whether the monitor is installed; where it is not, a line says what is shown instead."""
    if importlib.util.find_spec("textual") is not None:
        return True
    install = f"pip install 'autotune-rl[{EXTRAS['textual']}]'"
    print(f"the monitor is not installed ({install}), so the study is told in plain lines", file=sys.stderr)
    return False


def _launcher(spec: StudySpec, how: Search) -> Launcher:
    from studies.command import CommandSpec

    if isinstance(spec.trial, CommandSpec):
        from autotune.launch.command import CommandLauncher

        return CommandLauncher(how.parallel)
    from autotune.launch.local import LocalLauncher

    return LocalLauncher(parallel=how.parallel)


def _stop(args: argparse.Namespace) -> ExitStatus:
    from studies.log import is_running, is_study
    from studies.requests import Action, ask

    directory = args.study or latest(RUNS)
    if not is_study(directory):
        raise UserError(f"{directory} is no study", "See `autotune study list`.")
    if not is_running(directory):
        raise UserError(f"no process runs the study in {directory}", f"Go on with: autotune study resume {directory}")
    if args.trial is not None:
        ask(directory, Action.STOP_TRIAL, trial=args.trial)
        print(f"asked trial {args.trial} of {directory} to end after its step")
    else:
        ask(directory, Action.STOP_STUDY)
        print(
            f"asked {directory} to end after the step its trials are at; go on with: autotune study resume {directory}"
        )
    return ExitStatus.CLEAN


# ---- looking at studies


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
        state = "running" if is_running(folder) else study.ended or "killed"
        print(visible(f"{folder}  {len(study.trials)}/{study.spec.trials} trials  {state}  {result}"))
    return ExitStatus.CLEAN


def _show(args: argparse.Namespace) -> ExitStatus:
    import shutil

    from rich.text import Text

    from autotune.output import show
    from autotune.views.plain import closing, told
    from autotune.views.table import trials_table
    from studies.log import read

    study = read(args.study or latest(RUNS))
    lines = [line for trial in study.trials for line in told(trial)]
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
