"""Takes what a person asks to the study, and brings back the answers: those to other monitors, too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from diagnostics.text import visible
from studies import words
from studies.record import Decision
from studies.requests import ask
from tui.actions import BY_NAME, Ask, impossible, label, possible, selected
from tui.aside import aside
from tui.feed import Snapshot
from tui.status import Phase, status
from tui.watched import Watched

if TYPE_CHECKING:
    from textual.notifications import SeverityLevel

    from tui.app import MonitorApp

PATIENCE = 10.0  # seconds for an answer: the loop looks for requests all the time, unless it starts a trial


class Asking:
    """Asks the study that `app` watches."""

    def __init__(self, app: MonitorApp) -> None:
        self._app = app
        self._since: dict[str, float] = {}  # requests without an answer, and when we first saw them so
        self._told: set[str] = set()  # those of which it was said that there is none
        self._labels: list[str] = []  # of what can be asked

    async def begin(self, name: str) -> None:
        """Ask for the action called `name`, after its dialog where it has one; or say why it cannot be asked.

        A dialog stands when this returns, so that what is typed at once goes into it.
        """
        action, watched = BY_NAME[name], self._app.watched
        why_not = impossible(action, watched)
        if why_not:
            self._app.notify(visible(why_not), severity="warning", markup=False)
            return
        study = watched.study
        assert study is not None
        begun = action.begin(study, selected(watched))
        if isinstance(begun, Ask):
            self._leave(begun)
        else:
            await self._app.push_screen(begun, lambda asked: self._leave(asked) if asked is not None else None)

    def _leave(self, asked: Ask) -> None:
        """Leave the request, unless the same has been left and waits for its answer."""
        snapshot = self._app.watched.source
        waiting = snapshot.requests if isinstance(snapshot, Snapshot) else ()
        if asked in [Ask(request.action, request.trial, request.knobs, request.text) for request in waiting]:
            self._app.notify("that was asked already, and there is no answer yet", severity="warning", markup=False)
            return
        aside(self._app, lambda: leave(self._app.path, asked), self._left)

    def _left(self, trouble: str) -> None:
        if trouble:
            self._app.notify(visible(trouble), severity="error", markup=False)
        self._app.feed.look()

    # ---- answers

    def updated(self, before: Watched, now: Watched) -> None:
        """Say what was answered since `before`, and have the footers show what can be asked now."""
        for answer in answers(before.source, now.source):
            severity: SeverityLevel = "information" if answer.data.get("done", True) else "warning"
            self._app.notify(visible(words.answered(answer)), severity=severity, markup=False)
        if (labels := [label(BY_NAME[name], now) for name in possible(now)]) != self._labels:
            self._labels = labels
            for screen in self._app.screen_stack:
                screen.refresh_bindings()

    def remind(self) -> None:
        """Say of requests that nobody answers that it is so, once, and what may be the reason."""
        snapshot, now = self._app.watched.source, self._app.clock()
        if not isinstance(snapshot, Snapshot):
            return
        self._since = {request.id: self._since.get(request.id, now) for request in snapshot.requests}
        for request in snapshot.requests:
            waited = now - self._since[request.id]
            if waited >= PATIENCE and request.id not in self._told:
                self._told.add(request.id)
                asked = words.asked(request.action, request.trial)
                told = f"{asked}: no answer for {words.duration(waited)}. {silence(snapshot, now)}"
                self._app.notify(visible(told), severity="warning", timeout=15, markup=False)


def leave(study: Path, asked: Ask) -> str:
    """Leave the request with the study in `study`; returns why it cannot be, in one line."""
    try:
        ask(study, asked.action, trial=asked.trial, knobs=asked.knobs, text=asked.text)
    except OSError as error:
        return f"{study}: {error.strerror or error}: it could not be asked"
    return ""


def answers(before: object, now: object) -> Iterator[Decision]:
    """The answers that came between two snapshots of a study that was being watched."""
    if not isinstance(before, Snapshot) or not isinstance(now, Snapshot) or now.replayed:
        return
    if before.study is None or now.study is None:
        return
    known = len(before.study.decisions)
    yield from (taken for taken in now.study.decisions[known:] if taken.kind == "request_answered")


def silence(snapshot: Snapshot, now: float) -> str:
    """Why a study may not answer, in one line."""
    if not snapshot.running:
        directory = snapshot.study.directory if snapshot.study else ""
        return f"Nothing runs this study any more; it answers when it goes on: autotune study resume {directory}"
    stands = status(snapshot, now)
    if stands.phase is Phase.STALE:
        return f"The study may hang: {stands.text}"
    return "The study runs and may be busy, starting a trial for example; or its process stands still (Ctrl-Z)"
