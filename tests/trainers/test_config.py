"""However a batch is split, a rollout has batch_size completions and the budget decides the steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from diagnostics.errors import UserError
from studies.trial import TrialSpec
from trainers.build import configure, steps_per_rollout
from trainers.tasks import Task

TASK = Task(
    "model", tuple({"prompt": f"{i}"} for i in range(8)), (), (), lambda completions, **_: [0.0] * len(completions)
)


def spec(**changes: Any) -> TrialSpec:
    base: dict[str, Any] = {"task": "arithmetic", "completions": 640, "batch_size": 32, "knobs": {"num_generations": 4}}
    return TrialSpec(**{**base, **changes})


@pytest.mark.parametrize(
    ("trl", "per_device", "accumulation", "rollout_steps", "max_steps"),
    [
        ({}, 32, 1, 1, 20),
        ({"per_device_train_batch_size": 8}, 8, 4, 1, 20),
        ({"gradient_accumulation_steps": 2}, 16, 2, 1, 20),
        ({"per_device_train_batch_size": 8, "gradient_accumulation_steps": 4}, 8, 4, 1, 20),
        ({"per_device_train_batch_size": 8, "gradient_accumulation_steps": 1}, 8, 1, 4, 80),  # four mini-batches
        ({"steps_per_generation": 4}, 8, 4, 1, 20),
        ({"max_steps": 7}, 32, 1, 1, 7),
    ],
)
def test_batches(
    tmp_path: Path, trl: dict[str, int], per_device: int, accumulation: int, rollout_steps: int, max_steps: int
) -> None:
    config = configure(spec(trl=trl), TASK, tmp_path)
    assert config.generation_batch_size == 32
    assert (config.per_device_train_batch_size, config.gradient_accumulation_steps) == (per_device, accumulation)
    assert (steps_per_rollout(config), config.max_steps) == (rollout_steps, max_steps)


def test_update_epochs_multiply_steps_and_not_completions(tmp_path: Path) -> None:
    config = configure(spec(knobs={"num_generations": 4, "update_epochs": 3}), TASK, tmp_path)
    assert (config.num_iterations, config.max_steps) == (3, 60)


def test_knobs_go_by_their_names_in_trl_and_trl_wins(tmp_path: Path) -> None:
    knobs = {"learning_rate": 1e-4, "kl_coef": 0.1, "temperature": 0.7, "num_generations": 8, "reward_weight": 2.0}
    config = configure(spec(knobs=knobs, trl={"temperature": 0.9, "report_to": "tensorboard"}), TASK, tmp_path)
    assert (config.learning_rate, config.beta, config.num_generations) == (1e-4, 0.1, 8)
    assert (config.temperature, config.report_to, config.reward_weights) == (0.9, ["tensorboard"], [2.0])


def test_a_task_bounds_the_length_of_completions(tmp_path: Path) -> None:
    short = Task("model", TASK.train, (), (), TASK.reward, max_completion_length=6)
    assert configure(spec(), short, tmp_path).max_completion_length == 6
    assert configure(spec(max_completion_length=4), short, tmp_path).max_completion_length == 4
    assert configure(spec(), TASK, tmp_path).max_completion_length == 256


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"batch_size": 30}, "CFG001 generations_divide_batch: 4 generations .* do not divide a batch of 30 "),
        ({"trl": {"steps_per_generation": 3, "per_device_train_batch_size": 2}}, "CFG001 .* a batch of 6 completions"),
        ({"batch_size": 64}, r"CFG002 batch_exceeds_dataset: a batch of 16 prompts.* Try batch_size = 32\."),
        ({"trl": {"per_device_train_batch_size": 5}}, "cannot be split over 1 processes in batches of 5"),
        ({"trl": {"no_such_option": 1}}, "no_such_option"),
        ({"knobs": {"vf_coef": 0.5}}, "vf_coef means nothing to GRPO"),
        ({"knobs": {"num_train_epochs": 2}}, "no effect: the budget is counted in completions"),
        ({"knobs": {"num_generations": 1}, "batch_size": 8}, "at least 2 generations"),
    ],
)
def test_settings_that_trl_refuses(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        configure(spec(**changes), TASK, tmp_path)
    assert "\n" not in str(caught.value)


def test_what_a_lint_only_warns_of_is_not_refused(tmp_path: Path) -> None:
    copies = Task("model", ({"prompt": "x"},) * 8, (), (), TASK.reward)
    assert configure(spec(), copies, tmp_path).generation_batch_size == 32  # CFG002, CFG003: one distinct prompt
