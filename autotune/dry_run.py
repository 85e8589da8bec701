"""What a study would do, said before anything is started."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from autotune import preflight
from autotune.extras import require
from autotune.search import hide_password, pruner, sampler
from diagnostics.errors import UserError
from studies import words
from studies.command import CommandSpec
from studies.log import STUDY_FILE, is_study, read
from studies.record import Search, State, StudyRecord
from studies.spec import StudySpec

if TYPE_CHECKING:
    from autotune.from_run.started import FromRun


def dry_run(spec: StudySpec, how: Search, runs: Path, first: FromRun | None = None) -> list[str]:
    """What `autotune study start` would do, line by line: trials, space, search, cost, time.

    Nothing is trained and nothing is written. The time is that of the latest study in `runs` that trained the same
    thing; without one it is unknown, and only what a second per step comes to is said. `first` is the recorded run that
    it starts from, if any. UserError where the study could not start: a sampler or pruner that there is none of,
    settings that no trial could train with.
    """
    require("optuna")
    sampler(how.sampler, spec.seed)
    pruner(how.pruner)
    warned = [f"its settings alone tell: {line}" for line in preflight.check(spec)]
    to_run = spec.trials - (first is not None)  # a recorded run is one of the trials
    change = first.told() if first is not None else ()
    return [*_what(spec), *change, *_search(how), *_cost(spec, how, runs, to_run), *warned]


def _what(spec: StudySpec) -> Iterator[str]:
    trial = spec.trial
    if isinstance(trial, CommandSpec):
        what = f"each one run of: {trial.command}"
    else:
        subject = f"task {trial.task}" if trial.task else f"{trial.model} on {trial.dataset}"
        what = f"each {trial.algorithm.upper()} on {trial.completions:,} completions, {subject}"
    yield f"study {spec.name}: at most {spec.trials} trials, {what}"
    yield from spec.notes
    yield f"objective: {spec.objective}, maximised"
    yield "space, and where it starts:"
    width = max(map(len, spec.space), default=0)
    for knob, space in spec.space.items():
        yield f"  {knob:<{width}}  {space}; starts at {words.number(spec.start[knob])}"


def _search(how: Search) -> Iterator[str]:
    storage = hide_password(how.storage) or "study.db in its folder"
    yield f"sampler {how.sampler}, pruner {how.pruner}, storage {storage}"
    if how.parallel > 1:
        yield f"{how.parallel} trials at once"


def _cost(spec: StudySpec, how: Search, runs: Path, to_run: int) -> Iterator[str]:
    trial = spec.trial
    if not isinstance(trial, CommandSpec):
        yield f"completions: at most {to_run * trial.completions:,}; trials that are stopped early take fewer"
    measured = _measured(spec, runs)
    if measured is not None:
        seconds, study = measured
        total = seconds * to_run
        apart = f" ({words.duration(total / how.parallel)} with {how.parallel} at once)" if how.parallel > 1 else ""
        yield f"time: about {words.duration(total)} of this machine's CPU or GPU{apart},"
        yield f"  if a trial takes {words.duration(seconds)} as it did in {study.directory}"
    elif isinstance(trial, CommandSpec):
        yield f"time: unknown until a trial has run; no study in {runs} ran this command"
    else:
        rollouts = to_run * math.ceil(trial.completions / trial.batch_size)
        yield f"time: unknown until the first steps; no study in {runs} trained this"
        each = words.duration(rollouts)
        yield f"  {rollouts:,} rollouts in all: each second that one takes, updates included, makes {each}"
    if how.timeout is not None:
        yield f"no trial begins after {words.duration(how.timeout)}"


def _measured(spec: StudySpec, runs: Path) -> tuple[float, StudyRecord] | None:
    """Seconds that a whole trial takes, and the study that says so: the latest in `runs` of the same kind of trial."""
    folders = [folder for folder in runs.iterdir() if is_study(folder)] if runs.is_dir() else []
    for folder in sorted(folders, key=lambda f: (f / STUDY_FILE).stat().st_mtime, reverse=True):
        try:
            study = read(folder)
        except UserError:  # one that cannot be read says nothing of the time
            continue
        if replace(study.spec.trial, knobs={}) != replace(spec.trial, knobs={}):
            continue
        whole = [t.seconds for t in study.trials if t.state is State.COMPLETE and t.seconds > 0]
        # A trial that was stopped says how long its steps take.
        part = [t.seconds * t.max_steps / t.steps for t in study.trials if t.steps and t.max_steps and t.seconds > 0]
        if whole or part:
            return median(whole or part), study
    return None
