"""What the records of a `.wandb` file say.

Field numbers are those of `wandb_internal.proto`, the same in all versions from 0.12 to 0.31. Members of a oneof may
stand behind fields of higher numbers.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from diagnostics.readers import protobuf
from diagnostics.readers.protobuf import LENGTH, VARINT

# Tags: the number of a field and its wire type.
_NUM, _HISTORY, _SUMMARY = 1 << 3 | VARINT, 2 << 3 | LENGTH, 3 << 3 | LENGTH

Names = tuple[str, ...]  # of a value, one below the other


class Kind(IntEnum):
    """The records that are read, by their field in `Record`. Of all others nothing is needed."""

    OTHER = 0
    HISTORY = 2
    OUTPUT = 4
    CONFIG = 5
    STATS = 7
    TELEMETRY = 11
    METRIC = 12
    OUTPUT_RAW = 13
    RUN = 17
    EXIT = 18


_KINDS = {int(kind): kind for kind in Kind if kind}


@dataclass(slots=True)
class Config:
    """What a record changes in the configuration of a run."""

    update: list[tuple[Names, Any]] = field(default_factory=list)
    remove: list[Names] = field(default_factory=list)


@dataclass(slots=True)
class Start:
    """What is known of a run when it starts: `started` in seconds of 1970, 0.0 where the record does not say.

    `branched` is the run and the step that it was forked from or rewound to.
    """

    run_id: str = ""
    started: float = 0.0
    starting_step: int = 0
    resumed: bool = False
    branched: tuple[str, float] | None = None
    config: Config = field(default_factory=Config)
    packages: dict[str, str] = field(default_factory=dict)


def opened(record: bytes) -> tuple[Kind, bytes]:
    """What kind of record it is, and what it holds. Malformed where it is no message."""
    # Of most records the first fields are the number of the record and what it holds.
    at = 1
    try:
        if record[0] == _NUM:
            while record[at] > 127:
                at += 1
            tag = record[at + 1]
            if tag == _SUMMARY:
                return Kind.OTHER, b""
            if tag == _HISTORY:
                size, at = protobuf.varint(record, at + 2, len(record))
                if at + size <= len(record):
                    return Kind.HISTORY, record[at : at + size]
    except IndexError:
        pass
    for number, wire, value in protobuf.fields(record, 0, len(record)):
        if number in _KINDS and wire == LENGTH:
            return _KINDS[number], record[slice(*value)]
    return Kind.OTHER, b""


def start(data: bytes) -> Start:
    """The record that a run begins with. ValueError where it is malformed."""
    run = Start()
    for number, value in _fields(data):
        match number, value:
            case 1, bytes():
                run.run_id = text(value)
            case 4, bytes():
                run.config = config(value)
            case 14, int():
                run.starting_step = _signed(value)
            case 17, bytes():
                run.started = sum(_signed(part) * (1.0, 1e-9)[n - 1] for n, part in _fields(value) if n in (1, 2))
            case 18, int():
                run.resumed = bool(value)
            case 19, bytes():
                run.packages = packages(value)
            case 23, bytes():
                run.branched = _branch(value)
    return run


def config(data: bytes) -> Config:
    """A record that changes the configuration. ValueError where it is malformed."""
    changed = Config()
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            changed.update.append(_item(value))
        elif number == 2 and isinstance(value, bytes):
            changed.remove.append(_item(value)[0])
    return changed


def packages(data: bytes) -> dict[str, str]:
    """The versions in a record of telemetry: of wandb, and of transformers where it was imported."""
    names = {5: "wandb", 6: "transformers"}
    return {names[number]: text(value) for number, value in _fields(data) if number in names and text(value)}


def step_metric(data: bytes) -> tuple[str, str]:
    """From a record of `define_metric` the names that were defined, a pattern or not, and the step they go by."""
    said = {number: text(value) for number, value in _fields(data) if number in (1, 2, 4)}
    # A dot that is part of a name stands behind a backslash.
    return said.get(2, said.get(1, "")), said.get(4, "").replace("\\.", ".")


def stats(data: bytes) -> dict[str, str]:
    """What a sample of the machine says, in JSON, by name."""
    items = (dict(_fields(value)) for number, value in _fields(data) if number == 3 and isinstance(value, bytes))
    return {text(item.get(1, b"")): text(item.get(16, b"")) for item in items}


def exit_code(data: bytes) -> int:
    """The code that a run exited with."""
    return next((_signed(value) for number, value in _fields(data) if number == 1), 0)


def output(data: bytes) -> str:
    """What the run wrote to its console: a part of a line, or many lines."""
    return next((text(value) for number, value in _fields(data) if number == 3), "")


def text(value: int | bytes) -> str:
    """A field that is a text; what is no UTF-8 in it is replaced."""
    return value.decode(errors="replace") if isinstance(value, bytes) else ""


def parsed(data: bytes) -> Any:
    """A value in JSON, `NaN` and `Infinity` as numbers. ValueError where it is none."""
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("nested too deep") from None


def names(key: bytes) -> Names:
    """The names in an item, which may be no more than its beginning. Malformed where it is no message."""
    plain, nested = "", []
    for number, value in _fields(key):
        if number == 1:
            plain = text(value)
        elif number == 2:
            nested.append(text(value))
    return tuple(nested) or (plain,)


def _item(data: bytes) -> tuple[Names, Any]:
    value = next((value for number, value in _fields(data) if number == 16), b"null")
    return names(data), parsed(value) if isinstance(value, bytes) else None


def _branch(data: bytes) -> tuple[str, float]:
    run, step = "", 0.0
    for number, wire, value in protobuf.fields(data, 0, len(data)):
        if number == 1 and wire == LENGTH:
            run = text(data[slice(*value)])
        elif number == 2 and wire == protobuf.FIXED64:
            step = struct.unpack_from("<d", data, value)[0]
    return run, step


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message that are whole numbers or bytes, by number."""
    for number, wire, value in protobuf.fields(data, 0, len(data)):
        if wire == VARINT:
            yield number, value
        elif wire == LENGTH:
            yield number, data[slice(*value)]


def _signed(value: int | bytes) -> int:
    """A whole number with a sign, as int32 and int64 are written."""
    return 0 if isinstance(value, bytes) else value - (value >> 63 << 64)
