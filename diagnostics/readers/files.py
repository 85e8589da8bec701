"""The files of a run that may be under way: folders come and go while they are listed."""

from __future__ import annotations

import os
from pathlib import Path


def files_below(folder: Path, depth: int) -> list[Path]:
    """The files in `folder` and at most `depth` folders below it, by name; links are not entered."""
    found = []
    for parent, folders, names in os.walk(folder):  # passes over what it cannot list, such as what is gone by then
        found += [Path(parent, name) for name in names]
        if len(Path(parent).relative_to(folder).parts) == depth:
            folders.clear()
    return sorted(found)
