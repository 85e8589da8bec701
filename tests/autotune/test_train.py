"""`autotune train` on a model of the user's own, saved in the hub's format."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

AUTOTUNE = ["-m", "autotune", "train"]
SMALL = ["--completions", "64", "--batch-size", "16", "--max-completion-length", "6", "--eval-every", "2"]


@pytest.fixture
def arguments(tmp_path: Path, tiny_model: Path, prompts_file: Path) -> list[str]:
    (tmp_path / "my_rewards.py").write_text(
        "def likes_a(completions, **columns):\n    return [c.count('a') / max(1, len(c)) for c in completions]\n"
    )
    return [
        "--model", str(tiny_model), "--dataset", str(prompts_file), "--reward", "my_rewards:likes_a",
        "--reward-bounds", "0,1", "--set", "learning_rate=3e-3", "--set", "kl_coef=0.04", "--set", "num_generations=4",
        "--fail-on", "fatal", *SMALL,
    ]  # fmt: skip


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=cwd, env={**os.environ})
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def diagnosis(folder: Path) -> dict[str, object]:
    done = python("-m", "autotune", "diagnose", str(folder), "--format", "json", "--fail-on", "fatal", cwd=folder)
    return json.loads(done.stdout)["runs"][0]  # type: ignore[no-any-return]


@pytest.mark.slow
@pytest.mark.parametrize("adapter", [[], ["--lora-rank", "4"]], ids=["full", "lora"])
def test_a_model_of_ones_own_is_trained_saved_and_diagnosed(
    arguments: list[str], adapter: list[str], tmp_path: Path
) -> None:
    done = python(*AUTOTUNE, *arguments, *adapter, cwd=tmp_path)
    folder = tmp_path / "autotune-runs" / next((tmp_path / "autotune-runs").iterdir()).name
    assert "step 0/4  validation_reward" in done.stdout
    assert "step 4/4  validation_reward" in done.stdout
    assert "rules could be checked" in done.stdout
    saved = {path.name for path in (folder / "checkpoints" / "final").iterdir()}
    assert ("adapter_model.safetensors" if adapter else "model.safetensors") in saved
    assert diagnosis(folder)["steps"] == 4


@pytest.mark.slow
def test_two_processes_of_accelerate_make_one_run(arguments: list[str], tmp_path: Path) -> None:
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    done = python(*launch, *AUTOTUNE, *arguments, "--dir", "both", cwd=tmp_path)
    assert done.stdout.count("step 4/4  validation_reward") == 1
    assert done.stdout.count("rules could be checked") == 1
    assert diagnosis(tmp_path / "both")["steps"] == 4


def test_several_processes_need_to_be_told_where(arguments: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, *AUTOTUNE, *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "WORLD_SIZE": "2", "RANK": "0"},
    )
    assert done.returncode == 2
    assert "Add --dir, the same for all processes." in done.stderr
