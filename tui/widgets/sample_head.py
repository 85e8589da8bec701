"""What is known of the samples of a step, in a few lines: which step it is of how many, rewards, the group."""

from __future__ import annotations

from bisect import bisect_left

from rich.text import Text

from diagnostics.plot import NONE
from diagnostics.samples import OF_BATCH, TRAIN, Group, SampledStep, spread
from diagnostics.text import count, visible
from studies import words
from tui import theme
from tui.sample_feed import SampleView
from tui.watched import RunView


def head(view: SampleView, run: RunView | None, group: int, needle: str, *, follows: bool) -> Text:
    """The lines above the samples that `view` shows of `run`, of which the group of that index is looked at."""
    parts = [_steps(view, follows=follows)]
    if view.shown is not None and view.shown.groups:
        chosen = view.shown.groups[group]
        parts.append(_rewards(view.shown, chosen.split))
        if chosen.split == TRAIN and run is not None:
            parts.append(_batch(run, view.shown.step))
        parts.append(_group(view.shown, group))
        if needle:
            parts.append(_found(view.shown, group, needle))
    return Text("\n").join(part for part in parts if part.plain)


def _steps(view: SampleView, *, follows: bool) -> Text:
    told = Text()
    if view.shown is not None:
        place, steps = view.steps.index(view.shown.step), view.steps
        told.append(f"step {view.shown.step}", "bold")
        told.append(f"  {'◂ ' if place else '  '}{place + 1} of {len(steps)}{' ▸' if place + 1 < len(steps) else '  '}")
        newest = "the newest: follows" if follows else f"newest: {steps[-1]} (end)"
        told.append(f"  {newest}", theme.FAINT)
    if view.share < 1:
        told.append(f"  looking: {view.share:.0%} of the file", theme.WARNING)
    if view.damaged:
        told.append(f"  {count(view.damaged, 'line')} could not be read", theme.WARNING)
    if view.shown is not None and view.shown.odd:
        told.append(f"  {view.shown.odd} without a completion", theme.WARNING)
    return told


def _rewards(shown: SampledStep, split: str) -> Text:
    """The rewards of all that is told of a split at this step."""
    groups = shown.of_split(split)
    several = [group for group in groups if group.prompt is not None]
    told = Text(f"{visible(split) or 'samples'}: {sum(len(group.samples) for group in groups)} told")
    if several:
        told.append(f" in {count(len(several), 'group')}")
    rewards = spread([reward for group in groups for reward in group.rewards])
    if rewards is None:
        return told.append(", no reward known", theme.FAINT)
    mean, ends = words.number(rewards.mean), f"{words.number(rewards.lowest)} to {words.number(rewards.highest)}"
    told.append(f", reward {mean} ± {words.number(rewards.deviation)} ({ends})")
    alike = sum(group.alike for group in several)
    if several:
        told.append(f", {alike} of {len(several)} all equal", theme.WARNING if alike else "")
    return told


def _batch(run: RunView, step: int) -> Text:
    """What the run logs of all completions of that step."""
    parts = []
    for metric in OF_BATCH:
        curve = run.metrics.get(metric, NONE)
        place = bisect_left(curve.steps, step)
        if place < len(curve.steps) and curve.steps[place] == step:
            parts.append(f"{metric} {words.number(curve.values[place])}")
    return Text(f"of all: {', '.join(parts)}" if parts else "", theme.FAINT)


def _group(shown: SampledStep, place: int) -> Text:
    group, many = shown.groups[place], len(shown.groups)
    told = Text(f"group {place + 1} of {many}{' ▴' if place else ''}{' ▾' if place + 1 < many else ''} ", "bold")
    if group.prompt is None:
        return told.append(f"{visible(group.split)}: one each of {count(len(group.samples), 'prompt')}", "not bold")
    of = f" of {group.of}" if group.of else ""
    told.append(f"{visible(group.split)}: {len(group.samples)}{of} of one prompt", "not bold")
    distinct = len(group.distinct())
    different = "all different" if distinct == len(group.samples) else f"{distinct} different"
    told.append(f", {'all the same' if distinct == 1 else different}", "not bold")
    if group.alike:
        told.append(", all rewards equal", f"not bold {theme.WARNING}")
    return told


def _found(shown: SampledStep, place: int, needle: str) -> Text:
    here = sum(map(bool, (matches(needle, group) for group in shown.groups)))
    return Text(
        f'"{visible(needle)}" in {matches(needle, shown.groups[place])} of {len(shown.groups[place].samples)} here, '
        f"in {here} of {count(len(shown.groups), 'group')}",
        theme.CHANGED,
    )


def matches(needle: str, group: Group) -> int:
    """How many completions of `group` hold `needle`, in either case."""
    return sum(needle.lower() in sample.completion.lower() for sample in group.samples)
