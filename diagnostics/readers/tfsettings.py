"""The settings in TensorBoard's files: as texts, and in its plugin for hyperparameters."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from typing import Any

from diagnostics.readers.protobuf import FIXED64, LENGTH, VARINT, fields
from diagnostics.readers.table import number

# Trainer of transformers calls `add_text("args", json)`, and torch adds the rest of the tag.
_ARGUMENTS, _MODEL = b"args/text_summary", b"model_config/text_summary"
MODEL_CONFIG = "model_config"  # the setting that those of a model are under
# CleanRL writes a table in Markdown: `|param|value|`, a rule, and a line for each setting.
_TABLE = re.compile(r"\|param\|value\|\n\|-\|-\|\n")
_FLAGS = {"True": True, "False": False, "None": None}


def settings_in(tag: bytes, text: bytes, settings: dict[str, Any]) -> bool:
    """Whether the text under `tag` holds settings; they are added to `settings`, those of a model as `model_config`."""
    if tag in (_ARGUMENTS, _MODEL):
        found = _json(text)
        if tag == _ARGUMENTS:
            settings.update(found)
        else:
            settings[MODEL_CONFIG] = found
        return bool(found)
    table = text.decode("utf-8", "replace")
    head = _TABLE.match(table)
    if head is None:
        return False
    for line in table[head.end() :].split("\n"):
        name, bar, value = line.removeprefix("|").removesuffix("|").partition("|")
        if bar:
            settings[name] = _spelt(value)
    return True


def hparams_in(content: bytes) -> dict[str, Any]:
    """The settings in the metadata of the plugin for hyperparameters; none where it tells of something else.

    HParamsPluginData.session_start_info.hparams: a map of names to google.protobuf.Value.
    """
    found = {}
    for field, wire, info in fields(content, 0, len(content)):
        if (field, wire) == (3, LENGTH):
            for inner, inner_wire, entry in fields(content, *info):
                if (inner, inner_wire) == (1, LENGTH):
                    name, value = _entry(content, *entry)
                    found[name] = value
    return found


def _entry(content: bytes, start: int, end: int) -> tuple[str, Any]:
    name, value = "", None
    for field, wire, part in fields(content, start, end):
        if (field, wire) == (1, LENGTH):
            name = content[slice(*part)].decode("utf-8", "replace")
        elif (field, wire) == (2, LENGTH):
            value = _value(content, *part)
    return name, value


def _value(content: bytes, start: int, end: int) -> float | str | bool | None:
    for field, wire, value in fields(content, start, end):
        if (field, wire) == (2, FIXED64):
            return float(struct.unpack_from("<d", content, value)[0])
        if (field, wire) == (3, LENGTH):
            return content[slice(*value)].decode("utf-8", "replace")
        if (field, wire) == (4, VARINT):
            return bool(value)
    return None


def _json(text: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _spelt(text: str) -> Any:
    """A setting as Python writes it: a flag, a number, or itself."""
    if text in _FLAGS:
        return _FLAGS[text]
    spelt = number(text)
    return text if spelt is None else spelt
