"""Settings that a console shows before the first row: a printed dict, a `Namespace(...)`, a command."""

from __future__ import annotations

import ast
import re
import shlex
import warnings
from typing import Any

LONGEST = 1 << 16  # characters
DEEPEST = 24  # brackets inside of brackets
_QUOTED = re.compile(r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"")
_NAMESPACE = re.compile(r"\b(?:Namespace|\w+Config|\w+Arguments)\(")
_COMMAND = re.compile(r"(?:^|[\s=:+$])((?:python[\d.]*|torchrun|accelerate|deepspeed|bash|sh|ray|uv)\s.*)$")
_OPTION = re.compile(r"--([A-Za-z][\w.-]*)(?:=(.*))?")
_OVERRIDE = re.compile(r"\+{0,2}([A-Za-z_][\w./]*)=(.*)")


def depth(text: str) -> int:
    """How many brackets of `text` are still open, what is quoted left out."""
    bare = _QUOTED.sub("", text)
    return sum(bare.count(c) for c in "{[(") - sum(bare.count(c) for c in "}])")


def literal(text: str) -> dict[str, Any] | None:
    """The dict that `text` spells, in Python's or JSON's words; None where it is none, too long or too deep."""
    if len(text) > LONGEST or _deepest(text) > DEEPEST:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in what others wrote
            value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None
    return value if isinstance(value, dict) and all(isinstance(name, str) for name in value) else None


def namespace(text: str) -> dict[str, Any]:
    """The plain values in a printed `Namespace(a=1, ...)` or a config class, {} where there is none."""
    found = _NAMESPACE.search(text)
    if found is None or len(text) > LONGEST or _deepest(text) > DEEPEST:
        return {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call = ast.parse(text[found.start() :].strip(), mode="eval").body
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return _line_by_line(text)
    settings = {}
    for keyword in call.keywords if isinstance(call, ast.Call) else ():
        try:
            settings[str(keyword.arg)] = ast.literal_eval(keyword.value)
        except (ValueError, TypeError, RecursionError, MemoryError):  # an object, not a plain value
            continue
    return settings


def _line_by_line(text: str) -> dict[str, Any]:
    """The plain values of a call with one `name=value,` a line, objects such as `<Strategy.NO: 'no'>` left out."""
    fields = (line.strip().rstrip(",").partition("=") for line in text.split("\n"))
    plain = {name: literal(f"{{'_': {value}}}") for name, sep, value in fields if sep and name.isidentifier()}
    return {name: value["_"] for name, value in plain.items() if value is not None}


def command(text: str) -> dict[str, Any]:
    """The options of a command that starts a training, `--name value` and `name=value`; {} where there are not two."""
    found = _COMMAND.search(text[:LONGEST])
    if found is None:
        return {}
    try:
        words = shlex.split(found[1])
    except ValueError:  # a quote without its end
        words = found[1].split()
    words = [word for some in words for word in _apart(some)]
    settings: dict[str, Any] = {}
    for i, word in enumerate(words):
        if option := _OPTION.fullmatch(word):
            following = words[i + 1] if i + 1 < len(words) else "--"
            value = option[2] if option[2] is not None else "True" if _OPTION.fullmatch(following) else following
            settings[option[1].replace("-", "_")] = _plain(value)
        elif override := _OVERRIDE.fullmatch(word):
            settings[override[1]] = _plain(override[2])
    return settings if len(settings) > 1 else {}


def _apart(word: str) -> list[str]:
    """Several overrides that were quoted as one word."""
    inner = word.split()
    return inner if inner and all(map(_OVERRIDE.fullmatch, inner)) else [word]


def _plain(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text) if text.isascii() and "_" not in text else text
        except ValueError:
            continue
    return text


def _deepest(text: str) -> int:
    """How deep brackets go, quotes not minded: never less than what a parser meets."""
    level = deepest = 0
    for bracket in re.findall(r"[\[({})\]]", text):
        level += 1 if bracket in "[({" else -1
        deepest = max(deepest, level)
    return deepest
