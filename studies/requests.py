"""What people ask of a running study: one file per request in `commands/`, answered in `study.jsonl`.

A request is written whole and then renamed, by any number of processes; the loop answers each once. Anybody who can
write the folder can ask, so what a file says is checked before it is believed.
"""

from __future__ import annotations

import getpass
import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import uuid4

from studies.trial import Knob

REQUESTS = "commands"
LONGEST = 2_000  # characters of a text
_MOST = 1 << 16  # bytes of a request
_NAME = 80  # characters of a user's name
_NUMBERS = 1 << 31  # trials are counted below it


class Action(StrEnum):
    """What can be asked. Where no trial is named, that of a trial is asked of the one that it can only be."""

    STOP_STUDY = "stop_study"  # end the running trials after their step, and the study
    STOP_AFTER = "stop_after"  # begin no new trial, and end the study when the running ones have run to their end
    STOP_TRIAL = "stop_trial"  # end one trial after its step; its evaluations count
    PAUSE = "pause"  # have a trial stand still after its step; all that run where none is named
    CONTINUE = "continue"  # have it go on; all that are paused where none is named
    REVIEW_ON = "review_on"  # let every proposal wait for a person
    REVIEW_OFF = "review_off"  # no more; those that wait begin
    ACCEPT = "accept"  # begin the trial that was proposed and waits
    REFUSE = "refuse"  # never run it, and propose something else; `text` is why
    TRY = "try"  # run the settings of `trial` (the best, where none is named) with `knobs` changed, next
    NOTE = "note"  # write `text` down, of `trial` or of the study


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `trial` is None for the whole study, or where the action says what is meant.

    `by` is the name of the user who asked, `time` when (seconds since the epoch), both as the asking process says.
    """

    id: str
    action: Action
    trial: int | None = None
    knobs: Mapping[str, Knob] = field(default_factory=dict)
    text: str = ""
    by: str = ""
    time: float = 0.0


def ask(
    study: Path, action: Action, *, trial: int | None = None, knobs: Mapping[str, Knob] | None = None, text: str = ""
) -> Request:
    """Leave a request with the study in `study`; returns it. OSError where its folder cannot be written."""
    folder = study / REQUESTS
    folder.mkdir(exist_ok=True)
    now = time.time_ns()
    request = Request(f"{now}-{uuid4().hex[:8]}", action, trial, dict(knobs or {}), text, person(), round(now / 1e9, 3))
    partial = folder / f".{request.id}.partial"
    partial.write_text(json.dumps({"v": 1, **asdict(request)}), encoding="utf-8")
    partial.replace(folder / f"{request.id}.json")
    return request


def person() -> str:
    """The name of the user of this process, empty where the machine knows none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number that has no name
        return ""


def pending(study: Path, answered: set[str]) -> Iterator[Request | str]:
    """The requests that are not in `answered`, the oldest first; a file that is none is told by its name."""
    try:
        names = sorted(name for name in os.listdir(study / REQUESTS) if name.endswith(".json"))  # noqa: PTH208
    except FileNotFoundError:
        return
    for name in names:
        known = name.removesuffix(".json")
        if known in answered:
            continue
        try:
            yield _request(known, study / REQUESTS / name)
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            yield known


def _request(name: str, path: Path) -> Request:
    """What the file says, under the name of the file. ValueError, KeyError or TypeError where it is no request."""
    if not path.is_file():  # to open a pipe would wait for its other end
        raise ValueError(f"{path} is no file")
    with path.open("rb") as file:
        written = file.read(_MOST + 1)
    if len(written) > _MOST:
        raise ValueError(f"{path} is longer than {_MOST} bytes")
    data = json.loads(written)
    if not isinstance(data, dict):
        raise TypeError(f"{path} holds no table")
    return Request(
        name,
        Action(data["action"]),
        _trial(data["trial"]),
        _knobs(data.get("knobs", {})),
        _text(data.get("text", "")),
        _text(data.get("by", ""))[:_NAME],
        _finite(data.get("time", 0.0)),
    )


def _trial(number: Any) -> int | None:
    if number is None:
        return None
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < _NUMBERS:
        raise TypeError("trial is no number of a trial")
    return number


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return well_formed(value)


def well_formed(text: str) -> str:
    """`text` as it can be written to a file: a half of a character, which JSON can bring, becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _knobs(values: Any) -> dict[str, Knob]:
    if not isinstance(values, dict):
        raise TypeError("knobs are no table")
    return {_text(knob): _text(v) if isinstance(v, str) else _finite(v) for knob, v in values.items()}


def _finite(value: Any) -> float | int:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise TypeError(f"{value!r} is no finite number")
    return value
