"""What people ask of a running study: one file per request in `commands/`, answered in `study.jsonl`.

A request is written whole and then renamed, by any number of processes; the loop answers each once.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from uuid import uuid4

REQUESTS = "commands"


class Action(StrEnum):
    """What can be asked."""

    STOP_STUDY = "stop_study"  # end the running trials after their step, and the study
    STOP_TRIAL = "stop_trial"  # end one trial after its step; its evaluations count


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `trial` is None for the whole study."""

    id: str
    action: Action
    trial: int | None = None


def ask(study: Path, action: Action, *, trial: int | None = None) -> Request:
    """Leave a request with the study in `study`; returns it. OSError where its folder cannot be written."""
    folder = study / REQUESTS
    folder.mkdir(exist_ok=True)
    request = Request(f"{time.time_ns()}-{uuid4().hex[:8]}", action, trial)
    partial = folder / f".{request.id}.partial"
    partial.write_text(json.dumps({"v": 1, "id": request.id, "action": str(action), "trial": trial}), encoding="utf-8")
    partial.replace(folder / f"{request.id}.json")
    return request


def pending(study: Path, answered: set[str]) -> Iterator[Request | str]:
    """The requests that are not in `answered`, the oldest first; a file that is none is told by its name."""
    try:
        names = sorted(name for name in os.listdir(study / REQUESTS) if name.endswith(".json"))  # noqa: PTH208
    except FileNotFoundError:
        return
    for name in names:
        if name.removesuffix(".json") in answered:
            continue
        try:
            data = json.loads((study / REQUESTS / name).read_text(encoding="utf-8"))
            trial = data["trial"]
            if trial is not None and not isinstance(trial, int):
                raise TypeError("trial is no number")
            yield Request(name.removesuffix(".json"), Action(data["action"]), trial)
        except (OSError, ValueError, KeyError, TypeError):
            yield name.removesuffix(".json")
