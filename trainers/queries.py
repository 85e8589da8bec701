"""What the tasks on search queries share: prompts (`Query about heart and insulin:`), tokenizer and first model.

Their rewards are those of a journal of PPO on query generation, and say nothing of the prompt: shape is all.
Completions are up to thirty words long and end by themselves, so that lengths, truncation and hacking can be seen here,
which the answers of `arithmetic` are too short for. The first model rambles more often than it queries.
"""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

from torch import Tensor

from trainers import tiny
from trainers.tasks import Reward, Row, Task

_TERMS = (
    "heart kidney liver lung brain blood skin bone cancer stroke diabetes asthma fever anemia aspirin insulin statin "
    "heparin vaccine surgery therapy diet children women men"
)
_FILL = "trial study review risk outcome rate effect dose late severe mild chronic treatment care use group"
TERMS, FILL = tuple(_TERMS.split()), tuple(_FILL.split())
HELD_OUT = 100  # pairs of terms held out for each of validation and test
LONGEST_QUERY = 32  # tokens, the journal's limit; the longest example of the warm start has 27
RECIPE = tiny.Recipe(version=2, steps=350, hidden=64)


def task(reward: Reward, bounds: tuple[float, float]) -> Task:
    """The task of these prompts with `reward`; makes and caches the warm-started model on first use."""
    train, validation, test = splits()
    return Task(
        model=str(model_folder(RECIPE)),
        train=train,
        validation=validation,
        test=test,
        reward=reward,
        reward_bounds=bounds,
        max_completion_length=LONGEST_QUERY,
        trl={"gradient_checkpointing": False},  # it saves memory that these models do not need, and costs a third
    )


def splits() -> tuple[tuple[Row, ...], tuple[Row, ...], tuple[Row, ...]]:
    """All ordered pairs of terms once, each in one of train, validation and test; the same in every process."""
    rows = [{"prompt": f"Query about {a} and {b}:"} for a, b in itertools.permutations(TERMS, 2)]
    random.Random(0).shuffle(rows)
    return tuple(rows[2 * HELD_OUT :]), tuple(rows[:HELD_OUT]), tuple(rows[HELD_OUT : 2 * HELD_OUT])


# ---- tokenizer and model


def tokenizer() -> Any:
    """A tokenizer with a token for each word, bracket and quote that prompts and queries are made of."""
    return tiny.words_tokenizer((*TERMS, *FILL, "about", "and", "AND", "OR", "(", ")", '"'), (":",), "Query")


def model_folder(recipe: tiny.Recipe) -> Path:
    """The folder of the warm-started model and its tokenizer, made now unless it is in the cache."""

    def make() -> tuple[Any, Any]:
        words = tokenizer()
        return tiny.warm_start(recipe, words, Examples(recipe, words).batch), words

    return tiny.cached("query", recipe, make)


class Examples:
    """Supervised examples on prompts of the train split, half of them answered by rambling."""

    def __init__(self, recipe: tiny.Recipe, words: Any) -> None:
        self._recipe, self._words, self._rng = recipe, words, random.Random(recipe.seed)
        self.prompts = [row["prompt"] for row in splits()[0]]

    def batch(self) -> dict[str, Tensor]:
        """Padded ids, mask and labels, each (batch, longest)."""
        pairs = []
        for prompt in self._rng.choices(self.prompts, k=self._recipe.batch):
            _, _, a, _, b = prompt.rstrip(":").split()
            answer = self._words(f" {self._completion(a, b)}").input_ids
            pairs.append((self._words(prompt).input_ids, [*answer, self._words.eos_token_id]))
        return tiny.padded(pairs, self._words.pad_token_id)

    def _completion(self, a: str, b: str) -> str:
        """A ramble of keywords, words with operators between, two clauses, or the two terms alone."""
        kind, rng = self._rng.random(), self._rng
        if kind < 0.5:
            words = [a, b, *rng.choices((*FILL, a, b), k=rng.randint(8, 24))]
            rng.shuffle(words)
            return " ".join(words)
        if kind < 0.8:
            words = [b, *rng.choices((*FILL, a, b), k=rng.randint(2, 6))]
            return " ".join([a, *(f"{rng.choice(('AND', 'OR', ''))} {word}".strip() for word in words)])
        if kind < 0.92:
            return f" {rng.choice(('AND', 'OR'))} ".join(self._clause(a, b) for _ in "12")
        return f"{a} {b}"

    def _clause(self, a: str, b: str) -> str:
        """A term and up to three keywords in brackets or quotes."""
        opened, closed = self._rng.choice(("()", '""'))
        words = (self._rng.choice((a, b)), *self._rng.choices(FILL, k=self._rng.randint(0, 3)))
        return " ".join((opened, *words, closed))
