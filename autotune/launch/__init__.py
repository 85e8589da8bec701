"""Where a trial runs: in our own workers (`local`) or as anyone's command (`command`)."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Protocol


class Running(Protocol):
    """A trial under way, whose events appear in its folder."""

    def poll(self) -> int | None:
        """The exit status, None while it runs; never waits."""

    def ask_to_stop(self) -> None:
        """Ask it to end after its step; returns at once, may be called again. One that is paused ends, too."""

    def pause(self) -> None:
        """Have it stand still, a trainer of ours after its step; returns at once, may be called again."""

    def go_on(self) -> None:
        """Have it go on after a pause; returns at once, may be called again."""

    def stop(self) -> int:
        """End it within seconds, whatever it does: ask, wait, then kill it with its children. Its exit status."""

    def last_words(self) -> str:
        """The last line it wrote, which for an error is what went wrong."""


class Launcher(Protocol):
    """Starts trials, as many at once as it was made for; a context manager that leaves no process behind."""

    def start(self, directory: Path, *, attempt: int = 1) -> Running:
        """Start the trial whose `config.json` lies in `directory`. OSError where it cannot be written."""

    def prepare(self) -> None:
        """Make ready, while a trial runs, what the next one will need."""

    def __enter__(self) -> Launcher: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
