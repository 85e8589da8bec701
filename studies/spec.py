"""What a study is: what each trial trains, which knobs may change and where they start. Presets are TOML files."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any

from diagnostics.errors import UserError
from diagnostics.metrics import is_metric, knobs
from studies import command, trial
from studies.command import CommandSpec
from studies.space import Space, check_knob, parse_space, write_space
from studies.trial import Knob, TrialSpec

DEFAULT_PRESET = "arithmetic-grpo"
_KEYS = {"name", "description", "notes", "trials", "seed", "objective", "trial", "space", "start", "noise"}


@dataclass(frozen=True, slots=True)
class StudySpec:
    """A study: at most `trials` runs of `trial`, whose knobs begin at `start` and stay inside `space`.

    `objective` is the metric to maximise, taken from a trial's last evaluation: canonical, or as a command logs it.
    `noise` says how far runs that differ in nothing but the seed lie apart at equal cost: metric -> standard deviation,
    in the metric's unit. `notes` are for a person who asks what the study would do.
    """

    name: str
    description: str
    trials: int
    seed: int
    objective: str
    trial: TrialSpec | CommandSpec
    space: Mapping[str, Space]
    start: Mapping[str, Knob]
    noise: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def with_start(self, start: Mapping[str, Knob]) -> StudySpec:
        """The same study with some knobs starting elsewhere."""
        return replace(self, start={**self.start, **start})

    def trial_with(self, knobs: Mapping[str, Knob], seed: int) -> TrialSpec | CommandSpec:
        """The spec of one trial; knobs that are not of the space stay what the study's own trial says."""
        return replace(self.trial, knobs={**self.trial.knobs, **knobs}, seed=seed)


def write_trial(spec: TrialSpec | CommandSpec, directory: Path) -> Path:
    """Write what a trial is to do as the `config.json` of its folder; returns its path."""
    return command.write(spec, directory) if isinstance(spec, CommandSpec) else trial.write(spec, directory)


def presets() -> dict[str, str]:
    """The presets that ship, each with its description."""
    found = {}
    for path in sorted(files("studies").joinpath("presets").iterdir(), key=lambda p: p.name):
        if path.name.endswith(".toml"):
            found[path.name.removesuffix(".toml")] = tomllib.loads(path.read_text(encoding="utf-8"))["description"]
    return found


def load(preset: str) -> StudySpec:
    """The study called `preset`, or the one in the TOML file of that path.

    UserError where there is none, or where the file does not say a study; it names the file and the key.
    """
    if preset.endswith(".toml"):
        try:
            text, where = Path(preset).read_text(encoding="utf-8"), preset
        except OSError as error:
            raise UserError(f"cannot read the study {preset}: {error.strerror}", "Check the path.") from None
    elif preset in presets():
        text = files("studies").joinpath("presets", f"{preset}.toml").read_text(encoding="utf-8")
        where = f"preset {preset}"
    else:
        from difflib import get_close_matches

        near = get_close_matches(preset, presets(), n=1)
        meant = f"Did you mean {near[0]}? " if near else ""
        known = ", ".join(_families(presets()))
        raise UserError(f"unknown preset {preset!r}", f"{meant}There are {known}; the path of a .toml file works too.")
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{where} is no TOML: {error}", "Mend the file.") from None
    return from_json({"trial": {}, **data}, where)


def _families(names: Iterable[str]) -> Iterator[str]:
    """The names in order, those that only differ in the number at their end as one: `run-1 to 8`."""
    for stem, members in groupby(names, key=lambda name: name.rstrip("0123456789")):
        first, *others = members
        yield f"{first} to {others[-1].removeprefix(stem)}" if others else first


def from_json(data: Mapping[str, Any], where: str) -> StudySpec:
    """A study from the tables of a preset or of `study.jsonl`; UserError names `where` and the key at fault."""
    unknown = set(data) - _KEYS
    if unknown:
        raise UserError(f"{where}: unknown keys {', '.join(sorted(unknown))}", f"Known are {', '.join(sorted(_KEYS))}.")
    for key in ("name", "space", "start"):
        if key not in data:
            raise UserError(f"{where} has no {key}", "See studies/presets/ for complete examples.")
    for key in ("space", "start", "trial"):
        if not isinstance(data[key], Mapping):
            raise UserError(f"{where}: {key} is {data[key]!r}", f"It is a table: [{key}].")
    for key, default, least in (("trials", 8, 1), ("seed", 0, 0)):
        value = data.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise UserError(f"{where}: {key} is {value!r}", f"It takes a whole number from {least} upwards.")
    objective = data.get("objective", "validation_reward")
    of_command = "command" in data["trial"]  # whose objective and knobs may have names of their own
    if not isinstance(objective, str) or not (is_metric(objective) or of_command):
        raise UserError(f"{where}: objective {objective!r} is no canonical metric", "Try validation_reward.")
    space = {knob: parse_space(knob, table, where) for knob, table in data["space"].items()}
    strange = [knob for knob in space if knob not in knobs() and not of_command]
    if strange:
        raise UserError(f"{where}: space has the unknown knob {strange[0]}", f"The knobs are {', '.join(knobs())}.")
    start = {knob: check_knob(knob, value, space, f"{where}: start") for knob, value in data["start"].items()}
    missing = set(space) - set(start)
    if missing:
        raise UserError(f"{where}: no start for {', '.join(sorted(missing))}", "Every knob of the space needs one.")
    return StudySpec(
        str(data["name"]),
        str(data.get("description", "")),
        data.get("trials", 8),
        data.get("seed", 0),
        objective,
        _command(data["trial"], objective, space, where)
        if of_command
        else trial.from_json({"v": trial.VERSION, **data["trial"]}, f"{where}: trial"),
        space,
        start,
        _noise(data.get("noise", {}), objective, where),
        _notes(data.get("notes", []), where),
    )


def _command(data: Mapping[str, Any], objective: str, space: Mapping[str, Space], where: str) -> CommandSpec:
    spec = command.from_json({"v": command.VERSION, **data, "objective": objective}, f"{where}: trial")
    command.check(spec, space, f"{where}: trial.command")
    return spec


def _noise(table: Any, objective: str, where: str) -> dict[str, float]:
    if not isinstance(table, Mapping):
        raise UserError(f"{where}: noise is {table!r}", "It is a table: [noise].")
    for metric, value in table.items():
        if not is_metric(metric) and metric != objective:
            raise UserError(
                f"{where}: noise of {metric!r}, which is no canonical metric",
                'Names with dots need quotes: "kl.reference.k3.token" = 0.01.',
            )
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e100:  # it is squared
            raise UserError(f"{where}: noise of {metric} is {value!r}", "It takes a finite number above 0.")
    return dict(table)


def _notes(texts: Any, where: str) -> tuple[str, ...]:
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise UserError(f"{where}: notes are {texts!r}", 'They are a list of texts: notes = ["..."].')
    return tuple(texts)


def to_json(spec: StudySpec) -> dict[str, Any]:
    """The inverse of `from_json`."""
    one = command.to_json(spec.trial) if isinstance(spec.trial, CommandSpec) else trial.to_json(spec.trial)
    return {
        "name": spec.name,
        "description": spec.description,
        "notes": list(spec.notes),
        "trials": spec.trials,
        "seed": spec.seed,
        "objective": spec.objective,
        "trial": {key: value for key, value in one.items() if key not in ("v", "objective")},
        "space": {knob: write_space(space) for knob, space in spec.space.items()},
        "start": dict(spec.start),
        "noise": dict(spec.noise),
    }
