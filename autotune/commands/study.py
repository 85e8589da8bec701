"""`autotune study`: start a study, go on with one; its other actions are in `study_ask` and `study_look`."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from autotune.cli import ExitStatus
from autotune.commands import study_ask, study_look
from autotune.extras import EXTRAS, require
from autotune.folders import RUNS, latest, new_directory, study_argument
from diagnostics.errors import UserError
from diagnostics.text import visible
from studies.spec import DEFAULT_PRESET
from tui.terminal import can_draw

if TYPE_CHECKING:
    from autotune.from_run.started import FromRun
    from autotune.launch import Launcher
    from studies.record import Search
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
    how.add_argument("--review", action="store_true", help="let every proposal wait for `autotune study accept`")
    how.add_argument("--dry-run", action="store_true", help="say what the study would do and cost, and do nothing")
    _budget_arguments(how)
    start.set_defaults(action=_start)

    resume = actions.add_parser("resume", help="go on with a study", description="Go on where a study stopped.")
    study_argument(resume)
    resume.add_argument("--storage", metavar="URL", help="where its Optuna storage is now, or its password")
    _budget_arguments(resume)
    resume.set_defaults(action=_resume)

    study_ask.configure(actions)
    study_look.configure(actions)


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
    how = _with_budget(args, Search(args.sampler, args.pruner, args.storage, args.name, review=args.review))
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
    here((), [directory])  # told before anything is written
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

    if not plain and sys.stdout.isatty() and _has_monitor() and can_draw():
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
