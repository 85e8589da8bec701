"""Logs of a console: whatever a training printed, progress bars, samples and traces included.

Rows are found line by line (`console_lines`), and those whose names come again are kept (`console_rows`). Other readers
that meet the text of a console (wandb, notebooks) hand it to `Console`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from diagnostics.readers import jsonl, wandb_folder
from diagnostics.readers.console_blocks import Bars, Box, Bullets, Printed, printed_settings
from diagnostics.readers.console_lines import (
    Values,
    bars,
    clean,
    dicts,
    fields,
    heading,
    lead_step,
    measures,
    position,
    unlogged,
    verl,
)
from diagnostics.readers.console_rows import CUT, Dialect, Rows
from diagnostics.readers.console_settings import command, namespace
from diagnostics.readers.decoding import CHUNK, UNDECODED, Decoding, TextTail, strange_share
from diagnostics.readers.reader import HEAD
from diagnostics.readers.salvage import salvaged
from diagnostics.readers.table import Table

FORMAT = "console log"
_MOST_STRANGE = 0.05  # of what is no text
PREAMBLE = 1 << 22  # bytes in which the first rows must come
LONGEST = 1 << 16  # characters that are looked at at once; progress bars end in no newline for hours
NO_CHUNK = "parts of the stream that are no JSON"
BEGINNING = 64  # characters that tell a stream of chunks
_STREAM = re.compile(r'\[?\s*\{\s*"stream_name"\s*:')
_PROMISING = re.compile(r"\d|[nN]a[nN]|-{10}|\{|\(\s*$")  # what a line has that holds a number, or begins a dict
_SCORE = re.compile(r"(average reward score): (\S+?)(?:(?:,| \|) (ema reward score): (\S+))?\s*$", re.I)


def parts(path: Path, head: bytes) -> Sequence[str] | None:
    """One run, where rows come again within the first megabytes of a text."""
    if strange_share(head) > _MOST_STRANGE or jsonl.parts(path, head) is not None:
        return None
    console, decoding = Console(Table()), Decoding()
    try:
        with path.open("rb") as file:
            chunk = file.read(HEAD)
            while chunk and not console.table.rows and file.tell() <= PREAMBLE:
                console.feed(decoding.decode(chunk))
                chunk = file.read(CHUNK)
    except OSError:
        return None
    if not chunk:
        console.feed(decoding.decode(b"", ended=True))
        console.finish()
    return ("",) if console.table.rows else None


def open_log(paths: Sequence[Path], part: str) -> ConsoleReader:
    """A reader of the file."""
    return ConsoleReader(paths[0])


class ConsoleReader:
    """Reads a console log and follows it; see `diagnostics.readers.reader.Reader`."""

    def __init__(self, path: Path) -> None:
        self.table = Table()
        if path.name == wandb_folder.OUTPUT and path.parent.name == wandb_folder.FILES:
            run = path.parent.with_name("run.wandb")  # of which only what lies beside it was kept
            self.table.settings = wandb_folder.settings_beside(run)
            self.table.packages = wandb_folder.packages_beside(run)
        self._text = TextTail(path)
        self._console = Console(self.table)

    @property
    def position(self) -> int:
        """How many bytes have been read."""
        return self._text.position

    def poll(self) -> bool:
        """Read the next megabyte."""
        begun = self._text.begun
        text = self._text.read()
        if self._text.begun != begun:
            self._console.feed("\n")  # the last line of what was there before
        self._console.feed(text)
        return bool(text)

    def finish(self) -> None:
        """Read the last line, whole or torn."""
        self._console.feed(self._text.rest())
        self._console.finish()
        if self._text.undecoded:
            self.table.lost[UNDECODED.format(self._text.encoding)] = self._text.undecoded

    def close(self) -> None:
        """Nothing is kept open."""


class Console:
    """Puts the rows and the settings in the text of a console into `table`, whatever parts the text comes in.

    Chunks of several streams as JSON, as Kaggle keeps them, are put together first, each stream by itself.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self._beginning: str | None = ""  # None once it is known what the text is
        self._outer = _Lines(self._line)
        self._streams: dict[str, _Lines] = {}
        self._rows = Rows(table)
        self._printed: dict[str, Printed] = {}  # dicts that are being printed in several lines, by their process
        self._box: Box | None = None
        self._bullets = Bullets()
        self._bars = Bars()
        self._settings_left = PREAMBLE  # characters in which settings are looked for
        self._step: Values = {}  # what a heading said of the step
        self._under: Values = {}  # and the lines right under it
        self._indented = False  # whether the line before said a step, so that indented ones may belong to it

    def feed(self, text: str) -> None:
        """Take the next part of the text; a line that it does not end waits for the next part."""
        if self._beginning is not None:
            self._beginning = (self._beginning + text).lstrip()
            if len(self._beginning) < BEGINNING:
                return
            text = self._begin(self._beginning)
        self._outer.feed(text)

    def finish(self) -> None:
        """Nothing more will come: a last line without an end is read, too."""
        if self._beginning is not None:
            self._outer.feed(self._begin(self._beginning))
        self._outer.end()
        for stream in self._streams.values():
            stream.end()
        self._offer_bullets()
        self._offer_box()
        self._offer_under()
        self._rows.finish()
        if self._bars.live or not self.table.rows:
            self._offer_bars(self._bars.all())
            self._rows.finish()

    def _begin(self, text: str) -> str:
        self._beginning = None
        if _STREAM.match(text[:BEGINNING]):
            self._outer = _Lines(self._chunk, longest=None)
        return text

    def _chunk(self, line: str) -> None:
        """Take a line of a stream in chunks."""
        if line.strip() in ("", "[", "]", ","):
            return
        found, bad = salvaged(line)
        for chunk in found:
            name, data = str(chunk.get("stream_name")), chunk.get("data")
            if isinstance(data, str):
                if name not in self._streams:
                    self._streams[name] = _Lines(lambda text, name=name: self._line(text, name))  # type: ignore[misc]
                self._streams[name].feed(data)
        if bad or not found:
            self.table.lost[NO_CHUNK] += max(bad, 1)

    def _line(self, line: str, stream: str = "") -> None:
        """Take a line of one stream."""
        line, moved = bars(line)
        for bar in moved:
            self._bars.add(*bar)
        for piece in line.split("\r"):
            if self._printed or self._box is not None or _PROMISING.search(piece):
                text, mark = clean(piece)
                self._piece(text, stream + mark)
        if moved and self._bars.worth_it(better=bool(self._rows.dialects() - {Dialect.BAR})):
            self._offer_bars(self._bars.done())

    def _piece(self, text: str, process: str) -> None:
        """Take what one process wrote on a line."""
        printed = self._printed.get(process)
        if printed is not None and self._continues(printed, text, process):
            return
        if self._boxed(text):
            return
        row = verl(text)
        if row is not None:
            self._rows.offer(Dialect.VERL, row[0])
            if row[1]:
                self.table.lost[CUT] += 1
            return
        if self._bullets.begins(text):
            self._offer_bullets()
            self._bullets.begin(text)
            self._fields(text)
        elif self._bullets.take(text):
            return
        elif score := _SCORE.match(text):
            self._rows.extend({score[i]: score[i + 1] for i in (1, 3) if score[i]})
        elif "{" in text or text.rstrip().endswith("("):
            self._braces(text, process)
        else:
            self._fields(text)

    def _braces(self, text: str, process: str) -> None:
        message = unlogged(text)
        found = dicts(message)
        step, self._step = self._step, {}
        for lead, values in found:
            self._rows.offer(Dialect.DICT, (lead_step(lead) or step) | values)
        if found:
            return
        printed = Printed.beginning(message, step)
        if printed is not None:
            self._printed[process] = printed
        elif self._rows.resembles(Dialect.DICT, message):
            self.table.lost[CUT] += 1
        else:
            self._settle(message, command)

    def _continues(self, printed: Printed, text: str, process: str) -> bool:
        """Take a line of what is being printed in several; whether it is one."""
        if not printed.take(text):
            del self._printed[process]
            if self._rows.resembles(Dialect.DICT, printed.text):
                self.table.lost[CUT] += 1
            return False
        if printed.whole:
            del self._printed[process]
            values = printed.row()
            if values:
                self._rows.offer(Dialect.DICT, values)
            else:
                self._settle(printed.text, printed_settings)
        return True

    def _boxed(self, text: str) -> bool:
        """Take a line of a box; whether it is one."""
        if Box.is_rule(text):
            self._offer_box()
            self._box = Box()
            return True
        if self._box is not None:
            if self._box.take(text):
                return True
            self._box = None
        return False

    def _fields(self, text: str) -> None:
        message = unlogged(text)
        if self._goes_on(text, message):
            return
        self._offer_under()
        self._step = heading(message)
        values = {} if self._step else fields(message)
        self._indented = bool(position(values))
        if values:
            self._rows.offer(Dialect.FIELDS, values)
        elif not self.table.rows:
            self._settle(message, command)
            self._settle(message, namespace)
        elif self._rows.resembles(Dialect.FIELDS, message) or self._rows.resembles(Dialect.VERL, message):
            self.table.lost[CUT] += 1

    def _goes_on(self, text: str, message: str) -> bool:
        """Take a line `Reward: 0.5` under a heading, or indented under the line of a step; whether it is one."""
        if not self._step and not (self._indented and text[:1] in " \t"):
            return False
        values = fields(message, least=1)
        if not measures(values) or position(values):
            return False
        if self._step:
            self._under |= values
        else:
            self._rows.extend(values)
        return True

    def _offer_under(self) -> None:
        if self._under:
            self._rows.offer(Dialect.FIELDS, self._step | self._under)
        self._step, self._under = {}, {}

    def _settle(self, text: str, find: Callable[[str], dict[str, Any]]) -> None:
        """Take the settings that `find` finds in `text`, before the first row and in no more than is looked at."""
        if not self.table.rows and self._settings_left > 0 and (found := find(text)):
            self.table.settings.update(found)
        self._settings_left -= len(text)

    def _offer_box(self) -> None:
        if self._box is not None and self._box.values:
            self._rows.offer(Dialect.BOX, self._box.values)
        self._box = None

    def _offer_bullets(self) -> None:
        values = self._bullets.end()
        if len(values) > 1:
            self._rows.offer(Dialect.BULLETS, values)

    def _offer_bars(self, rows: list[Values]) -> None:
        for values in rows:
            self._rows.offer(Dialect.BAR, values)


class _Lines:
    """Cuts a text that comes in parts into lines, the same ones whatever the parts are.

    What is longer than `longest` is cut behind a carriage return, or anywhere.
    """

    def __init__(self, take: Callable[[str], None], *, longest: int | None = LONGEST) -> None:
        self._take, self._longest, self._rest = take, longest, ""

    def feed(self, text: str) -> None:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._take(self._cut(line))
        self._rest = self._cut(self._rest)

    def end(self) -> None:
        rest, self._rest = self._rest, ""
        if rest:
            self._take(rest)

    def _cut(self, line: str) -> str:
        """Take all of `line` but its end."""
        while self._longest is not None and len(line) > self._longest:
            cut = line.rfind("\r", 0, self._longest) + 1 or self._longest
            self._take(line[:cut])
            line = line[cut:]
        return line
