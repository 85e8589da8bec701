"""What thresholds are worth on a repository that they were not chosen on.

For each repository the thresholds without a published source are chosen anew on the runs of all others: each in turn is
multiplied by what makes most of found - missed - 2 x false there, and stays what it is unless another is better. The
repository that was left out is then judged with them.
"""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from judge import Said, by_code, judged
from labels import Run

from diagnostics.engine import diagnose
from diagnostics.finding import Finding
from diagnostics.rule import Rule

FACTORS = (0.71, 1.41, 0.5, 2.0)  # the smaller change first, which stands where a larger one is no better
Thresholds = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Move:
    """A threshold that is another without a repository."""

    left_out: str
    code: str
    threshold: str
    default: float
    value: float


@dataclass(frozen=True, slots=True)
class Chosen:
    """What one rule says of the runs of a repository, with the thresholds chosen without it."""

    code: str
    moves: tuple[Move, ...]
    said: Mapping[str, tuple[Finding, ...]]


def said_by_default(runs: Sequence[Run]) -> dict[str, Said]:
    """By the name of the run and the code: everything raised with the thresholds as they are."""
    return {run.name: by_code(diagnose(run.segments).raised if run.segments else ()) for run in runs}


def left_out(
    runs: Sequence[Run], said: Mapping[str, Said], rules: Mapping[str, Rule]
) -> tuple[Mapping[str, Said], list[Move]]:
    """What is said of each run with thresholds chosen without its repository, and which of them moved."""
    with multiprocessing.get_context("fork").Pool(2, _begin, (runs, said, rules)) as pool:
        chosen = [choice for of_rule in pool.imap_unordered(_choose, rules) for choice in of_rule]
    without = {name: dict(of_run) for name, of_run in said.items()}
    for choice in chosen:
        for name, findings in choice.said.items():
            without[name][choice.code] = findings
    moves = [move for choice in chosen for move in choice.moves]
    return without, sorted(moves, key=lambda move: (move.code, move.threshold, move.left_out))


def house_defaults(rule: Rule) -> list[str]:
    """The thresholds that the page gives no other source for than the house; several in a row share the last's."""
    references = " ".join(rule.page.split("## References")[1].split())
    quoted = list(re.finditer(r"`(\w+)` = [\d.e+-]*\d", references))
    ends = [*(match.start() for match in quoted[1:]), len(references)]
    found: list[str] = []
    waiting: list[str] = []
    for match, end in zip(quoted, ends[: len(quoted)], strict=True):
        source = references[match.end() : end]
        waiting.append(match[1])
        if source.strip(" ,") not in ("", "and"):
            found += waiting if "house default" in source else []
            waiting = []
    return [name for name in rule.thresholds if name in found]


def around(default: float) -> list[float]:
    """What a threshold can be instead; whole numbers stay whole, and at least 1."""
    if isinstance(default, int):
        return [n for n in dict.fromkeys(max(1, round(default * factor)) for factor in FACTORS) if n != default]
    return [default * factor for factor in FACTORS]


_given: tuple[Sequence[Run], Mapping[str, Said], Mapping[str, Rule]]  # to a process, once


def _begin(*given: Any) -> None:
    global _given
    _given = given


def _choose(code: str) -> list[Chosen]:
    runs, said, rules = _given
    return list(_Fit(rules[code], runs, said).chosen())


class _Fit:
    """One rule, the others as they are."""

    def __init__(self, rule: Rule, runs: Sequence[Run], said: Mapping[str, Said]) -> None:
        self._rule, self._runs, self._said = rule, runs, said
        self._free = house_defaults(rule)
        self._raised: dict[tuple[str, tuple[float, ...]], tuple[Finding, ...]] = {}
        self._values: dict[tuple[str, tuple[float, ...]], int] = {}

    def chosen(self) -> Iterator[Chosen]:
        """For each repository without which a threshold moves."""
        for repository in dict.fromkeys(run.repository for run in self._runs):
            thresholds = self._best([run for run in self._runs if run.repository != repository])
            moves = tuple(
                Move(repository, self._rule.code, name, self._rule.thresholds[name], value)
                for name, value in thresholds.items()
                if value != self._rule.thresholds[name]
            )
            if moves:
                mine = [run for run in self._runs if run.repository == repository]
                yield Chosen(self._rule.code, moves, {run.name: self._says(run, thresholds) for run in mine})

    def _best(self, runs: Sequence[Run]) -> Thresholds:
        thresholds = {name: self._rule.thresholds[name] for name in self._free}
        if not any(self._to_gain(run) for run in runs):
            return thresholds
        value = self._value(runs, thresholds)
        for name in self._free:
            for other in around(self._rule.thresholds[name]):
                changed = {**thresholds, name: other}
                if (better := self._value(runs, changed)) > value:
                    value, thresholds = better, changed
        return thresholds

    def _to_gain(self, run: Run) -> bool:
        """Whether the rule misses anything of `run`, or says anything false: else no other threshold is better."""
        verdict = judged(run.label, self._said[run.name])
        code = self._rule.code
        return any(code in missed.codes for missed in verdict.missed) or any(f.code == code for f in verdict.false)

    def _value(self, runs: Sequence[Run], thresholds: Thresholds) -> int:
        return sum(self._value_of(run, thresholds) for run in runs)

    def _value_of(self, run: Run, thresholds: Thresholds) -> int:
        key = run.name, tuple(thresholds.values())
        if key not in self._values:
            said = {**self._said[run.name], self._rule.code: self._says(run, thresholds)}
            verdict = judged(run.label, said)
            self._values[key] = len(verdict.found) - len(verdict.missed) - 2 * len(verdict.false)
        return self._values[key]

    def _says(self, run: Run, thresholds: Thresholds) -> tuple[Finding, ...]:
        key = run.name, tuple(thresholds.values())
        if key not in self._raised:
            changed = replace(self._rule, check=partial(self._rule.check, **thresholds))
            raised = diagnose(run.segments, {changed.code: changed}).raised if run.segments else ()
            self._raised[key] = tuple(f for f in raised if f.code == changed.code)
        return self._raised[key]
