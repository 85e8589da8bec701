"""TFRecord, the framing of TensorBoard's files: length (8 bytes), its checksum (4), payload, its checksum (4).

Checksums are CRC-32C, "masked" (rotated and shifted). CRC-32C is linear but for its first register, so what a byte adds
depends only on how far it stands from the end: a table per distance makes the checksums of all records of a chunk in
one pass per distance, about 1 ns a byte.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from functools import cache
from struct import Struct

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Places = NDArray[np.int64]
Checksums = NDArray[np.uint32]

LONGEST = 1 << 26  # bytes of a payload; a length beyond it is taken for damage
_LENGTH = Struct("<Q")
_PIECE = 256  # bytes whose distances from the end have a table
_HEADER, _FRAME = 12, 16


class Records:
    """Cuts bytes that arrive in chunks of any size into records; what is damaged is passed over and counted in `lost`.

    Every record before the damage and every one after it is found; which are, does not depend on the chunks.
    """

    def __init__(self, lost: Counter[str]) -> None:
        self.lost = lost
        self._rest = b""

    def feed(self, new: bytes) -> tuple[bytes, Places, Places]:
        """The bytes held back before and `new`, and where the payloads (n,) of their whole records begin and end."""
        raw = self._rest + new
        data = np.frombuffer(raw, np.uint8)
        headers, end = _walk(raw)
        checked = np.append(headers, end) if end + _HEADER <= len(raw) else headers
        if not _are_headers(data, checked).all():
            headers, end = self._search(raw, data)
        self._rest = raw[end:]
        starts = headers + _HEADER
        ends = starts + _lengths(data, headers)
        sound = checksums(data, starts, ends) == _stored(data, ends)
        if not sound.all():
            self.lost["records with a wrong checksum"] += int((~sound).sum())
        return raw, starts[sound], ends[sound]

    def finish(self) -> None:
        """Nothing more will come."""
        if self._rest:
            self.lost["bytes of a record that was cut off"] += len(self._rest)
        self._rest = b""

    def _search(self, raw: bytes, data: Bytes) -> tuple[Places, int]:
        """As `_walk` does, going on at the next place that can be a header where there is none."""
        valid = _all_headers(data).tolist()
        found, place, passed = [], 0, 0
        while place + _HEADER <= len(raw):
            i = bisect_left(valid, place)
            if i == len(valid) or valid[i] != place:
                # Without any, the last bytes may yet be the beginning of one.
                following = valid[i] if i < len(valid) else len(raw) - _HEADER + 1
                passed += following - place
                place = following
                continue
            end = place + _FRAME + _LENGTH.unpack_from(raw, place)[0]
            if end > len(raw):
                break
            found.append(place)
            place = end
        if passed:
            self.lost["bytes that belong to no record"] += passed
        return np.array(found, np.int64), place


def begins(head: bytes) -> bool:
    """Whether `head` begins with the header of a record."""
    data = np.frombuffer(head, np.uint8)
    return len(head) >= _HEADER and bool(_are_headers(data, np.zeros(1, np.int64))[0])


def checksums(data: Bytes, starts: Places, ends: Places) -> Checksums:
    """The masked CRC-32C (n,) of the bytes of `data` from `starts` (n,) to `ends` (n,)."""
    lengths = ends - starts
    first = np.where(lengths > 0, (lengths - 1) % _PIECE + 1, 0)  # so that the pieces after it are all full
    register = _linear(data, starts + first, first) ^ _tables()[1][first]
    for i in np.flatnonzero(lengths > _PIECE):
        piece_ends = np.arange(starts[i] + first[i] + _PIECE, ends[i] + 1, _PIECE)
        register[i] = _join(int(register[i]), _linear(data, piece_ends, np.full(len(piece_ends), _PIECE)))
    crc = ~register
    masked: Checksums = ((crc >> np.uint32(15)) | (crc << np.uint32(17))) + np.uint32(0xA282EAD8)
    return masked


def _walk(raw: bytes) -> tuple[Places, int]:
    """Where records begin that are whole if the lengths are sound, and where the first begins that is not."""
    found, place, last = [], 0, len(raw) - _FRAME
    unpack = _LENGTH.unpack_from
    while place <= last:
        length = unpack(raw, place)[0]
        if length > last - place:
            break
        found.append(place)
        place += length + _FRAME
    return np.array(found, np.int64), place


def _are_headers(data: Bytes, places: Places) -> NDArray[np.bool_]:
    lengths = _lengths(data, places)
    sensible = (lengths > 0) & (lengths <= LONGEST)
    sound: NDArray[np.bool_] = checksums(data, places, places + 8) == _stored(data, places + 8)
    return sensible & sound


def _all_headers(data: Bytes) -> Places:
    """Every place of `data` at which a header can stand."""
    n = len(data) - _HEADER + 1
    sensible = data[3 : n + 3] <= LONGEST >> 24
    for i in range(4, 8):
        sensible &= data[i : n + i] == 0
    sensible &= (data[:n] > 0) | (data[1 : n + 1] > 0) | (data[2 : n + 2] > 0) | (data[3 : n + 3] > 0)
    places = np.flatnonzero(sensible)
    return places[_are_headers(data, places)]


def _lengths(data: Bytes, places: Places) -> Places:
    return data[places[:, None] + np.arange(8)].view("<i8")[:, 0] if len(places) else places


def _stored(data: Bytes, places: Places) -> Checksums:
    return data[places[:, None] + np.arange(4)].view("<u4")[:, 0] if len(places) else np.empty(0, np.uint32)


def _linear(data: Bytes, ends: Places, lengths: Places) -> Checksums:
    """What the last `lengths` (n,) bytes before `ends` (n,), at most _PIECE, add to the register."""
    order = np.argsort(-lengths, kind="stable")
    longer = np.searchsorted(-lengths[order], -np.arange(lengths.max(initial=0)), side="left")
    last, tables = ends[order] - 1, _tables()[0]
    register = np.zeros(len(ends), np.uint32)
    for distance, n in enumerate(longer):  # the n longest reach that far
        register[:n] ^= tables[distance].take(data.take(last[:n] - distance))
    found = np.empty_like(register)
    found[order] = register
    return found


def _join(register: int, pieces: Checksums) -> int:
    """The register after full pieces, of which each adds one of `pieces`."""
    a, b, c, d = (_tables()[0][_PIECE - 1 - i].tolist() for i in range(4))
    for piece in pieces.tolist():
        register = a[register & 255] ^ b[register >> 8 & 255] ^ c[register >> 16 & 255] ^ d[register >> 24] ^ piece
    return register


@cache
def _tables() -> tuple[Checksums, Checksums]:
    """What a byte adds, by how many follow it (_PIECE, 256); the register after so many zeros (_PIECE + 1,)."""
    tables = np.empty((_PIECE, 256), np.uint32)
    byte = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        byte = np.where(byte & 1, (byte >> 1) ^ np.uint32(0x82F63B78), byte >> 1)
    tables[0] = byte
    for i in range(1, _PIECE):
        tables[i] = byte[tables[i - 1] & 255] ^ (tables[i - 1] >> 8)
    registers = [0xFFFFFFFF]
    for _ in range(_PIECE):
        registers.append(int(byte[registers[-1] & 255]) ^ (registers[-1] >> 8))
    return tables, np.array(registers, np.uint32)
