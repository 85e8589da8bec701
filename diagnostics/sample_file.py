"""Where the samples of each step lie in a file of ours, which may be very long and still grow."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import BinaryIO

from diagnostics.errors import UserError
from diagnostics.events import SAMPLES_FILE, SamplesLogged, decode
from diagnostics.sample_tables import SampleTables
from diagnostics.samples import KEPT, SampledStep, sampled
from diagnostics.sources import Source

AT_ONCE = 4 << 20  # bytes
LONGEST_LINE = 64 << 20  # bytes; a longer one is counted as damaged
# A line as `diagnostics.events.encode` begins it; of any other all is looked at.
_LINE = re.compile(
    rb'\{"v": 1, "type": "samples_logged", "seq": \d+, "time": [\d.]+, "attempt": (\d{1,9}), "step": (\d{1,15}), '
)


def of_log(source: Source) -> SampleFile | SampleTables | None:
    """Where the samples of a log lie; None where logs of its format hold none that can be read."""
    path = source.paths[-1]
    if source.format == "wandb":
        return SampleTables(path.parent)
    return SampleFile((path if path.is_dir() else path.parent) / SAMPLES_FILE) if source.format == "events" else None


class SampleFile:
    """Finds the samples of any step in a file that may grow, or not be there yet; a torn last line means "not yet".

    Of a step that is told more than once the last counts. What a later attempt begins with takes back what earlier ones
    told of that step and later. `damaged` counts lines that cannot be read; those within a long line are found when the
    step is read. UserError where the file is none, or a link.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = 0
        self.position = 0  # bytes that were looked at
        self._file: BinaryIO | None = None
        self._places: dict[int, tuple[int, int, int]] = {}  # of a step: attempt, first byte, bytes
        self._attempt = 0
        self._start = 0  # of the line under way
        self._rest: list[bytes] = []
        self._length = 0  # of the line under way
        self._known: dict[int, SampledStep] = {}

    @property
    def steps(self) -> tuple[int, ...]:
        """Those that have samples, in their order."""
        return tuple(sorted(self._places))

    @property
    def size(self) -> int:
        """Bytes that it has by now, 0 where it is not there. OSError where that cannot be known."""
        return os.fstat(self._file.fileno()).st_size if self._file is not None else 0

    def poll(self) -> bool:
        """Look at what is new, some megabytes at most; whether there was anything. OSError where it cannot be read."""
        if self._file is None and not self._open():
            return False
        assert self._file is not None
        self._file.seek(self.position)
        chunk = self._file.read(AT_ONCE)
        self.position += len(chunk)
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            self._take(end)
            if self._length <= LONGEST_LINE:
                self._look(b"".join(self._rest))
            else:
                self.damaged += 1
            self._start += self._length + 1
            self._rest, self._length = [], 0
        self._take(rest)
        return bool(chunk)

    def read(self, step: int) -> SampledStep | None:
        """The samples of `step`; None where there are none, or its line is damaged, which is counted."""
        if step not in self._known and step in self._places:
            assert self._file is not None
            _, start, length = self._places[step]
            self._file.seek(start)
            try:
                event = decode(self._file.read(length)).event
                told = sampled(event) if isinstance(event, SamplesLogged) else None
            except (ValueError, RecursionError):
                told = None
            if told is None:
                self.damaged += 1
                del self._places[step]
                return None
            if len(self._known) >= KEPT:
                self._known.pop(next(iter(self._known)))
            self._known[step] = told
        return self._known.get(step)

    def close(self) -> None:
        """Stop reading."""
        if self._file is not None:
            self._file.close()

    def _open(self) -> bool:
        if self.path.is_symlink() or (self.path.exists() and not self.path.is_file()):
            raise UserError(f"{self.path.name} is no file of this folder, and is not read")
        try:
            self._file = self.path.open("rb")
        except FileNotFoundError:
            return False
        return True

    def _take(self, part: bytes) -> None:
        self._length += len(part)
        if self._length <= LONGEST_LINE:
            self._rest.append(part)
        else:
            self._rest = []

    def _look(self, line: bytes) -> None:
        if not line.strip():
            return
        begun = _LINE.match(line)
        if begun and line.rstrip().endswith(b"]}"):
            attempt, step = int(begun[1]), int(begun[2])
        else:
            try:
                envelope = decode(line)
            except ValueError:
                self.damaged += 1
                return
            if not isinstance(envelope.event, SamplesLogged):
                return
            attempt, step = envelope.attempt, envelope.event.step
        if attempt > self._attempt:
            self._attempt = attempt
            self._places = {known: place for known, place in self._places.items() if known < step}
            self._known = {known: told for known, told in self._known.items() if known < step}
        self._places[step] = attempt, self._start, len(line)
        self._known.pop(step, None)
