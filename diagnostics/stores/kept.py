"""The folders of runs that were fetched: one process writes in each at a time, and all of them together are bounded."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from diagnostics.stores.store import Tell

LOCK = ".lock"  # in the folder of each run; when it was changed is when the run was looked at
MOST_BYTES = 2 << 30


@contextmanager
def alone(folder: Path, run: str, tell: Tell) -> Iterator[None]:
    """Nobody else writes in the folder of `run` meanwhile, which is made where there is none."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell(f"waiting for another autotune, which fetches {run}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        os.utime(lock.fileno())
        yield


def trim(folder: Path, spare: Collection[Path]) -> None:
    """Remove the runs below `folder` that were looked at longest ago, but for `spare`, until the others are bounded."""
    size = 0
    with suppress(FileNotFoundError):  # another process trims as well
        runs = [(lock.stat().st_mtime, lock.parent) for lock in folder.rglob(LOCK)]
        for _, run in sorted(runs, reverse=True):
            size += sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
            if size > MOST_BYTES and run not in spare:
                shutil.rmtree(run, ignore_errors=True)
