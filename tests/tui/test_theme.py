"""The themes: easy to read, severities that all eyes tell apart, and a change that reaches all that is shown."""

import asyncio
import re
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import pytest
from rich.color import Color

from diagnostics.finding import Severity
from studies.record import Judgement, State
from tui import theme
from tui.app import MonitorApp
from tui.status import Phase
from tui.theme import PALETTES, Palette

SEVERITIES = ("info", "warning", "error", "fatal")
WORDS = ("foreground", "faint", "own", "other", "changed", *SEVERITIES, "good")
# What linear RGB becomes for an eye that lacks one kind of cone: Machado, Oliveira and Fernandes, "A
# Physiologically-based Model for Simulation of Color Vision Deficiency" (2009), severity 1.0.
EYES = {
    "all cones": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def linear(colour: str) -> list[float]:
    """Red, green and blue as light, 0 to 1 (sRGB, IEC 61966-2-1)."""
    shares = [channel / 255 for channel in Color.parse(colour).get_truecolor()]
    return [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in shares]


def contrast(one: str, other: str) -> float:
    """From 1 to 21 (WCAG 2.1, contrast ratio)."""
    light = sorted(0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (linear(one), linear(other)))
    return (light[1] + 0.05) / (light[0] + 0.05)


def lab(rgb: Sequence[float]) -> tuple[float, float, float]:
    """CIELAB under D65, in which equal distances look about equal."""
    r, g, b = rgb
    x = (0.4124564 * r + 0.3575761 * g + 0.1804375 * b) / 0.95047
    y = 0.2126729 * r + 0.7151522 * g + 0.0721750 * b
    z = (0.0193339 * r + 0.1191920 * g + 0.9503041 * b) / 1.08883
    fx, fy, fz = (t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116 for t in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def distance(one: str, other: str, eye: str) -> float:
    """How far apart two colours look (CIE76); a pair at 2.3 is just told apart side by side."""
    seen = [[sum(k * x for k, x in zip(row, linear(c), strict=True)) for row in EYES[eye]] for c in (one, other)]
    a, b = (lab([min(1.0, max(0.0, x)) for x in rgb]) for rgb in seen)
    return sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) ** 0.5


def test_the_measures_are_those_of_their_sources():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # WCAG's well-known near miss
    assert lab(linear("#ff0000")) == pytest.approx((53.24, 80.09, 67.20), abs=0.02)
    assert distance("#ff0000", "#807000", "protanopia") < 30 < 80 < distance("#ff0000", "#807000", "tritanopia")


@pytest.mark.parametrize("palette", PALETTES.values(), ids=PALETTES)
def test_words_and_curves_can_be_read_on_their_grounds(palette: Palette):
    """4.5 is WCAG's AA for text, more than the 3 that curves need."""
    for ground in ("background", "surface"):
        for name in WORDS:
            assert contrast(getattr(palette, name), getattr(palette, ground)) >= 4.5, (name, ground)
    for name in ("foreground", "faint", "own"):  # of dialogs and keys
        assert contrast(getattr(palette, name), palette.panel) >= 4.5, name


@pytest.mark.parametrize("palette", PALETTES.values(), ids=PALETTES)
def test_severities_and_curves_are_told_apart(palette: Palette):
    eyes = EYES if palette.name.startswith("colour-blind") else ("all cones",)
    pairs = [*combinations(SEVERITIES, 2), ("own", "faint"), ("own", "other"), ("good", "fatal")]
    pairs += [("own", severity) for severity in SEVERITIES]
    for eye in eyes:
        for one, other in pairs:
            apart = distance(getattr(palette, one), getattr(palette, other), eye)
            assert apart >= 20, (one, other, eye, apart)


def test_all_that_has_a_colour_is_named():
    assert set(theme.SEVERITIES) == set(theme.MARKS) == set(Severity)
    assert set(theme.STATES) == set(State)
    assert set(theme.JUDGEMENTS) == set(Judgement)
    assert set(theme.PHASES) == set(Phase)


def test_no_widget_has_a_colour_of_its_own():
    """Else a theme does not reach it."""
    home = Path(theme.__file__).parent
    files = {path for path in home.rglob("*") if path.suffix in (".py", ".tcss")} - {Path(theme.__file__)}
    words = ("red", "green", "yellow", "blue", "magenta", "cyan", "white", "black")
    for path in files:
        text = path.read_text(encoding="utf-8")
        quoted = {f'"{before}{word}"' for word in words for before in ("", "bold ", "bright_", "bold bright_")}
        assert not [q for q in quoted if q in text], path
        assert not re.findall(r"#[0-9a-fA-F]{6}\b", text), path


def colours(app: MonitorApp) -> set[str]:
    """Of all that is on the screen, grounds too."""
    styles = [segment.style for strip in app.screen._compositor.render_strips() for segment in strip if segment.style]
    found = [colour for style in styles for colour in (style.color, style.bgcolor) if colour]
    return {colour.get_truecolor().hex for colour in found}


def test_a_change_of_the_theme_reaches_all_that_is_on_the_screen(stage):
    stage.running()

    async def watch() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(160, 50)) as pilot:
            while app.watched.source is None:
                await pilot.pause(0.01)
            await pilot.press("up", "up")  # the trial with findings
            assert set(app.available_themes) == set(PALETTES)
            for palette in (*PALETTES.values(), PALETTES["dark"]):
                app.theme = palette.name
                await pilot.pause()
                await pilot.pause()
                seen = colours(app)
                for name in ("surface", "foreground", "own", "fatal", "warning", "good", "faint"):
                    assert getattr(palette, name) in seen, (palette.name, name)
                for other in PALETTES.values():
                    if other.dark != palette.dark:
                        assert not {other.background, other.faint, other.warning} & seen, (palette.name, other.name)

    asyncio.run(watch())


@pytest.mark.parametrize("name", PALETTES)
def test_without_colour_all_is_grey_and_can_be_read(name: str, stage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NO_COLOR", "1")
    stage.running()

    async def watch() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        app.theme = name
        async with app.run_test(size=(160, 50)) as pilot:
            while app.watched.source is None:
                await pilot.pause(0.01)
            await pilot.press("up", "up")
            await pilot.pause()
            for strip in app.screen._compositor.render_strips():
                for segment in strip:
                    if segment.style and segment.style.color and segment.style.bgcolor and segment.text.isalnum():
                        pair = [c.get_truecolor() for c in (segment.style.color, segment.style.bgcolor)]
                        assert all(len(set(colour)) == 1 for colour in pair), segment
                        assert contrast(*(colour.hex for colour in pair)) >= 4, segment

    asyncio.run(watch())
