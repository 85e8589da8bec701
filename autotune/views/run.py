"""One training run while it goes: plain lines, or curves that move."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from autotune.views.table import curves, findings
from diagnostics.events import Event, FindingRaised, MetricsLogged, RunStarted
from diagnostics.text import visible
from studies import words
from studies.trial_log import TrialLog

REFRESH_PER_SECOND = 4


class PlainRun:
    """A line for what was started, each evaluation and each finding."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __enter__(self) -> PlainRun:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def moved(self, log: TrialLog, events: Sequence[Event]) -> None:
        """Write what is new."""
        for event in events:
            for line in _lines(event, log):
                print(visible(line), file=self._stream, flush=True)


def _lines(event: Event, log: TrialLog) -> list[str]:
    match event:
        case RunStarted():
            return [f"{event.framework} {event.framework_version}, {log.max_steps} steps", *event.notes]
        case FindingRaised():
            return [words.finding(event.finding)]
        case MetricsLogged() if log.objective in event.metrics:
            share = f"{event.step}/{log.max_steps}" if log.max_steps else str(event.step)
            return [f"step {share}  {log.objective} {event.metrics[log.objective]:+.3f}"]
        case _:
            return []


class LiveRun:
    """The run's curves, findings and progress on a screen that stays in the scrollback; a context manager."""

    def __init__(self, console: Console) -> None:
        self._log: TrialLog | None = None
        self._console = console
        self._live = Live(console=console, refresh_per_second=REFRESH_PER_SECOND, get_renderable=self.screen)

    def __enter__(self) -> LiveRun:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def moved(self, log: TrialLog, events: Sequence[Event]) -> None:
        """Show how far it is."""
        self._log = log

    def screen(self) -> RenderableType:
        """What stands on the screen now."""
        if self._log is None or not self._log.settings:
            return Text("starting: importing torch and loading the model")
        width, log = self._console.width, self._log
        line = Table.grid(padding=(0, 1))
        seconds = log.last_time - log.first_time
        left = f", about {words.duration(seconds / log.step * (log.max_steps - log.step))} left" if log.step > 4 else ""
        line.add_row(
            ProgressBar(total=log.max_steps or 1, completed=log.step, width=max(10, min(40, width - 44))),
            Text(f"step {log.step}/{log.max_steps}, {words.duration(seconds)}{left}"),
        )
        return Group(curves(log, width), findings(tuple(log.findings.values())), line)
