"""Log formats, one per file: each has `read(path) -> RunHistory`. Here: what a path holds."""

from __future__ import annotations

import difflib
from pathlib import Path

from diagnostics.errors import UserError
from diagnostics.events import EVENTS_FILE

TRIALS = "trials"


def find(path: Path) -> list[Path]:
    """The runs at `path`: the run itself, or all trials of a study in the order of their numbers.

    A folder inside a study that is a link to elsewhere is not followed. UserError for what is neither run nor study.
    """
    if not path.exists():
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, siblings, n=1)
        hint = f"Did you mean {path.parent / near[0]}?" if near else "Check the spelling."
        raise UserError(f"there is no {path}", hint)
    if path.is_file():
        if path.suffix == ".jsonl":
            return [path]
        raise UserError(f"{path} is no log that autotune reads", f"Give the folder of a run, or its {EVENTS_FILE}.")
    if (path / EVENTS_FILE).exists():
        return [path]
    trials = path / TRIALS
    if not trials.is_dir() or trials.is_symlink():
        raise UserError(
            f"{path} is neither a run nor a study: it holds no {EVENTS_FILE} and no {TRIALS}/",
            "Give the folder of a run, of a study, or several.",
        )
    runs = [p for p in trials.iterdir() if p.name.isdecimal() and p.is_dir() and not p.is_symlink()]
    if not runs:
        raise UserError(f"the study {path} has no trials yet", "Wait for its first trial to start.")
    return sorted(runs, key=lambda p: (int(p.name), p.name))
