"""The framing of `.wandb` files: records cut into checked chunks, in blocks, as LevelDB writes its logs.

A file begins with `MAGIC`, which counts towards its first block. A chunk has a head (its checksum, its length and
which part of a record it is) and lies within one block; where no head fits into the rest of a block, zeros do. The
checksum is the plain CRC-32 of the part's number and the data, whatever the SDK's own comments say.
"""

from __future__ import annotations

import struct
import zlib

MAGIC = b":W&B\xe1\xbe\x00"
BLOCK = 1 << 15
_HEAD = struct.Struct("<IHB")
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_SEEDS = [zlib.crc32(bytes([part])) for part in range(5)]


class Frames:
    """Takes the bytes of a file as they come and gives the records that are complete.

    `damaged` counts bytes that belong to no record that could be read, `torn` those of a last record that was never
    finished.
    """

    def __init__(self) -> None:
        self.damaged = 0
        self.torn = 0
        self._position = 0  # in the file, of the first byte of `_rest`
        self._rest = b""
        self._parts: list[bytes] = []  # of a record that goes on in the next block

    def feed(self, data: bytes) -> list[bytes]:
        """The records that `data`, the next bytes of the file, completes.

        A chunk that is not as it should be may still be on its way to the file: it is damage once its block is full.
        """
        return self._read(self._rest + data, last=False)

    def finish(self) -> list[bytes]:
        """The records that stand behind damage in the last block, now that nothing more will come."""
        records = self._read(self._rest, last=True)
        self.torn = len(self._rest) + sum(map(len, self._parts))
        return records

    def _read(self, data: bytes, *, last: bool) -> list[bytes]:
        records: list[bytes] = []
        at, size, base = 0, len(data), self._position
        unpack, crc32 = _HEAD.unpack_from, zlib.crc32  # looked up once, not a million times
        if base == 0:
            if size < len(MAGIC):
                self._rest = data
                return records
            at = len(MAGIC)
            if data[:at] != MAGIC:
                self.damaged += at
        while True:
            room = BLOCK - (base + at) % BLOCK  # what is left of the block
            if room < _HEAD.size:
                if at + room > size:
                    break
                at += room
                continue
            if at + _HEAD.size > size:
                break
            checksum, length, part = unpack(data, at)
            end = at + _HEAD.size + length
            plausible = _WHOLE <= part <= _LAST and length <= room - _HEAD.size
            if plausible:
                if end > size:
                    break
                chunk = data[at + _HEAD.size : end]
                if crc32(chunk, _SEEDS[part]) == checksum:
                    at = end
                    if part == _WHOLE:
                        if self._parts:
                            self._forget()
                        records.append(chunk)
                    else:
                        self._join(part, chunk, records)
                    continue
            if at + room > size and not last:
                break
            # Where the length can be believed, the next chunk stands behind this one, and its own checksum tells;
            # else the next block is the next place where one begins.
            end = min(end if plausible else at + room, size)
            self.damaged += end - at
            self._forget()
            at = end
        self._position, self._rest = base + at, data[at:]
        return records

    def _join(self, part: int, chunk: bytes, records: list[bytes]) -> None:
        if part == _FIRST:
            self._forget()
        elif not self._parts:  # its beginning was lost
            self.damaged += len(chunk)
            return
        self._parts.append(chunk)
        if part == _LAST:
            records.append(b"".join(self._parts))
            self._parts.clear()

    def _forget(self) -> None:
        """A record that was begun is not going to be finished."""
        self.damaged += sum(map(len, self._parts))
        self._parts.clear()


def begins(head: bytes) -> bool:
    """Whether `head` is the beginning of such a file: by its first bytes or, if they are bad, the first chunk."""
    if head.startswith(MAGIC[:4]):
        return True
    if len(head) < len(MAGIC) + _HEAD.size:
        return False
    checksum, length, part = _HEAD.unpack_from(head, len(MAGIC))
    start = len(MAGIC) + _HEAD.size
    chunk = head[start : start + length]
    return part in (_WHOLE, _FIRST) and 0 < length == len(chunk) and zlib.crc32(chunk, _SEEDS[part]) == checksum
