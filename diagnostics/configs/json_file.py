"""JSON: arguments as they were dumped, nested or not."""

from __future__ import annotations

import json
import re
from typing import Any

from diagnostics.configs.config import Given, NoConfig
from diagnostics.readers.table import flat


def read(text: str) -> tuple[dict[str, Given], list[str]]:
    """The settings by name, nested names joined by ".", and notes; NoConfig where it is no JSON of settings."""
    notes: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
        notes.extend(f"{name} stands there twice: the later one counts" for name in twice)
        return dict(pairs)

    try:
        document = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        line = f" in line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise NoConfig(f"is no JSON{line}") from None
    if not isinstance(document, dict):
        raise NoConfig("holds no settings: it is JSON without names at its top")
    lines = _lines(text)
    return {name: Given(value, lines.get(name.rpartition(".")[2], 0)) for name, value in flat(document)}, notes


def _lines(text: str) -> dict[str, int]:
    """The line of each name that begins a line only once."""
    found: dict[str, int] = {}
    for line, content in enumerate(text.split("\n"), 1):
        match = re.match(r'\s*"([^"\\]+)"\s*:', content)
        if match is not None:
            found[match[1]] = -1 if match[1] in found else line
    return {name: line for name, line in found.items() if line > 0}
