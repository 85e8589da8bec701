"""What thresholds are worth on a repository that they were not chosen on.

For each repository the thresholds without a published source are chosen anew on the runs of all others: each in turn is
multiplied by what makes most of found - missed - 2 x false there, and stays what it is unless another is better. The
repository that was left out is then judged with them. Where nothing is better than what is, nothing moves; so beside
it stands what each small change does to what is found and false on all of them: how near a threshold is to an edge.
"""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from judge import Said, by_code, judged
from labels import Run

from diagnostics.engine import diagnose
from diagnostics.finding import Finding
from diagnostics.rule import Rule

SMALL = (0.71, 1.41)
FACTORS = (*SMALL, 0.5, 2.0)  # the smaller change first, which stands where a larger one is no better
Thresholds = Mapping[str, float]
Counts = tuple[int, int, int]  # found, missed, false
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Move:
    """A threshold that is another without a repository."""

    left_out: str
    code: str
    threshold: str
    default: float
    value: float


@dataclass(frozen=True, slots=True)
class Edge:
    """What is found and false, more or less, where a threshold is another."""

    code: str
    threshold: str
    default: float
    value: float
    found: int
    false: int


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
    chosen = _by_rule(_choose, runs, said, rules)
    without = {name: dict(of_run) for name, of_run in said.items()}
    for choice in chosen:
        for name, findings in choice.said.items():
            without[name][choice.code] = findings
    moves = [move for choice in chosen for move in choice.moves]
    return without, sorted(moves, key=lambda move: (move.code, move.threshold, move.left_out))


def edges(runs: Sequence[Run], said: Mapping[str, Said], rules: Mapping[str, Rule]) -> list[Edge]:
    """Every small change of one threshold without a published source that changes what is found or false on `runs`."""
    found = _by_rule(_near, runs, said, rules)
    return sorted(found, key=lambda edge: (edge.code, edge.threshold, edge.value))


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


def around(default: float, factors: Sequence[float] = FACTORS) -> list[float]:
    """What a threshold can be instead; whole numbers stay whole, and at least 1."""
    if isinstance(default, int):
        return [n for n in dict.fromkeys(max(1, round(default * factor)) for factor in factors) if n != default]
    return [default * factor for factor in factors]


def _by_rule(
    work: Callable[[str], list[T]], runs: Sequence[Run], said: Mapping[str, Said], rules: Mapping[str, Rule]
) -> list[T]:
    """`work` on each rule, two at a time; rules and runs are too much to send, so a process has them from its fork."""
    with multiprocessing.get_context("fork").Pool(2, _begin, (runs, said, rules)) as pool:
        done = [one for of_rule in pool.imap_unordered(work, rules) for one in of_rule]
        # Left to end by themselves: a kill that comes in the instant of the fork is lost where SIGTERM has a handler,
        # and is then waited for without end.
        pool.close()
        pool.join()
    return done


_given: tuple[Sequence[Run], Mapping[str, Said], Mapping[str, Rule]]


def _begin(*given: Any) -> None:
    global _given
    _given = given


def _choose(code: str) -> list[Chosen]:
    runs, said, rules = _given
    return list(_Fit(rules[code], runs, said).chosen())


def _near(code: str) -> list[Edge]:
    runs, said, rules = _given
    return list(_Fit(rules[code], runs, said).edges())


class _Fit:
    """One rule, the others as they are."""

    def __init__(self, rule: Rule, runs: Sequence[Run], said: Mapping[str, Said]) -> None:
        self._rule, self._runs, self._said = rule, runs, said
        self._free = house_defaults(rule)
        self._raised: dict[tuple[str, tuple[float, ...]], tuple[Finding, ...]] = {}
        self._counted: dict[tuple[str, tuple[float, ...]], Counts] = {}

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

    def edges(self) -> Iterator[Edge]:
        """Each small change of one threshold that changes what is found or false."""
        defaults = {name: self._rule.thresholds[name] for name in self._free}
        found, _, false = self._counts(self._runs, defaults)
        for name, default in defaults.items():
            for value in around(default, SMALL):
                more, _, wrong = self._counts(self._runs, {**defaults, name: value})
                if (more, wrong) != (found, false):
                    yield Edge(self._rule.code, name, default, value, more - found, wrong - false)

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
        found, missed, false = self._counts(runs, thresholds)
        return found - missed - 2 * false

    def _counts(self, runs: Sequence[Run], thresholds: Thresholds) -> Counts:
        found, missed, false = zip(*(self._counts_of(run, thresholds) for run in runs), strict=True)
        return sum(found), sum(missed), sum(false)

    def _counts_of(self, run: Run, thresholds: Thresholds) -> Counts:
        key = run.name, tuple(thresholds.values())
        if key not in self._counted:
            said = {**self._said[run.name], self._rule.code: self._says(run, thresholds)}
            verdict = judged(run.label, said)
            self._counted[key] = len(verdict.found), len(verdict.missed), len(verdict.false)
        return self._counted[key]

    def _says(self, run: Run, thresholds: Thresholds) -> tuple[Finding, ...]:
        key = run.name, tuple(thresholds.values())
        if key not in self._raised:
            changed = replace(self._rule, check=partial(self._rule.check, **thresholds))
            segments = [segment for segment in run.segments if changed.logged(segment)]
            raised = diagnose(segments, {changed.code: changed}).raised if segments else ()
            self._raised[key] = tuple(f for f in raised if f.code == changed.code)
        return self._raised[key]
