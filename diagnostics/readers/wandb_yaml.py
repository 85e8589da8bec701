"""The YAML of wandb's `config.yaml`, which is written by machine: mappings, lists and plain values, line by line.

Anchors, tags, texts over several lines, lists of mappings and whatever else YAML has are passed over, with the names
that they stand under.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from diagnostics.readers.table import number

_DEEPEST = 10  # mappings within each other
_ENTRY = re.compile(r"('(?:[^']|'')*'|\"(?:[^\"\\]|\\.)*\"|(?![:?] )[^\s'\"&*!|>%@`#{\[][^\n]*?):(?: +(.*))?")
_WHOLE = re.compile(r"[-+]?\d{1,300}")
_CONSTANTS = {
    **{"": None, "null": None, "~": None, "true": True, "false": False},
    **{".nan": math.nan, ".inf": math.inf, "-.inf": -math.inf},
}
_NOT_READ = object()

_Lines = Sequence[tuple[int, str]]  # how far each is indented, and what stands there


def parsed(text: str) -> dict[str, Any]:
    """The mapping that `text` is, as far as it can be read."""
    lines = [(len(line) - len(line.lstrip(" ")), line.strip(" \r")) for line in text.split("\n")]
    lines = [(indent, line) for indent, line in lines if line and line[0] != "#" and line not in ("---", "...")]
    return _mapping(lines, 0, 1)[0] if lines else {}


def _mapping(lines: _Lines, at: int, depth: int) -> tuple[dict[str, Any], int]:
    """The mapping that begins with the line `at`, and the line after its last."""
    found: dict[str, Any] = {}
    indent = lines[at][0]
    while at < len(lines) and lines[at][0] >= indent:
        entry = _ENTRY.fullmatch(lines[at][1]) if lines[at][0] == indent else None
        at += 1
        if entry is None:
            continue
        first, below = at, at
        listed = below < len(lines) and lines[below][0] == indent and _is_item(lines[below][1])
        while below < len(lines) and (lines[below][0] > indent or (listed and _is_item(lines[below][1]))):
            if lines[below][0] < indent:
                break
            below += 1
        value: Any
        if below == first:
            value = _plain(entry[2] or "")
        elif entry[2]:  # a text that goes on in the next line
            value = _NOT_READ
        elif _is_item(lines[first][1]):
            value = _list(lines[first:below])
        else:
            value = _mapping(lines[first:below], 0, depth + 1)[0] if depth < _DEEPEST else _NOT_READ
        at = below
        name = _plain(entry[1])
        if value is not _NOT_READ and name is not _NOT_READ:
            found[entry[1] if entry[1][0] not in "'\"" else str(name)] = value
    return found, at


def _list(lines: _Lines) -> Any:
    values = [_plain(line[1:].strip(" ")) for _, line in lines]
    plain = all(_is_item(line) and indent == lines[0][0] for indent, line in lines)
    mappings = any(_ENTRY.fullmatch(line[1:].strip(" ")) for _, line in lines)
    return _NOT_READ if not plain or mappings or _NOT_READ in values else values


def _is_item(line: str) -> bool:
    return line == "-" or line.startswith("- ")


def _plain(text: str) -> Any:
    """A value in one line."""
    if not text.isprintable():  # PyYAML breaks lines at characters that are none elsewhere
        return _NOT_READ
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text in ("{}", "[]"):
        return {} if text == "{}" else []
    if text[0] == "'":
        return text[1:-1].replace("''", "'") if len(text) > 1 and text[-1] == "'" else _NOT_READ
    if text[0] == '"':
        try:
            return json.loads(text)
        except ValueError:
            return _NOT_READ
    if text[0] in "&*!|>{[%@`":
        return _NOT_READ
    if _WHOLE.fullmatch(text):
        return int(text)
    spelt = number(text) if text[0] in "+-.0123456789" else None
    return text if spelt is None else spelt
