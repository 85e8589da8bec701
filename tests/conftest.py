"""No test looks for a model on the hub; small models, prompts and logs, where any are needed."""

import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

os.environ["HF_HUB_OFFLINE"] = "1"

# Slow examples are no fault where tests run side by side.
settings.register_profile("side by side", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("side by side")

LETTERS = "abcdefgh"


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or fills the cache of whoever runs it, or what their monitor remembers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


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
def my_rules() -> Callable[..., Path]:
    """Writes `my_rules.py` into a folder, as a person would have it, with changes: each text there is replaced."""
    text = (Path(__file__).parent / "data" / "my_rules.py").read_text(encoding="utf-8")

    def write(folder: Path, *changes: tuple[str, str], name: str = "my_rules.py") -> Path:
        changed = text
        for old, new in changes:
            assert old in changed, old
            changed = changed.replace(old, new)
        path = folder / name
        path.write_text(changed, encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def samples() -> ModuleType:
    """The writers of small logs of every format, which the script `damage.py` has as well."""
    path = Path(__file__).parent / "diagnostics" / "readers" / "samples.py"
    spec = importlib.util.spec_from_file_location("samples", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules["samples"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
