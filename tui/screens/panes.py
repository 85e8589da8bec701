"""What the screens of the monitor share: panes that lie as there is room, the focus among them, one of them large."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.text import Text
from textual import events, on
from textual.screen import Screen
from textual.widget import Widget

from tui.screens.zoom import Zoom
from tui.widgets.curves import Curves, Plot

NARROW = 150  # cells; below, the panes stand one upon the other
TALL = 36  # lines; from here on the panes share the height evenly


class Panes(Screen[None]):
    """A screen of panes, by their ids in the order of the tab key; the curves are among them."""

    PANES: ClassVar[tuple[str, ...]]

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self.clock = clock

    def tick(self) -> None:
        """Show what changes with the time alone."""
        raise NotImplementedError

    def show_panes(self) -> None:
        """Show the panes that there is room for."""

    def reachable(self) -> tuple[str, ...]:
        """The panes that the tab key leads to."""
        return self.PANES

    def turn_to(self, name: str) -> None:
        """See that the pane called `name` is shown."""

    def on_mount(self) -> None:
        """The clock moves though no file does."""
        self.set_interval(1.0, self.tick)
        self.tick()
        self.query_one(f"#{self.PANES[0]}").focus()

    def on_resize(self, event: events.Resize) -> None:
        """One column or two."""
        self.set_class(event.size.width < NARROW, "narrow")
        self.set_class(event.size.height >= TALL, "tall")
        self.show_panes()
        self.call_after_refresh(self.tick)

    def draw(self, plots: Sequence[Plot], title: Text, *, anew: bool) -> None:
        """Show `plots`, in the pane and where one is on the whole screen; `anew` goes back to the first."""
        curves = self.query_one(Curves)
        curves.border_title = title
        curves.show(plots, anew=anew)
        for screen in self.app.screen_stack:
            if isinstance(screen, Zoom):
                screen.show(curves.plots, title)

    def action_pane(self, step: int) -> None:
        """Move the focus, and show the pane that has it."""
        panes = self.reachable()
        focused = self.focused.id if self.focused and self.focused.id in panes else panes[-1]
        name = panes[(panes.index(focused) + step) % len(panes)]
        if self.maximized is not None:
            self.minimize()
        self.turn_to(name)
        self.set_focus(self.query_one(f"#{name}"))

    def action_zoom_pane(self) -> None:
        """The focused pane on the whole screen, or back."""
        pane: Widget | None = self.focused
        if self.maximized is not None:
            self.minimize()
        elif pane is not None:
            self.maximize(pane)

    @on(Curves.Zoomed)
    def _zoomed(self, event: Curves.Zoomed) -> None:
        curves = self.query_one(Curves)
        self.app.push_screen(Zoom(event.metric, curves.plots, Text(str(curves.border_title))))
