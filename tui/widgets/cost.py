"""What a run costs, in words and one bar; colour says nothing in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from diagnostics.cost import OTHER, Cost, Gauge, Pace, Phase
from diagnostics.text import count
from studies import words
from studies.record import State, StudyRecord
from tui import theme

FILLS = {"generation": "█", "scoring": "▓", "reward": "▒", "update": "░", OTHER: "·"}
HOW = (
    "Our own trainers log all of it; from TRL's trainers instrument() does, from the file trainers/instrument.py. "
    "docs/monitor.md says more."
)


@dataclass(frozen=True, slots=True)
class Bar:
    """The phases of a step as shares of the width that there is."""

    phases: Sequence[Phase]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """One line; each phase ends where the shares up to it do, so that rounding adds up."""
        width, told, line = options.max_width, 0.0, ""
        for phase in self.phases:
            told += phase.share
            line += FILLS[phase.name] * (round(told * width) - len(line))
        yield Text(line, no_wrap=True)


def cost_in_words(cost: Cost, study: StudyRecord | None, disk: str) -> RenderableType:
    """All that is known of it; `disk` is what is known of the checkpoints of a `study`."""
    parts: list[RenderableType] = []
    speed = list(_speed(cost))
    if speed:
        parts += [_head("Speed"), _rows(speed)]
    if cost.phases:
        parts += [_head("Where the time of a step goes"), Bar(cost.phases), _rows(_phases(cost.phases))]
    parts += [Text(f"! {told}", style=theme.WARNING) for told in cost.waits]
    if cost.gauges:
        parts += [_head("Machine"), _rows(_gauges(cost.gauges))]
    if study is not None:
        parts += [_head("Study"), _rows([*_study(study), ("disk", disk)])]
    if cost.missing:
        parts += [_head("Not known"), *(Text(f"· {told}", style=theme.FAINT) for told in cost.missing)]
        parts.append(Text(HOW, style=theme.FAINT))
    return Group(*parts)


def seconds(value: float) -> str:
    """A time of any length."""
    return f"{value:.2g} s" if value < 10 else words.duration(value)


def _head(title: str) -> Text:
    return Text(title, style="bold")


def _rows(rows: Sequence[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style=theme.FAINT)
    table.add_column(ratio=1, overflow="fold")
    for name, told in rows:
        table.add_row(Text(f"  {name}"), Text(told))
    return table


def _speed(cost: Cost) -> Iterator[tuple[str, str]]:
    pace = cost.pace
    if pace is not None:
        yield "now", f"{rate(1 / pace.now)} steps/s, {seconds(pace.now)} a step"
        yield "usual", f"{rate(1 / pace.usual)} steps/s, {seconds(pace.usual)} a step"
        yield "slowest", f"{seconds(pace.slowest)}, step {pace.slowest_at}{_slow(pace)}"
    if cost.completions is not None:
        tokens = f", {rate(cost.tokens)} tokens/s" if cost.tokens is not None else ""
        yield "sampled", f"{rate(cost.completions)} completions/s{tokens}"


def _slow(pace: Pace) -> str:
    if not pace.slow:
        return "; none is much slower than usual"
    return f"; {pace.slow:,} of {count(pace.steps, 'step')} took over 3 times the usual (evaluation, saving, a pause?)"


def rate(value: float) -> str:
    """So many a second, with three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _phases(phases: Sequence[Phase]) -> list[tuple[str, str]]:
    return [(f"{FILLS[p.name]} {p.name}", f"{p.share:4.0%}  {seconds(max(0.0, p.seconds))}") for p in phases]


def _gauges(gauges: Sequence[Gauge]) -> list[tuple[str, str]]:
    return [(g.metric, f"{_used(g.now, g.unit)} now, {_used(g.highest, g.unit)} at most") for g in gauges]


def _used(value: float, unit: str) -> str:
    return f"{value:.0%}" if unit.startswith("share") else f"{value:.3g} {unit}"


def _study(study: StudyRecord) -> Iterator[tuple[str, str]]:
    running = [t for t in study.trials if t.state is State.RUNNING]
    paused = sum(trial.paused for trial in running)
    still = f", {paused} of them paused" if paused else ""
    yield "workers", f"{count(study.search.parallel, 'trial')} at a time, {len(running)} now{still}"
    ended = [t.seconds for t in study.trials if t.state not in (State.RUNNING, State.WAITING) and t.seconds > 0]
    if ended:
        longest = f", the longest {words.duration(max(ended))}" if len(ended) > 1 else ""
        yield "a trial", f"{words.duration(median(ended))} usually{longest}"
