"""The monitor in this terminal, from its first paint until a person leaves."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from diagnostics.errors import UserError
from diagnostics.sources import Found
from diagnostics.user_map import UserMap
from tui.app import MonitorApp, MonitorResult
from tui.exporting import Account
from tui.feed import Loop
from tui.layout import Layout, state_file
from tui.replay import Playback
from tui.terminal import can_draw

if TYPE_CHECKING:
    from diagnostics.rule import Catalogue

LEAVE_SECONDS = 2.0  # for closing without a terminal, which can hang: what is painted goes nowhere
SWITCH = 0.001  # seconds after which the thread that reads lets a key through; Python's own are 0.005
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_monitor(
    path: Path,
    *,
    loop: Loop | None = None,
    found: Found | None = None,
    mine: UserMap | None = None,
    rules: Catalogue | None = None,
    playback: Playback | None = None,
    account: Account | None = None,
) -> MonitorResult:
    """Show the study in the folder `path`, or the logs that were `found` there, until a person leaves; returns how.

    With `playback` it is played once more as it went on. `account` puts a study into words, for its export.

    With `loop` the study may not have written its first line yet, and when that process dies without an end its last
    words are shown. Ctrl+c from elsewhere is ctrl+c; a kill or a closed terminal leaves.

    UserError where there is no terminal, or a dumb one.
    """
    if not can_draw():
        elsewhere = "study show" if found is None else "diagnose"
        raise UserError("the monitor needs a terminal to draw on", f"Elsewhere: autotune {elsewhere} {path}")
    sys.setswitchinterval(SWITCH)
    layout = Layout(state_file())
    app = MonitorApp(path, loop, found=found, mine=mine, rules=rules, playback=playback, layout=layout, account=account)
    handlers = {number: signal.getsignal(number) for number in SIGNALS}

    async def run() -> MonitorResult | None:
        events = asyncio.get_running_loop()
        threading.Thread(target=_end_with_terminal, args=[app, events], name="terminal", daemon=True).start()
        events.add_signal_handler(signal.SIGINT, app.action_interrupt)
        for number in (signal.SIGTERM, signal.SIGHUP):
            events.add_signal_handler(number, app.action_leave)
        return await app.run_async()

    try:
        return asyncio.run(run()) or MonitorResult.LEFT
    finally:
        app.feed.clear_away()
        for number, handler in handlers.items():  # asyncio leaves the system's own behind
            signal.signal(number, handler)


def _end_with_terminal(app: MonitorApp, events: asyncio.AbstractEventLoop) -> None:
    """End the process once its terminal is gone, of which no signal tells where it was not the controlling one.

    Textual would wait for a writer that has failed, and look for keys without a pause.
    """
    terminal = select.poll()
    terminal.register(sys.__stdout__ or 1, 0)  # that it is gone is told without being asked for
    terminal.poll()
    with suppress(RuntimeError):  # the event loop is closed: the process is about to end
        events.call_soon_threadsafe(app.action_leave)
    time.sleep(LEAVE_SECONDS)
    app.feed.clear_away()
    os._exit(0)
