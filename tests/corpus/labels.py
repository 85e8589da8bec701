"""Recorded runs and what an expert says of them: pathologies made on purpose, our own runs, and runs of other people.

The runs of other people are not ours to keep: `AUTOTUNE_CORPUS` is the folder that has them, with `labels.json`.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from diagnostics.errors import UserError
from diagnostics.logs import read
from diagnostics.series import RunHistory
from diagnostics.sources import find

DATA = Path(__file__).parents[1] / "data"
PATHOLOGIES, OURS, SHARED = "Recorded pathologies", "Our own runs", "Shared real runs"
WE = "ours"  # the repository of what we recorded ourselves


@dataclass(frozen=True, slots=True)
class Wanted:
    """Something wrong with a run, found where any of `codes` is raised; `steps` and `evidence` are free text."""

    codes: frozenset[str]
    info_is_enough: bool = False
    steps: str = ""
    evidence: str = ""

    def __str__(self) -> str:
        return "/".join(sorted(self.codes))


@dataclass(frozen=True, slots=True)
class Label:
    """What is wrong with a run, what may be said of it, and what must not: without a list of it, all else."""

    present: tuple[Wanted, ...]
    maybe: frozenset[str]
    absent: frozenset[str] | None
    healthy: bool


@dataclass(frozen=True, slots=True)
class Run:
    """A labelled log. Its segments are empty where it could not be read, and `unread` then says why."""

    name: str
    repository: str
    label: Label
    segments: tuple[RunHistory, ...]
    unread: str = ""


def corpora() -> Sequence[str]:
    """Those there are: the shared one where `AUTOTUNE_CORPUS` says where it is."""
    return [PATHOLOGIES, OURS, *([SHARED] if os.environ.get("AUTOTUNE_CORPUS") else [])]


@cache
def runs(corpus: str) -> tuple[Run, ...]:
    """The runs of a corpus."""
    return tuple({PATHOLOGIES: _pathologies, OURS: _ours, SHARED: _shared}[corpus]())


def label_of(data: Mapping[str, Any]) -> Label:
    """An entry of a labels.json."""
    present = tuple(
        Wanted(frozenset(p["codes"]), p["info_is_enough"], p.get("steps", ""), p.get("evidence", ""))
        for p in data["present"]
        if p["codes"]
    )
    healthy = data["healthy"]
    return Label(present, frozenset(data["maybe_codes"]), None if healthy else frozenset(data["absent_codes"]), healthy)


def _pathologies() -> Iterator[Run]:
    root = DATA / "pathologies"
    with TemporaryDirectory() as folder:
        for data in json.loads((root / "labels.json").read_text(encoding="utf-8")):
            log = Path(folder) / "run.jsonl"
            log.write_bytes(gzip.decompress((root / f"{data['file']}.gz").read_bytes()))
            yield _run(data["id"], WE, label_of(data), log)


def _ours() -> Iterator[Run]:
    for name, data in tomllib.loads((DATA / "runs.toml").read_text(encoding="utf-8")).items():
        must, may = data.get("must", ()), frozenset(data.get("may", ()))
        wanted = tuple(Wanted(frozenset(codes.split("/"))) for codes in must)
        label = Label(wanted, may, None, healthy=not must and not may)
        yield _run(name, WE, label, DATA / "runs" / name)


def _shared() -> Iterator[Run]:
    root = Path(os.environ["AUTOTUNE_CORPUS"])
    for data in json.loads((root / "labels.json").read_text(encoding="utf-8")):
        yield _run(data["id"], data["repo"], label_of(data), root / data.get("file", data["id"]))


def _run(name: str, repository: str, label: Label, log: Path) -> Run:
    try:
        segments = tuple(history for source in find(log).sources for history in read(source))
    except UserError as why:
        return Run(name, repository, label, (), str(why))
    return Run(name, repository, label, segments)


# ---- where in a run


@dataclass(frozen=True, slots=True)
class Range:
    """From `first` to `last`, in steps or, where the label counts them, in rows of the log."""

    first: float
    last: float
    rows: bool = False


_NUMBER = r"~?(\d+(?:\.\d+)?)([kM]?)"
_PART = re.compile(rf"(?P<open>from |after |since )?(?:steps? )?{_NUMBER}(?:\s*[-–]\s*(?:{_NUMBER}|end))?\+?")
_POWERS = {"": 1, "k": 1_000, "M": 1_000_000}


def ranges(steps: str) -> tuple[Range, ...]:
    """Where a label says it is, as in "130-160, 315", "rows 0-12" or "from step 80"; none where that is not clear."""
    text = steps.strip()
    rows = bool(re.match(r"rows? ", text))
    found = []
    for part in re.sub(r"^rows? ", "", text).split(","):
        match = _PART.fullmatch(part.strip())
        if match is None:
            return ()
        first, power, last, power_of_last = match.group(2, 3, 4, 5)
        begin = float(first) * _POWERS[power]
        if last is not None:
            end = float(last) * _POWERS[power_of_last]
        else:
            goes_on = match["open"] or part.strip().endswith(("+", "end"))
            end = math.inf if goes_on else begin
        found.append(Range(begin, end, rows))
    return tuple(found)
