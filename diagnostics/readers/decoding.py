"""Text files of anyone's as text: by their byte order mark, as UTF-16, else as UTF-8 with replacement."""

from __future__ import annotations

import codecs
import os
from pathlib import Path

CHUNK = 1 << 20  # bytes
ENOUGH = 8  # bytes that tell the encoding
_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_REPLACED = "\ufffd"
_REPLACED_BYTES = _REPLACED.encode()
UNDECODED = "characters that are no {}"  # in a table's `lost`


def encoding(head: bytes) -> tuple[str, int]:
    """The encoding of a text that begins with `head`, and how long its byte order mark is.

    Without a mark, text in which every other byte is mostly zero is UTF-16, as Windows writes it.
    """
    for mark, name in _MARKS.items():
        if head.startswith(mark):
            return name, len(mark)
    some = head[:ENOUGH]
    if len(some) >= 4:
        zeros_even, zeros_odd = some[0::2].count(0), some[1::2].count(0)
        if zeros_odd > len(some) * 0.3 and zeros_even < len(some) * 0.1:
            return "utf-16-le", 0
        if zeros_even > len(some) * 0.3 and zeros_odd < len(some) * 0.1:
            return "utf-16-be", 0
    return "utf-8", 0


def decoded(head: bytes) -> str:
    """The beginning of a text, of its bytes; a character that is cut at the end is left out."""
    name, mark = encoding(head)
    return codecs.getincrementaldecoder(name)("replace").decode(head[mark:])


class Decoding:
    """Decodes a text that comes in parts, characters cut in half included.

    `undecoded` counts characters that had to be replaced; `encoding` is "" until there is enough to tell.
    """

    def __init__(self) -> None:
        self.encoding = ""
        self.undecoded = 0
        self._decoder: codecs.IncrementalDecoder | None = None
        self._head = b""

    def decode(self, chunk: bytes, *, ended: bool = False) -> str:
        """The text of the next part; once it has `ended`, also what is left of a few bytes or a cut character."""
        if self._decoder is None:
            self._head += chunk
            if len(self._head) < ENOUGH and not ended:
                return ""
            self.encoding, mark = encoding(self._head)
            self._decoder = codecs.getincrementaldecoder(self.encoding)("replace")
            chunk, self._head = self._head[mark:], b""
        text = self._decoder.decode(chunk, final=ended)
        if _REPLACED in text:
            self.undecoded += max(0, text.count(_REPLACED) - chunk.count(_REPLACED_BYTES))
        return text


class TextTail:
    """Follows a text file from byte `since` on.

    One that was begun anew (shorter than it was, or another file under its name) is read from its beginning, and
    `begun` counts that. `undecoded` counts characters that had to be replaced.
    """

    def __init__(self, path: Path, *, since: int = 0) -> None:
        self.path = path
        self.begun = 0
        self._decoding = Decoding()
        self._position = since
        self._file_id: int | None = None

    @property
    def encoding(self) -> str:
        """The encoding, "" until there is enough to tell."""
        return self._decoding.encoding

    @property
    def undecoded(self) -> int:
        """Characters that had to be replaced."""
        return self._decoding.undecoded

    @property
    def position(self) -> int:
        """The byte up to which the file has been read."""
        return self._position

    def read(self) -> str:
        """The text of the next megabyte, "" where there is nothing new; OSError where it cannot be read."""
        while chunk := self._chunk():
            if text := self._decoding.decode(chunk):
                return text
        return ""

    def rest(self) -> str:
        """Nothing more will come: what is left of a text of a few bytes, or of a character that is cut."""
        return self._decoding.decode(b"", ended=True)

    def _chunk(self) -> bytes:
        with self.path.open("rb") as file:
            stat = os.fstat(file.fileno())
            if stat.st_size < self._position or self._file_id not in (None, stat.st_ino):
                self._position, self._decoding = 0, Decoding()
                self.begun += 1
            self._file_id = stat.st_ino
            file.seek(self._position)
            chunk = file.read(CHUNK)
        self._position += len(chunk)
        return chunk


def strange_share(head: bytes) -> float:
    """The share of the characters in `head` that no text has: bytes that are none, and controls without a use."""
    decoding = Decoding()
    text = decoding.decode(head, ended=True)
    strange = decoding.undecoded + sum(text.count(chr(c)) for c in (*range(7), *range(14, 27)))
    return strange / max(len(text), 1)
