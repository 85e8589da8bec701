"""Writes a large run file as wandb 0.31 does: .venv/bin/python tests/benchmarks/big_wandb.py FILE [ROWS]

For each row there are its history record and two of the summary. A row has `METRICS`, the step of the trainer and
wandb's own three; 100,000 rows of them are 260 MB.
"""

from __future__ import annotations

import random
import struct
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

METRICS = (
    *("train/loss", "train/kl", "train/reward", "train/reward_std", "train/grad_norm", "train/learning_rate"),
    *("train/epoch", "train/completion_length", *(f"train/rewards/f{i}" for i in range(22))),
)  # as TRL before 0.17 logs them in GRPO: 30
STEP = "train/global_step"
SECONDS = 0.4  # from one row to the next
_BLOCK, _HEAD = 1 << 15, 7


def varint(value: int) -> bytes:
    """`value` as protobuf writes it."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, data: bytes) -> bytes:
    """A field of bytes."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def item(value: str, *path: str) -> bytes:
    """What history, summary and configuration are made of: a path of names and a value in JSON."""
    return field(1, b"".join(field(2, name.encode()) for name in path) + field(16, value.encode()))


class Writer:
    """Writes records in chunks, in blocks."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._room = _BLOCK - 7
        self._number = 0
        file.write(b":W&B\xe1\xbe\x00")

    def record(self, kind: int, data: bytes, *before: bytes) -> None:
        """Write a record; `before` are the fields that stand before what it holds."""
        self._number += 1
        rest = b"\x08" + varint(self._number) + b"".join(before) + field(kind, data)
        first = True
        while True:
            if self._room < _HEAD:
                self._file.write(bytes(self._room))
                self._room = _BLOCK
            chunk, rest = rest[: self._room - _HEAD], rest[self._room - _HEAD :]
            part = (1 if first else 4) if not rest else (2 if first else 3)
            checksum = zlib.crc32(chunk, zlib.crc32(bytes([part])))
            self._file.write(struct.pack("<IHB", checksum, len(chunk), part) + chunk)
            self._room -= _HEAD + len(chunk)
            if not rest:
                return
            first = False


class RunFile:
    """A run of `metrics` that is being written to `path`."""

    def __init__(self, path: Path, metrics: Sequence[str] = METRICS) -> None:
        self.rows = 0
        self._metrics, self._draw = metrics, random.Random(0)
        self._file = path.open("wb")
        self._out = Writer(self._file)
        info = field(200, field(1, b"big"))
        self._out.record(21, field(1, field(1, b"0.31.0") + field(2, b"0.70.0")), info)
        config = b"".join(item(value, name) for name, value in (("_wandb", "{}"), ("learning_rate", "1e-06")))
        self._out.record(17, field(1, b"big") + field(4, config) + field(17, b"\x08\x80\x8c\x8d\xa8\x06"))
        self._out.record(12, field(2, b"*") + field(4, STEP.encode()) + field(6, b"\x08\x01\x18\x01"), info)

    def add(self, rows: int) -> None:
        """Write so many rows."""
        draw, out = self._draw, self._out
        for row in range(self.rows, self.rows + rows):
            items = [item(repr(draw.random()), name) for name in self._metrics]
            items += [
                item(str(row), STEP),
                item(str(row), "_step"),
                item(f"{row * SECONDS + draw.random():.9f}", "_runtime"),
                item(f"{(1.7e9 + row * SECONDS + draw.random()) / 1e9:.16f}e+09", "_timestamp"),
            ]
            out.record(
                3, item(str(int(row * SECONDS)), "_wandb", "runtime") + item(str(int(row * SECONDS)), "_runtime")
            )
            draw.shuffle(items)
            out.record(3, b"".join(items))
            draw.shuffle(items)
            out.record(2, b"".join(items) + field(2, b"\x08" + varint(row)))
        self.rows += rows
        self._file.flush()

    def end(self) -> None:
        """The run is over."""
        self._out.record(18, b"")
        self.close()

    def close(self) -> None:
        """Write no more; the run has no end."""
        self._file.close()


def write(path: Path, rows: int) -> None:
    """Write a run of so many rows to `path`."""
    run = RunFile(path)
    run.add(rows)
    run.end()


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 100_000)
