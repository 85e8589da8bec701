"""A screen that shows what is watched: handed the newest when it comes to the front and whenever there is news."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, cast

from textual.binding import ActiveBinding, Binding, BindingType
from textual.screen import Screen

from tui.actions import BY_KEY, impossible, label
from tui.look import SMOOTHING, Look
from tui.plots import reach_of
from tui.watched import Watched

if TYPE_CHECKING:
    from tui.app import MonitorApp


class Shown(Screen[None]):
    """Asks for nothing: whatever it shows comes through `show`, and how its curves are drawn through `draw_as`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("b", "baseline", "Baseline", show=False, tooltip="Show or hide the run beneath, dotted"),
        Binding("L", "log_scale", "Log scale", show=False, tooltip="Values on a log scale, or not"),
        Binding("T", "by_time", "By time", show=False, tooltip="Curves by time, or by step"),
        Binding("S", "smooth", "Smooth", show=False, tooltip="A running median over the curve: none, narrow, wide"),
        Binding("z", "span(0.5)", "Zoom in", show=False, tooltip="Half as many steps, around the cursor or at the end"),
        Binding("Z", "span(2)", "Zoom out", show=False, tooltip="Twice as many steps"),
        Binding("0", "whole", "Whole run", show=False, tooltip="All steps of the run"),
    ]

    @property
    def monitor(self) -> MonitorApp:
        """The app, which knows what is watched."""
        return cast("MonitorApp", self.app)

    @property
    def active_bindings(self) -> dict[str, ActiveBinding]:
        """What the footer shows: of what can be asked of a study only what can be asked now."""
        watched, bindings = self.monitor.watched, super().active_bindings
        for key, action in BY_KEY.items():
            if key in bindings and bindings[key].binding.action == action.binding:
                binding = bindings[key].binding
                if impossible(action, watched):
                    shown = replace(binding, show=False)
                else:
                    shown = replace(binding, description=label(action, watched))
                bindings[key] = bindings[key]._replace(binding=shown)
        return bindings

    @property
    def cursor(self) -> int | None:
        """The step that is pointed at."""
        return None

    def draw_as(self, look: Look) -> None:
        """Draw the curves as `look` says."""

    def action_baseline(self) -> None:
        """Show or hide the run beneath."""
        look = self.monitor.look
        self.monitor.change_look(replace(look, baseline=not look.baseline))

    def action_log_scale(self) -> None:
        """Values on a log scale, or not."""
        look = self.monitor.look
        self.monitor.change_look(replace(look, log=not look.log))

    def action_by_time(self) -> None:
        """Curves by time, or by step."""
        look = self.monitor.look
        self.monitor.change_look(replace(look, time=not look.time))

    def action_smooth(self) -> None:
        """The next width of the running median."""
        look = self.monitor.look
        self.monitor.change_look(replace(look, smooth=(look.smooth + 1) % len(SMOOTHING)))

    def action_span(self, factor: float) -> None:
        """Show `factor` times as many steps."""
        watched = self.monitor.watched
        if watched.run is not None:
            reach = reach_of(watched.run, watched.beneath)
            self.monitor.change_look(self.monitor.look.zoomed(reach, factor, self.cursor))

    def action_whole(self) -> None:
        """Show all steps."""
        self.monitor.change_look(replace(self.monitor.look, span=None, end=None))

    def show(self, watched: Watched) -> None:
        """Bring the screen up to date."""
        raise NotImplementedError

    def on_mount(self) -> None:
        """What is known so far. Textual calls this and that of each class below, which is why none calls its super."""
        self.show(self.monitor.watched)

    def on_screen_resume(self) -> None:
        """What came while another screen was in front."""
        if self.is_mounted:
            self.show(self.monitor.watched)
