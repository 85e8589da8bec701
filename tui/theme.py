"""Every colour of the monitor, by what it means, and the themes that say what each looks like.

Widgets name a colour as a terminal does ("bright_red"). Textual asks the app what the sixteen names look like only when
a line goes to the terminal, so a change of the theme reaches everything that is on the screen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from rich.color import Color
from rich.terminal_theme import TerminalTheme
from textual.theme import Theme

from diagnostics.finding import Severity
from diagnostics.report.styles import STYLES
from studies.record import Judgement, State
from tui.status import Phase

OWN = "bright_blue"  # the curve of the run that is looked at
BENEATH = "bright_black"  # the curve of the run that it is compared with, where it is drawn beneath
OTHER = "bright_magenta"  # the second of two runs that are drawn as equals
CHANGED = "magenta"  # what the tuner or a person did: changed knobs, requests
FAINT = "bright_black"  # labels, axes, what is only said beside
INFO, WARNING, ERROR, FATAL = "cyan", "yellow", "bright_red", "red"
GOOD, BAD, DOUBTFUL = "green", "red", "yellow"
BEST = f"bold {GOOD}"

SEVERITIES: Mapping[Severity, str] = STYLES  # of words
# The colours alone, for lines and marks.
MARKS: Mapping[Severity, str] = {
    Severity.INFO: INFO,
    Severity.WARNING: WARNING,
    Severity.ERROR: ERROR,
    Severity.FATAL: FATAL,
}
STATES: Mapping[State, str] = {
    State.WAITING: f"bold {CHANGED}",
    State.RUNNING: f"bold {INFO}",
    State.COMPLETE: GOOD,
    State.PRUNED: WARNING,
    State.FAILED: BAD,
    State.REFUSED: FAINT,
}
JUDGEMENTS: Mapping[Judgement, str] = {
    Judgement.CONFIRMED: f"bold {GOOD}",
    Judgement.REFUTED: f"bold {BAD}",
    Judgement.UNDECIDED: DOUBTFUL,
}
# The ground of the screen on the colour: as easy to read as the colour on the ground.
PHASES: Mapping[Phase, str] = {
    phase: f"bold reverse {colour}"
    for phase, colour in {
        Phase.READING: OWN,
        Phase.WAITING: OWN,
        Phase.EMPTY: OWN,
        Phase.RUNNING: INFO,
        Phase.ASKING: CHANGED,
        Phase.PAUSED: CHANGED,
        Phase.STALE: WARNING,
        Phase.QUIET: WARNING,
        Phase.FINISHED: GOOD,
        Phase.INTERRUPTED: WARNING,
        Phase.STOPPED: WARNING,
        Phase.FAILED: BAD,
        Phase.KILLED: BAD,
        Phase.TROUBLE: BAD,
    }.items()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """What the colours of a theme look like, as #rrggbb; `panel` is the ground of dialogs and of the keys."""

    name: str
    dark: bool
    background: str
    surface: str
    panel: str
    foreground: str
    faint: str
    own: str
    other: str
    changed: str
    info: str
    warning: str
    error: str
    fatal: str
    good: str

    @property
    def theme(self) -> Theme:
        """The colours of Textual's own parts: borders, keys, tables, dialogs."""
        return Theme(
            name=self.name,
            dark=self.dark,
            primary=self.own,
            secondary=self.faint,
            accent=self.own,
            warning=self.warning,
            error=self.fatal,
            success=self.good,
            foreground=self.foreground,
            background=self.background,
            surface=self.surface,
            panel=self.panel,
            variables={
                "text-muted": self.faint,
                "block-cursor-background": self.own,
                "block-cursor-foreground": self.background,
                "block-cursor-blurred-background": self.panel,
                "block-cursor-blurred-foreground": self.foreground,
                "footer-key-foreground": self.own,
                "footer-description-foreground": self.foreground,
                "scrollbar-background": self.surface,
                "scrollbar-background-hover": self.surface,
                "scrollbar-background-active": self.surface,
                "scrollbar-corner-color": self.surface,
                "border": self.own,
                "border-blurred": self.faint,
            },
        )


DARK = Palette(
    name="dark",
    dark=True,
    background="#111417",
    surface="#181c20",
    panel="#262c33",
    foreground="#e4e7ea",
    faint="#959da6",
    own="#5fafff",
    other="#f0c2ee",
    changed="#f28fd0",
    info="#5fd7d7",
    warning="#ffd75f",
    error="#ff9440",
    fatal="#ff6b6b",
    good="#66d98a",
)
LIGHT = Palette(
    name="light",
    dark=False,
    background="#f4f5f6",
    surface="#ffffff",
    panel="#e4e8ec",
    foreground="#1b1f23",
    faint="#5a626b",
    own="#0058b0",
    other="#a01f7c",
    changed="#7a2fb8",
    info="#006a75",
    warning="#806000",
    error="#993600",
    fatal="#c8002f",
    good="#0b6b3a",
)
# Blue, yellow and a red that leans to blue, as Okabe and Ito advise ("Color Universal Design", 2008), and steps of
# lightness; tests/tui/test_theme.py measures how far apart they are for eyes that lack a cone.
COLOUR_BLIND_DARK = Palette(
    name="colour-blind-dark",
    dark=True,
    background="#101214",
    surface="#15181b",
    panel="#262b30",
    foreground="#eceef0",
    faint="#969da4",
    own="#ffffff",
    other="#9fd9a2",
    changed="#c3aefb",
    info="#32a9fb",
    warning="#edc216",
    error="#f18158",
    fatal="#ff5082",
    good="#84e4cb",
)
COLOUR_BLIND_LIGHT = Palette(
    name="colour-blind-light",
    dark=False,
    background="#f4f5f6",
    surface="#ffffff",
    panel="#e4e8ec",
    foreground="#1b1f23",
    faint="#5a626b",
    own="#000000",
    other="#0c5c30",
    changed="#5b3fa0",
    info="#1a48f0",
    warning="#7f6a00",
    error="#713322",
    fatal="#c817ab",
    good="#00584a",
)
PALETTES: Mapping[str, Palette] = {
    palette.name: palette for palette in (DARK, LIGHT, COLOUR_BLIND_DARK, COLOUR_BLIND_LIGHT)
}


@cache
def terminal(name: str) -> TerminalTheme:
    """What the sixteen colours of a terminal look like in the theme called `name`."""
    look = PALETTES[name]
    normal = (look.background, look.fatal, look.good, look.warning, look.own, look.changed, look.info, look.foreground)
    bright = (look.faint, look.error, look.good, look.warning, look.own, look.other, look.info, look.foreground)
    return TerminalTheme(
        _triplet(look.surface),
        _triplet(look.foreground),
        [_triplet(colour) for colour in normal],
        [_triplet(colour) for colour in bright],
    )


def _triplet(colour: str) -> tuple[int, int, int]:
    return Color.parse(colour).get_truecolor()
