"""One run on the whole screen: all its curves by what they tell, with the run beneath that it is compared with."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult

from diagnostics.text import visible
from tui.screens.frame import Frame
from tui.widgets.curves import Curves, plots


class RunScreen(Frame):
    """The curves of the selected run."""

    PANES = ("curves",)

    def body(self) -> ComposeResult:
        """The curves."""
        yield Curves(id="curves", by_group=True)

    def display_run(self, *, anew: bool) -> None:
        """The curves of the selected run."""
        run, beneath = self.watched.run, self.watched.beneath
        if run is None:
            return
        curves = self.query_one(Curves)
        dotted = f"  (dotted: {beneath.name})" if beneath else ""
        curves.border_title = Text(visible(f"{run.name}{dotted}"))
        curves.show(plots(run, beneath), anew=anew)
