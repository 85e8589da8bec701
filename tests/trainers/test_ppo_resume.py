"""PPO that broke off goes on as if nothing had happened, and two processes do what one does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from diagnostics.events import MetricsLogged, Outcome, RunStarted
from trainers.models import lora
from trainers.run import run_trial

from .conftest import envelopes
from .small_ppo import equal, ppo, sharpened, train

Trial = Callable[..., Path]
# 16 prompts, 8 at a time: an epoch over them is two rollouts, of four steps each.
LONG: dict[str, Any] = {
    "per_device_train_batch_size": 4,
    "num_mini_batches": 2,
    "num_ppo_epochs": 2,
    "max_steps": 32,
    "learning_rate": 3e-3,
    "value_learning_rate": 1e-2,
    "kl_controller": "adaptive",
    "kl_target": 1.0,
    "kl_horizon": 100.0,
    "save_strategy": "steps",
    "save_steps": 4,
}


@pytest.fixture(scope="module")
def checkpoints(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A training that saved after each rollout, and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    return train(tiny_model, folder, **LONG), folder


@pytest.mark.parametrize("step", [20, 16], ids=["within the third epoch", "at the end of the second"])
def test_what_is_resumed_equals_what_was_not_interrupted(
    tiny_model: Path, tmp_path: Path, checkpoints: Any, step: int
) -> None:
    whole, folder = checkpoints
    resumed = train(tiny_model, tmp_path, resume=folder / f"checkpoint-{step}", **LONG)
    assert resumed.rows == whole.rows[step:]
    assert len({row["kl_coef"] for row in whole.rows if "kl_coef" in row}) == 8  # it did adapt
    for expected, got in zip(whole.tape.parameters[step:], resumed.tape.parameters, strict=True):
        assert equal(expected, got)
    assert any("value_head" in name and weight.any() for name, weight in resumed.tape.parameters[0].items())
    assert resumed.trainer.kl_controller.coef == whole.trainer.kl_controller.coef
    ends = [torch.load(path / "checkpoint-32" / "optimizer.pt") for path in (folder, tmp_path)]
    assert [group["lr"] for group in ends[0]["param_groups"]] == [group["lr"] for group in ends[1]["param_groups"]]
    for expected, got in zip(*(end["state"].values() for end in ends), strict=True):
        assert equal(expected, got)


def test_the_adaptive_coefficient_follows_the_kl_of_each_rollout(checkpoints: Any) -> None:
    rollouts = [row for row in checkpoints[0].rows if "kl_coef" in row]
    for row, after in pairwise(rollouts):
        error = row["kl.reference.k1.sequence"] / 1.0 - 1
        assert row["kl_controller_error"] == pytest.approx(error)
        assert after["kl_coef"] == pytest.approx(row["kl_coef"] * (1 + min(max(error, -0.2), 0.2) * 8 / 100))


def test_an_adapter_is_resumed_with_its_value_head(tiny_model: Path, tmp_path: Path) -> None:
    options = LONG | {"max_steps": 8}
    whole = train(tiny_model, tmp_path / "whole", peft_config=lora(2), **options)
    resumed = train(
        tiny_model, tmp_path / "again", resume=tmp_path / "whole" / "checkpoint-4", peft_config=lora(2), **options
    )
    assert resumed.rows == whole.rows[4:]
    for expected, got in zip(whole.tape.parameters[4:], resumed.tape.parameters, strict=True):
        assert equal(expected, got)


def test_a_process_that_is_not_to_save_writes_nothing(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several processes all come to where a model is saved, and the first makes the folder."""
    trainer = ppo(tiny_model, tmp_path / "run", max_steps=1)
    monkeypatch.setattr(type(trainer.args), "should_save", False)
    trainer.save_model(str(tmp_path / "model"))
    assert not (tmp_path / "model").exists()


def test_a_trials_second_attempt_goes_on_in_a_later_epoch_over_the_prompts(trial: Trial) -> None:
    """There the trial aligns the sampler, and so does the trainer."""
    options = {k: LONG[k] for k in LONG if k.startswith(("kl_", "save_", "num_", "value_"))}
    options |= {"save_steps": 20, "optim": "sgd"}
    folder = trial(
        algorithm="ppo",
        knobs={"learning_rate": 3e-3, "kl_coef": 0.05},
        completions=16 * 10,  # 32 prompts, 16 at a time
        eval_every=100,
        trl=options,
    )
    for attempt in (1, 2):
        assert run_trial(folder, attempt=attempt).outcome is Outcome.FINISHED
    told = [
        [e.event for e in envelopes(folder) if e.attempt == attempt and isinstance(e.event, RunStarted | MetricsLogged)]
        for attempt in (1, 2)
    ]
    assert [attempt[0].step for attempt in told] == [0, 21]
    assert [row.step for row in told[0][1:]] == list(range(41))  # the summary of the run is no step
    once, again = ({row.step: numbers(row) for row in rows[1:]} for rows in told)
    assert sorted(again) == list(range(21, 41))
    for step, row in again.items():
        assert row == once[step], step


def numbers(row: MetricsLogged) -> dict[str, float]:
    """What was measured of the run, and not of the machine."""
    of_machine = ("seconds", "step_time", "process_")
    return {name: v for name, v in (row.metrics | row.unmapped).items() if not any(part in name for part in of_machine)}


@pytest.mark.slow
def test_two_processes_make_the_update_of_one(trial: Trial, tiny_model: Path, tmp_path: Path) -> None:
    """With what the policy likes best instead of samples, which are others in every process."""
    model = sharpened(tiny_model, tmp_path / "sharp")
    one, two = (
        trial(
            name,
            model=str(model),
            algorithm="ppo",
            knobs={"learning_rate": 0.1, "kl_coef": 0.05, "update_epochs": 2},
            completions=48,
            eval_every=100,
            save_model=True,
            trl={"optim": "sgd", "top_k": 1, "whiten_rewards": True, "kl_controller": "adaptive"},
        )
        for name in ("one", "two")
    )
    run_trial(one)
    # Without a GPU too, it is --multi_gpu that makes accelerate start several processes itself rather than through MPI.
    launch = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "-m", "trainers", str(two)]
    done = subprocess.run(
        [sys.executable, "-P", "-m", *launch],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [[e.event for e in envelopes(folder) if isinstance(e.event, MetricsLogged)] for folder in (one, two)]
    assert [row.step for row in rows[1]] == list(range(7))
    for alone, together in zip(*rows, strict=True):
        expected = {name: v for name, v in numbers(alone).items() if "validation" not in name}
        got = {name: v for name, v in numbers(together).items() if "validation" not in name}
        assert got == pytest.approx(expected, rel=2e-4, abs=2e-5), alone.step
    assert rows[1][1].metrics["reward_std.batch"] > 0.1 and rows[1][2].metrics["clip_fraction.token"] > 0
    final = [folder / "checkpoints" / "final" for folder in (one, two)]
    for name in ("model.safetensors", "value_head.safetensors"):
        expected, got = (load_file(folder / name) for folder in final)
        assert expected.keys() == got.keys()
        for weight in expected:
            torch.testing.assert_close(got[weight], expected[weight], rtol=1e-4, atol=1e-5)
    _, loading = AutoModelForCausalLM.from_pretrained(final[1], output_loading_info=True)
    assert not any(loading.values())
