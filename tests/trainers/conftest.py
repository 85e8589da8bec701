"""A trial of a user's own: a small model, prompts and a reward that needs no language."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from diagnostics.events import EVENTS_FILE, Envelope, Event, decode

gc.freeze()  # a trainer collects garbage when it begins: a second if all that was imported is looked through
torch.set_num_threads(1)  # as a trial does: with models so small, several only wait for each other


def likes_a(completions: list[str], **_: Any) -> list[float]:
    """The share of the letter `a`."""
    return [c.count("a") / max(1, len(c)) for c in completions]


@pytest.fixture
def reward_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A user's reward function in the current folder, as `module:function`."""
    name = f"reward_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(
        "def likes_a(completions, **columns):\n    return [c.count('a') / max(1, len(c)) for c in completions]\n"
        "def too_few(completions, **columns):\n    return [1.0]\n"
        "def words(completions, **columns):\n    return ['good'] * len(completions)\n"
        "def broken(completions, **columns):\n    raise RuntimeError('no such word')\n"
    )
    monkeypatch.chdir(tmp_path)
    return name


@pytest.fixture
def trial(tmp_path: Path, tiny_model: Path, prompts_file: Path, reward_module: str) -> Callable[..., Path]:
    """Writes the folder of a small trial: four rollouts of 16 completions."""
    from studies import trial as trials

    def make(name: str = "trial", *, function: str = "likes_a", **changes: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        spec: dict[str, Any] = {
            "model": str(tiny_model),
            "dataset": str(prompts_file),
            "reward": f"{reward_module}:{function}",
            "reward_bounds": (0.0, 1.0),
            "knobs": {"learning_rate": 3e-3, "kl_coef": 0.04, "num_generations": 4},
            "completions": 64,
            "batch_size": 16,
            "max_completion_length": 6,
            "eval_every": 2,
            "stop_on": None,
            "save_model": False,
        }
        trials.write(trials.TrialSpec(**{**spec, **changes}), folder)
        return folder

    return make


def envelopes(folder: Path) -> list[Envelope]:
    """What a trial told."""
    return [decode(line) for line in (folder / EVENTS_FILE).read_text().splitlines()]


def events(folder: Path) -> list[Event]:
    """The events of a trial without their envelopes."""
    return [e.event for e in envelopes(folder)]
