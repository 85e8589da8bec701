"""Where studies and runs lie unless a person says otherwise."""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

from diagnostics.errors import UserError

RUNS = Path("autotune-runs")


def study_argument(parser: argparse.ArgumentParser) -> None:
    """Add the folder of a study, which is the latest one where none is given."""
    parser.add_argument("study", nargs="?", type=Path, help=f"folder of the study (default: the latest in {RUNS}/)")


def new_directory(root: Path, name: str) -> Path:
    """Makes the first of `name-1`, `name-2`, ... in `root` that does not exist yet, and returns it."""
    for number in itertools.count(1):
        try:
            (root / f"{name}-{number}").mkdir(parents=True)
        except FileExistsError:
            continue
        return root / f"{name}-{number}"
    raise AssertionError("unreachable: the count has no end")


def latest(root: Path) -> Path:
    """The study in `root` that was written to last; UserError where there is none."""
    from studies.log import STUDY_FILE

    folders = studies_in(root)
    if not folders:
        raise UserError(
            f"no studies in {root}", "Give the folder of a study, or start one with `autotune study start`."
        )
    return max(folders, key=lambda folder: (folder / STUDY_FILE).stat().st_mtime)


def studies_in(root: Path) -> list[Path]:
    """The studies in `root`, by their names."""
    from studies.log import is_study

    if not root.is_dir():
        return []
    return sorted((child for child in root.iterdir() if is_study(child)), key=lambda child: child.name)
