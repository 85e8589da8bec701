"""An attempt after a broken one: it waits its turn, and goes on from a checkpoint as if nothing had happened."""

from __future__ import annotations

import fcntl
import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers

from diagnostics.errors import UserError
from diagnostics.events import FindingRaised, MetricsLogged, Outcome, RunStarted
from diagnostics.readers import events as reader
from studies.trial_log import TrialLog
from trainers import run
from trainers.resume import latest_checkpoint
from trainers.run import run_trial

from .conftest import envelopes, events

Trial = Callable[..., Path]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "at"),
    [
        ({}, 4),  # within the first epoch, which has 8 steps
        ({"lora_rank": 2}, 4),
        ({"completions": 16 * 20}, 12),  # in the second epoch
        ({"completions": 16 * 20}, 8),  # at the end of the first
        ({"knobs": {"update_epochs": 2, "num_generations": 4, "kl_coef": 0.04, "learning_rate": 3e-3}}, 8),
    ],
    ids=["first epoch", "adapter", "second epoch", "end of an epoch", "several updates"],
)
def test_a_second_attempt_goes_on_from_the_last_whole_checkpoint(
    trial: Trial, changes: dict[str, Any], at: int
) -> None:
    changes = {"completions": 16 * 10, "trl": {"save_strategy": "steps", "save_steps": 4}, **changes}
    whole, broken = trial("whole", **changes), trial("broken", **changes)
    run_trial(whole)
    with pytest.MonkeyPatch.context() as patch:  # breaks off in the middle of saving the checkpoint after `at`
        save = transformers.TrainerState.save_to_json

        def break_off(self: Any, path: str) -> None:
            if self.global_step > at:
                raise RuntimeError("killed")
            save(self, path)

        patch.setattr(transformers.TrainerState, "save_to_json", break_off)
        with pytest.raises(RuntimeError, match="killed"):
            run_trial(broken)
    assert (broken / "checkpoints" / f"checkpoint-{at + 4}" / "optimizer.pt").exists()
    assert run_trial(broken, attempt=2).outcome is Outcome.FINISHED
    second = [e.event for e in envelopes(broken) if e.attempt == 2]
    assert isinstance(second[0], RunStarted) and second[0].step == at + 1
    assert next(event.step for event in second if isinstance(event, MetricsLogged)) == at + 1
    log = TrialLog(broken, "validation_reward"), TrialLog(whole, "validation_reward")
    for one in log:
        one.poll()
    assert log[0].evaluations == log[1].evaluations
    resumed, expected = reader.read(broken), reader.read(whole)
    assert resumed.series.keys() == expected.series.keys()
    for name, series in expected.series.items():
        if "_seconds" not in name and "process_" not in name:  # else of the machine
            got = resumed.series[name]
            assert got.steps.tolist() == series.steps.tolist()
            assert np.array_equal(got.values, series.values, equal_nan=True), name
    assert log[0].findings == log[1].findings
    again = [event.finding for event in second if isinstance(event, FindingRaised)]
    assert all(finding.raised_at > at for finding in again if finding.code[:3] != "CFG")


def test_a_first_attempt_and_one_without_checkpoints_begin_anew(trial: Trial) -> None:
    saving, silent = trial("saving", trl={"save_strategy": "steps", "save_steps": 2}), trial("silent", save_model=True)
    for folder, attempt in ((saving, 1), (saving, 1), (silent, 1), (silent, 2)):
        run_trial(folder, attempt=attempt)
        start = [e.event for e in envelopes(folder) if isinstance(e.event, RunStarted)][-1]
        assert start.step == 0
        told = [e.event.step for e in envelopes(folder) if isinstance(e.event, MetricsLogged)]
        assert told[-5:] == [0, 1, 2, 3, 4]


def test_which_checkpoint_is_gone_on_from(tmp_path: Path) -> None:
    def checkpoint(step: int, *, without: str = "", state: str | None = None) -> Path:
        path = tmp_path / f"checkpoint-{step}"
        path.mkdir()
        for name in {"optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"} - {without}:
            (path / name).write_text("")
        if without != "trainer_state.json":
            (path / "trainer_state.json").write_text(json.dumps({"global_step": step}) if state is None else state)
        return path

    assert latest_checkpoint(tmp_path, 100) is None
    (tmp_path / "final").mkdir()
    whole = [checkpoint(5), checkpoint(20)]
    for step, name in enumerate(("optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"), 30):
        checkpoint(step, without=name)
    checkpoint(40, state='{"global_step": 4')
    assert latest_checkpoint(tmp_path, 100) == whole[1]
    assert latest_checkpoint(tmp_path, 21) == whole[1]
    assert latest_checkpoint(tmp_path, 20) == whole[0]  # at its last step there is nothing left to train
    assert latest_checkpoint(tmp_path, 5) is None


def test_an_attempt_waits_for_the_one_before_it_to_end(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = trial(completions=16)
    with (folder / "events.jsonl").open("ab") as orphan:
        fcntl.flock(orphan, fcntl.LOCK_EX)
        monkeypatch.setattr(run, "ORPHAN_SECONDS", 0.3)
        with pytest.raises(UserError, match=r"another process has been writing .*events.jsonl for 0 s"):
            run_trial(folder, attempt=2)
        assert not events(folder)
        with pytest.raises(KeyboardInterrupt, match="the process that started it is gone"):
            run_trial(folder, attempt=2, parent=1_000_000_000)
        monkeypatch.setattr(run, "ORPHAN_SECONDS", 60)
        threading.Timer(0.5, lambda: fcntl.flock(orphan, fcntl.LOCK_UN)).start()
        assert run_trial(folder, attempt=2).outcome is Outcome.FINISHED
    told = envelopes(folder)
    assert [e.seq for e in told] == list(range(len(told)))


def test_nobody_else_writes_while_a_trial_runs(trial: Trial, reward_module: str) -> None:
    Path(f"{reward_module}.py").write_text(
        "import fcntl\nfrom pathlib import Path\n"
        "def looks(completions, **columns):\n"
        "    with Path('trial/events.jsonl').open('ab') as file:\n"
        "        try:\n            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "        except BlockingIOError:\n            return [0.0] * len(completions)\n"
        "    raise RuntimeError('it could be written to')\n"
    )
    sys.modules.pop(reward_module, None)
    assert run_trial(trial(function="looks", completions=16)).outcome is Outcome.FINISHED
    with (Path("trial") / "events.jsonl").open("ab") as file:  # and it lets go
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_within_a_rollouts_updates_the_rest_of_them_is_made_with_new_completions(trial: Trial) -> None:
    knobs = {"update_epochs": 2, "num_generations": 4, "kl_coef": 0.04, "learning_rate": 3e-3}
    folder = trial(knobs=knobs, completions=16 * 6, trl={"save_strategy": "steps", "save_steps": 9})
    run_trial(folder)
    assert _generated(folder, attempt=1)[-4:] == [80, 80, 96, 96]  # at steps 9 to 12
    run_trial(folder, attempt=2)
    assert _generated(folder, attempt=2) == [96, 112, 112]


def _generated(folder: Path, *, attempt: int) -> list[float]:
    """Completions until each step of an attempt."""
    told = [e.event.metrics for e in envelopes(folder) if e.attempt == attempt and isinstance(e.event, MetricsLogged)]
    return [metrics["completions_generated"] for metrics in told if "completions_generated" in metrics]
