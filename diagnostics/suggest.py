"""Which canonical metrics a name may stand for that no vocabulary has: shown to a person, never assumed.

A name is cut into words, common abbreviations are spelt out, and the words are compared with those of every name that
some vocabulary knows, rare words counting more than common ones.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import log, sqrt

from diagnostics import metrics as canonical
from diagnostics.vocabulary import frameworks, unsaid, vocabulary

MOST = 3
LEAST = 0.4  # likeness below which nothing is suggested: house default
NEXT = 0.65  # and below which share of the likeliest one's: house default
LONGEST = 200  # characters of a name that are looked at

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SPELT: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("avg", "average", "mu"), ("mean",)),
    **dict.fromkeys(("stdev", "stddev", "sd", "sigma"), ("std",)),
    **dict.fromkeys(("variance",), ("var",)),
    **dict.fromkeys(("minimum", "lowest", "worst"), ("min",)),
    **dict.fromkeys(("maximum", "highest", "best"), ("max",)),
    **dict.fromkeys(("rew", "rews", "rewards", "rwd", "r", "score", "scores"), ("reward",)),
    **dict.fromkeys(("ret", "rets", "return", "returns"), ("reward",)),  # of an episode
    **dict.fromkeys(
        ("resp", "responses", "response", "compl", "completions", "gen", "generation", "generations"), ("completion",)
    ),
    **dict.fromkeys(("output", "outputs", "answer", "answers"), ("completion",)),
    **dict.fromkeys(("len", "lens", "lengths"), ("length",)),
    **dict.fromkeys(("ent", "h"), ("entropy",)),
    **dict.fromkeys(("grads", "gradient", "gradients"), ("grad",)),
    **dict.fromkeys(("gradnorm", "gnorm"), ("grad", "norm")),
    **dict.fromkeys(("adv", "advs", "advantages"), ("advantage",)),
    **dict.fromkeys(("pg", "pi", "actor"), ("policy",)),
    **dict.fromkeys(("vf", "v", "critic", "values", "baseline"), ("value",)),
    **dict.fromkeys(("losses",), ("loss",)),
    **dict.fromkeys(("lr",), ("learning", "rate")),
    **dict.fromkeys(("clipfrac",), ("clip", "fraction")),
    **dict.fromkeys(("clipped", "clipping"), ("clip",)),
    **dict.fromkeys(("frac", "share", "pct", "percent"), ("fraction",)),
    **dict.fromkeys(("ref", "base", "sft", "initial"), ("reference",)),
    **dict.fromkeys(("kld", "kldiv"), ("kl",)),
    **dict.fromkeys(("approxkl",), ("approx", "kl")),
    **dict.fromkeys(("trunc", "truncation"), ("truncated",)),
    **dict.fromkeys(("acc", "accuracy", "correct", "solved", "succ", "successes"), ("success",)),
    **dict.fromkeys(("ev",), ("explained", "var")),
    **dict.fromkeys(("ep", "eps", "episodes", "episodic"), ("episode",)),
    **dict.fromkeys(("val", "valid", "validation", "test", "heldout"), ("eval",)),
}
_KINDS = frozenset({"std", "var", "min", "max", "eval"})  # words that a name and a metric must agree on
# Words that say nothing about what is measured.
_IDLE = frozenset(
    {"train", "training", "my", "the", "of", "per", "to", "from", "and", "mean", "token", "tokens", "batch", "step"}
    | {"objective", "charts", "env", "ppo", "grpo", "rl", "fn"}
)


@dataclass(frozen=True, slots=True)
class _Known:
    """A name that some vocabulary knows: its words, their weight together, and what it means."""

    words: frozenset[str]
    kind: frozenset[str]
    size: float
    means: str


def suggest(name: str) -> tuple[str, ...]:
    """The canonical metrics that `name` most likely stands for, the likeliest first; at most three, often none.

    A name of an evaluation is only ever suggested metrics of evaluation, and one that says "std" or "max" only those.
    """
    words = _words(name[:LONGEST])
    weights, known = _known()
    unheard = max(weights.values()) / 3  # of a word that nobody logs
    size = sqrt(sum(weights.get(word, unheard) for word in words))
    kind = words & _KINDS
    likeness: dict[str, float] = {}
    for one in known:
        shared = words & one.words
        if shared > kind and kind == one.kind and 2 * len(shared) > len(one.words):
            like = sum(weights[word] for word in shared) / (size * one.size)
            likeness[one.means] = max(likeness.get(one.means, 0.0), like)
    least = max(LEAST, NEXT * max(likeness.values(), default=0.0))
    # Of metrics that are as likely, the one that claims least, then the one that has most names.
    usual = Counter(one.means for one in known)
    ranked = sorted(likeness, key=lambda m: (-round(likeness[m], 3), len(m.split(".")), -usual[m], m))
    return tuple(means for means in ranked if likeness[means] >= least)[:MOST]


@cache
def _known() -> tuple[Mapping[str, float], tuple[_Known, ...]]:
    """How much each word weighs, and all known names of more than one letter, those of families apart."""
    pairs = {(_words(name), name) for name, metric in canonical.metrics().items() if not metric.family}
    for framework in frameworks():
        entries = vocabulary(framework).metrics
        for entry in entries:
            if "*" not in entry.name and entry.name[1:]:
                words, least = _words(entry.name), unsaid([canonical.metrics()[entry.means]])
                pairs |= {(words, entry.means), (words, least or entry.means)}
    usual = Counter(word for words, _ in pairs for word in words)
    weights = {word: log(1 + len(pairs) / n) for word, n in usual.items()}
    return weights, tuple(
        _Known(words, (words | _words(means)) & _KINDS, sqrt(sum(weights[word] for word in words)), means)
        for words, means in pairs
        if words
    )


def _words(name: str) -> frozenset[str]:
    words: set[str] = set()
    for word in _WORD.findall(name):
        words.update(_SPELT.get(word.lower(), (word.lower(),)))
    return frozenset(words - _IDLE)
