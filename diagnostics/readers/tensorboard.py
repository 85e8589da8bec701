"""Reads TensorBoard's event files, as torch, tensorboardX, TF 2, JAX and Trainer of transformers write them.

The files of one folder are one run, in the order in which they were begun; of each number its own step is kept. Neither
tensorboard nor protobuf is needed.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from diagnostics.readers.scalars import Scalars
from diagnostics.readers.table import Points, Table
from diagnostics.readers.tfevents import Decoder
from diagnostics.readers.tfrecord import Records, begins
from diagnostics.readers.tfsettings import MODEL_CONFIG

FORMAT = "TensorBoard event file"

_CHUNK = 1 << 22  # bytes
_TIME = struct.Struct("<d")
_TIME_TAG, _FILE_VERSION = 0x09, b"brain.Event:"  # an event begins with its time; the first one tells the version
_HEADER = 12
_TIME_AS_NAME = re.compile(r"\d{9,10}\.\d+")


def parts(path: Path, head: bytes) -> Sequence[str] | None:
    """One run, where `head` begins as event files do."""
    event = begins(head) and head[_HEADER : _HEADER + 1] == bytes([_TIME_TAG])
    return ("",) if event or _FILE_VERSION in head[:64] else None


def group(files: Sequence[Path]) -> list[tuple[Path, ...]]:
    """The runs that event files hold: those of one folder are one run, in the order in which they were begun.

    torch's `add_hparams` puts settings into a folder of their own in that of the run, named after the time: they come
    last.
    """
    runs: dict[Path, list[Path]] = {}
    for path in sorted(files, key=lambda path: (len(path.parts), path.parent, _begun(path), path.name)):
        folder = path.parent
        of_parent = folder.parent in runs and _TIME_AS_NAME.fullmatch(folder.name)
        runs.setdefault(folder.parent if of_parent else folder, []).append(path)
    return [tuple(paths) for _, paths in sorted(runs.items())]


def open_log(paths: Sequence[Path], part: str) -> TensorBoardReader:
    """A reader of the run in the files `paths`; of those in another folder than the first, its settings alone."""
    return TensorBoardReader(paths)


class TensorBoardReader:
    """Reads event files into a table that has a row for each stretch of numbers with the same step."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.table = Table()
        self.table.steps = steps = Points()
        self._decoder = Decoder(self.table.lost, self.table.settings)
        self._files = [_File(path, Records(self.table.lost), Scalars(self.table, steps)) for path in paths]

    @property
    def position(self) -> int:
        """Bytes that have been read."""
        return sum(file.position for file in self._files)

    def poll(self) -> bool:
        """Read what is new in the first file that has anything."""
        for file in self._files:
            new = file.read()
            if new:
                self._add(file, new)
                return True
        return False

    def finish(self) -> None:
        """Count what was cut off."""
        for file in self._files:
            file.records.finish()

    def close(self) -> None:
        """Nothing is kept open between two polls."""

    def _add(self, file: _File, new: bytes) -> None:
        found = self._decoder.decode(*file.records.feed(new))
        table = self.table
        self._note()
        model = table.settings.get(MODEL_CONFIG)
        version = model.get("transformers_version") if isinstance(model, dict) else None
        if isinstance(version, str):  # of the package that wrote this, not of the one that saved the model
            table.packages["transformers"] = version
        if file.path.parent == self._files[0].path.parent:
            file.scalars.add(found.steps, found.tags, found.values, self._decoder.names)

    def _note(self) -> None:
        others = ", ".join(f"{n} {kind}" for kind, n in sorted(self._decoder.others.items()))
        self.table.notes[:] = [f"not read, as they are no numbers over steps: {others}"] if others else []


class _File:
    """One file: how far it was read, and where its numbers go."""

    def __init__(self, path: Path, records: Records, scalars: Scalars) -> None:
        self.path, self.records, self.scalars = path, records, scalars
        self.position = 0

    def read(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.position)
            new = file.read(_CHUNK)
        self.position += len(new)
        return new


def _begun(path: Path) -> float:
    """When the first event of a file was written, in seconds of 1970; after all others where that cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER + 1 + _TIME.size)
    except OSError:  # it was there when it was found; who reads it will be told
        return np.inf
    if len(head) < _HEADER + 1 + _TIME.size or head[_HEADER] != _TIME_TAG:
        return np.inf
    began: float = _TIME.unpack_from(head, _HEADER + 1)[0]
    return began if began == began else np.inf
