"""All keys that do something where one is: read from the bindings, so that no list of them goes stale."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from textual.app import App
from textual.binding import Binding
from textual.dom import DOMNode

from diagnostics.text import visible
from tui.actions import BY_KEY, impossible
from tui.screens.frame import Frame

if TYPE_CHECKING:
    from tui.app import MonitorApp

Row = tuple[str, str]  # the keys, and what they do
OURS = "tui."  # modules; what Textual binds besides is no key of ours


def groups(app: MonitorApp) -> dict[str, list[Row]]:
    """What the keys of the screen in front do, those of all its panes: title -> rows."""
    screen = app.screen
    label = app.tabs.get(app.current_mode, "") if isinstance(screen, Frame) else ""
    found = {f"The screen {label}".rstrip(): rows(app, bindings(screen))}
    found["Asked of the study"] = rows(app, (b for b in bound(app) if b.action.startswith("ask(")))
    if isinstance(screen, Frame):
        of_panes: dict[tuple[Row, ...], list[str]] = {}
        for pane in screen.PANES:
            keys = tuple(rows(app, bindings(screen.query_one(f"#{pane}"))))
            of_panes.setdefault(keys, []).append(pane)
        found |= {f"In {' and '.join(panes)}": list(keys) for keys, panes in of_panes.items()}
    found["Everywhere"] = rows(app, (b for b in bound(app) if not b.action.startswith("ask(")))
    return {title: keys for title, keys in found.items() if keys}


def bindings(node: DOMNode) -> Iterator[Binding]:
    """What the classes of `node` that are ours bind, the nearest first."""
    for base in type(node).__mro__:
        if base.__module__.startswith(OURS):
            yield from Binding.make_bindings(base.__dict__.get("BINDINGS", ()))


def bound(app: App[Any]) -> Iterator[Binding]:
    """What is bound everywhere."""
    return (active.binding for active in app.screen.active_bindings.values() if active.node is app)


def explained(app: MonitorApp, binding: Binding) -> str:
    """What a binding does, in a few words; of what can be asked also why it cannot be now."""
    action = BY_KEY.get(binding.key)
    if action is None or action.binding != binding.action:
        return binding.tooltip or binding.description
    why_not = impossible(action, app.watched)
    return action.text + (f" (not now: {visible(why_not)})" if why_not else "")


def shown(app: App[Any], binding: Binding) -> str:
    """The key as a person finds it on a keyboard."""
    return app.get_key_display(replace(binding, key_display=None))


def rows(app: MonitorApp, found: Iterable[Binding]) -> list[Row]:
    """A row for each action, with all its keys; a key is taken by the first that binds it."""
    taken: set[str] = set()
    keys: dict[str, list[str]] = {}
    texts: dict[str, str] = {}
    for binding in found:
        if binding.key not in taken:
            taken.add(binding.key)
            keys.setdefault(binding.action, []).append(shown(app, binding))
            texts.setdefault(binding.action, explained(app, binding))
    return [(" ".join(keys[action]), texts[action]) for action in keys]
