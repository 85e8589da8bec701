"""A trial from its config.json to its last event."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from autotune import extras
from diagnostics.errors import UserError
from diagnostics.events import (
    SAMPLES_FILE,
    CheckpointSaved,
    Event,
    FindingRaised,
    MetricsLogged,
    Outcome,
    RunEnded,
    RunStarted,
    SamplesLogged,
    decode,
)
from diagnostics.finding import Severity
from studies import trial as trials
from studies.trial import PAUSE_FILE
from trainers import run
from trainers.instrument import Diverged
from trainers.run import run_trial

from .conftest import envelopes, events

Trial = Callable[..., Path]


def rows(folder: Path) -> list[MetricsLogged]:
    return [event for event in events(folder) if isinstance(event, MetricsLogged)]


def numbers(folder: Path, without: str = "_seconds") -> list[dict[str, float]]:
    """All metrics of a trial but the times and what else is of the machine."""
    others = (without, "_seconds", "process_")
    return [{n: v for n, v in row.metrics.items() if not any(part in n for part in others)} for row in rows(folder)]


def test_what_a_trial_tells_and_writes(trial: Trial) -> None:
    folder = trial(save_model=True, test=True)
    assert run_trial(folder, attempt=3) == RunEnded(4, Outcome.FINISHED)
    told = envelopes(folder)
    assert [e.seq for e in told] == list(range(len(told))) and {e.attempt for e in told} == {3}
    assert [e.event.step for e in told] == sorted(e.event.step for e in told)
    assert isinstance(told[0].event, RunStarted) and told[-1].event == RunEnded(4, Outcome.FINISHED)
    assert told[-2].event == CheckpointSaved(4, "checkpoints/final")
    assert [row.step for row in rows(folder)] == [0, 1, 2, 3, 4]
    validated = [row.step for row in rows(folder) if "validation_reward" in row.metrics]
    assert validated == [row.step for row in rows(folder) if "validation_reward_greedy" in row.metrics] == [0, 2, 4]
    assert [row.step for row in rows(folder) if {"test_reward", "test_reward_greedy"} <= row.metrics.keys()] == [0, 4]
    assert {path.name for path in folder.iterdir()} == {"config.json", "events.jsonl", "samples.jsonl", "checkpoints"}
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"final"}


def test_the_settings_it_starts_with(trial: Trial) -> None:
    folder = trial(completions=16, seed=7)
    run_trial(folder)
    start = events(folder)[0]
    assert isinstance(start, RunStarted)
    expected = {
        "learning_rate": 3e-3, "kl_coef": 0.04, "update_epochs": 1, "temperature": 1.0, "num_generations": 4,
        "batch_size": 16, "max_completion_length": 6, "dataset_size": 32, "unique_prompts": 32, "max_steps": 1,
        "seed": 7, "precision": "fp32", "peft": False,
    }  # fmt: skip
    assert expected.items() <= start.settings.items()
    assert start.reward_bounds == (0.0, 1.0)
    assert start.raw_settings["beta"] == 0.04
    assert any("held out" in note for note in start.notes)


def test_samples(trial: Trial) -> None:
    folder = trial()
    run_trial(folder)
    told = [decode(line).event for line in (folder / SAMPLES_FILE).read_text().splitlines()]
    assert [event.step for event in told] == [0, 2, 4]
    assert isinstance(told[0], SamplesLogged) and isinstance(told[1], SamplesLogged)
    assert {sample["split"] for sample in told[0].samples} == {"validation"}
    assert [sample["split"] for sample in told[1].samples] == ["train"] * 8 + ["validation"] * 4
    for sample in told[1].samples:
        completion = sample["completion"]
        assert sample["reward"] == pytest.approx(completion.count("a") / max(1, len(completion)))
        assert sample["ended"] or sample["tokens"] == 6
        assert len(completion) <= sample["tokens"] <= 6


def test_a_group_is_told_whole_with_the_advantages_that_were_trained_on(trial: Trial) -> None:
    folder = trial()
    run_trial(folder)
    told = [decode(line).event for line in (folder / SAMPLES_FILE).read_text().splitlines()]
    seen = 0
    for event in told[1:]:
        assert isinstance(event, SamplesLogged)
        groups: dict[int, list[Any]] = {}
        for sample in event.samples[:8]:
            groups.setdefault(sample["group"], []).append(sample)
        assert [len(group) for group in groups.values()] == [4, 4] and list(groups) == [0, 2]
        for group in groups.values():
            assert len({sample["prompt"] for sample in group}) == 1
            rewards = torch.tensor([sample["reward"] for sample in group])
            expected = (rewards - rewards.mean()) / (rewards.std() + 1e-4)  # GRPO's, as TRL has it
            assert [sample["advantage"] for sample in group] == pytest.approx(expected.tolist(), abs=1e-3)
            seen += bool(rewards.std())
    assert seen


def test_a_seed_fixes_every_number_and_another_changes_them(trial: Trial) -> None:
    folders = [trial(name, seed=seed) for name, seed in (("one", 1), ("again", 1), ("other", 2))]
    for folder in folders:
        run_trial(folder)
    one, again, other = (numbers(folder) for folder in folders)
    assert one == again
    assert one[1:] != other[1:]


def test_evaluation_leaves_training_as_it_was(trial: Trial) -> None:
    often, seldom = trial("often", eval_every=1), trial("seldom", eval_every=100)
    run_trial(often)
    run_trial(seldom)
    assert numbers(often, "validation")[1:] == numbers(seldom, "validation")[1:]


def test_several_updates_on_a_rollout_cost_no_completions(trial: Trial) -> None:
    folder = trial(knobs={"update_epochs": 2, "num_generations": 4, "kl_coef": 0.04})
    run_trial(folder)
    assert rows(folder)[-1].metrics["completions_generated"] == 64
    assert [row.step for row in rows(folder)] == list(range(9))
    assert [row.step for row in rows(folder) if "validation_reward" in row.metrics] == [0, 4, 8]


def test_lora(trial: Trial) -> None:
    folder = trial(lora_rank=2, save_model=True)
    run_trial(folder)
    start, last = events(folder)[0], rows(folder)[-1]
    assert isinstance(start, RunStarted) and start.settings["peft"] is True
    assert last.metrics["kl.reference.k3.token"] > 0
    assert (folder / "checkpoints" / "final" / "adapter_config.json").is_file()


def test_reward_rises_on_a_model_of_the_users(trial: Trial) -> None:
    folder = trial(completions=640, eval_every=10, knobs={"learning_rate": 1e-2, "num_generations": 4})
    run_trial(folder)
    validated = [row.metrics["validation_reward"] for row in rows(folder) if "validation_reward" in row.metrics]
    assert validated[-1] > validated[0] + 0.3


def test_a_reward_that_answers_wrongly_is_the_users_to_mend(trial: Trial) -> None:
    folder = trial(function="too_few")
    with pytest.raises(UserError, match="returned 1 rewards for"):
        run_trial(folder)
    end = events(folder)[-1]
    assert isinstance(end, RunEnded) and end.outcome is Outcome.FAILED and "returned 1 rewards" in end.reason


def test_an_exception_is_told_and_raised(trial: Trial) -> None:
    folder = trial(function="broken")
    with pytest.raises(RuntimeError, match="no such word"):
        run_trial(folder)
    assert events(folder)[-1] == RunEnded(0, Outcome.FAILED, "RuntimeError: no such word")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model": "/no/such/model"}, "there is no folder /no/such/model"),
        ({"dataset": "/no/data.jsonl"}, "there is no dataset /no/data.jsonl"),
        ({"batch_size": 256}, "CFG002 batch_exceeds_dataset: a batch of 64 prompts, and only 32 distinct"),
    ],
)
def test_what_is_missing_is_said_in_one_line(trial: Trial, changes: dict[str, Any], says: str) -> None:
    folder = trial(**changes)
    with pytest.raises(UserError, match=re.escape(says)) as caught:
        run_trial(folder)
    assert "\n" not in str(caught.value)
    assert isinstance(events(folder)[-1], RunEnded)


def test_a_missing_extra(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "find_spec", lambda name: None if name == "trl" else object())
    with pytest.raises(UserError, match="needs trl") as ours:
        run_trial(trial())
    assert str(ours.value) == str(extras.missing("trl"))


@pytest.mark.parametrize(
    ("number", "outcome"), [(signal.SIGTERM, Outcome.STOPPED), (signal.SIGINT, Outcome.INTERRUPTED)]
)
def test_a_signal_ends_the_trial_after_its_step(
    trial: Trial, reward_module: str, number: signal.Signals, outcome: Outcome
) -> None:
    Path(f"{reward_module}.py").write_text(
        "import os\ncalls = []\n"
        "def signals(completions, **columns):\n"
        "    calls.append(1)\n"
        f"    if len(calls) == 4: os.kill(os.getpid(), {int(number)})\n"  # after two evaluations: in the second step
        "    return [0.0] * len(completions)\n"
    )
    sys.modules.pop(reward_module, None)
    before = signal.getsignal(number)
    folder = trial(function="signals", eval_every=100, save_model=True)
    assert run_trial(folder) == RunEnded(2, outcome, number.name)
    assert signal.getsignal(number) is before
    assert not (folder / "checkpoints" / "final").exists()


def test_a_finding_stops_the_trial_and_no_model_is_kept(trial: Trial) -> None:
    folder = trial(stop_on=Severity.INFO, save_model=True, completions=640, knobs={"learning_rate": 1e3})
    ended = run_trial(folder)
    raised = [event.finding for event in events(folder) if isinstance(event, FindingRaised)]
    assert ended.outcome is Outcome.STOPPED and ended.step < 40
    assert ended.reason.startswith(f"{raised[0].code} {raised[0].name}: ")
    assert not any(isinstance(event, CheckpointSaved) for event in events(folder))


def test_weights_beyond_repair_are_told_and_not_sampled_from(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    from trl import GRPOTrainer

    def ruin(self: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = original(self, *args, **kwargs)
        self._ruined = getattr(self, "_ruined", 0) + 1
        return loss * (torch.nan if self._ruined == 2 else 1.0)

    original = GRPOTrainer._compute_loss
    monkeypatch.setattr(GRPOTrainer, "_compute_loss", ruin)
    folder = trial(stop_on=Severity.ERROR)
    ended = run_trial(folder)
    assert (ended.step, ended.outcome) == (2, Outcome.STOPPED)
    assert rows(folder)[-1].metrics["validation_reward"] != rows(folder)[-1].metrics["validation_reward"]


@pytest.mark.parametrize("eval_every", [1, 100])  # it is the evaluation that cannot sample, or the next rollout
def test_probabilities_that_are_not_finite_are_told_as_divergence(trial: Trial, eval_every: int) -> None:
    knobs = {"learning_rate": 1e30, "kl_coef": 0.04, "num_generations": 4}  # finite weights, whose products are not
    folder = trial(knobs=knobs, trl={"max_grad_norm": 1e9}, completions=640, eval_every=eval_every)
    with pytest.raises(Diverged):
        run_trial(folder)
    *_, last, finding, end = events(folder)
    assert isinstance(last, MetricsLogged) and math.isnan(last.metrics["grad_norm"])
    assert isinstance(finding, FindingRaised) and finding.finding.code == "NUM001"
    assert finding.finding.severity >= Severity.ERROR
    assert end == RunEnded(last.step, Outcome.FAILED, "the policy's probabilities are not finite: it has diverged")


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run([sys.executable, "-P", *arguments], env=env, capture_output=True, text=True, timeout=240)


def test_as_a_program_a_users_error_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = python("-m", "trainers", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == f"trainers: error: {tmp_path} has no config.json. It is not the folder of a trial.\n"


@pytest.mark.slow
def test_two_processes_write_one_run_and_stand_still_together(trial: Trial) -> None:
    folder = trial(save_model=True)
    (folder / PAUSE_FILE).touch()
    # Without a GPU too, it is --multi_gpu that makes accelerate start several processes itself rather than through MPI.
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    with ThreadPoolExecutor() as pool:
        running = pool.submit(python, *launch, "-m", "trainers", str(folder))
        wait(lambda: running.done() or ((folder / "events.jsonl").exists() and bool(rows(folder))))
        time.sleep(1)  # in which four steps would be done
        assert [row.step for row in rows(folder)] == [0]
        (folder / PAUSE_FILE).unlink()
        done = running.result()
    assert done.returncode == 0, done.stderr[-3000:]
    told: list[Event] = events(folder)
    assert [type(event) for event in told].count(RunStarted) == 1
    assert told[-1] == RunEnded(4, Outcome.FINISHED)
    assert [row.step for row in rows(folder)] == [0, 1, 2, 3, 4]
    assert rows(folder)[-1].metrics["completions_generated"] == 64
    assert rows(folder)[1].metrics["kl.reference.k3.token"] == pytest.approx(0, abs=1e-6)
    start = told[0]
    assert isinstance(start, RunStarted) and start.settings["batch_size"] == 16
    assert start.raw_settings["per_device_train_batch_size"] == 8


@pytest.mark.slow
def test_a_signal_to_one_of_two_processes_ends_both(trial: Trial, reward_module: str, tmp_path: Path) -> None:
    Path(f"{reward_module}.py").write_text(
        "import os, signal\ncalls = []\n"
        "def signals(completions, **columns):\n"
        "    calls.append(1)\n"
        "    if len(calls) == 4 and os.environ['RANK'] == '1': os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return [0.0] * len(completions)\n"
    )
    folder = trial(function="signals", eval_every=100, save_model=True)
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    done = python(*launch, "-m", "trainers", str(folder))
    assert done.returncode == 0, done.stderr[-3000:]
    assert events(folder)[-1] == RunEnded(2, Outcome.STOPPED, "SIGTERM")
    assert not (folder / "checkpoints" / "final").exists()


@pytest.mark.slow
def test_a_trial_ends_when_the_process_that_started_it_is_killed(trial: Trial) -> None:
    folder = trial(completions=16 * 100_000, eval_every=100_000)
    start = "import subprocess, sys; subprocess.run([sys.executable, '-P', '-m', 'trainers', *sys.argv[1:]])"
    command = [sys.executable, "-P", "-c", start, str(folder), "--with-parent"]
    parent = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    wait(lambda: (folder / "events.jsonl").exists() and bool(rows(folder)))
    parent.kill()
    parent.wait()
    wait(lambda: isinstance(events(folder)[-1], RunEnded))
    end = events(folder)[-1]
    assert isinstance(end, RunEnded) and end.outcome is Outcome.INTERRUPTED
    assert end.reason == "the process that started it is gone"


def wait(until: Callable[[], bool], seconds: float = 120) -> None:
    """Wait for something to be so; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
def test_arithmetic_is_learned(tmp_path: Path) -> None:
    knobs = {"learning_rate": 1e-4, "kl_coef": 0.04, "num_generations": 8}
    spec = trials.TrialSpec(task="arithmetic", knobs=knobs, completions=5120, save_model=False, stop_on=None)
    trials.write(spec, tmp_path)
    run_trial(tmp_path)
    validated = [row.metrics for row in rows(tmp_path) if "validation_reward" in row.metrics]
    assert -0.8 < validated[0]["validation_reward"] < -0.2  # 10 to 40 % right
    assert validated[-1]["validation_reward"] > validated[0]["validation_reward"] + 0.3
    assert validated[-1]["validation_reward_greedy"] > validated[0]["validation_reward_greedy"] + 0.3
    assert json.loads((tmp_path / "config.json").read_text())["task"] == "arithmetic"
