"""Completions side by side, the best first, as many in a row as there is room for."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from diagnostics.samples import Group, Sample
from diagnostics.text import count, visible
from studies import words
from tui import theme

CARD, GAP = 32, 2  # the least cells of a completion, and those between two
MOST = 40  # lines of a completion; enter shows all
BEST, WORST, CUT = "▲ best", "▼ worst", "✂ cut here: no end token"
FOUND = Style(reverse=True, bold=True)
FAINT = Style(color=theme.FAINT)

# Of all panes of the screen, before what Textual does with these keys.
STEPS: list[BindingType] = [
    Binding("left,h", "screen.step(-1)", "Step", key_display="←→", tooltip="The step before that has samples"),
    Binding("right,l", "screen.step(1)", "Next step", show=False, tooltip="The next step that has samples"),
    Binding("home", "screen.first", "First step", show=False),
    Binding("end", "screen.newest", "Newest", show=False, tooltip="The newest step, and those that come"),
    Binding("up", "screen.group(-1)", "Group", key_display="↑↓", tooltip="The group before"),
    Binding("down", "screen.group(1)", "Next group", show=False),
]


def lines_of(text: str, needle: str = "", style: Style | str = "") -> Text:
    """`text` with its line breaks, all other controls written out, and every `needle` marked, in either case."""
    told = Text("\n".join(visible(line) for line in text.split("\n")), style=style)
    shown = visible(needle).lower()
    at = told.plain.lower().find(shown) if shown else -1
    while at >= 0:
        told.stylize(FOUND, at, at + len(shown))
        at = told.plain.lower().find(shown, at + len(shown))
    return told


def standing(group: Group) -> list[tuple[Sample, int, str]]:
    """Each completion once, how often it is there, and whether it is the best or the worst."""
    distinct = group.distinct()
    worths = [worth for sample, _ in distinct if (worth := sample.worth) is not None]
    ends = {max(worths): BEST, min(worths): WORST} if len(set(worths)) > 1 else {}
    return [(sample, n, ends.get(sample.worth, "") if sample.worth is not None else "") for sample, n in distinct]


def about(sample: Sample, times: int, stands: str) -> Iterator[Text]:
    """What is known of a completion, a line each."""
    colour = {BEST: theme.GOOD, WORST: theme.BAD}.get(stands, "")
    first = Text.assemble((f"{stands} " if stands else "", Style.parse(f"bold {colour}")), "reward ")
    first.append(words.number(sample.reward) if sample.reward is not None else "unknown", "bold")
    if sample.advantage is not None:
        first.append(f"  advantage {sample.advantage:+.2f}")
    yield first
    many = (len(sample.completion), "character") if sample.tokens is None else (sample.tokens, "token")
    length = count(*many)
    yield Text.assemble((length, FAINT), (f"  ×{times} the same" if times > 1 else "", "bold"))


def written(sample: Sample, needle: str = "", most: int | None = None) -> Text:
    """The completion itself, and whether it was cut; of `most` characters, where that is given."""
    text = sample.completion if most is None else sample.completion[:most]
    told = lines_of(text, needle)
    if not text:
        told.append("(empty)", FAINT)
    if sample.ended is False and len(text) == len(sample.completion):
        told.append(f"\n{CUT}", Style(color=theme.WARNING))
    return told


def as_text(group: Group) -> str:
    """A group as plain text: the prompt, then each completion with what is known of it."""
    parts = ["prompt", lines_of(group.prompt).plain] if group.prompt is not None else []
    for sample, times, stands in standing(group):
        parts += ["", " ".join(line.plain for line in about(sample, times, stands))]
        parts += [lines_of(f"prompt: {sample.prompt}").plain] if group.prompt is None else []
        parts.append(written(sample).plain)
    return "\n".join(parts)


class Completions(ScrollView, can_focus=True):
    """The completions of a group, each once."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *STEPS,
        Binding("enter", "open", "Text", tooltip="The whole text of a completion"),
        Binding("pagedown,j", "page(1)", "Scroll", show=False),
        Binding("pageup,k", "page(-1)", "Scroll up", show=False),
    ]

    class Opened(Message):
        """A completion is to be shown whole."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.group: Group | None = None
        self._needle, self._hint = "", ""
        self._cards: list[list[list[Segment]]] = []  # lines
        self._tops: list[int] = [0]  # of the rows of cards, and the end

    def show(self, group: Group | None, needle: str, hint: str, *, anew: bool) -> None:
        """Show `group`, every `needle` in it marked, or the `hint` where there is none; `anew` goes back to the top."""
        if (group, needle, hint) != (self.group, self._needle, self._hint):
            self.group, self._needle, self._hint = group, needle, hint
            self._lay_out()
        if anew:
            self.scroll_home(animate=False)

    @property
    def across(self) -> int:
        """How many stand side by side."""
        many = len(self.group.distinct()) if self.group else 1
        return max(1, min(many, (self.scrollable_content_region.width + GAP) // (CARD + GAP)))

    @property
    def wide(self) -> int:
        """The cells of one."""
        return max(1, (self.scrollable_content_region.width + GAP) // self.across - GAP)

    def on_resize(self, event: events.Resize) -> None:
        """As many as now have room."""
        self._lay_out()

    def _lay_out(self) -> None:
        self._cards = [self._card(*one) for one in standing(self.group)] if self.group and self.size.width else []
        rows = [self._cards[i : i + self.across] for i in range(0, len(self._cards), self.across)]
        self._tops = [0, *accumulate(max(map(len, row)) + 1 for row in rows)]
        self.virtual_size = Size(self.scrollable_content_region.width, self._tops[-1])
        self.refresh()

    def _card(self, sample: Sample, times: int, stands: str) -> list[list[Segment]]:
        assert self.group is not None
        most = MOST * self.wide
        parts = [*about(sample, times, stands)]
        if self.group.prompt is None:
            parts.append(lines_of(f"prompt: {sample.prompt[: 4 * self.wide]}", self._needle, FAINT))
        parts.append(written(sample, self._needle, most))
        console = self.app.console
        lines = console.render_lines(Text("\n").join(parts), console.options.update(width=self.wide), pad=True)
        if len(lines) > MOST or len(sample.completion) > most:
            more = Text("… enter or a click shows all of it", style=FAINT)
            lines[MOST - 1 :] = console.render_lines(more, console.options.update(width=self.wide), pad=True)
        return lines

    def render_line(self, y: int) -> Strip:
        """One line of the screen: a line of each completion of this row."""
        width = self.scrollable_content_region.width
        if not self._cards:
            told = f" {visible(self._hint)}" if y == 0 else ""
            return Strip([Segment(told, FAINT)]).adjust_cell_length(width).apply_style(self.rich_style)
        at = y + self.scroll_offset.y
        row = bisect_right(self._tops, at) - 1
        segments: list[Segment] = []
        for card in self._cards[row * self.across : (row + 1) * self.across]:
            line = at - self._tops[row]
            segments += card[line] if line < len(card) else [Segment(" " * self.wide)]
            segments.append(Segment(" " * GAP))
        return Strip(segments).adjust_cell_length(width).apply_style(self.rich_style)

    def action_page(self, step: int) -> None:
        """Move by most of what is shown."""
        self.scroll_relative(y=step * max(1, self.size.height - 2), animate=False)

    def action_open(self) -> None:
        """Show the first that can be seen on the whole screen."""
        if self._cards:
            row = max(0, bisect_right(self._tops, self.scroll_offset.y) - 1)
            self.post_message(self.Opened(row * self.across))

    def on_click(self, event: events.Click) -> None:
        """A click shows a completion whole."""
        at = event.get_content_offset(self)
        if at is None:
            return
        row = bisect_right(self._tops, at.y + self.scroll_offset.y) - 1
        index = row * self.across + min(self.across - 1, at.x // (self.wide + GAP))
        if index < len(self._cards):
            self.post_message(self.Opened(index))
