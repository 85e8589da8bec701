"""A recorded sick run, and one command later a healthy configuration: real training, once from each kind of log."""

import json
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import pytest

from autotune.cli import ExitStatus, main
from diagnostics.finding import Severity
from studies.log import read
from studies.record import Origin, StudyRecord
from studies.spec import load
from studies.trial import TrialSpec, write

HERE = Path(__file__).parent
SCRIPT = f"{shlex.quote(sys.executable)} {shlex.quote(str(HERE / 'tiny_trainer.py'))}"
SICK = 3.0  # the learning rate: the policy locks onto what its first noisy rewards favoured


@pytest.fixture(scope="module")
def sick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of the script at that learning rate: its trainer_state.json, and what wandb wrote."""
    folder = tmp_path_factory.mktemp("sick")
    words = [*shlex.split(SCRIPT), "--lr", str(SICK), "--beta", "0.02", "--out", str(folder), "--wandb"]
    subprocess.run(words, check=True, capture_output=True)
    return folder


def healthy(study: StudyRecord) -> StudyRecord:
    """The study, which began with a sick run, has found settings under which nothing is wrong, and better ones."""
    first, best = study.trials[0], study.best()
    assert first.proposal.origin is Origin.RUN and any(f.severity >= Severity.WARNING for f in first.findings)
    assert best is not None and best.value is not None and first.value is not None
    assert all(f.severity < Severity.WARNING for f in best.findings)
    assert best.proposal.origin is Origin.FINDING and best.proposal.parent == 0
    assert float(best.proposal.knobs["learning_rate"]) == pytest.approx(float(study.spec.start["learning_rate"]) / 8)
    return study


@pytest.mark.slow
def test_from_a_run_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    copytree(HERE.parent / "data" / "runs" / "collapse-0", "sick")
    preset = load("arithmetic-grpo")
    run = preset.trial_with(preset.start, 0)
    assert isinstance(run, TrialSpec)
    write(replace(run, completions=2560, save_model=False), tmp_path / "sick")  # as it was, and shorter
    assert main(["study", "start", "--from", "sick", "--trials", "2", "--dir", "study", "--plain"]) == ExitStatus.CLEAN
    study = healthy(read(tmp_path / "study"))
    assert study.trials[1].value > study.trials[0].value + 0.5
    assert study.trials[1].verdict is not None and study.trials[1].verdict.judgement == "confirmed"


@pytest.mark.slow
def test_from_a_trainer_state(sick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    command = f"{SCRIPT} --lr {{learning_rate}} --beta {{beta}} --seed {{seed}} --out {{dir}}"
    words = ["--from", str(sick / "trainer_state.json"), "--command", command, "--start", "beta=0.02"]
    assert main(["study", "start", *words, "--trials", "2", "--dir", "study", "--plain"]) == ExitStatus.CLEAN
    study = healthy(read(tmp_path / "study"))
    assert study.spec.objective == "eval_reward" and study.spec.start == {"learning_rate": SICK, "kl_coef": 0.02}
    assert study.trials[1].verdict is not None and study.trials[1].verdict.objective is not None


@pytest.mark.slow
def test_from_a_run_file_of_wandb(sick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    (log,) = sick.glob("wandb/offline-run-*/*.wandb")
    command = f"{SCRIPT} --lr {{learning_rate}} --beta {{kl_coef}} --seed {{seed}} --out {{dir}}"
    words = ["--from", str(log), "--command", command, "--trials", "2", "--dir", "study", "--plain"]
    assert main(["study", "start", *words]) == ExitStatus.CLEAN
    study = healthy(read(tmp_path / "study"))
    assert study.spec.start["learning_rate"] == SICK and study.settings(study.trials[1])["kl_coef"] == 0.02
    assert json.loads((tmp_path / "study" / "report.json").read_text())["best"] == 1
