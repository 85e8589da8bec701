"""A configuration as it is written, before any run: what it gives, under the framework's own names, and where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

MOST_BYTES = 1 << 20  # of a file; none that a person writes is as large


@dataclass(frozen=True, slots=True)
class Given:
    """The value of one setting, and the line that it stands in, from 1; 0 where that is not known.

    `unknown` says why the value cannot be known without running something, "" where it is known.
    """

    value: Any
    line: int = 0
    unknown: str = ""
    file: str = ""  # where that is another one than the configuration's own


@dataclass(frozen=True, slots=True)
class Config:
    """What one run is told.

    `kind` is what it is written in. `framework` is that of the vocabulary which its names are of, "" where the form
    does not tell; `line` is where it begins in a source with several. `open` says why there may be more settings than
    are seen: then nothing is at its default for sure. `processes` are those that train together. `adapter` says whether
    the form itself shows that an adapter is trained. A `document` may be a dump of all settings that there are.
    `lost` is the line of what looks like its arguments, and is cut off from them.
    """

    source: str
    kind: str
    given: Mapping[str, Given]
    framework: str = ""
    line: int = 0
    open: tuple[str, ...] = ()
    processes: Given | None = None
    adapter: bool = False
    document: bool = False
    lost: int = 0
    notes: tuple[str, ...] = field(default=())


class NoConfig(Exception):
    """What a file is that holds no configuration, in words that stand behind its name."""


def plain(text: str) -> Any:
    """What a word of a command line says: a flag, a number, nothing, or itself."""
    from diagnostics.readers.table import number

    match text.lower():
        case "true" | "false":
            return text.lower() == "true"
        case "none" | "null":
            return None
    spelt = number(text)
    if spelt is None:
        return text
    return int(spelt) if text.strip().lstrip("+-").isdigit() and abs(spelt) < 2**53 else spelt


def merged(parts: Iterable[Mapping[str, Given]]) -> dict[str, Given]:
    """All settings of `parts`; a later one counts."""
    return {name: given for part in parts for name, given in part.items()}
