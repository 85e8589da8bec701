"""`autotune train`: one training run, diagnosed while it goes."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autotune.cli import ExitStatus
from autotune.commands.diagnose import add_fail_on_option
from autotune.extras import require
from autotune.folders import RUNS, latest, new_directory
from diagnostics.errors import UserError
from diagnostics.finding import Severity
from diagnostics.text import visible

if TYPE_CHECKING:
    from autotune.views.run import LiveRun, PlainRun
    from studies.trial import Knob, TrialSpec

# What TRL 1.16 uses where nothing is said (trl/trainer/grpo_config.py), under our names.
TRL_DEFAULTS: Mapping[str, Any] = {
    "learning_rate": 1e-6,
    "kl_coef": 0.0,
    "update_epochs": 1,
    "temperature": 1.0,
    "num_generations": 8,
}
POLL_SECONDS = 0.1
START_SECONDS = 60  # between the first and the last process of one `accelerate launch` on one machine


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    what = parser.add_argument_group("what is trained (one of --preset, --study, --model)")
    what.add_argument("--preset", metavar="P", help="the task of a preset, at the settings it starts with")
    what.add_argument(
        "--study",
        type=Path,
        nargs="?",
        const=Path(),
        metavar="DIR",
        help="the task of a study at the best settings it found (without DIR: the latest study)",
    )
    what.add_argument("--model", metavar="M", help="a causal language model: a folder or a hub name")
    what.add_argument("--dataset", metavar="FILE", help="JSONL, CSV or Parquet with a `prompt` column")
    what.add_argument("--validation", metavar="FILE", help="held-out prompts (default: a tenth of the dataset)")
    what.add_argument("--reward", metavar="MODULE:FUNCTION", help="reward function with TRL's signature")
    what.add_argument("--reward-bounds", metavar="LOW,HIGH", help="lowest and highest reward that can be had")
    how = parser.add_argument_group("how")
    how.add_argument("--set", action="append", default=[], metavar="KNOB=VALUE", help="a knob; may be repeated")
    how.add_argument("--completions", type=int, metavar="N", help="completions sampled over the whole run: its cost")
    how.add_argument("--batch-size", type=int, metavar="N", help="completions per rollout, all processes together")
    how.add_argument("--max-completion-length", type=int, metavar="N", help="tokens")
    how.add_argument("--eval-every", type=int, metavar="N", help="rollouts between evaluations")
    how.add_argument("--lora-rank", type=int, metavar="R", help="train a LoRA adapter of this rank")
    how.add_argument("--trl", action="append", default=[], metavar="KEY=VALUE", help="handed to GRPOConfig untouched")
    how.add_argument("--seed", type=int, default=0, metavar="S")
    how.add_argument("--test", action="store_true", help="also evaluate the test split, before and after")
    how.add_argument("--dir", type=Path, metavar="D", help=f"folder of the run (default: a new one in {RUNS}/)")
    how.add_argument("--plain", action="store_true", help="plain lines instead of the live screen")
    add_fail_on_option(how)


def run(args: argparse.Namespace) -> ExitStatus:
    """Train, show the diagnosis, and say by the exit status whether something was found."""
    spec, name = _spec(args)
    require("torch", "transformers", "trl")
    from autotune.preflight import told
    from studies import trial
    from studies.log import claim
    from trainers.preflight import check
    from trainers.supported import require_trl

    require_trl()
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    warned = check(spec, ranks)  # what is wrong with it, or with the project's rules, is told before anything begins
    if ranks > 1 and args.dir is None:
        raise UserError("under `accelerate launch` the folder must be given", "Add --dir, the same for all processes.")
    first = os.environ.get("RANK", "0") == "0"  # of several processes it alone makes the folder and reports
    for finding in warned if first else ():
        print(f"autotune: {visible(told(finding))}", file=sys.stderr)
    if first:
        directory = claim(args.dir) if args.dir is not None else new_directory(RUNS, name)
        trial.write(spec, directory)
    else:
        directory = args.dir
        _await(directory / trial.CONFIG_FILE)
    try:
        if ranks > 1:
            interrupted = _train_here(directory, show=first)
        else:
            interrupted = _train_in_a_process(directory, plain=args.plain)
    except KeyboardInterrupt:
        interrupted = True
    if interrupted:
        print(f"autotune: interrupted; what was done is kept: autotune diagnose {directory}", file=sys.stderr)
        return ExitStatus.INTERRUPTED
    return _diagnosed(directory, Severity.parse(args.fail_on)) if first else ExitStatus.CLEAN


def _await(path: Path) -> None:
    """Wait until the first process has made `path`; UserError where it does not."""
    began = time.monotonic()
    while not path.exists():
        if time.monotonic() - began > START_SECONDS:
            raise UserError(f"{path} did not appear in {START_SECONDS} s", "See what the first process says.")
        time.sleep(POLL_SECONDS)


def _spec(args: argparse.Namespace) -> tuple[TrialSpec, str]:
    """What is to be trained, and a name for its folder."""
    from dataclasses import replace

    from studies.command import CommandSpec
    from studies.log import read
    from studies.spec import load
    from studies.trial import TrialSpec

    chosen = [o for o in ("preset", "study", "model") if getattr(args, o) is not None]
    if len(chosen) != 1:
        raise UserError(
            f"give one of --preset, --study and --model, not {' and '.join('--' + c for c in chosen) or 'none'}",
            "For example: autotune train --preset arithmetic-grpo",
        )
    knobs: dict[str, Knob]
    if args.preset is not None:
        study = load(args.preset)
        if isinstance(study.trial, CommandSpec):
            raise UserError(f"{args.preset} tunes a command", "Start a study with it: `autotune study start`.")
        base, knobs, name = study.trial, dict(study.start), f"train-{study.name}"
    elif args.study is not None:
        record = read(latest(RUNS) if args.study == Path() else args.study)
        best = record.best()
        if best is None:
            raise UserError(f"{record.directory} found no settings to recommend", "See `autotune study show`.")
        if isinstance(record.spec.trial, CommandSpec):
            raise UserError(
                f"{record.directory} tunes a command", "Run it yourself; `autotune study best` has the settings."
            )
        base, name = record.spec.trial, f"train-{record.spec.name}"
        knobs = {**base.knobs, **best.proposal.knobs}
    else:
        base = TrialSpec(model=args.model, dataset=args.dataset, validation=args.validation, reward=args.reward)
        knobs, name = dict(TRL_DEFAULTS), f"train-{Path(args.model).name}"
    knobs |= dict(_knob(text) for text in args.set)
    given = {
        key: value
        for key in ("completions", "batch_size", "max_completion_length", "eval_every", "lora_rank")
        if (value := getattr(args, key)) is not None
    }
    if args.reward_bounds is not None:
        given["reward_bounds"] = _bounds(args.reward_bounds)
    trl = {**base.trl, **dict(_setting(text) for text in args.trl)}
    return replace(base, knobs=knobs, seed=args.seed, test=args.test, trl=trl, **given), name


def _knob(text: str) -> tuple[str, Knob]:
    """`knob=value` as the knob may be anywhere: a study's space is narrower."""
    from diagnostics.metrics import Kind, settings
    from studies.space import Choices, Range, Space, parse_knob

    anywhere: dict[str, Space] = {
        name: Choices(setting.choices)
        if setting.kind is Kind.CHOICE
        else Range(*setting.range, integer=setting.kind is Kind.INTEGER)
        for name, setting in settings().items()
        if setting.knob
    }
    return parse_knob(text, anywhere, "--set")


def _setting(text: str) -> tuple[str, Any]:
    """`key=value`, the value as JSON where it is any, else as text."""
    import json

    key, equals, written = text.partition("=")
    if not equals:
        raise UserError(f"--trl: {text!r} is not key=value", "Write for example bf16=true.")
    try:
        return key, json.loads(written)
    except ValueError:
        return key, written


def _bounds(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise UserError(
            f"--reward-bounds {text!r} is not LOW,HIGH", "Write for example --reward-bounds=-1,1."
        ) from None
    return low, high


def _train_in_a_process(directory: Path, *, plain: bool) -> bool:
    """Train in a process of its own; whether it was interrupted. UserError where it failed."""
    from autotune.launch.local import LOG_FILE, LocalLauncher

    with LocalLauncher() as launcher:
        running = launcher.start(directory)
        with _view(plain) as view:
            _follow(directory, view, lambda: running.poll() is None)
        status = running.stop()
    if status == ExitStatus.ERROR:
        raise UserError(running.last_words().removeprefix("trainers: error: "))
    if status not in (ExitStatus.CLEAN, ExitStatus.INTERRUPTED):
        _diagnosed(directory, Severity.FATAL)  # what it told until then may say why
        raise UserError(f"training failed: {running.last_words()}", f"See {directory / LOG_FILE}.")
    return status == ExitStatus.INTERRUPTED


def _train_here(directory: Path, *, show: bool) -> bool:
    """Train in this process, one of several that `accelerate launch` started; whether it was interrupted.

    The first of them shows what happens.
    """
    from diagnostics.events import Outcome
    from trainers.run import run_trial

    if not show:
        return run_trial(directory).outcome is Outcome.INTERRUPTED
    ended = threading.Event()
    with _view(plain=True) as view:
        follower = threading.Thread(target=_follow, args=(directory, view, lambda: not ended.is_set()), daemon=True)
        follower.start()
        try:
            return run_trial(directory).outcome is Outcome.INTERRUPTED
        finally:
            ended.set()
            follower.join()


def _view(plain: bool) -> LiveRun | PlainRun:
    from rich.console import Console

    from autotune.views.run import LiveRun, PlainRun

    return PlainRun(sys.stdout) if plain or not sys.stdout.isatty() else LiveRun(Console())


def _follow(directory: Path, view: LiveRun | PlainRun, alive: Callable[[], bool]) -> None:
    """Show events until the run is no longer alive and all it wrote was seen."""
    from studies.trial_log import TrialLog

    log = TrialLog(directory, "validation_reward")
    while True:
        going = alive()
        events = log.poll()
        view.moved(log, events)
        if not going:
            log.close()
            return
        if not events:
            time.sleep(POLL_SECONDS)


def _diagnosed(directory: Path, fail_on: Severity) -> ExitStatus:
    from autotune.output import show
    from diagnostics.catalogue import here
    from diagnostics.engine import diagnose
    from diagnostics.readers import events
    from diagnostics.report import terminal

    report = diagnose(events.read(directory), here())
    show(terminal.render(report))
    worst = report.worst()
    return ExitStatus.FINDINGS if worst is not None and worst >= fail_on else ExitStatus.CLEAN
