"""Built-in task: `Calculate: 7 * 6 = ` must be answered `42`. Trains on one CPU core in seconds.

It makes its own problems, tokenizer and model. The model is warm-started by supervised steps until it answers about a
third of the problems, so that groups of completions differ in reward and there is something left to learn.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainers.tasks import Row, Task

HIGHEST = 20  # operands are 0 to 20
VALIDATION = TEST = 200  # problems held out for each
BOUNDS = (-1.0, 1.0)
LONGEST_ANSWER = 6  # tokens: a sign, three digits, end of sequence, and one to spare
_ANSWER = re.compile(r"^-?\d+")
_IGNORED = -100  # label of tokens that the supervised loss leaves out


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the first model is made. A cached model is used only where its whole recipe agrees."""

    version: int = 1
    hidden: int = 128
    layers: int = 2
    heads: int = 4
    steps: int = 500
    batch: int = 64
    peak_learning_rate: float = 2e-3
    wrong_answers: float = 0.0
    seed: int = 0


def task() -> Task:
    """The arithmetic task; makes and caches the warm-started model on first use."""
    train, validation, test = splits()
    return Task(
        model=str(model_folder(Recipe())),
        train=train,
        validation=validation,
        test=test,
        reward=arithmetic_reward,
        reward_bounds=BOUNDS,
        max_completion_length=LONGEST_ANSWER,
        trl={"gradient_checkpointing": False},  # it saves memory that these models do not need, and costs a third
    )


def splits() -> tuple[tuple[Row, ...], tuple[Row, ...], tuple[Row, ...]]:
    """All problems once, each in one of train, validation and test; the same in every process and for every seed."""
    rows = [
        {"prompt": f"Calculate: {a} {op} {b} = ", "answer": str({"+": a + b, "-": a - b, "*": a * b}[op])}
        for a in range(HIGHEST + 1)
        for b in range(HIGHEST + 1)
        for op in "+-*"
    ]
    random.Random(0).shuffle(rows)
    held_out = VALIDATION + TEST
    return tuple(rows[held_out:]), tuple(rows[:VALIDATION]), tuple(rows[VALIDATION:held_out])


def extract(completion: str) -> str:
    """The answer in a completion: its leading number, else its first word, else nothing."""
    text = completion.strip()
    number = _ANSWER.match(text)
    return number.group() if number else (text.split() or [""])[0]


def arithmetic_reward(completions: list[str], answer: list[str], **_: Any) -> list[float]:
    """1 for the right answer, -1 for any other."""
    low, high = BOUNDS
    return [high if extract(c) == a else low for c, a in zip(completions, answer, strict=True)]


# ---- tokenizer and model


def tokenizer() -> Any:
    """A tokenizer of about twenty words: each digit, the operators and the words of the prompt."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<eos>", "<unk>", *"0123456789", " ", "-", " +", " -", " *", " =", ":", "Calculate"]
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[A-Za-z]+| [+*=-]|\d|[^A-Za-z\d]"), "isolated")
    backend.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", padding_side="left"
    )


def model_folder(recipe: Recipe) -> Path:
    """The folder of the warm-started model and its tokenizer, made now unless it is in the cache."""
    digest = hashlib.sha256(json.dumps(asdict(recipe), sort_keys=True).encode()).hexdigest()[:12]
    cache = Path(os.environ.get("AUTOTUNE_CACHE") or Path.home() / ".cache" / "autotune")
    folder = cache / f"arithmetic-{digest}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=cache, prefix=".arithmetic-"))
    try:
        words = tokenizer()
        warm_start(recipe, words).save_pretrained(partial)
        words.save_pretrained(partial)
        partial.chmod(0o755)  # mkdtemp's is for its owner only
        partial.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process made it meanwhile, and made the same
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def warm_start(recipe: Recipe, words: Any) -> Any:
    """A Qwen2 model after `recipe.steps` supervised steps on problems of the train split. Changes no global state."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    rng, threads = random.Random(recipe.seed), torch.get_num_threads()
    rows = _encode(splits()[0], words)
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
            )
            model = Qwen2ForCausalLM(config)
            model.train()
            optimizer = torch.optim.AdamW(model.parameters(), recipe.peak_learning_rate, weight_decay=0.0)
            for step in range(recipe.steps):
                warm_up, decay = min(1.0, (step + 1) / 20), 1 - 0.9 * step / recipe.steps
                for group in optimizer.param_groups:
                    group["lr"] = recipe.peak_learning_rate * warm_up * decay
                model(**_batch(rows, rng, recipe)).loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
    finally:
        torch.set_num_threads(threads)
    return model.eval()


def _encode(rows: tuple[Row, ...], words: Any) -> list[tuple[list[int], list[int]]]:
    """Prompt and answer of each row as token ids, the answer with its end."""
    return [(words(row["prompt"]).input_ids, [*words(row["answer"]).input_ids, words.eos_token_id]) for row in rows]


def _batch(rows: list[tuple[list[int], list[int]]], rng: random.Random, recipe: Recipe) -> dict[str, Tensor]:
    """Padded ids, mask and labels, each (batch, longest)."""
    chosen = rng.choices(rows, k=recipe.batch)
    pairs = [(p, rng.choice(rows)[1] if rng.random() < recipe.wrong_answers else a) for p, a in chosen]
    longest = max(len(p) + len(a) for p, a in pairs)
    ids = torch.zeros(len(pairs), longest, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, _IGNORED)
    for i, (prompt, answer) in enumerate(pairs):
        end = len(prompt) + len(answer)
        ids[i, :end] = torch.tensor(prompt + answer)
        mask[i, :end] = 1
        labels[i, len(prompt) : end] = torch.tensor(answer)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}
