"""Screens of a terminal as SVG: one, or many as a film.

Text is text, so that what is committed can be read and compared; curves, blocks and lines are drawn, so that they look
the same whatever font a reader has. Nothing is fetched, and nothing needs a script.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from rich.cells import cell_len
from rich.segment import Segment
from textual.strip import Strip

from tui.theme import Palette

WIDE, HIGH, BASE = 20, 40, 30  # of a cell, and where letters stand in it
EDGE = 24
FONTS = "ui-monospace,'SF Mono',Menlo,'DejaVu Sans Mono',Consolas,monospace"
BRAILLE = range(0x2800, 0x2900)
DOTS = ((0x01, 0, 0), (0x02, 0, 1), (0x04, 0, 2), (0x08, 1, 0), (0x10, 1, 1), (0x20, 1, 2), (0x40, 0, 3), (0x80, 1, 3))
# Characters that are drawn: left, top, width and height in a cell.
DRAWN = {
    **{block: (0, HIGH - 5 * n, WIDE, 5 * n) for n, block in enumerate("▁▂▃▄▅▆▇█", 1)},
    "▔": (0, 0, WIDE, 5),
    "▏": (0, 0, 3, HIGH),
    "▎": (0, 0, 5, HIGH),
    "▌": (0, 0, WIDE // 2, HIGH),
    "─": (0, 19, WIDE, 2),
    "━": (0, 17, WIDE, 6),
    "│": (9, 0, 2, HIGH),
    "┃": (7, 0, 6, HIGH),
    "▊": (0, 0, 15, HIGH),
    "▐": (WIDE // 2, 0, WIDE // 2, HIGH),
}


@dataclass(frozen=True)
class Frame:
    """What is on the screen for so many seconds, and what is said of it."""

    strips: Sequence[Strip]
    seconds: float = 1.0
    caption: str = ""


def svg(frames: Sequence[Frame], palette: Palette, title: str) -> str:
    """The frames one after the other, again and again; a single one stands still."""
    columns, rows = frames[0].strips[0].cell_length, len(frames[0].strips)
    said = HIGH * 3 // 2 if any(frame.caption for frame in frames) else 0
    width, height = columns * WIDE + 2 * EDGE, rows * HIGH + 2 * EDGE + said
    lines: dict[str, int] = {}
    shown = []
    for number, frame in enumerate(frames):
        parts = []
        for y, strip in enumerate(frame.strips):
            drawn = "".join(_line(strip, palette))
            if drawn:
                parts.append(f'<use href="#l{lines.setdefault(drawn, len(lines))}" y="{y * HIGH}"/>')
        if said:
            parts.append(
                f'<text class="b" fill="{palette.own}" y="{rows * HIGH + EDGE + BASE}">{escape(frame.caption)}</text>'
            )
        shown.append(f'<g transform="translate({number * width},0)">{"".join(parts)}</g>\n')
    defined = "\n".join(f'<g id="l{number}">{drawn}</g>' for drawn, number in lines.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width // 2}">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_style(frames, width)}</style>\n<defs>\n{defined}\n</defs>\n"
        f'<rect width="{width}" height="{height}" rx="16" fill="{palette.background}"/>\n'
        f'<svg x="{EDGE}" y="{EDGE}" width="{width - 2 * EDGE}"><g class="film">\n{"".join(shown)}</g></svg>\n</svg>\n'
    )


def _style(frames: Sequence[Frame], width: int) -> str:
    """Letters and dots; of several frames the moments at which they take turns."""
    style = (
        f"text{{font:{WIDE / 0.6:.1f}px {FONTS};white-space:pre}}\n"
        f".b{{font-weight:bold}} .i{{font-style:italic}} .u{{text-decoration:underline}}\n"
        "path{fill:none;stroke-width:7;stroke-linecap:round}\n"
    )
    if len(frames) == 1:
        return style
    total, moment, turns = sum(frame.seconds for frame in frames), 0.0, []
    for number, frame in enumerate(frames):
        turns.append(f"{100 * moment / total:.2f}%{{transform:translateX({-number * width}px)}}")
        moment += frame.seconds
    turns.append(f"100%{{transform:translateX({-(len(frames) - 1) * width}px)}}")
    return f"{style}.film{{animation:film {total:.1f}s step-end infinite}}\n@keyframes film{{{''.join(turns)}}}\n"


def _line(strip: Strip, palette: Palette) -> Iterator[str]:
    """The grounds of a line that are not the screen's, and on them what is written and drawn."""
    x, ahead = 0, []
    for segment in strip:
        colour, ground, classes = _looks(segment, palette)
        cells = cell_len(segment.text)
        if ground != palette.background:
            yield f'<rect x="{x * WIDE}" width="{cells * WIDE}" height="{HIGH}" fill="{ground}"/>'
        ahead += _written(segment.text, x, colour, classes)
        x += cells
    yield from ahead


def _looks(segment: Segment, palette: Palette) -> tuple[str, str, str]:
    """The colour of letters, that of the ground, and the classes of a segment."""
    style = segment.style
    if style is None:
        return palette.foreground, palette.background, ""
    colour = style.color.get_truecolor().hex if style.color and not style.color.is_default else palette.foreground
    ground = style.bgcolor.get_truecolor().hex if style.bgcolor and not style.bgcolor.is_default else palette.background
    classes = "".join(
        letter for letter, on in zip("biu", (style.bold, style.italic, style.underline), strict=True) if on
    )
    return (ground, colour, classes) if style.reverse else (colour, ground, classes)


def _written(text: str, x: int, colour: str, classes: str) -> Iterator[str]:
    """Words with their places, dots, and what is drawn."""
    named = f' class="{classes}"' if classes else ""
    word, start, dots, before = "", x, "", None
    for char, following in pairwise(f"{text}  "):
        drawn = ord(char) in BRAILLE or char in DRAWN
        between = char == " " and word and following not in DRAWN and following != " " and ord(following) not in BRAILLE
        if word and (drawn or (char == " " and not between)):
            long = f' textLength="{cell_len(word) * WIDE}"' if cell_len(word) > 1 else ""
            yield f'<text x="{start * WIDE}" y="{BASE}"{long}{named} fill="{colour}">{escape(word)}</text>'
            word = ""
        if ord(char) in BRAILLE:
            for bit, across, down in DOTS:
                if ord(char) & bit:
                    at = x * WIDE + 5 + 10 * across, 5 + 10 * down
                    dots += f"M{at[0]} {at[1]}h0" if before is None else f"m{at[0] - before[0]} {at[1] - before[1]}h0"
                    before = at
        elif char in DRAWN:
            left, top, wide, high = DRAWN[char]
            yield f'<rect x="{x * WIDE + left}" y="{top}" width="{wide}" height="{high}" fill="{colour}"/>'
        elif char != " " or between:
            start = start if word else x
            word += char
        x += cell_len(char)
    if dots:
        yield f'<path stroke="{colour}" d="{dots}"/>'
