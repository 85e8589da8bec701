"""The wire format of protobuf, without its package: https://protobuf.dev/programming-guides/encoding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

MOST_FIELDS = 1 << 21  # of one message: with more it is no log but takes long
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5  # wire types


class Malformed(ValueError):
    """Bytes that are no message of protobuf."""


def fields(raw: bytes, start: int, end: int) -> Iterator[tuple[int, int, Any]]:
    """The fields of a message from `start` to `end`: number, wire type and value.

    The value is an integer for varints, where it stands for numbers of fixed width, and where it begins and ends for
    what has a length. Malformed where the bytes are no message.
    """
    for _ in range(MOST_FIELDS):
        if start >= end:
            return
        key, start = varint(raw, start, end)
        wire = key & 7
        value: Any
        if key < 8:  # there is no field number 0
            raise Malformed
        if wire == VARINT:
            value, start = varint(raw, start, end)
        elif wire == LENGTH:
            length, start = varint(raw, start, end)
            value, start = (start, start + length), start + length
        elif wire in (FIXED32, FIXED64):
            value, start = start, start + (4 if wire == FIXED32 else 8)
        else:
            raise Malformed
        if start > end:
            raise Malformed
        yield key >> 3, wire, value
    if start < end:
        raise Malformed


def varint(raw: bytes, start: int, end: int) -> tuple[int, int]:
    """The varint that begins at `start`, and where it ends. Malformed where it does not end before `end`."""
    found = 0
    for shift in range(0, 70, 7):
        if start >= end:
            raise Malformed
        byte = raw[start]
        start += 1
        found |= (byte & 127) << shift
        if byte < 128:
            return found & 0xFFFFFFFFFFFFFFFF, start
    raise Malformed
