"""What watching for hours costs: what is kept of long studies, and how often a log is looked at."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from diagnostics.sources import find
from tui import log_feed
from tui.log_feed import INTERVAL, SHARE, LogFeed


def ignore(_: object) -> None: ...


def test_only_what_following_costs_says_how_often_a_log_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps({"step": step, "reward": 0.5}) + "\n" for step in range(1, 40)))
    feed = LogFeed(log, find(log), ignore, ignore)
    seconds = itertools.count()
    monkeypatch.setattr(log_feed.time, "thread_time", lambda: 0.2 * next(seconds))  # a look takes as long
    waits: list[float] = []
    monkeypatch.setattr(feed._awake, "wait", waits.append)
    for step in range(40, 42):
        feed.read()
        feed._wait()
        with log.open("a") as file:
            file.write(json.dumps({"step": step, "reward": 0.5}) + "\n")
    feed.close()
    assert waits == [INTERVAL, pytest.approx(0.2 / SHARE)]
