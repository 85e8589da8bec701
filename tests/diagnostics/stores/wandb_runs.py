"""Runs that a server of wandb has in the tests, and how they are fetched from it there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from wandb_server import KEY, Server

from diagnostics.errors import UserError
from diagnostics.logs import read
from diagnostics.series import RunHistory
from diagnostics.sources import Found
from diagnostics.stores import wandb
from diagnostics.stores.store import EVERYTHING, Wanted

Serve = Callable[..., Server]
DEFINED = {"m": [{"1": "train/global_step", "6": [3]}, {"2": "*", "5": 1}], "t": {"5": "0.31.0", "6": "5.23.0"}}
CONFIG = {"learning_rate": 1e-6, "_wandb": DEFINED}


def rows(n: int = 60, start: int = 0) -> list[dict[str, Any]]:
    """Rows of a run that is healthy, but for a gradient that is not finite at step 40."""
    return [
        {
            "_step": i,
            "train/global_step": 10 * i,
            "train/reward": 0.2 + 0.01 * (i % 7),
            "train/grad_norm": float("nan") if i == 40 else 1.0,
        }
        for i in range(start, start + n)
    ]


def fetch(name: str, folder: Path, wanted: Wanted = EVERYTHING, said: list[str] | None = None) -> Found:
    return wandb.fetch(name, wanted, folder, [].append if said is None else said.append)


def history(found: Found) -> RunHistory:
    (source,) = found.sources
    (run,) = read(source)
    return run


def refusal(name: str, folder: Path) -> UserError:
    """Why nothing came, in one line that tells no key."""
    with pytest.raises(UserError) as caught:
        fetch(name, folder)
    assert KEY not in str(caught.value) and "\n" not in str(caught.value)
    return caught.value


def break_off(server: Server, *, after: int, answer: int | str) -> None:
    """Let all pages of histories go wrong but the first ones, until `server.fault` is deleted."""
    seen = iter(range(10**6))

    def fault(what: str) -> int | str | None:
        return answer if what == "HistoryPage" and next(seen) >= after else None

    server.fault = fault  # type: ignore[method-assign]
