"""However a batch is split, a rollout has batch_size completions and the budget decides the steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from diagnostics.errors import UserError
from diagnostics.metrics import knobs
from studies.trial import TrialSpec, write
from trainers import losses, ppo_limits, preflight
from trainers.build import ALGORITHMS, configure, steps_per_rollout
from trainers.run import run_trial
from trainers.tasks import Task

TASK = Task(
    "model", tuple({"prompt": f"{i}"} for i in range(8)), (), (), lambda completions, **_: [0.0] * len(completions)
)
LARGE = Task("model", tuple({"prompt": f"{i}"} for i in range(64)), (), (), TASK.reward)


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


PPO = {"algorithm": "ppo", "knobs": {}}


@pytest.mark.parametrize(
    ("trl", "per_device", "accumulation", "steps"),
    [
        ({}, 32, 1, 4),
        ({"num_mini_batches": 4}, 8, 1, 16),
        ({"num_mini_batches": 4, "num_ppo_epochs": 1}, 8, 1, 4),
        ({"num_mini_batches": 2, "gradient_accumulation_steps": 4}, 4, 4, 8),
        ({"num_mini_batches": 2, "per_device_train_batch_size": 8}, 8, 2, 8),
    ],
)
def test_mini_batches_of_ppo(
    tmp_path: Path, trl: dict[str, int], per_device: int, accumulation: int, steps: int
) -> None:
    config = configure(spec(**PPO, batch_size=32, trl=trl), LARGE, tmp_path)
    assert (config.generation_batch_size, config.num_generations) == (32, 1)
    assert (config.per_device_train_batch_size, config.gradient_accumulation_steps) == (per_device, accumulation)
    assert (steps_per_rollout(config), config.max_steps) == (steps, 20 * steps)


@pytest.mark.parametrize(
    ("trl", "says"),
    [
        ({"num_mini_batches": 3}, "3 mini-batches do not divide a rollout of 32 completions"),
        (
            {"num_mini_batches": 4, "per_device_train_batch_size": 3},
            "a mini-batch of 8 completions cannot be split over",
        ),
        ({"num_generations": 5}, "CFG001 generations_divide_batch: 5 generations .* do not divide a batch of 32"),
        ({"kl_controller": "adaptive", "kl_coef": 0}, "PPO refuses .* kl_controller is adaptive and kl_coef is 0"),
        ({"loss_type": "grpo"}, "PPO refuses the settings: loss_type is GRPO's and means nothing to PPO"),
        ({"beta": 0.1}, "beta is GRPO's name: PPO's is kl_coef"),
        ({"no_such_option": 1}, "PPO refuses the settings: got an unexpected keyword argument 'no_such_option'"),
        ({"target_kl": 0.1, "fp16": True}, "which fp16's loss scaling does not bear"),
    ],
)
def test_settings_that_ppo_refuses(tmp_path: Path, trl: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        configure(spec(**PPO, trl=trl), LARGE, tmp_path)
    assert "\n" not in str(caught.value)


def test_what_the_spec_alone_tells_is_told_before_a_model_is_made(tmp_path: Path) -> None:
    changes = {"task": None, "model": "/no/model", "dataset": "/no/data.jsonl", "reward": "no:reward"}
    write(spec(**PPO | changes, trl={"num_mini_batches": 3}), tmp_path)
    with pytest.raises(UserError, match="3 mini-batches do not divide"):
        run_trial(tmp_path)


def test_a_study_can_ask_for_every_estimator_that_there_is() -> None:
    assert tuple(losses.KL_ESTIMATORS) == ppo_limits.KL_ESTIMATORS


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_knob_that_means_something_is_a_setting_of_the_config(tmp_path: Path, algorithm: str) -> None:
    for knob in knobs():
        try:
            (name,) = preflight.knob_options(TrialSpec(algorithm=algorithm, task="arithmetic", knobs={knob: 1}))
        except UserError:
            continue
        assert name in ALGORITHMS[algorithm].config.__dataclass_fields__


def test_what_a_lint_only_warns_of_is_not_refused(tmp_path: Path) -> None:
    copies = Task("model", ({"prompt": "x"},) * 8, (), (), TASK.reward)
    assert configure(spec(), copies, tmp_path).generation_batch_size == 32  # CFG002, CFG003: one distinct prompt
