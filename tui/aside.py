"""Work that a person asked for once and that may take its time: in a thread of its own, for which nobody waits.

Textual's own workers are waited for where the app closes, and a disk that does not answer would keep it open.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from textual.events import Callback

if TYPE_CHECKING:
    from tui.app import MonitorApp

Result = TypeVar("Result")


def aside(app: MonitorApp, work: Callable[[], Result], then: Callable[[Result], None]) -> None:
    """Have `app` call `then` with what `work` returns; an error of it is a bug of ours."""

    def run() -> None:
        try:
            result = work()
        except BaseException as error:
            app.broke(error)
            raise
        app.tell(Callback(callback=partial(then, result)))

    threading.Thread(target=run, name="aside", daemon=True).start()
