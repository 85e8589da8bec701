"""A study that starts from a run on wandb's server: fetched from there, and read like a log."""

from collections.abc import Callable

import pytest
from wandb_server import Run, Server

from autotune.cli import ExitStatus, main

COMMAND = "python train.py --lr {learning_rate} --out {dir}"


@pytest.fixture
def sick(serve: Callable[..., Server]) -> Server:
    """A run whose gradient is lost at row 40, and one that is well."""
    rows = [{"train/reward": 0.2, "train/grad_norm": float("nan") if i == 40 else 1.0} for i in range(60)]
    return serve(Run("r1", rows, {"learning_rate": 1e-5}), Run("ok", rows[:40], {"learning_rate": 1e-6}))


def test_a_run_is_fetched_and_its_settings_are_known(sick: Server, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["study", "start", "--from", "team/project/r1", "--command", COMMAND, "--dry-run"]
    assert main(words) == ExitStatus.CLEAN
    said = capsys.readouterr().out
    assert "study from-r1: at most 8 trials" in said
    assert "trial 0 is the recorded run team/project/r1, with 59 steps: ERROR NUM001 non_finite" in said
    assert "first change: learning_rate 1e-05 → 1e-06, because NUM001" in said


def test_of_a_project_one_run_is_to_be_chosen(sick: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "start", "--from", "team/project", "--command", COMMAND]) == ExitStatus.ERROR
    assert "team/project holds 2 runs: " in capsys.readouterr().err
