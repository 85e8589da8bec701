"""A program in a pseudo-terminal: what it writes and when, what is then on the screen, and what the program costs."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

import psutil
import pyte

COLUMNS, LINES = 160, 50
PAUSE = 0.003  # seconds without output that end a frame
PARSED = 0.05  # seconds between two looks at what came

# What programs ask a terminal at their start, and what one answers that draws frames at once (mode 2026).
ANSWERS = (
    (rb"\x1b\[\?2026\$p", b"\x1b[?2026;2$y"),
    (rb"\x1b\[\?(?!2026)(\d+)\$p", b"\x1b[?\\1;0$y"),
    (rb"\x1b\[>0?c", b"\x1b[>1;10;0c"),
    (rb"\x1b\[5n", b"\x1b[0n"),
    (rb"\x1b\[\??6n", b"\x1b[1;1R"),
    (rb"\x1b\[\?u", b"\x1b[?0u"),
    (rb"\x1b\[14t", f"\x1b[4;{LINES * 16};{COLUMNS * 8}t".encode()),
    (rb"\x1b\[16t", b"\x1b[6;16;8t"),
    (rb"\x1b\[18t", f"\x1b[8;{LINES};{COLUMNS}t".encode()),
    (rb"\x1b\]1([01]);\?(?:\x07|\x1b\\)", b"\x1b]1\\1;rgb:0000/0000/0000\x07"),
    (rb"\x1b\[0?c", b"\x1b[?62;22c"),  # at last: it is asked in order to know that no other answer will come
)
# What pyte would print: strings for the terminal, and sequences whose parameters are private.
UNSEEN = re.compile(rb"\x1b[P_^].*?\x1b\\|\x1b\[[<=>][\d;]*[A-Za-z]|\x1b\[\?[\d;]*(?:\$p|u)|\x1b\[\d+ q", re.DOTALL)
UNDONE = re.compile(rb"\x1b(?:[P_^](?:(?!\x1b\\).)*|\[[<=>?]?[\d;]*[ $]?)?\Z", re.DOTALL)  # a sequence that goes on
BRAILLE = re.compile("[^\u2801-\u28ff]+")
T = TypeVar("T")


class Chunk(NamedTuple):
    """Bytes that came at one moment (of `time.perf_counter`)."""

    at: float
    data: bytes


class Display:
    """What is on the screen after the bytes it was given."""

    def __init__(self) -> None:
        self.screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self.screen)
        self._rest = b""
        self.lines = [""] * LINES

    def feed(self, data: bytes) -> None:
        """Show `data`; a sequence that is cut at its end waits for the rest."""
        data = self._rest + data
        cut = UNDONE.search(data)
        self._rest = data[cut.start() :] if cut else b""
        self._stream.feed(UNSEEN.sub(b"", data[: len(data) - len(self._rest)]))
        for y in self.screen.dirty:
            self.lines[y] = "".join(self.screen.buffer[y][x].data for x in range(COLUMNS))
        self.screen.dirty.clear()

    @property
    def blank(self) -> bool:
        """Whether nothing is on the screen."""
        return not any(line.strip() for line in self.lines)

    @property
    def dots(self) -> str:
        """What is drawn of curves: the cells of braille, one after the other."""
        return BRAILLE.sub("", "".join(self.lines))

    def places(self, mark: str) -> list[tuple[int, int, str]]:
        """Where `mark` stands: the line, the column and its colour."""
        return [
            (y, x, self.screen.buffer[y][x].fg)
            for y, line in enumerate(self.lines) if mark in line
            for x, letter in enumerate(line) if letter == mark
        ]  # fmt: skip


class Terminal:
    """Runs `command` in a pseudo-terminal of its own, from the moment `began` on, and answers what it asks."""

    def __init__(self, command: Sequence[str | Path], *, directory: Path) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 16 * LINES, 8 * COLUMNS))
        home = {"HOME": str(directory), "TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
        self.began = time.perf_counter()
        self._process = subprocess.Popen(
            [*map(str, command)], stdin=slave, stdout=slave, stderr=slave,
            cwd=directory, env=os.environ | home, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self._tree = psutil.Process(self._process.pid)
        self.display = Display()
        self._chunks: list[Chunk] = []
        self._shown = 0  # chunks that are on the display
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        """Note when what came; nothing else, so that no time is lost here."""
        with suppress(OSError):  # what a terminal says whose program is gone
            while data := os.read(self._master, 1 << 16):
                self._chunks.append(Chunk(time.perf_counter(), data))
                for question, answer in ANSWERS:
                    for asked in re.finditer(question, data):
                        os.write(self._master, asked.expand(answer))

    def write(self, keys: bytes) -> float:
        """Press keys; the moment at which they were handed over."""
        at = time.perf_counter()
        os.write(self._master, keys)
        return at

    def catch_up(self) -> None:
        """Show all that came."""
        self.shown(lambda display: None, 0.0)

    def shown(self, what: Callable[[Display], T | None], seconds: float) -> tuple[float, T] | None:
        """When the frame came with which `what` of the display is something, and that; None if not in `seconds`."""
        end = time.perf_counter() + seconds
        while True:
            for chunk in self._chunks[self._shown :]:
                self.display.feed(chunk.data)
                self._shown += 1
                if (seen := what(self.display)) is not None:
                    return self._end_of_frame(self._shown - 1), seen
            if time.perf_counter() >= end:
                return None
            if self._process.poll() is not None:
                raise RuntimeError("\n".join(line for line in self.display.lines if line.strip()))
            time.sleep(PARSED)

    def _end_of_frame(self, index: int) -> float:
        """When the last chunk of the frame came that the chunk of that index belongs to."""
        while True:
            chunks = self._chunks
            while index + 1 < len(chunks) and chunks[index + 1].at - chunks[index].at < PAUSE:
                index += 1
            if time.perf_counter() - chunks[index].at > PAUSE:
                return chunks[index].at
            time.sleep(PAUSE)

    def settled(self, what: Callable[[Display], object], quiet: float, seconds: float) -> float:
        """When `what` of the display changed last, once it has been the same for `quiet` seconds.

        TimeoutError where it still changes after so many `seconds`.
        """
        end, last, known = time.perf_counter() + seconds, self.began, what(self.display)

        def new(display: Display) -> object | None:
            seen = what(display)
            return seen if seen != known else None

        while changed := self.shown(new, quiet):
            last, known = changed
            if last > end:
                raise TimeoutError(f"still changing after {seconds:.0f} s")
        return last

    def cpu(self) -> float:
        """Processor seconds that the program and all it started have taken."""
        return sum(sum(each.cpu_times()[:2]) for each in self._processes())

    def memory(self) -> float:
        """Resident MB of the program and all it started."""
        return sum(each.memory_info().rss for each in self._processes()) / 1e6

    def _processes(self) -> list[psutil.Process]:
        try:
            return [self._tree, *self._tree.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    @property
    def pids(self) -> list[int]:
        """The program and all it started."""
        return [each.pid for each in self._processes()]

    def close(self) -> None:
        """End the program and all it started."""
        for pid in self.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join()
        os.close(self._master)
