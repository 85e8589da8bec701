"""What the columns of a CSV are: how its cells are parted, what its header says, whose the columns of an export are."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from diagnostics.readers.columns import MOST_NAMES
from diagnostics.readers.table import number

DELIMITERS = ",\t;|"
UNNAMED = "Unnamed: {}"  # what pandas calls a column without a name, by its place from 0 on
_LEAST, _MOST = "__MIN", "__MAX"  # what wandb's page adds to each column of a chart that it exports
_RUN = " - "  # between the name of a run and that of the metric there


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a CSV: how many cells a row has, and the name of each column that is read by its place.

    `beyond` columns, after the first MOST_NAMES, are not read.

    In an export of a chart of wandb, `bounds` are the places of a column's least and greatest values, and `axis` that
    of the x-axis, which has numbers in rows that are other runs' alone; else it is -1.
    """

    width: int
    names: dict[int, str]
    axis: int = -1
    bounds: tuple[tuple[int, int], ...] = ()
    twice: tuple[str, ...] = ()
    beyond: int = 0


def cells(line: str, delimiter: str) -> list[str]:
    """The cells of one line, none where it is no CSV."""
    try:
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        return []


def delimiter_of(line: str) -> str:
    """What parts a header into most cells."""
    return max(DELIMITERS, key=lambda delimiter: len(cells(line, delimiter)))


def is_header(row: Sequence[str]) -> bool:
    """Whether a first row holds names, not numbers; pandas numbers columns that have none from 0 on."""
    full = [cell for cell in row if cell.strip()]
    if not full or full == [str(i) for i in range(len(full))]:
        return bool(full)
    return all(number(cell) is None for cell in full)


def is_rule(row: Sequence[str]) -> bool:
    """Whether a row is the line under the header of a table in Markdown."""
    return not set("".join(row)) - set("-: ")


def layout(header: Sequence[str], run: str) -> Layout:
    """The columns under `header`, those of `run` alone in an export of a chart of wandb that has several."""
    names: dict[int, str] = {}
    seen: Counter[str] = Counter()
    twice = []
    titles = [title.strip() for title in header]
    for place, title in enumerate(titles[:MOST_NAMES]):
        name = title or UNNAMED.format(place)
        n = seen[name]
        seen[name] += 1
        if n:
            twice.append(name)
            name = f"{name}.{n}"  # as pandas does
        names[place] = name
    charted = _charted(titles) if len(titles) <= MOST_NAMES else []
    if charted:
        places = {title: place for place, title in enumerate(titles)}
        kept = {place for title, place in places.items() if title in charted and (not run or _run(title) == run)}
        names = {0: names[0]} | {place: names[place].rpartition(_RUN)[2] for place in sorted(kept)}
        bounds = tuple((places[titles[place] + _LEAST], places[titles[place] + _MOST]) for place in sorted(kept))
        return Layout(len(header), names, axis=0, bounds=bounds)
    return Layout(len(header), names, twice=tuple(dict.fromkeys(twice)), beyond=len(header) - len(names))


def runs(header: Sequence[str]) -> list[str]:
    """The runs in an export of a chart of wandb by the header, none in other files."""
    return list(dict.fromkeys(_run(title) for title in _charted([title.strip() for title in header])))


def _charted(titles: Sequence[str]) -> list[str]:
    """The columns of a chart that wandb's page exported, without those of least and greatest values; else none.

    All but the x-axis are `RUN - METRIC`, each with its `__MIN` and `__MAX`.
    """
    have = set(titles)
    charted = [title for title in titles[1:] if title + _LEAST in have and title + _MOST in have]
    return charted if 3 * len(charted) == len(titles) - 1 and all(_RUN in title for title in charted) else []


def _run(title: str) -> str:
    return title.rpartition(_RUN)[0]
