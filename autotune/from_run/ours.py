"""A study from a run of ours: what it trains is what the run trained, as the `config.json` beside its events says."""

from __future__ import annotations

import json
from collections.abc import Container
from dataclasses import replace
from typing import Any

from autotune.from_run.recorded import Recorded
from autotune.from_run.started import FromRun, started
from autotune.from_run.values import Values, Wishes
from diagnostics.errors import UserError
from diagnostics.finding import Severity
from diagnostics.metrics import is_metric, settings
from diagnostics.vocabulary import vocabulary
from studies import command, trial
from studies.command import STALL_MINUTES, CommandSpec
from studies.spec import StudySpec, load, presets
from studies.trial import CONFIG_FILE, TrialSpec
from trainers.preflight import FRAMEWORKS, knob_options

OF_TRAINING = {"lr_scheduler_type", "optim", "vllm_mode"}  # words, each one of a few, that no vocabulary has


def told_to_do(run: Recorded) -> TrialSpec | CommandSpec | None:
    """What a run of ours was told to do; None where that does not lie beside its events.

    UserError where it lies there and cannot be: it comes with a log, which may be anybody's.
    """
    path = run.folder / CONFIG_FILE if run.folder is not None else None
    if path is None or path.is_symlink() or not path.is_file():
        return None
    try:
        data = json.loads(path.read_bytes())
        if not isinstance(data, dict) or not {"command", "algorithm"} & data.keys():
            return None
        own: TrialSpec | CommandSpec = (command if "command" in data else trial).from_json(data, str(path))
        for knob, value in own.knobs.items():
            if knob in settings() and not settings()[knob].accepts(value):
                raise ValueError(f"{knob} is {value!r}, and should be {settings()[knob].expected}")
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} does not say what was trained: {error}", "Is it the file of another tool?") from None
    return own


def of_ours(run: Recorded, own: TrialSpec, wishes: Wishes) -> FromRun:
    """The study that repairs `run`, which was told to do `own`. UserError as `study_from_run` says."""
    _check(run, own, wishes)
    known = {entry.name: entry.means for entry in vocabulary(FRAMEWORKS[own.algorithm]).settings}
    trl = {name: value for name, value in own.trl.items() if _is_harmless(name, value, known)}
    values = Values(run, {**run.known(), **own.knobs}, wishes)

    def usable(knob: str) -> bool:
        try:
            knob_options(replace(own, knobs={knob: values.told[knob]}))
        except UserError:
            return False
        return True

    space = values.space(usable, own.batch_size)
    start, preset = values.start(space), _preset(own)
    spec = StudySpec(
        run.study_name(),
        f"From the recorded run {run.name}",
        preset.trials if preset else command.TRIALS,
        0,
        wishes.objective or (preset.objective if preset else "validation_reward"),
        replace(
            own,
            knobs={knob: value for knob, value in own.knobs.items() if knob not in space},
            trl={name: value for name, value in trl.items() if known.get(name) not in space},
            seed=0,
            test=False,
            save_model=True,
            stop_on=Severity.FATAL,
        ),
        space,
        start,
        preset.noise if preset else {},
    )
    lost = sorted(own.trl.keys() - trl.keys())
    said = (
        [f"left out of its settings, as what comes with a log may name files and code: {', '.join(lost)}"]
        if lost
        else []
    )
    return started(spec, run, values, comparable=not lost, said=said)


def _is_harmless(name: str, value: Any, known: Container[str], depth: int = 3) -> bool:
    """Whether an option of TRL's can be taken from a log, which may be anybody's.

    Options name files, hubs and code. Numbers are taken, switches that open none of these, and what is known as a
    setting of the training.
    """
    if isinstance(value, dict):
        return depth > 0 and all(_is_harmless(f"{name}.{k}", v, known, depth - 1) for k, v in value.items())
    if isinstance(value, bool) and "." not in name:
        return not any(part in name for part in ("hub", "trust"))
    if isinstance(value, bool | str) or value is None:
        return name in known or name in OF_TRAINING
    return isinstance(value, int | float)


def _check(run: Recorded, own: TrialSpec, wishes: Wishes) -> None:
    for option, given in (("--log", wishes.log), ("--stall", wishes.stall_minutes)):
        if given not in (None, STALL_MINUTES):
            raise UserError(f"{option} goes with --command", f"{run.name} is a run of ours, whose log is known.")
    if wishes.objective is not None and not is_metric(wishes.objective):
        raise UserError(f"--objective {wishes.objective!r} is no canonical metric", "Try validation_reward.")
    if own.reward is None and wishes.reward is not None:
        raise UserError(f"{run.name} has the reward of its task", "Leave --reward out.")
    if own.reward is not None and wishes.reward is None:
        raise UserError(
            f"{run.name} was rewarded by {own.reward}, which is code", f"If you trust it: --reward {own.reward}."
        )
    if own.reward != wishes.reward:
        raise UserError(f"{run.name} was rewarded by {own.reward}, not by {wishes.reward}", "Give that one.")


def _preset(own: TrialSpec) -> StudySpec | None:
    """The preset that trains the same, or else one of the same task: its objective, its trials, its noise."""
    alike = []
    for study in map(load, presets()):
        other = study.trial
        if own.task and isinstance(other, TrialSpec) and (other.task, other.algorithm) == (own.task, own.algorithm):
            same = (other.completions, dict(other.trl)) == (own.completions, dict(own.trl))
            alike.append((not same, study))
    return min(alike, key=lambda found: found[0])[1] if alike else None
