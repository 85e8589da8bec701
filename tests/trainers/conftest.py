"""A model of another family than the built-in one, in the hub's format, and a task that needs no language."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from diagnostics.events import EVENTS_FILE, Envelope, Event, decode

LETTERS = "abcdefgh"


def likes_a(completions: list[str], **_: Any) -> list[float]:
    """The share of the letter `a`."""
    return [c.count("a") / max(1, len(c)) for c in completions]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a GPT-2 of one layer and a tokenizer of letters."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

    folder = tmp_path_factory.mktemp("gpt2")
    words = ["<end>", "<pad>", "Ġ", *LETTERS]
    tokenizer = GPT2Tokenizer(
        vocab={w: i for i, w in enumerate(words)},
        merges=[],
        eos_token="<end>",
        bos_token="<end>",
        pad_token="<pad>",
        unk_token="<pad>",
    )
    still = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}  # so that the KL begins at exactly 0
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(words), n_positions=32, n_embd=32, n_layer=1, n_head=2, **still))
    model.generation_config.eos_token_id = model.config.eos_token_id = 0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def prompts_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JSONL dataset of 40 prompts."""
    path = tmp_path_factory.mktemp("data") / "prompts.jsonl"
    rows = [{"prompt": f"{a} {b} "} for a in LETTERS for b in LETTERS[:5]]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


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
