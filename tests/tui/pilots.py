"""What tests that drive the monitor share: waiting for what its threads bring, and text of others."""

import asyncio
from collections.abc import Callable

from textual.pilot import Pilot

from tui.app import MonitorApp

HOSTILE = "[red]bold[/red] [@click=app.leave]x[/] \x1b[31mred\x1b[0m\u202egnp"


async def until(pilot: Pilot, condition: Callable[[], object]) -> None:
    """Wait for what the threads that read will bring."""
    async with asyncio.timeout(30):
        while not condition():
            await pilot.pause(0.01)
    await pilot.pause()


async def settled(pilot: Pilot, text_of: Callable[[MonitorApp], str]) -> str:
    """What is on the screen once that no longer changes."""
    same, text = 0, ""
    while same < 3:
        await pilot.app.workers.wait_for_complete()
        await pilot.pause(0.02)
        before, text = text, text_of(pilot.app)
        same = same + 1 if text == before else 0
    return text


def said(app: MonitorApp) -> str:
    """What notifications have said."""
    return " | ".join(notification.message for notification in app._notifications)
