"""What the screens of the monitor share: the headline, the tabs, the panes with the focus among them, and the keys."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.css.query import NoMatches
from textual.widget import Widget
from textual.widgets import Footer, Input

from tui.look import Look
from tui.screens.shown import Shown
from tui.screens.zoom import Zoom
from tui.watched import Watched
from tui.widgets.curves import Curves
from tui.widgets.headline import Headline
from tui.widgets.look_line import LookLine, Search
from tui.widgets.tab_line import TabLine

NARROW = 150  # cells; below, panes stand one upon the other
TALL = 36  # lines; from here on panes share the height evenly


class Frame(Shown):
    """A screen of panes, named by their ids in the order of the tab key."""

    PANES: ClassVar[tuple[str, ...]]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "pane(1)", "Pane", tooltip="To the next pane"),
        Binding("shift+tab", "pane(-1)", "Pane before", show=False, tooltip="To the pane before"),
        Binding("right_square_bracket", "app.next_run(1)", "Next run", show=False, key_display="]"),
        Binding("left_square_bracket", "app.next_run(-1)", "Run before", show=False, key_display="["),
        Binding("slash", "search", "Search", key_display="/", tooltip="Search metrics; ! for what findings rest on"),
        Binding("escape", "end_search(True)", "All metrics", show=False, tooltip="Show all metrics again"),
        Binding("m", "app.mark", "Mark", show=False, tooltip="Compare other runs with this one; again: as before"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.watched = Watched()
        self._shown: object = None  # which run
        self._before_search: Widget | None = None  # what had the focus
        self._complete = False  # news may come while a screen is still put together

    # ---- what a screen says of itself

    def body(self) -> ComposeResult:
        """What stands between the tabs and the keys."""
        raise NotImplementedError

    def display_run(self, *, anew: bool) -> None:
        """Show `self.watched`; `anew` says that another run was selected than was shown."""
        raise NotImplementedError

    def show_panes(self) -> None:
        """Show the panes that there is room for."""

    def reachable(self) -> tuple[str, ...]:
        """The panes that the tab key leads to."""
        return self.PANES

    def turn_to(self, name: str) -> None:
        """See that the pane called `name` is shown."""

    # ---- what all do

    def compose(self) -> ComposeResult:
        """The headline, the tabs, the body, the keys."""
        yield Headline(self.monitor.path, self.monitor.playback, id="headline")
        yield TabLine(id="tabs")
        yield from self.body()
        yield LookLine()
        yield Search()
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """The clock moves though no file does."""
        self.set_interval(1.0, self.tick)
        panes, left = self.reachable(), self.monitor.layout.get(self._place)
        name = left if isinstance(left, str) and left in panes else panes[0]
        self.turn_to(name)
        self.query_one(f"#{name}").focus()
        self._complete = True

    def on_resize(self, event: events.Resize) -> None:
        """One column or two."""
        self.set_class(event.size.width < NARROW, "narrow")
        self.set_class(event.size.height >= TALL, "tall")
        self.query_one(Footer).show_command_palette = event.size.width >= NARROW
        self.show_panes()
        self.call_after_refresh(self.tick)

    def show(self, watched: Watched) -> None:
        """Bring the screen up to date."""
        if not self._complete or not self.query(Headline):  # the latter: the app is closing
            return
        anew, self._shown = watched.selected != self._shown, watched.selected
        self.watched = watched
        self.display_run(anew=anew)
        self.draw_as(self.monitor.look)
        self.tick()

    def draw_as(self, look: Look) -> None:
        """Draw all curves as `look` says, and say so."""
        for line in self.query(LookLine):
            line.display = False
            for curves in self.query(Curves):
                curves.draw_as(look)
                line.show(look, self.watched, len(curves.matching), len(curves.plots))

    def action_search(self) -> None:
        """Ask which metrics to show, where there are curves."""
        if self.query(Curves):
            self._before_search = self.focused
            search = self.query_one(Search)
            search.add_class("open")
            search.value = self.monitor.look.search
            search.focus()

    def action_end_search(self, all_metrics: bool) -> None:
        """Close the search, with what it found or with all metrics; a pane on the whole screen goes back first."""
        if self.maximized is not None and not isinstance(self.focused, Search):
            self.minimize()
            return
        self.query_one(Search).remove_class("open")
        if all_metrics:
            self.monitor.change_look(replace(self.monitor.look, search=""))
        if isinstance(self.focused, Search):
            self.set_focus(self.query_one(Curves) if not all_metrics else self._before_search)

    @on(Input.Changed)
    def _searched(self, event: Input.Changed) -> None:
        if isinstance(event.input, Search) and event.input.has_class("open"):
            self.monitor.change_look(replace(self.monitor.look, search=event.value))

    @on(Input.Submitted)
    def _found(self, event: Input.Submitted) -> None:
        if isinstance(event.input, Search):
            self.action_end_search(False)

    def tick(self) -> None:
        """Show what changes with the time alone."""
        with suppress(NoMatches):  # there is none in the instant in which the app closes
            self.query_one("#headline", Headline).show(self.watched, self.monitor.clock())
            self.query_one("#tabs", TabLine).show(self.monitor.tabs, self.app.current_mode)

    def action_pane(self, step: int) -> None:
        """Move the focus, and show the pane that has it."""
        panes = self.reachable()
        focused = self.focused.id if self.focused and self.focused.id in panes else panes[-1]
        name = panes[(panes.index(focused) + step) % len(panes)]
        if self.maximized is not None:
            self.minimize()
        self.turn_to(name)
        self.set_focus(self.query_one(f"#{name}"))

    @property
    def _place(self) -> str:
        """What its pane with the focus is remembered under."""
        return f"{self.app.current_mode}.pane"

    def on_descendant_focus(self) -> None:
        """Remember where it is."""
        if self.focused is not None and self.focused.id in self.reachable():
            self.monitor.panes[self._place] = self.focused.id

    def action_zoom_pane(self) -> None:
        """The focused pane on the whole screen, or back."""
        if self.maximized is not None:
            self.minimize()
        elif self.focused is not None:
            self.maximize(self.focused)

    @on(Curves.Zoomed)
    def _zoomed(self, event: Curves.Zoomed) -> None:
        self.app.push_screen(Zoom(event.metric))
