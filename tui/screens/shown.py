"""A screen that shows what is watched: handed the newest when it comes to the front and whenever there is news."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.screen import Screen

from tui.watched import Watched

if TYPE_CHECKING:
    from tui.app import MonitorApp


class Shown(Screen[None]):
    """Asks for nothing: whatever it shows comes through `show`."""

    @property
    def monitor(self) -> MonitorApp:
        """The app, which knows what is watched."""
        return cast("MonitorApp", self.app)

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
