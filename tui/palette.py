"""The command palette: every screen, action, key, run, metric and theme, found by a few of its letters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.fuzzy import FuzzySearch
from textual.markup import escape

from diagnostics.text import visible
from tui.actions import ACTIONS, impossible
from tui.copying import findings, settings
from tui.keys import bindings, explained, shown
from tui.screens.zoom import Zoom

if TYPE_CHECKING:
    from textual.binding import ActiveBinding

    from tui.app import MonitorApp


@dataclass(frozen=True, slots=True)
class Command:
    """What can be run, and what else is told of it; the `first` are shown before anything is typed."""

    text: str
    run: Callable[[], Any]
    help: str = ""
    first: bool = True


class Commands(Provider):
    """All that one can do where one is; names in logs stay text."""

    async def discover(self) -> Hits:
        """What there is before anything is typed; runs and metrics may be hundreds."""
        for command in self._commands():
            if command.first:
                text = visible(command.text)
                yield DiscoveryHit(Content(text), command.run, text=text, help=escape(visible(command.help)))

    async def search(self, query: str) -> Hits:
        """What every word of `query` is found in, letter by letter, with gaps between them."""
        fuzzy = FuzzySearch(case_sensitive=False)
        for command in self._commands():
            text = visible(command.text)
            found = [fuzzy.match(word, text) for word in query.split()]
            if all(score > 0 for score, _ in found):
                marked = Content(text)
                for place in {place for _, places in found for place in places}:
                    marked = marked.stylize("bold underline", place, place + 1)
                score = sum(score for score, _ in found)
                yield Hit(score, marked, command.run, text=text, help=escape(visible(command.help)))

    @property
    def _monitor(self) -> MonitorApp:
        return cast("MonitorApp", self.app)

    def _commands(self) -> Iterator[Command]:
        app, watched = self._monitor, self._monitor.watched
        for number, (name, label) in enumerate(app.tabs.items(), 1):
            yield Command(f"Screen: {label} ({number})", partial(app.run_action, f"turn('{name}')"))
        if watched.study is not None:
            for action in ACTIONS:
                why_not = impossible(action, watched)
                text = f"Ask: {action.text} ({action.key})"
                told = why_not and f"not now: {why_not}"
                yield Command(text, partial(app.action_ask, action.name), told, first=not why_not)
        yield from self._keys()
        if watched.run is not None:
            name = watched.run.name
            if watched.study is not None:
                known = settings(watched), f"the settings of {name}"
                yield Command(f"Copy {known[1]} as KNOB=VALUE", partial(app.copy, *known))
            found = findings(watched), f"the findings of {name}"
            yield Command(f"Copy {found[1]}", partial(app.copy, *found))
        yield Command("Screenshot: this screen as a picture (SVG)", app.exporting.picture)
        for name in sorted(app.available_themes):
            yield Command(f"Theme: {name}", partial(setattr, app, "theme", name))
        for run in watched.runs:
            yield Command(f"Go to {run.name}", partial(app.select, run.key), first=False)
        if watched.run is not None:
            for metric in (*watched.run.metrics, *watched.run.others):
                yield Command(f"Zoom {metric}", partial(self._zoom, metric), first=False)

    def _keys(self) -> Iterator[Command]:
        """What else has keys where one is: those of the app before those of the screen and of the pane."""
        app = self._monitor
        found: dict[str, tuple[ActiveBinding, list[str]]] = {}
        for key, active in self.screen.active_bindings.items():
            action = active.binding.action
            ours = active.node is app or key in {known.key for known in bindings(active.node)}
            if ours and not action.startswith(("ask(", "turn(", "command_palette")):
                found.setdefault(action, (active, []))[1].append(shown(app, active.binding))
        for action, (active, keys) in reversed(found.items()):
            run = partial(self._run, action, active.node)
            yield Command(f"{explained(app, active.binding)} ({' '.join(keys)})", run)

    def _run(self, action: str, node: Any) -> Awaitable[bool]:
        return self.app.run_action(action, node)

    async def _zoom(self, metric: str) -> None:
        app = self._monitor
        if isinstance(app.screen, Zoom):
            app.pop_screen()
        await app.push_screen(Zoom(metric))
