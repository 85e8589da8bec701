"""A study from a run of anyone's script: the command to run is a person's, start and space come from the run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from autotune.from_run.recorded import Recorded
from autotune.from_run.started import FromRun, started
from autotune.from_run.values import Values, Wishes, canonical
from autotune.named import SOME
from diagnostics.errors import UserError
from diagnostics.heldout import HELD_OUT
from diagnostics.progress import REWARDS
from diagnostics.vocabulary import meanings
from studies import command, words
from studies.command import RESERVED, CommandSpec, check, check_program, renamed
from studies.spec import StudySpec
from studies.trial import Knob

_WORD = re.compile(r"[\w@%+=:,./][\w@%+=:,./-]*", re.ASCII)  # what no shell reads anything into, and is no option
RETURNS = ("return_mean",)  # of those who train in environments


def without_command(run: Recorded, own: CommandSpec | None, wishes: Wishes) -> UserError:
    """What to say of a run that a script trained, whose command nobody gave."""
    values = Values(run, run.known(), wishes)
    if not wishes.space and not values.wanted():
        return values.nothing()
    if own is not None:  # it came with a log, so it is shown and not run
        return UserError(
            f"{run.name} is a trial of a command, which a study runs only as you give it",
            f"If you trust it: --command {shlex.quote(own.command)}",
        )
    knobs = [*values.wanted()] or ["learning_rate"]
    options = " ".join(_option(values.word(knob), knob) for knob in knobs)
    lacking = values.example(knob for knob in knobs if knob not in values.told)
    return UserError(
        f"{run.name} was trained by a script, and a study has to be told how to start it",
        f"For example: --command 'python train.py {options} --seed {{seed}} --output_dir {{dir}}' {lacking}".rstrip(),
    )


def of_script(run: Recorded, template: str, wishes: Wishes) -> FromRun:
    """The study that runs `template` to repair `run`. UserError as `study_from_run` says."""
    framework = run.history.framework
    line = renamed(template, lambda word: canonical(word, framework))
    log = renamed(wishes.log, lambda word: canonical(word, framework)) if wishes.log else None
    objective, about = _objective(run, wishes)
    bare = CommandSpec(line, objective, folder=str(Path.cwd()), log=log, stall_minutes=wishes.stall_minutes)
    used = [name for name in bare.placeholders() if name not in RESERVED]
    mine = {name: value for name in used if (value := run.value(name)) is not None}
    known = {name: value for name, value in {**run.known(), **mine}.items() if _is_one_word(value)}
    values = Values(run, known, wishes)
    batch = run.value("batch_size")
    space = values.space(lambda knob: knob in used, batch if isinstance(batch, int) else None)
    lacking = [name for name in used if name not in space and name not in values.told]
    if lacking:
        raise values.unknown(sorted(lacking))
    trial = replace(bare, knobs={name: values.told[name] for name in used if name not in space})
    start = values.start(space)
    check(trial, space, "--command")
    check_program(replace(trial, knobs={**trial.knobs, **start}), "--command")
    spec = StudySpec(
        run.study_name(), f"From the recorded run {run.name}", command.TRIALS, 0, objective, trial, space, start
    )
    said = [*_words(values, [*space, *trial.knobs]), *_scheduled(run, used), *about, *_unplaced(values, used)]
    return started(spec, run, values, comparable=False, said=said)


def _is_one_word(value: Knob) -> bool:
    """Whether a value can only be what it is on a command line: a log may be anybody's, and a command a shell's."""
    return not isinstance(value, str) or bool(_WORD.fullmatch(value))


def _objective(run: Recorded, wishes: Wishes) -> tuple[str, list[str]]:
    """What is maximised, and what a person should know of it. UserError where the run logs no reward."""
    history = run.history
    metric = next((m for m in (*HELD_OUT, *REWARDS, *RETURNS) if len(history.get(m))), "")
    objective = wishes.objective or metric
    if not objective:
        names = ", ".join([*run.report.names.values(), *history.unmapped][:SOME]) or "nothing that is understood"
        raise UserError(f"{run.name} logs no reward to maximise", f"Say what to: --objective NAME; it logs {names}.")
    about = []
    if (
        objective not in history.series
        and objective not in history.others
        and not any(len(history.get(meaning)) for meaning in meanings(objective, history.framework))
    ):
        about.append(f"{run.name} does not log {objective}, so a trial is compared with it by the mechanism alone")
    elif objective in (*REWARDS, *RETURNS):
        logged = run.report.names.get(objective, objective)
        about.append(
            f"the objective is {logged}, a reward in training: it flatters what is sampled cold, and says nothing of "
            "other prompts; where the script logs a held-out reward, name that with --objective"
        )
    about.append("trials are compared with the run at equal steps, as if the command trained what the run did")
    return objective, about


def _words(values: Values, knobs: Iterable[str]) -> Iterator[str]:
    """What the framework calls the knobs of the study."""
    other = [f"{knob} is {values.word(knob)}" for knob in knobs if values.word(knob) != knob]
    if other:
        yield f"in the words of its framework {', '.join(other)}"


def _scheduled(run: Recorded, used: Iterable[str]) -> Iterator[str]:
    """Which knobs are known only from what was logged while the run went."""
    for knob in used:
        if run.setting(knob) is None and (value := run.value(knob)) is not None:
            yield f"{run.name} logs {knob} and does not tell what it was set to: {words.number(value)}, its highest"


def _unplaced(values: Values, used: Iterable[str]) -> Iterator[str]:
    """What findings want changed and the command does not take."""
    lacking = [knob for knob in values.wanted() if knob not in used]
    if lacking:
        options = " ".join(_option(values.word(knob), knob) for knob in lacking)
        yield f"the command has no placeholder for what findings want changed, too: {options}"


def _option(word: str, knob: str) -> str:
    """A knob on a command line: as argparse takes it, or with a path as Hydra does."""
    return f"{word}={{{knob}}}" if "." in word else f"--{word} {{{knob}}}"
