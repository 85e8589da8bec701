"""What lies around `.wandb` files: the other files of a run, and what a run's folder says beside its records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diagnostics.readers import wandb_records as records
from diagnostics.readers.wandb_frames import Frames
from diagnostics.readers.wandb_records import Kind, Start
from diagnostics.readers.wandb_yaml import parsed

FILES, CONFIG, REQUIREMENTS, OUTPUT = "files", "config.yaml", "requirements.txt", "output.log"
LATEST = "latest-run"  # a link to the run that was begun last, or a copy of it where links were resolved
_MOST = 1 << 20  # bytes, of a file beside the records, or until the record that tells the run
_CHUNK = 1 << 16  # bytes
_APART = 60.0  # seconds between the beginnings of files that are one run, resumed; processes begin at once


@dataclass(frozen=True, slots=True)
class _File:
    """A run file, how long it is, and what it says of the run, None where that cannot be read."""

    path: Path
    size: int
    start: Start | None


def runs(files: Sequence[Path]) -> list[tuple[Path, ...]]:
    """The runs in run files, in the order of their first files, each with its files in the order of their beginnings.

    Files of one id are one run that was resumed, unless they were begun together: then each is that of a process, a run
    by itself. A copy, or an earlier state of another file, is left out.
    """
    known = [_look(path) for path in files]
    found: dict[Path, tuple[Path, ...]] = {}
    of_id: dict[str, list[_File]] = {}
    for file in known:
        if file.start is None or not file.start.run_id:
            found[file.path] = (file.path,)
        else:
            of_id.setdefault(file.start.run_id, []).append(file)
    for same in of_id.values():
        for run in _split(_told_once(same)):
            found[run[0].path] = tuple(file.path for file in run)
    return [found[path] for path in files if path in found]


def settings_beside(path: Path) -> dict[str, Any]:
    """The settings in the configuration beside the run file `path`, empty where there is none."""
    entries = parsed(_text_beside(path, CONFIG))
    return {
        name: entry["value"]
        for name, entry in entries.items()
        if isinstance(entry, dict) and "value" in entry and name != "_wandb"
    }


def packages_beside(path: Path) -> dict[str, str]:
    """The versions of the Python packages that were installed where the run file `path` was written."""
    lines = (line.strip().partition("==") for line in _text_beside(path, REQUIREMENTS).splitlines())
    return {name.lower(): version for name, _, version in lines if name and version}


def output_beside(path: Path) -> str:
    """What the run wrote to its console, as far as it was kept beside the run file `path`."""
    return _text_beside(path, OUTPUT, most=1 << 24)


def _text_beside(path: Path, name: str, *, most: int = _MOST) -> str:
    """What a file of the run whose records are in `path` begins with; "" where there is none, or it lies elsewhere."""
    file = path.parent / FILES / name
    try:
        if not file.resolve().is_relative_to(path.parent.resolve()) or not file.is_file():
            return ""
        with file.open("rb") as opened:
            return opened.read(most).decode(errors="replace")
    except OSError:
        return ""


def _look(path: Path) -> _File:
    try:
        with path.open("rb") as file:
            return _File(path, path.stat().st_size, _start(iter(lambda: file.read(_CHUNK), b"")))
    except OSError:  # it was there when it was found; who reads it will be told
        return _File(path, 0, None)


def _start(chunks: Iterator[bytes]) -> Start | None:
    frames = Frames()
    for _, chunk in zip(range(_MOST // _CHUNK), chunks, strict=False):
        for record in frames.feed(chunk):
            try:
                kind, data = records.opened(record)
                if kind is Kind.RUN:
                    return records.start(data)
            except ValueError:
                continue
    return None


def _told_once(files: Sequence[_File]) -> list[_File]:
    """`files` of one id without those that another one begins with, the longest first told, in the order of time."""
    kept: list[_File] = []
    for file in sorted(files, key=lambda file: (-file.size, file.path.parent.name == LATEST)):
        if not any(file.start == other.start and _begins(other.path, file) for other in kept):
            kept.append(file)
    return sorted(kept, key=lambda file: (file.start.started if file.start else 0.0, file.path))


def _begins(longer: Path, file: _File) -> bool:
    """Whether the file `longer` begins with all that is in `file`."""
    try:
        with longer.open("rb") as one, file.path.open("rb") as other:
            while chunk := other.read(_MOST):
                if one.read(len(chunk)) != chunk:
                    return False
    except OSError:
        return False
    return True


def _split(files: Sequence[_File]) -> list[list[_File]]:
    """`files` of one id as runs."""
    found: list[list[_File]] = []
    for file in files:
        assert file.start is not None
        before = found[-1][-1].start if found else None
        goes_on = before is not None and (
            file.start.resumed or file.start.starting_step > 0 or file.start.started - before.started >= _APART
        )
        if goes_on:
            found[-1].append(file)
        else:
            found.append([file])
    return found
