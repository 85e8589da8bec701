"""What is measured is what a terminal would show, from the moment at which it could."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bench_monitor import Line, growing
from terminal import COLUMNS, Display, Terminal


@contextmanager
def running(program: str, directory: Path) -> Iterator[Terminal]:
    terminal = Terminal([sys.executable, "-c", program], directory=directory)
    try:
        yield terminal
    finally:
        terminal.close()


def test_what_is_not_for_the_eye_is_not_shown() -> None:
    display = Display()
    display.feed(b"\x1bP+q544e\x1b\\\x1b[>25u\x1b[?2026$p\x1b[?u\x1b[2 q\x1b[=1;1u")
    assert display.blank
    display.feed(b"seen")
    assert display.lines[0] == "seen" + " " * (COLUMNS - 4)


@pytest.mark.parametrize("cut", range(1, 21))
def test_what_is_cut_anywhere_is_shown_as_a_whole(cut: int) -> None:
    written = "\x1b[2;3H\x1b[>1u⣿▸\x1b[31mx".encode()
    display = Display()
    for part in (written[:cut], written[cut:]):
        display.feed(part)
    assert [line.rstrip() for line in display.lines[:3]] == ["", "  ⣿▸x", ""]
    assert display.dots == "⣿"
    assert display.places("x") == [(1, 4, "red")]


def test_a_program_is_answered_as_a_terminal_would(tmp_path: Path) -> None:
    asks = r"""
import os, tty
tty.setraw(0)
os.write(1, b"\x1b[?2026$p\x1b[?2048$p\x1b]11;?\x07\x1b[c")
said = b""
while not said.endswith(b"c"):
    said += os.read(0, 99)
os.write(1, repr(said).encode())
input()
"""
    with running(asks, tmp_path) as terminal:
        answered = terminal.shown(lambda display: None if display.blank else display.lines[0].strip(), 30.0)
    assert answered
    assert answered[1] == r"b'\x1b[?2026;2$y\x1b[?2048;0$y\x1b]11;rgb:0000/0000/0000\x07\x1b[?62;22c'"


def test_a_frame_is_there_with_its_last_byte(tmp_path: Path) -> None:
    echo = r"""
import os, time, tty
tty.setraw(0)
os.write(1, b"ready")
os.read(0, 1)
for letter in b"pressed":
    os.write(1, bytes([letter]))
os.read(0, 1)
"""
    with running(echo, tmp_path) as terminal:
        assert terminal.shown(lambda display: "ready" in display.lines[0] or None, 30.0)
        at = terminal.write(b"x")
        first = terminal.shown(lambda display: "readyp" in display.lines[0] or None, 30.0)
        assert first
        assert first[0] >= at
        assert "pressed" in display_of(terminal)


def display_of(terminal: Terminal) -> str:
    """The first line, with what came until now."""
    terminal.catch_up()
    return terminal.display.lines[0]


def test_a_program_that_ends_says_its_last_words(tmp_path: Path) -> None:
    with (
        running("raise SystemExit('no such file')", tmp_path) as terminal,
        pytest.raises(RuntimeError, match="no such"),
    ):
        terminal.shown(lambda display: None, 30.0)


def test_all_that_a_program_started_is_counted_and_ended(tmp_path: Path) -> None:
    sleeps = "import time; time.sleep(60)"
    child = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {sleeps!r}]); print(1); {sleeps}"
    with running(child, tmp_path) as terminal:
        assert terminal.shown(lambda display: "1" in display.lines[0] or None, 30.0)
        started = terminal.pids
        assert len(started) == 2
        assert terminal.memory() > 5
    for _ in range(100):
        if not any(Path(f"/proc/{pid}/exe").exists() for pid in started):
            break
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}/exe").exists() for pid in started)


def test_a_file_grows_until_it_is_left() -> None:
    added, enough = [], threading.Event()

    def add() -> None:
        added.append(1)
        if len(added) == 3:
            enough.set()

    with growing(add, 0.001):
        assert enough.wait(30.0)
    at_the_end = len(added)
    os.sched_yield()
    assert len(added) == at_the_end


def test_a_budget_is_kept_up_to_its_limit() -> None:
    assert Line("first paint", "s", 1.0, 2.0, 1.0).kept
    assert not Line("first paint", "s", 1.01, 0.5, 1.0).kept
    assert "BROKEN" in str(Line("first paint", "s", 1.01, 0.5, 1.0))
    assert Line("first curve", "s", 99.0).kept
