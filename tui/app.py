"""The monitor: attaches to a study or to logs of any format, running or over, reads files and never disturbs them.

Files -> thread -> one frozen snapshot -> one message -> reactives: see `tui.feed`. The app owns the thread and the
screens and knows nothing of what they show.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import Enum
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, ClassVar

from rich.terminal_theme import TerminalTheme
from textual import events
from textual.app import App
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.message_pump import MessagePump
from textual.screen import ModalScreen
from textual.widgets import Input

from diagnostics.sources import Found
from diagnostics.text import visible
from diagnostics.user_map import UserMap
from tui import theme
from tui.actions import ACTIONS
from tui.asking import Asking
from tui.exporting import Account, Exporting
from tui.feed import Feed, Loop, Snapshot
from tui.layout import Choice, Layout
from tui.log_feed import LogFeed, Logs
from tui.look import Look
from tui.replay import Playback
from tui.screens.frame import Frame
from tui.screens.logs import LogScreen
from tui.screens.shown import Shown
from tui.screens.study import StudyScreen
from tui.watched import RunKey, Watched

if TYPE_CHECKING:
    from textual.command import Provider

    from diagnostics.rule import Catalogue


# The screens of one run: their classes are imported when a person first turns to them.
OF_A_RUN = {
    "run": "tui.screens.run:RunScreen",
    "finding": "tui.screens.finding:FindingScreen",
    "samples": "tui.screens.samples:SamplesScreen",
    "compare": "tui.screens.compare:CompareScreen",
    "system": "tui.screens.system:SystemScreen",
}
LABELS = {"finding": "Finding", "samples": "Samples", "compare": "Compare", "system": "System"}
# Of a replay: the key, what it does, its label, and how the key is shown, if it is.
REPLAY_KEYS = (
    ("space", "pause", "Pause", "space"),
    ("plus", "faster", "Faster", "+"),
    ("minus", "slower", "Slower", ""),  # whoever finds + finds -, and the line of keys has 80 cells
    ("greater_than_sign", "finish", "End", ">"),
)


LEAVES = "Close the monitor; what it watches goes on"
INTERRUPTS = "Close the monitor; if this terminal started the study, interrupt it"


class MonitorResult(Enum):
    """How a person closed the monitor."""

    LEFT = "left"  # the study goes on
    INTERRUPT = "interrupt"  # with ctrl+c: the study is meant as well, where this terminal started it


class SnapshotReady(Message):
    """The newest that is known of the study, or of the logs."""

    def __init__(self, snapshot: Snapshot | Logs) -> None:
        super().__init__()
        self.snapshot = snapshot

    def can_replace(self, message: Message) -> bool:
        """A flood of snapshots comes to its last one."""
        return isinstance(message, SnapshotReady)


class FeedFailed(Message):
    """The thread that reads met a bug of ours."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


def _made(name: str) -> Shown:
    screen: Shown = resolve_name(name)()
    return screen


def _commands() -> type[Provider]:
    from tui.palette import Commands

    return Commands


class MonitorApp(App[MonitorResult]):
    """Watches the logs that were `found` at `path`, their names read by a person's own map `mine`, judged by `rules`.

    Without them it is the folder of a study; `loop` is the process that runs it, where that is ours.
    """

    CSS_PATH = Path(__file__).with_name("app.tcss")
    TITLE = "autotune monitor"
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {_commands}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "Help", tooltip="All keys and signs", key_display="?"),
        Binding("q", "leave", "Leave", tooltip=LEAVES),
        Binding("y", "copy", "Copy", show=False, tooltip="Copy what is selected, else the words of the pane"),
        Binding("e", "export", "Export", show=False, tooltip="Write the report on what is shown into a file"),
        Binding("ctrl+c", "interrupt", "Interrupt", show=False, priority=True, tooltip=INTERRUPTS),
        Binding("ctrl+q", "leave", "Leave", show=False, priority=True, tooltip=LEAVES),
    ]

    tabs: Mapping[str, str]  # the names of the screens and their labels, in the order of their keys

    def __init__(
        self,
        path: Path,
        loop: Loop | None = None,
        *,
        found: Found | None = None,
        mine: UserMap | None = None,
        rules: Catalogue | None = None,
        clock: Callable[[], float] = time.time,
        playback: Playback | None = None,
        layout: Layout | None = None,
        account: Account | None = None,
    ) -> None:
        super().__init__()
        self.layout = layout or Layout(None)
        self.panes: dict[str, Choice] = {}  # which was looked at last, by the screen's name
        self._have_themes()
        self.path, self.rules, self.clock, self.playback = path, rules, playback or clock, playback
        self._attached = loop is None
        self.watched = Watched()
        self.look = Look.chosen(self.layout.get)
        self.asking = Asking(self)
        self.exporting = Exporting(self, mine, rules, account)
        self.feed: Feed | LogFeed
        if playback is not None:
            self.feed = self._replay(playback, found, mine, rules)
        elif found is None:
            self.feed = Feed(path, self._publish, self.broke, loop)
        else:
            self.feed = LogFeed(path, found, self._publish, self.broke, mine=mine, rules=rules, clock=clock)
        if isinstance(self.feed, Feed):
            self.tabs = {"study": "Study", "run": "Trial", **LABELS}
            self.add_mode("study", StudyScreen)
            for action in ACTIONS:
                self.bind(action.key, action.binding, description=action.text, show=action.hint)
        else:
            self.tabs = {"logs": "Runs", "run": "Run", **LABELS}
            self.add_mode("logs", LogScreen)
        for name, screen in OF_A_RUN.items():
            self.add_mode(name, partial(_made, screen))
        for number, name in enumerate(self.tabs, 1):
            self.bind(str(number), f"turn('{name}')", description=f"Turn to {self.tabs[name]}", show=False)

    def _replay(
        self, playback: Playback, found: Found | None, mine: UserMap | None, rules: Catalogue | None
    ) -> Feed | LogFeed:
        from tui.replay_feed import LogReplay, StudyReplay

        for key, action, label, shown in REPLAY_KEYS:
            self.bind(key, f"replay('{action}')", description=label, key_display=shown or None, show=bool(shown))
        if found is None:
            return StudyReplay(self.path, self._publish, self.broke, playback)
        return LogReplay(self.path, found, self._publish, self.broke, playback, mine=mine, rules=rules)

    def action_replay(self, change: str) -> None:
        """Pause a replay, change its speed, or play all that is left."""
        assert self.playback is not None
        {
            "pause": self.playback.pause,
            "faster": self.playback.faster,
            "slower": self.playback.slower,
            "finish": self.playback.finish,
        }[change]()
        self.feed.look()
        for screen in self.screen_stack:
            if isinstance(screen, Frame):
                screen.tick()

    def _have_themes(self) -> None:
        """Ours alone: of those that Textual brings nobody saw to it that severities can be told apart."""
        for palette in theme.PALETTES.values():
            self.register_theme(palette.theme)
        chosen = self.layout.get("theme")
        self.theme = chosen if isinstance(chosen, str) and chosen in theme.PALETTES else theme.DARK.name
        for name in self.available_themes.keys() - theme.PALETTES.keys():
            self.unregister_theme(name)

    @property
    def ansi_theme(self) -> TerminalTheme:
        """What the sixteen colours of a terminal look like."""
        return theme.terminal(self.theme)

    def on_mount(self) -> None:
        """The screen of it that was looked at last; of another log or study, or one that is started, the first."""
        again = self._attached and self.layout.get(self._last) == self._watched
        left = self.layout.get(self._place) if again else None
        self.switch_mode(left if isinstance(left, str) and left in self.tabs else next(iter(self.tabs)))

    def on_ready(self) -> None:
        """Begin to read, once there is a screen to show it."""
        self.screen.call_after_refresh(self.feed.start)
        if self.layout.trouble:
            self.notify(self.layout.trouble, severity="warning", markup=False)
        self.theme_changed_signal.subscribe(self, lambda _: self.remember())
        self.set_interval(1.0, self.asking.remind)

    def on_unmount(self) -> None:
        """Whatever the thread is doing, nobody waits for it."""
        self.feed.stop()
        self.remember()

    @property
    def _place(self) -> str:
        """What the screen in front is remembered under: studies and logs have screens of their own."""
        return f"{next(iter(self.tabs))}.screen"

    @property
    def _last(self) -> str:
        """What is remembered to have been watched last, studies and logs apart, stands under this."""
        return f"{next(iter(self.tabs))}.watched"

    @property
    def _watched(self) -> str:
        return visible(str(self.path.absolute()))

    def remember(self) -> None:
        """Keep how it looks, for the next time."""
        now: dict[str, Choice] = {"theme": self.theme, **self.look.choices(), **self.panes}
        if self.current_mode in self.tabs:
            now |= {self._place: self.current_mode, self._last: self._watched}
        trouble = self.layout.keep(now)
        if trouble:
            self.notify(trouble, severity="warning", markup=False)

    def _publish(self, snapshot: Snapshot | Logs) -> None:
        self.tell(SnapshotReady(snapshot))

    def broke(self, error: BaseException) -> None:
        """End with the traceback of a bug that a thread met; called from that thread."""
        self.tell(FeedFailed(error))

    def tell(self, message: Message, to: MessagePump | None = None) -> None:
        """Post `message` from a thread that reads, by default to the app."""
        try:
            (to or self).post_message(message)
        except RuntimeError:  # the event loop was closed in this instant
            if self.is_running:
                raise

    def on_snapshot_ready(self, message: SnapshotReady) -> None:
        """The only place where what is known is written."""
        self._watch(self.watched.updated(message.snapshot))

    def change_look(self, look: Look) -> None:
        """Have all curves drawn as `look` says."""
        self.look = look
        for screen in self.screen_stack:
            if isinstance(screen, Shown):
                screen.draw_as(look)

    def select(self, key: RunKey) -> None:
        """Look at the run that is known by `key`."""
        if key != self.watched.selected:
            self._watch(replace(self.watched, selected=key))

    def _watch(self, watched: Watched) -> None:
        """Have the screens that are in front show `watched`."""
        before, self.watched = self.watched, watched
        self.asking.updated(before, watched)
        if isinstance(self.feed, Feed):
            looked_at = (watched.run, watched.compared)
            self.feed.want(run.key for run in looked_at if run is not None and isinstance(run.key, int))
        for screen in self.screen_stack:
            if isinstance(screen, Shown):
                screen.show(watched)

    def on_key(self, event: events.Key) -> None:
        """A letter that the focused input has not taken was typed before it had the focus, and is meant for it."""
        if event.is_printable and isinstance(self.focused, Input):
            event.stop()
            event.prevent_default()
            self.focused.post_message(events.Key(event.key, event.character))

    async def action_turn(self, name: str) -> None:
        """Bring the screen called `name` to the front."""
        await self.switch_mode(name)

    def action_help(self) -> None:
        """All keys and signs."""
        from tui.keys import groups
        from tui.screens.help import LOG_SIGNS, STUDY_SIGNS, Help

        self.push_screen(Help(groups(self), STUDY_SIGNS if isinstance(self.feed, Feed) else LOG_SIGNS))

    def action_command_palette(self) -> None:
        """Everything there is, found by a few letters."""
        from textual.command import CommandPalette

        if not isinstance(self.screen, ModalScreen):
            told = "a screen, an action, a run, a metric, a theme"
            self.push_screen(CommandPalette(placeholder=told, id="--command-palette"))

    def action_copy(self) -> None:
        """Put what is selected, or the focused pane's text, on the clipboard."""
        from tui.copying import copied

        self.copy(*copied(self.screen))

    def copy(self, text: str, what: str) -> None:
        """Put `text` on the clipboard, by way of the terminal, and say so."""
        from tui.copying import LARGEST, told

        if text:
            self.copy_to_clipboard(text[:LARGEST])
            self.screen.clear_selection()
        self.notify(told(text, what), markup=False)

    async def action_export(self) -> None:
        """Write the report on what is shown into a file."""
        await self.exporting.begin()

    async def action_ask(self, name: str) -> None:
        """Ask something of the study that is watched."""
        await self.asking.begin(name)

    def action_next_run(self, step: int) -> None:
        """Look at a neighbour of the selected run."""
        keys = [run.key for run in self.watched.runs]
        if self.watched.selected in keys:
            there = keys.index(self.watched.selected) + step
            if 0 <= there < len(keys):
                self.select(keys[there])

    def mark(self, key: RunKey | None) -> None:
        """Compare what is selected with the run that is known by `key`; None for the run that stands to reason."""
        self._watch(replace(self.watched, baseline=key))

    def action_mark(self) -> None:
        """Compare other runs with the selected one; once more takes that back."""
        run = self.watched.run
        if run is not None:
            again = self.watched.baseline == run.key
            self.mark(None if again else run.key)
            what = "no run is marked any more" if again else f"marked: other runs are compared with {visible(run.name)}"
            self.notify(what, markup=False)

    def on_feed_failed(self, message: FeedFailed) -> None:
        """A bug shows its traceback."""
        raise message.error

    def action_leave(self) -> None:
        """Close; whatever is watched goes on."""
        self.feed.stop()
        self.exit(MonitorResult.LEFT)

    def action_interrupt(self) -> None:
        """Close, and say that ctrl+c did it."""
        self.feed.stop()
        self.exit(MonitorResult.INTERRUPT)
