"""A screen that shows what is watched: handed the newest when it comes to the front and whenever there is news."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from textual.binding import ActiveBinding
from textual.screen import Screen

from tui.actions import BY_KEY, impossible, label
from tui.watched import Watched

if TYPE_CHECKING:
    from tui.app import MonitorApp


class Shown(Screen[None]):
    """Asks for nothing: whatever it shows comes through `show`."""

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

    def show(self, watched: Watched) -> None:
        """Bring the screen up to date."""
        raise NotImplementedError

    def on_mount(self) -> None:
        """What is known so far."""
        self.show(self.monitor.watched)

    def on_screen_resume(self) -> None:
        """What came while another screen was in front."""
        if self.is_mounted:
            self.show(self.monitor.watched)
