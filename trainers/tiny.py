"""Models small enough for a CPU, which the built-in tasks make: a warm-started Qwen2 of under a million parameters."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

IGNORED = -100  # label of tokens that the supervised loss leaves out


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a first model is made. A cached model is used only where its whole recipe agrees."""

    version: int
    steps: int
    hidden: int = 96
    layers: int = 2
    heads: int = 4
    initial_std: float = 0.1  # of the weights; with the usual 0.02 a model this small learns nothing in this time
    batch: int = 32
    peak_learning_rate: float = 1.5e-3
    seed: int = 0


def words_tokenizer(spaced: Iterable[str], single: Iterable[str], first: str) -> Any:
    """A Qwen2 tokenizer with a token for each of `spaced`, words with a space before them, and `first`, which has none.

    It is of the class that transformers loads for a Qwen2 model, whatever class a folder names; another would come back
    from disk as something else. Every merge of a pair has the space, or the first letter of `first`, at its left, so
    that no word can break another's.
    """
    from transformers import Qwen2Tokenizer

    space = "Ġ"  # how byte-level BPE writes a space
    wholes = [f"{space}{word}" for word in spaced] + [first]
    merges = dict.fromkeys((whole[:i], whole[i]) for whole in wholes for i in range(1, len(whole)))
    letters = dict.fromkeys([*single, space, *"".join(wholes)])
    words = dict.fromkeys(["<pad>", "<eos>", *letters, *("".join(pair) for pair in merges)])
    return Qwen2Tokenizer(
        vocab={word: i for i, word in enumerate(words)},
        merges=list(merges),
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token=None,
        padding_side="left",
    )


def cached(name: str, recipe: Any, make: Callable[[], tuple[Any, Any]]) -> Path:
    """The folder of the model and the tokenizer of `recipe`, a dataclass: made now unless they are in the cache."""
    digest = hashlib.sha256(json.dumps(asdict(recipe), sort_keys=True).encode()).hexdigest()[:12]
    cache = Path(os.environ.get("AUTOTUNE_CACHE") or Path.home() / ".cache" / "autotune")
    folder = cache / f"{name}-{digest}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=cache, prefix=f".{name}-"))
    try:
        for part in make():
            part.save_pretrained(partial)
        partial.chmod(0o755)  # mkdtemp's is for its owner only
        partial.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process made it meanwhile, and made the same
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def warm_start(recipe: Recipe, words: Any, batch: Callable[[], dict[str, Tensor]]) -> Any:
    """A Qwen2 model after `recipe.steps` supervised steps, each on what `batch` gives. Changes no global state."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the order of sums depends on it
    try:
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed)
            config = Qwen2Config(
                vocab_size=len(words),
                hidden_size=recipe.hidden,
                intermediate_size=2 * recipe.hidden,
                num_hidden_layers=recipe.layers,
                num_attention_heads=recipe.heads,
                num_key_value_heads=recipe.heads // 2,
                max_position_embeddings=128,
                pad_token_id=words.pad_token_id,
                eos_token_id=words.eos_token_id,
                bos_token_id=None,
                tie_word_embeddings=True,
                initializer_range=recipe.initial_std,
            )
            model = Qwen2ForCausalLM(config)
            model.train()
            optimizer = torch.optim.AdamW(model.parameters(), recipe.peak_learning_rate, weight_decay=0.0)
            for step in range(recipe.steps):
                warm_up, decay = min(1.0, (step + 1) / 20), 1 - 0.9 * step / recipe.steps
                for group in optimizer.param_groups:
                    group["lr"] = recipe.peak_learning_rate * warm_up * decay
                model(**batch()).loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
    finally:
        torch.set_num_threads(threads)
    return model.eval()


def padded(pairs: Sequence[tuple[list[int], list[int]]], pad: int) -> dict[str, Tensor]:
    """Prompts with their answers as ids, mask and labels, each (pairs, longest); only answers have labels."""
    longest = max(len(prompt) + len(answer) for prompt, answer in pairs)
    ids = torch.full((len(pairs), longest), pad)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, IGNORED)
    for i, (prompt, answer) in enumerate(pairs):
        end = len(prompt) + len(answer)
        ids[i, :end] = torch.tensor(prompt + answer)
        mask[i, :end] = 1
        labels[i, len(prompt) : end] = torch.tensor(answer)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}
