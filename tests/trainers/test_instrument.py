"""The wrappers on a GRPOTrainer that somebody else made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from transformers import PrinterCallback
from trl import GRPOConfig, GRPOTrainer

from diagnostics.events import Event, FindingRaised, MetricsLogged, Outcome, RunEnded, RunStarted
from diagnostics.finding import Severity
from diagnostics.metrics import is_metric
from diagnostics.rule import Alarm, Told, rule
from diagnostics.series import RunHistory
from trainers.instrument import instrument
from trainers.recorder import Stop

from ..conftest import LETTERS
from .conftest import likes_a
from .small_ppo import ppo


@pytest.fixture
def stranger(tiny_model: Path, tmp_path: Path) -> Callable[..., GRPOTrainer]:
    def make(reward: Callable[..., list[float]] = likes_a, **options: Any) -> GRPOTrainer:
        settings: dict[str, Any] = {
            "output_dir": str(tmp_path / "out"),
            "per_device_train_batch_size": 16,
            "num_generations": 4,
            "max_completion_length": 5,
            "max_steps": 3,
            "beta": 0.04,
            "learning_rate": 3e-3,
            "bf16": False,
            "logging_steps": 1,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
        }
        trainer = GRPOTrainer(
            model=str(tiny_model),
            reward_funcs=reward,
            args=GRPOConfig(**{**settings, **options}),
            train_dataset=Dataset.from_list([{"prompt": f"{a} {b} "} for a in LETTERS for b in LETTERS]),
        )
        trainer.remove_callback(PrinterCallback)
        return trainer

    return make


def told(trainer: GRPOTrainer, **options: Any) -> list[Event]:
    seen: list[Event] = []
    instrument(trainer, seen.append, **options)
    trainer.train()
    return seen


def metrics(seen: Sequence[Event]) -> list[MetricsLogged]:
    return [event for event in seen if isinstance(event, MetricsLogged)]


def test_it_tells_a_whole_run(stranger: Callable[..., GRPOTrainer]) -> None:
    seen = told(stranger(), reward_bounds=(0.0, 1.0))
    start, *_, end = seen
    assert isinstance(start, RunStarted) and isinstance(end, RunEnded)
    assert (start.framework, start.reward_bounds, start.notes) == ("trl-grpo", (0.0, 1.0), ())
    expected = {
        "learning_rate": 3e-3, "kl_coef": 0.04, "update_epochs": 1, "temperature": 1.0, "num_generations": 4,
        "batch_size": 16, "max_completion_length": 5, "dataset_size": 64, "unique_prompts": 64, "max_steps": 3,
        "precision": "fp32", "peft": False,
    }  # fmt: skip
    assert expected.items() <= start.settings.items()
    assert (end.step, end.outcome) == (3, Outcome.FINISHED)
    rows = metrics(seen)
    assert [row.step for row in rows] == [1, 2, 3]
    for row in rows:
        assert all(is_metric(name) for name in row.metrics), row.metrics
        assert not row.unmapped
        assert "kl.reference.unknown.token" not in row.metrics  # TRL's, which k3 stands for
        assert {
            "reward_mean", "reward_std.group", "reward_std.batch", "zero_std_share", "zero_std_share_ceiling",
            "zero_std_share_floor", "reward_best_of_n", "reward_worst_of_n", "unique_share", "kl.reference.k1.token",
            "kl.reference.k3.token", "kl.reference.k1.sequence", "kl.reference.k3.sequence", "entropy.token",
            "clip_fraction.token", "policy_loss.token", "total_loss", "grad_norm", "learning_rate",
            "completion_length_mean", "truncated_share", "generation_seconds", "reward_seconds", "update_seconds",
        } <= row.metrics.keys()  # fmt: skip
    assert [row.metrics["completions_generated"] for row in rows] == [16, 32, 48]
    assert rows[0].metrics["kl.reference.k3.token"] == pytest.approx(0, abs=1e-6)
    assert rows[2].metrics["kl.reference.k3.token"] > 0


PHASES = ("generation_seconds", "reward_seconds", "scoring_seconds", "update_seconds")


def test_the_phases_of_a_step_add_up_to_it_also_where_no_rollout_is_made(stranger: Callable[..., GRPOTrainer]) -> None:
    rows = metrics(told(stranger(num_iterations=2, max_steps=4)))
    assert len(rows) == 4
    for row in rows:
        step = row.metrics["step_seconds"]
        shares = [row.metrics[phase] / step for phase in PHASES]
        assert all(0 <= share <= 1 for share in shares)
        assert sum(shares) == pytest.approx(1)
    made, again = rows[0].metrics, rows[1].metrics
    assert min(made[phase] for phase in PHASES) > 0  # the old log-probabilities, and the reference's
    assert [again[phase] for phase in PHASES[:3]] == [0, 0, 0]


def test_the_phases_of_a_step_of_our_ppo_add_up_to_it(tiny_model: Path, tmp_path: Path) -> None:
    seen: list[Event] = []
    trainer = ppo(tiny_model, tmp_path, max_steps=2, logging_steps=1)
    instrument(trainer, seen.append)
    trainer.train()
    rows = metrics(seen)
    assert len(rows) == 2
    for row in rows:
        assert sum(row.metrics[phase] for phase in PHASES) == pytest.approx(row.metrics["step_seconds"])
    assert min(rows[0].metrics[phase] for phase in PHASES) > 0
    assert [rows[1].metrics[phase] for phase in PHASES[:3]] == [0, 0, 0]  # another part of the same rollout


def test_what_the_process_takes_is_told_and_nothing_of_a_gpu_where_there_is_none(
    stranger: Callable[..., GRPOTrainer],
) -> None:
    for row in metrics(told(stranger())):
        assert 0.05 < row.metrics["process_memory"] < 1000  # GiB
        assert row.metrics["process_cpu"] > 0
        assert not [name for name in row.metrics if name.startswith("gpu")]


def test_it_measures_what_trl_measures_where_trl_is_right(stranger: Callable[..., GRPOTrainer]) -> None:
    trainer = stranger()
    rows = metrics(told(trainer))
    for row, log in zip(rows, trainer.state.log_history, strict=False):
        assert row.metrics["kl.reference.k3.token"] == pytest.approx(log["kl"], abs=1e-6)
        assert row.metrics["entropy.token"] == pytest.approx(log["entropy"], rel=1e-5)
        assert row.metrics["reward_mean"] == pytest.approx(log["reward"], rel=1e-5)
        assert row.metrics["zero_std_share"] == pytest.approx(log["frac_reward_zero_std"])
        loss = row.metrics["policy_loss.token"] + 0.04 * row.metrics["kl.reference.k3.token"]
        assert loss == pytest.approx(log["loss"], abs=1e-6)  # dapo with one batch: the token mean


def test_zero_std_share_is_of_groups_even_where_rewards_are_scaled_by_the_batch(
    stranger: Callable[..., GRPOTrainer],
) -> None:
    def by_group(completions: list[str], **_: Any) -> list[float]:
        return [float(i // 4 % 2) for i in range(len(completions))]  # groups differ, their members do not

    trainer = stranger(by_group, scale_rewards="batch", max_steps=1)
    (row,) = metrics(told(trainer))
    assert row.metrics["zero_std_share"] == 1.0
    assert trainer.state.log_history[0]["frac_reward_zero_std"] == 0.0  # TRL's is of the batch


def test_accumulation_changes_no_metric(stranger: Callable[..., GRPOTrainer]) -> None:
    whole = metrics(told(stranger(loss_type="dapo")))
    parts = metrics(told(stranger(per_device_train_batch_size=4, gradient_accumulation_steps=4, loss_type="dapo")))
    kinds = ("kl.", "entropy", "zero_std", "reward_mean", "reward_std", "reward_best", "reward_worst", "policy_loss")
    names = [name for name in whole[0].metrics if name.startswith(kinds)]
    for a, b in zip(whole, parts, strict=True):
        for name in names:
            assert b.metrics[name] == pytest.approx(a.metrics[name], rel=1e-3, abs=1e-5), (a.step, name)


def test_several_updates_on_one_rollout(stranger: Callable[..., GRPOTrainer]) -> None:
    rows = metrics(told(stranger(num_iterations=2, max_steps=4)))
    assert ["reward_mean" in row.metrics for row in rows] == [True, False, True, False]
    assert rows[0].metrics["kl.rollout.k2.token"] == pytest.approx(0, abs=1e-6)
    assert rows[1].metrics["kl.rollout.k2.token"] > 0


def test_without_a_coefficient_there_is_no_kl_and_a_note_says_why(stranger: Callable[..., GRPOTrainer]) -> None:
    seen = told(stranger(beta=0.0, max_steps=1))
    assert isinstance(seen[0], RunStarted) and "no reference model" in seen[0].notes[0]
    assert not any(name.startswith("kl.") for name in metrics(seen)[0].metrics)


def test_steps_that_trl_does_not_log_are_measured_too(stranger: Callable[..., GRPOTrainer]) -> None:
    rows = metrics(told(stranger(logging_steps=2, max_steps=3)))
    assert [row.step for row in rows] == [1, 2, 3]
    assert all("reward_mean" in row.metrics for row in rows)
    assert ["grad_norm" in row.metrics for row in rows] == [False, True, False]


def test_what_a_reward_logs_of_its_own_is_kept_as_unmapped(stranger: Callable[..., GRPOTrainer]) -> None:
    def reward(completions: list[str], log_metric: Callable[[str, float], None], **_: Any) -> list[float]:
        log_metric("vowels", 3.0)
        return likes_a(completions)

    assert metrics(told(stranger(reward, max_steps=1)))[0].unmapped == {"vowels": 3.0}


def test_a_finding_ends_the_run_at_the_step_that_raised_it(
    stranger: Callable[..., GRPOTrainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    @rule("TST001", Severity.ERROR, needs=["reward_mean"], fires=(), quiet=())
    def second_step(run: RunHistory) -> Iterator[Alarm]:
        steps = run["reward_mean"].steps
        yield Alarm(Severity.ERROR, steps, steps >= 2, lambda i: Told("it is the second step", int(steps[i]), ()))

    monkeypatch.setattr("trainers.recorder.here", lambda: {"TST001": second_step})
    seen = told(stranger(max_steps=8), stop_on=Severity.ERROR)
    assert [row.step for row in metrics(seen)] == [1, 2]
    raised = [event for event in seen if isinstance(event, FindingRaised) and event.finding.code == "TST001"]
    assert [event.step for event in raised] == [2]
    assert seen[-1] == RunEnded(2, Outcome.STOPPED, "TST001 second_step: it is the second step")


def test_whoever_holds_the_stop_can_end_the_run(stranger: Callable[..., GRPOTrainer]) -> None:
    stop = Stop()

    def reward(completions: list[str], **_: Any) -> list[float]:
        stop.outcome, stop.reason = Outcome.INTERRUPTED, "enough"
        return likes_a(completions)

    seen = told(stranger(reward), stop=stop)
    assert [row.step for row in metrics(seen)] == [1]
    assert seen[-1] == RunEnded(1, Outcome.INTERRUPTED, "enough")
