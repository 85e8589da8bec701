"""How a person left the monitor: the theme, the screen, the panes, the looks of curves; found again by the next one.

One file in the user's state folder. It is written whole and then renamed, with what this session changed over what
the file says by then, so that of two monitors at once neither undoes what the other was told.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

VERSION = 1
LARGEST = 65_536  # bytes; a file of ours has a few hundred

Choice = str | bool | int | float  # of JSON
Choices = Mapping[str, Choice]


def state_file() -> Path | None:
    """Where it is kept (XDG Base Directory Specification); None where nobody's home is known."""
    base = os.environ.get("XDG_STATE_HOME", "")
    try:  # the standard says that a relative path is to be ignored
        return (Path(base) if Path(base).is_absolute() else Path.home() / ".local/state") / "autotune" / "monitor.json"
    except RuntimeError:
        return None


class Layout:
    """The choices that `file` holds; with None nothing is known and nothing is kept.

    `trouble` says in one line what is wrong with the file, the first of it.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self.trouble = ""
        self._newer = False
        self._known: Choices = {}
        if file is not None:
            try:
                self._known = _read(file)
            except _NewerError:
                self._newer = True
                self.trouble = f"{file} is of a newer version of autotune: it is left as it is"
            except (OSError, ValueError) as error:
                self.trouble = f"{file} cannot be read ({_said(error)}): the monitor looks as it did at first"

    def get(self, name: str) -> Choice | None:
        """What was chosen under that name; whoever asks sees to it that it still means something."""
        return self._known.get(name)

    def keep(self, now: Choices) -> str:
        """Keep what differs in `now` from what was known; returns in one line why not, where none was said yet."""
        changed = {name: choice for name, choice in now.items() if self._known.get(name) != choice}
        if self._file is None or self._newer or not changed:
            return ""
        try:
            _write(self._file, {**self._others(), **changed})
        except _NewerError:
            return ""
        except OSError as error:
            if self.trouble:
                return ""
            self.trouble = f"how the monitor looks cannot be kept in {self._file}: {_said(error)}"
            return self.trouble
        self._known = {**self._known, **changed}
        return ""

    def _others(self) -> Choices:
        """What the file says by now; a damaged one is replaced."""
        assert self._file is not None
        try:
            return _read(self._file)
        except ValueError:
            return {}


class _NewerError(Exception):
    """The file is of a version that was not known when this was written."""


def _read(file: Path) -> Choices:
    try:
        with file.open("rb") as opened:
            text = opened.read(LARGEST + 1)
    except FileNotFoundError:
        return {}
    if len(text) > LARGEST:
        raise ValueError("it is too large")
    try:
        held = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(held, dict) or not isinstance(held.get("version"), int):
        raise ValueError("it is no layout")
    if held.pop("version") > VERSION:
        raise _NewerError
    return {name: choice for name, choice in held.items() if isinstance(choice, Choice)}


def _write(file: Path, choices: Choices) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.{os.getpid()}.partial")
    try:
        partial.write_text(json.dumps({"version": VERSION, **choices}, indent=1) + "\n", encoding="utf-8")
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def _said(error: OSError | ValueError) -> str:
    match error:
        case OSError(strerror=str(reason)):
            return reason.lower()
        case json.JSONDecodeError() | UnicodeDecodeError():
            return "it is damaged"
        case _:
            return str(error)
