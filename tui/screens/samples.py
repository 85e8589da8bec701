"""What the model says: prompts, completions and rewards, step by step, a group's completions side by side."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widgets import Input, Static

from diagnostics.samples import Group
from diagnostics.text import visible
from tui.sample_feed import SampleFeed, SampleView, wanted
from tui.screens.completion import Completion
from tui.screens.frame import Frame
from tui.widgets.completions import STEPS, Completions, lines_of
from tui.widgets.sample_head import head, matches


class Read(Message):
    """What was read of the samples."""

    def __init__(self, view: SampleView) -> None:
        super().__init__()
        self.view = view

    def can_replace(self, message: Message) -> bool:
        """A flood of them comes to its last one."""
        return isinstance(message, Read)


class Prompt(VerticalScroll):
    """The prompt of the group."""

    BINDINGS: ClassVar[list[BindingType]] = STEPS

    def compose(self) -> ComposeResult:
        """A text that scrolls."""
        yield Static(markup=False)


class SamplesScreen(Frame):
    """One step, and one group of it; follows the newest step until another is chosen."""

    PANES = ("completions", "prompt")
    DEFAULT_CSS = """
    SamplesScreen {
        #head, #prompt, #completions, #needle { background: $surface; }
        #head { height: auto; max-height: 6; padding: 0 1; }
        #prompt { height: auto; max-height: 25%; min-height: 2; border-top: solid $primary-darken-2; padding: 0 1;
            scrollbar-size-vertical: 1; border-title-color: $text-muted; }
        #prompt Static { height: auto; }
        #completions { height: 1fr; border-top: solid $primary-darken-2; padding: 0 0 0 1; overflow-x: hidden;
            overflow-y: scroll; scrollbar-size-vertical: 1; border-title-color: $text-muted; }
        #prompt:focus, #completions:focus { border-top: heavy $accent; border-title-color: $accent; }
        #needle { display: none; height: 1; border: none; padding: 0 1; }
        #needle.shown { display: block; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search", key_display="/", tooltip="Search in the completions of this step"),
        Binding("escape", "clear", "Clear the search", show=False),
        Binding("tab", "pane(1)", "Pane", show=False, tooltip="To the next pane"),
        Binding("q", "app.leave", "Leave", tooltip="Close the monitor; what is watched goes on"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.view = SampleView()
        self.step: int | None = None  # None follows the newest
        self.place = 0  # of the group among those of the step
        self._needle = ""
        self._feed: SampleFeed | None = None

    def body(self) -> ComposeResult:
        """The step, the prompt, the completions."""
        yield Static(id="head", markup=False)
        yield Prompt(id="prompt")
        yield Completions(id="completions")
        yield Input(id="needle", placeholder="search in the completions: enter goes to the next group, esc ends")

    # ---- reading

    def on_mount(self) -> None:
        """Begin to read."""
        self._feed = SampleFeed(lambda view: self.monitor.tell(Read(view), self), self.monitor.broke)
        self._feed.start()

    def on_unmount(self) -> None:
        """Whatever the thread is doing, nobody waits for it."""
        if self._feed is not None:
            self._feed.stop()

    def on_screen_suspend(self) -> None:
        """Nothing is read for a screen that nobody sees."""
        if self._feed is not None:
            self._feed.want(None)

    def _want(self) -> None:
        if self._feed is not None:
            self._feed.want(wanted(self.watched, self.step))

    @on(Read)
    def _read(self, message: Read) -> None:
        if self.watched.run is None or message.view.key != self.watched.run.key:
            return  # it is of a run that was left
        before, self.view = self.view.shown, message.view
        self._show(anew=before is None or self.view.shown is None or before.step != self.view.shown.step)

    # ---- what is shown

    def display_run(self, *, anew: bool) -> None:
        """The samples of the selected run."""
        if anew:
            self.step, self.place = None, 0
            self.view = SampleView(self.watched.selected)
            self._show(anew=True)
        if self.is_current:
            self._want()

    @property
    def group(self) -> Group | None:
        """What is looked at."""
        groups = self.view.shown.groups if self.view.shown else ()
        return groups[min(self.place, len(groups) - 1)] if groups else None

    def _show(self, *, anew: bool) -> None:
        group, run = self.group, self.watched.run
        place = min(self.place, len(self.view.shown.groups) - 1) if self.view.shown and group else 0
        self.query_one("#head", Static).update(head(self.view, run, place, self._needle, follows=self.step is None))
        prompt = self.query_one(Prompt)
        prompt.display = group is not None and group.prompt is not None
        prompt.border_title = "Prompt"
        prompt.query_one(Static).update(lines_of(group.prompt or "", self._needle) if group else "")
        completions = self.query_one(Completions)
        completions.border_title = Text(visible(f"Completions of {run.name}" if run else "Completions"))
        hint = self.view.trouble or ("looking for samples" if run else "no run yet")
        completions.show(group, self._needle, hint, anew=anew)
        if anew:
            prompt.scroll_home(animate=False)

    # ---- keys

    def action_step(self, by: int) -> None:
        """To the step before or after."""
        if self.view.shown is not None:
            there = self.view.steps.index(self.view.shown.step) + by
            if 0 <= there < len(self.view.steps):
                self._turn(self.view.steps[there])

    def action_first(self) -> None:
        """To the first step."""
        if self.view.steps:
            self._turn(self.view.steps[0])

    def action_newest(self) -> None:
        """To the newest step, whichever that will be."""
        self._turn(None)

    def _turn(self, step: int | None) -> None:
        self.step = step
        self._show(anew=False)
        self._want()

    def action_group(self, by: int) -> None:
        """To the group before or after."""
        groups = self.view.shown.groups if self.view.shown else ()
        if 0 <= self.place + by < len(groups):
            self.place += by
            self._show(anew=True)

    @on(Completions.Opened)
    def _opened(self, event: Completions.Opened) -> None:
        if self.group is not None and self.view.shown is not None:
            self.app.push_screen(Completion(self.group, self.view.shown.step, event.index, self._needle))

    # ---- search

    def action_search(self) -> None:
        """Ask what to search for."""
        needle = self.query_one(Input)
        needle.add_class("shown")
        needle.focus()

    def action_clear(self) -> None:
        """Search for nothing any more."""
        needle = self.query_one(Input)
        needle.remove_class("shown")
        needle.value = ""
        self.query_one(Completions).focus()

    @on(Input.Changed, "#needle")
    def _changed(self, event: Input.Changed) -> None:
        self._needle = event.value
        self._show(anew=False)

    @on(Input.Submitted, "#needle")
    def _submitted(self) -> None:
        """To the next group in which it is found."""
        groups = self.view.shown.groups if self.view.shown else ()
        for i in range(1, len(groups) + 1):
            there = (self.place + i) % len(groups)
            if matches(self._needle, groups[there]):
                self.place = there
                self._show(anew=True)
                break
        self.query_one(Completions).focus()
