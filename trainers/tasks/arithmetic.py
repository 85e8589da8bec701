"""Built-in task: `Calculate: 7 * 6 = ` must be answered `42`. Trains on one CPU core in seconds.

It makes its own problems, tokenizer and model. Supervised steps take the model to where it answers about a third of the
problems, so that the completions of a prompt differ in reward and there is something left to learn.

The warm start reads the answers of all problems, the held-out ones included, as bare facts (`7 * 6 = 42`); it sees no
held-out prompt. Held-out reward therefore says how well training brings out what the model has read, on prompts it was
not trained on, and not that it can do sums nobody showed it. That is on purpose: a model this small does not generalise
to unread sums, so with the facts of the train split alone training only memorised, and held-out reward fell.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from trainers import tiny
from trainers.tasks import Row, Task

PREFIX = "Calculate: "
HIGHEST = 20  # operands are 0 to 20
VALIDATION = TEST = 200  # problems held out for each
BOUNDS = (-1.0, 1.0)
NOTE = (
    "the warm start has read the answers of all problems, held-out ones too, but no held-out prompt: held-out reward "
    "shows how well what is known is brought out, not what is newly known"
)
LONGEST_ANSWER = 6  # tokens: a sign, three digits, end of sequence, and one to spare
_ANSWER = re.compile(r"^-?\d+")


@dataclass(frozen=True, slots=True)
class Recipe(tiny.Recipe):
    """How the first model is made.

    Like a real model it has read more than it can say: the facts (`7 * 6 = 42`) of all problems, those of validation
    and test too, though none of their prompts. It often echoes the equals sign of a prompt before it answers, which is
    there to be unlearned.
    """

    version: int = 6
    steps: int = 900
    prompts: float = 0.3  # share of batches that are prompts of the train split; the others are facts
    echoes: float = 0.4  # share of prompts answered with `= 42`, of which the answer extracted is `=`


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
        notes=(NOTE,),
    )


def splits() -> tuple[tuple[Row, ...], tuple[Row, ...], tuple[Row, ...]]:
    """All problems once, each in one of train, validation and test; the same in every process and for every seed."""
    rows = [
        {"prompt": f"{PREFIX}{a} {op} {b} = ", "answer": str({"+": a + b, "-": a - b, "*": a * b}[op])}
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
    """A Qwen2 tokenizer of some thirty tokens: digits, signs, operators with the space before them, and `Calculate`.

    It is of the class that transformers loads for a Qwen2 model, whatever class a folder names; another would come back
    from disk as something else.
    """
    from transformers import Qwen2Tokenizer

    space = "Ġ"  # how byte-level BPE writes a space
    merges = [(space, sign) for sign in "+-*="]
    merges += [("Calculate"[:i], "Calculate"[i]) for i in range(1, len("Calculate"))]
    single = ["<pad>", "<eos>", *"0123456789", *dict.fromkeys(f"{space}+-*=:Calculate")]
    words = dict.fromkeys([*single, *("".join(pair) for pair in merges)])
    return Qwen2Tokenizer(
        vocab={word: i for i, word in enumerate(words)},
        merges=merges,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token=None,
        padding_side="left",
    )


def model_folder(recipe: Recipe) -> Path:
    """The folder of the warm-started model and its tokenizer, made now unless it is in the cache."""

    def make() -> tuple[Any, Any]:
        words = tokenizer()
        return warm_start(recipe, words), words

    return tiny.cached("arithmetic", recipe, make)


def warm_start(recipe: Recipe, words: Any) -> Any:
    """A Qwen2 model after supervised steps on all facts and the train split's prompts. Changes no global state."""
    return tiny.warm_start(recipe, words, _Examples(recipe, words, random.Random(recipe.seed)).batch)


class _Examples:
    """Supervised examples: facts of all problems without the words of the prompt, and prompts of the train split."""

    def __init__(self, recipe: Recipe, words: Any, rng: random.Random) -> None:
        def ids(text: str) -> list[int]:
            return words(text).input_ids

        train, validation, test = splits()
        end = [words.eos_token_id]
        self._recipe, self._rng, self._pad = recipe, rng, words.pad_token_id
        self._facts = [
            (ids(row["prompt"].removeprefix(PREFIX)), ids(row["answer"]) + end) for row in train + validation + test
        ]
        self._prompts = [
            (ids(row["prompt"]), ids(row["answer"]) + end, ids(f" = {row['answer']}") + end) for row in train
        ]

    def batch(self) -> dict[str, Tensor]:
        """Padded ids, mask and labels, each (batch, longest); only answers have labels."""
        size = self._recipe.batch
        if self._rng.random() < self._recipe.prompts:
            pairs = [self._answered(*self._rng.choice(self._prompts)) for _ in range(size)]
        else:
            pairs = self._rng.choices(self._facts, k=size)
        return tiny.padded(pairs, self._pad)

    def _answered(self, prompt: list[int], answer: list[int], echo: list[int]) -> tuple[list[int], list[int]]:
        return prompt, echo if self._rng.random() < self._recipe.echoes else answer
