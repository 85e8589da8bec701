"""What one trial is to do: the contents of its `config.json`, from which the trainer works."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from diagnostics.errors import UserError
from diagnostics.finding import Severity
from diagnostics.metrics import knobs

VERSION = 1
CONFIG_FILE = "config.json"
PAUSE_FILE = "pause"  # while it lies in the folder of a trial, our trainer stands still at the end of a step
ALGORITHMS = ("grpo", "ppo")

Knob = float | int | str


@dataclass(frozen=True, slots=True)
class TrialSpec:
    """One training run. Cost is counted in completions, so that every setting of the knobs costs the same.

    Either `task` names a built-in task, or `model`, `dataset` and `reward` say what is trained on what. `trl` is handed
    to TRL's config untouched (vLLM, bf16, report_to, ...) and wins over everything said here.
    """

    algorithm: str = "grpo"  # one of ALGORITHMS
    knobs: Mapping[str, Knob] = field(default_factory=dict)
    seed: int = 0
    task: str | None = None
    model: str | None = None  # folder or hub name of a causal LM
    dataset: str | None = None  # JSONL, CSV or Parquet file with a `prompt` column; the others go to the reward
    validation: str | None = None  # the same, held out; without it a tenth of the dataset is held out
    reward: str | None = None  # module:function
    reward_bounds: tuple[float, float] | None = None
    completions: int = 12_800  # sampled for training over the whole run
    batch_size: int = 128  # completions per rollout, all processes together
    max_completion_length: int = 256  # tokens
    eval_every: int = 10  # rollouts between evaluations on the validation split
    eval_temperature: float = 1.0
    lora_rank: int | None = None  # None trains all weights
    test: bool = False  # evaluate the test split before and after; for the recommendation only
    save_model: bool = True
    stop_on: Severity | None = Severity.FATAL  # a finding of this severity or above ends the run
    trl: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.algorithm not in ALGORITHMS:
            raise UserError(f"there is no algorithm {self.algorithm!r}", f"Choose one of {', '.join(ALGORITHMS)}.")
        for name in ("knobs", "trl"):
            if not isinstance(getattr(self, name), Mapping):
                raise UserError(f"{name} is {getattr(self, name)!r}", "It takes a table of names and values.")
        unknown = set(self.knobs) - set(knobs())
        if unknown:
            raise UserError(f"unknown knob {', '.join(sorted(unknown))}", f"The knobs are {', '.join(knobs())}.")
        for name in ("completions", "batch_size", "max_completion_length", "eval_every", "lora_rank"):
            value = getattr(self, name)
            if name == "lora_rank" and value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UserError(f"{name} is {value!r}", "It takes a whole number from 1 upwards.")
        if not isinstance(self.eval_temperature, int | float) or not 0 <= self.eval_temperature < math.inf:
            raise UserError(f"eval_temperature is {self.eval_temperature!r}", "It takes a number from 0 upwards.")
        if self.reward_bounds is not None:
            low, high = self.reward_bounds
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise UserError(f"reward_bounds are {low:g} and {high:g}", "Give two finite numbers, the lower first.")
        if (self.task is None) == (self.model is None):
            raise UserError("a trial needs a task or a model", "Give either the name of a task or --model.")
        if self.model is not None and (self.dataset is None or self.reward is None):
            raise UserError(f"the model {self.model} has no dataset or no reward", "Give --dataset and --reward.")


def to_json(spec: TrialSpec) -> dict[str, Any]:
    """The spec as plain JSON types."""
    data = asdict(spec)
    data["stop_on"] = spec.stop_on.name.lower() if spec.stop_on is not None else None
    return {"v": VERSION, **data}


def from_json(data: Mapping[str, Any], where: str) -> TrialSpec:
    """The inverse of `to_json`; UserError names `where` and the key at fault."""
    if data.get("v") != VERSION:
        raise UserError(
            f"{where} has version {data.get('v')}, this autotune reads version {VERSION}",
            "Use the autotune that wrote it, or upgrade.",
        )
    known = {f.name for f in fields(TrialSpec)}
    unknown = set(data) - known - {"v"}
    if unknown:
        raise UserError(f"{where}: unknown keys {', '.join(sorted(unknown))}", f"Known are {', '.join(sorted(known))}.")
    values = {key: value for key, value in data.items() if key != "v"}
    try:
        if values.get("stop_on") is not None:
            values["stop_on"] = Severity.parse(str(values["stop_on"]))
        if values.get("reward_bounds") is not None:
            low, high = values["reward_bounds"]
            values["reward_bounds"] = (float(low), float(high))
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: {error}", "stop_on is a severity, reward_bounds are two numbers.") from None
    return TrialSpec(**values)


def write(spec: TrialSpec, directory: Path) -> Path:
    """Write `config.json` in `directory`, whole or not at all; returns its path."""
    path = directory / CONFIG_FILE
    partial = directory / f"{CONFIG_FILE}.{os.getpid()}.partial"  # of our own: under accelerate every rank writes it
    partial.write_text(json.dumps(to_json(spec), indent=1) + "\n", encoding="utf-8")
    return partial.replace(path)


def read(directory: Path) -> TrialSpec:
    """The spec in the `config.json` of `directory`; UserError where there is none or it cannot be read."""
    path = directory / CONFIG_FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{directory} has no {CONFIG_FILE}", "It is not the folder of a trial.") from None
    except ValueError as error:
        raise UserError(f"{path} is no JSON: {error}", "Restore it or start the trial anew.") from None
    return from_json(data, str(path))
