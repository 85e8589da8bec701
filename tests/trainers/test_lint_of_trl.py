"""What lint says of TRL is what TRL does: the defaults that it counts with, and the settings that TRL refuses."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest
from trl import GRPOConfig, RLOOConfig

from diagnostics.configs.config import Config, Given
from diagnostics.configs.frameworks import all_frameworks
from diagnostics.configs.linting import lint
from diagnostics.finding import Severity
from diagnostics.vocabulary import FIRST, LAST
from trainers.ppo_config import PPOConfig

CONFIGS = {"trl-grpo": GRPOConfig, "trl-rloo": RLOOConfig, "autotune-ppo": PPOConfig}


@pytest.mark.parametrize("framework", CONFIGS)
def test_the_defaults_are_those_of_the_newest_version(framework: str) -> None:
    real = {field.name: field.default for field in dataclasses.fields(CONFIGS[framework])}
    ours = {name: d.value for name, d in all_frameworks()[framework].default((FIRST, LAST)).items()}
    strange = {name: (value, real.get(name)) for name, value in ours.items() if real.get(name, "absent") != value}
    # What TRL makes of these where nothing is said is the same.
    same = {"eval_strategy": ("no", "no"), "save_strategy": ("steps", "steps")}
    assert {name: pair for name, pair in strange.items() if tuple(map(str, pair)) != same.get(name)} == {}


REFUSED: list[Mapping[str, Any]] = [
    {"fp16": True, "bf16": True},
    {"num_generations": 1},
    {"num_generations": 3},
    {"generation_batch_size": 16, "steps_per_generation": 2},
    {"generation_batch_size": 12, "num_generations": 4},
    {"auto_find_batch_size": True},
    {"eval_strategy": "steps", "per_device_eval_batch_size": 4},
    {"eval_strategy": "steps", "per_device_eval_batch_size": 6, "num_generations_eval": 4},
    {"load_best_model_at_end": True, "eval_strategy": "epoch"},
    {"lr_scheduler_type": "reduce_lr_on_plateau"},
]
TAKEN: list[Mapping[str, Any]] = [
    {},
    {"generation_batch_size": 16, "num_generations": 4},
    {"steps_per_generation": 2, "num_generations": 16},
    {"eval_strategy": "steps", "per_device_eval_batch_size": 4, "num_generations_eval": 2},
    {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 10, "save_steps": 10},
    {"load_best_model_at_end": True, "save_strategy": "best", "metric_for_best_model": "reward"},
    {"fp16": False, "bf16": False},
]


def refused(given: Mapping[str, Any]) -> bool:
    config = Config("x.yaml", "YAML", {n: Given(v) for n, v in given.items()}, "trl-grpo", processes=Given(1))
    told = lint(config) if given else lint(dataclasses.replace(config, given={"beta": Given(0.0)}))
    return any(placed.finding.severity >= Severity.ERROR for placed in told.findings)


@pytest.mark.parametrize("given", REFUSED, ids=str)
def test_what_is_called_refused_is_refused(given: Mapping[str, Any]) -> None:
    assert refused(given)
    with pytest.raises(ValueError, match=r"\w"):
        GRPOConfig(output_dir="", use_cpu=True, **given)


@pytest.mark.parametrize("given", TAKEN, ids=str)
def test_what_is_taken_is_not_called_refused(given: Mapping[str, Any]) -> None:
    assert not refused(given)
    GRPOConfig(output_dir="", use_cpu=True, **given)
