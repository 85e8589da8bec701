"""What the screens of the monitor share: the headline, the tabs, the panes with the focus among them, and the keys."""

from __future__ import annotations

from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer

from tui.screens.shown import Shown
from tui.screens.zoom import Zoom
from tui.watched import Watched
from tui.widgets.curves import Curves
from tui.widgets.headline import Headline
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
        Binding("m", "app.mark", "Mark", show=False, tooltip="Compare other runs with this one; again: as before"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.watched = Watched()
        self._shown: object = None  # which run

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
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """The clock moves though no file does."""
        self.set_interval(1.0, self.tick)
        panes, left = self.reachable(), self.monitor.layout.get(self._place)
        name = left if isinstance(left, str) and left in panes else panes[0]
        self.turn_to(name)
        self.query_one(f"#{name}").focus()
        super().on_mount()

    def on_resize(self, event: events.Resize) -> None:
        """One column or two."""
        self.set_class(event.size.width < NARROW, "narrow")
        self.set_class(event.size.height >= TALL, "tall")
        self.query_one(Footer).show_command_palette = event.size.width >= NARROW
        self.show_panes()
        self.call_after_refresh(self.tick)

    def show(self, watched: Watched) -> None:
        """Bring the screen up to date."""
        if not self.query(Headline):  # the app is closing
            return
        anew, self._shown = watched.selected != self._shown, watched.selected
        self.watched = watched
        self.display_run(anew=anew)
        self.tick()

    def tick(self) -> None:
        """Show what changes with the time alone."""
        for headline in self.query(Headline):  # none in the instant in which the app closes
            headline.show(self.watched, self.monitor.clock())
        for tabs in self.query(TabLine):
            tabs.show(self.monitor.tabs, self.app.current_mode)

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
