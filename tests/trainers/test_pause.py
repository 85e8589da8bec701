"""A trial stands still at the end of a step while a file is there, and gives the numbers of one that never did."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from diagnostics.events import MetricsLogged, Outcome, RunEnded
from studies.trial import PAUSE_FILE
from trainers.run import run_trial

from .conftest import events

Trial = Callable[..., Path]


def rows(folder: Path) -> list[MetricsLogged]:
    return [event for event in events(folder) if isinstance(event, MetricsLogged)]


def steps_while_it_stands_still(folder: Path, monkeypatch: pytest.MonkeyPatch, then: Callable[[], None]) -> list[int]:
    """The last step that was told at each of five looks; `then` is done at the fifth."""
    seen: list[int] = []

    def look(seconds: float) -> None:
        seen.append(rows(folder)[-1].step)
        if len(seen) == 5:
            then()
        assert len(seen) < 10, "it does not go on"

    monkeypatch.setattr(time, "sleep", look)
    return seen


def test_a_paused_trial_stands_still_and_goes_on_as_if_nothing_had_been(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = trial("one"), trial("other")
    run_trial(one)
    (other / PAUSE_FILE).touch()
    seen = steps_while_it_stands_still(other, monkeypatch, (other / PAUSE_FILE).unlink)
    assert run_trial(other) == RunEnded(4, Outcome.FINISHED)
    assert seen == [0] * 5
    learned = ("reward_mean", "policy_loss.token", "kl.reference.k3.token", "entropy.token", "validation_reward")
    numbers = [[[row.metrics.get(name) for name in learned] for row in rows(folder)] for folder in (one, other)]
    assert numbers[0] == numbers[1]


def test_a_paused_trial_can_be_ended(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = trial(save_model=True)
    (folder / PAUSE_FILE).touch()
    seen = steps_while_it_stands_still(folder, monkeypatch, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert run_trial(folder) == RunEnded(1, Outcome.STOPPED, "SIGTERM")  # after the step that it was about to begin
    assert seen == [0] * 5
    assert not (folder / "checkpoints" / "final").exists()
