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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from diagnostics.errors import UserError
from diagnostics.logs import read
from diagnostics.readers import events
from diagnostics.series import RunHistory
from diagnostics.sources import find

DATA = Path(__file__).parents[1] / "data"
PATHOLOGIES, OURS, SHARED = "Recorded pathologies", "Our own runs", "Shared real runs"
WE = "ours"  # the repository of what we recorded ourselves


@dataclass(frozen=True, slots=True)
class Wanted:
    """Something that is wrong with a run, found where any of `codes` is raised; `steps` and `evidence` are free text."""

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


@cache
def corpora() -> Mapping[str, tuple[Run, ...]]:
    """The runs of each corpus; the shared one is missing where `AUTOTUNE_CORPUS` does not say where it is."""
    found = {PATHOLOGIES: tuple(_pathologies()), OURS: tuple(_ours())}
    if folder := os.environ.get("AUTOTUNE_CORPUS"):
        found[SHARED] = tuple(_shared(Path(folder)))
    return found


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
            yield Run(data["id"], WE, label_of(data), _histories(log))


def _ours() -> Iterator[Run]:
    for name, data in tomllib.loads((DATA / "runs.toml").read_text(encoding="utf-8")).items():
        must, may = data.get("must", ()), frozenset(data.get("may", ()))
        label = Label(tuple(Wanted(frozenset({code})) for code in must), may, None, healthy=not must and not may)
        yield Run(name, WE, label, (events.read(DATA / "runs" / name),))


def _shared(root: Path) -> Iterator[Run]:
    for data in json.loads((root / "labels.json").read_text(encoding="utf-8")):
        segments, unread = (), ""
        try:
            segments = _histories(root / data.get("file", data["id"]))
        except UserError as why:
            unread = str(why)
        yield Run(data["id"], data["repo"], label_of(data), segments, unread)


def _histories(path: Path) -> tuple[RunHistory, ...]:
    return tuple(history for source in find(path).sources for history in read(source))


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
    """What a label says of where, such as "130-160, 315" or "rows 0-12" or "from step 80"; none where it is not clear."""
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
