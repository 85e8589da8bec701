"""Damaged and hostile logs of all formats through the whole path, from finding them to all reports.

    .venv/bin/python tests/diagnostics/readers/damage.py COUNT [--seed 0] [--first 0] [--keep FOLDER]

Case i is the same whatever COUNT is: `--first 17 --keep FOLDER 1` makes case 17 again and leaves its file in FOLDER.
Prints what is wrong, a line for each, then figures as JSON in the last line.

Each log must give reports, or a UserError: no other exception, no warning, at most SECONDS of CPU and BYTES of memory,
nothing written, no file left open, no character for a terminal but what rich colours with, valid JSON, no script in
HTML. And what was lost must be said (`unsaid`).
"""

from __future__ import annotations

import argparse
import ast
import faulthandler
import importlib
import json
import math
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import unicodedata
import warnings
from collections import Counter
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import mutations
import samples
from rich.cells import cell_len
from rich.console import Console

from diagnostics.details import details
from diagnostics.engine import diagnose
from diagnostics.errors import UserError
from diagnostics.logs import read
from diagnostics.report import github, html, markdown, notebook, terminal
from diagnostics.report import json as json_report
from diagnostics.report.overview import overview
from diagnostics.series import RunHistory
from diagnostics.sources import FORMATS, find
from diagnostics.text import visible

SECONDS = 10
BYTES = 1 << 30
WIDTH = 80
NAMED = "\x1b[2J\n[red]\u202e<script>alert(1)"  # what the folders of some logs are called
_ROWS = (12, 40, 150)
_TURNING = "\u202a\u202b\u202d\u202e"  # marks that turn the direction of writing
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
# How a log says that something of it is missing.
_SAID = re.compile(
    "could not be read|no exit record|incomplete|has not ended|no event|not there yet|no row of numbers|begun anew"
)
_TEXT = {"events", "jsonl", "csv_file", "console"}
_UNCHECKED, _IN_PLACE = {"trackio", "trackio_parquet", "mlflow"}, {"flipped_bits", "other_bytes", "zeros"}
_DOCUMENTS = {"trainer_state", "json_document", "notebook"}


class TooSlow(Exception):
    """A case took more than SECONDS of CPU."""


def made(i: int, seed: int) -> tuple[str, str, bytes, bytes]:
    """Case i: its format, what was done, the log before damage (empty where it was written so), and after."""
    draw = random.Random(f"{seed}/{i}")
    format = FORMATS[i % len(FORMATS)]
    kind = draw.random()
    if kind < 0.2:
        return format, "hostile", b"", mutations.hostile(format, draw)
    writer = samples.WRITERS[format][1]
    before = writer(samples.run(draw.choice(_ROWS), seed=draw.randrange(10)))
    if kind < 0.27:
        other = samples.WRITERS[format if draw.random() < 0.5 else draw.choice(FORMATS)][1]
        return format, "interleaved", b"", mutations.interleaved(before, other(samples.run(seed=99)), draw)
    if kind < 0.6:
        mutation = draw.choice(mutations.DAMAGE)
        return format, mutation.__name__, before, mutation(before, draw)
    mutation = draw.choice(mutations.ODDITIES)
    after, done = mutation(before, draw), mutation.__name__
    if draw.random() < 0.3 and after:
        mutation = draw.choice(mutations.DAMAGE + mutations.ODDITIES)
        after, done = mutation(after, draw), f"{done}, {mutation.__name__}"
    return format, done, b"", after


# ---- what must be so


def tried(path: Path) -> tuple[list[str], list[RunHistory]]:
    """Diagnose what `path` holds; what is said of it, errors included, and its runs."""
    said: list[str] = []
    runs: list[RunHistory] = []
    try:
        found = find(path)
    except UserError as error:
        _check_terminal(visible(str(error)), math.inf)
        return [f"could not be read: {error}"], []
    said += [f"{p} could not be read: {why}" for p, why in found.unreadable]
    reports, beside = [], []
    for source in found.sources:
        try:
            histories = read(source)
        except UserError as error:
            said.append(f"could not be read: {error}")
            continue
        for run in histories:
            _check(run)
        runs += histories
        reports.append(diagnose(histories))
        beside.append(details(histories, source, []))
        said += [*reports[-1].notes]
    shown = StringIO()
    console = Console(file=shown, width=WIDTH, force_terminal=True, color_system="truecolor", legacy_windows=False)
    for report in reports:
        console.print(terminal.render(report))
        assert "<script" not in notebook.render(report), "a script in HTML"
    console.print(overview(reports, {str(p): why for p, why in found.unreadable}, found.others))
    _check_terminal(shown.getvalue())
    json.loads(json_report.render(reports), parse_constant=_no_constant)
    unread = {str(p): why for p, why in found.unreadable}
    _Page().check(html.render(reports, beside, unread))
    _check_terminal(markdown.render(reports, unread), math.inf)
    annotations = github.render(reports, unread, said)
    _check_terminal(annotations, math.inf)
    assert all(line.startswith("::") for line in annotations.splitlines()), "a line of its own in annotations"
    return said, runs


def _check(run: RunHistory) -> None:
    for series in run.series.values():
        steps = series.steps
        assert len(steps) == len(series.values) > 0, "a metric has as many steps as values"
        assert (steps[1:] > steps[:-1]).all() and steps[0] >= 0, "steps increase"


def _check_terminal(shown: str, width: float = WIDTH) -> None:
    shown.encode()
    for line in _COLOUR.sub("", shown).split("\n"):
        bad = [c for c in line if unicodedata.category(c) in ("Cc", "Zl", "Zp", "Cs") or c in _TURNING]
        assert not bad, f"{bad[:3]!r} would reach the terminal"
        assert cell_len(line) <= width, f"a line is {cell_len(line)} wide"


class _Page(HTMLParser):
    """A page has the elements that we put there, and no text of a log is one, or an attribute of one."""

    def check(self, page: str) -> None:
        assert page.isascii()
        self.scripts = 0
        self.feed(page)
        assert self.scripts == 2, "ours and the curves"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        assert tag not in ("img", "svg", "iframe", "object", "base", "form"), f"an element {tag} in the page"
        assert not any(name.startswith("on") or name in ("src", "style") for name, _ in attrs), f"{attrs} in the page"


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} in JSON")


def unsaid(
    format: str, done: str, before: bytes, after: bytes, said: list[str], got: list[RunHistory], whole: int
) -> str:
    """What was lost without a word, "" where nothing was.

    - a text that is no UTF-8 must say so, and a line that is no object of JSON, or no row of the CSV's length;
    - a document that is no whole JSON must say so;
    - of other formats any number that is missing must be said, unless whole records are missing, or bytes were changed
      in place of a format without checksums.

    UTF-16 is as good as UTF-8.
    """
    if any(_SAID.search(note) for note in said) or "utf16" in done:
        return ""
    if any(run.format != _words(format) for run in got):  # taken for another format, which has no such rules
        return ""
    if format in _DOCUMENTS:
        return "" if _is_json(after) else "a document that is no JSON"
    if format in _TEXT:
        try:
            text = after.decode()
        except UnicodeDecodeError:
            return "bytes that are no UTF-8"
        lines = [line for line in text.split("\n") if line.strip("\x00 \t\r\ufeff")]
        if format == "csv_file":
            widths = Counter(line.count(",") for line in lines)
            return "lines of another length" if '"' not in text and len(widths) > 1 else ""
        if format == "console":
            garbled = [line for line in lines if line.startswith("{'loss'") and not _is_dict(line)]
            return "dicts that are cut or garbled" if garbled else ""
        return "lines that are no JSON" if not all(map(_holds_object, lines)) else ""
    if format in _UNCHECKED and done in _IN_PLACE:
        return ""
    points = sum(len(series) for run in got for series in run.series.values())
    if format == "tensorboard" and _framed(after):
        return ""
    return f"{whole - points} of {whole} numbers" if before and points < whole else ""


def _words(format: str) -> str:
    return str(importlib.import_module(f"diagnostics.readers.{format}").FORMAT)


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def _holds_object(line: str) -> bool:
    try:
        json.JSONDecoder().raw_decode(line, max(0, line.find("{")))
    except (ValueError, RecursionError):
        return False
    return True


def _is_dict(line: str) -> bool:
    try:
        return isinstance(ast.literal_eval(line.strip().replace(": nan", ": 0")), dict)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return False


def _framed(data: bytes) -> bool:
    """Whether `data` is whole TFRecords, with their checksums."""
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 8], "little")
        payload = data[at + 12 : at + 12 + size]
        if len(data) < at + 16 + size or big_record(payload) != data[at : at + 16 + size]:
            return False
        at += 16 + size
    return True


big_record = samples.big_logs._record


# ---- the run


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """What lies in a folder, and when it was changed."""
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in [folder, *folder.rglob("*")]}


def _whole(path: Path) -> list[RunHistory]:
    """The runs in a log that is not damaged."""
    return [run for source in find(path).sources for run in read(source)]


def open_files() -> int:
    """How many files this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def one(i: int, seed: int, folder: Path, wholes: dict[tuple[str, int], int]) -> tuple[str, str]:
    """Make and try case i in `folder`; what was done, and what is wrong ("" for nothing)."""
    format, done, before, after = made(i, seed)
    what = f"{format}: {done}"
    here = folder / (f"{i}" if i % 4 else f"{i}{NAMED}")
    here.mkdir()
    path = here / samples.WRITERS[format][0]
    key = (format, len(before))
    if before and key not in wholes:
        path.write_bytes(before)
        wholes[key] = sum(len(series) for run in _whole(path) for series in run.series.values())
    path.write_bytes(after)
    there, files = snapshot(folder), open_files()
    began = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    faulthandler.dump_traceback_later(20 * SECONDS, exit=True)  # it waits for something
    try:
        said, got = tried(here if i % 3 == 0 else path)
    except TooSlow as slow:
        return what, f"takes more than {SECONDS} s\n{''.join(traceback.format_tb(slow.__traceback__)[-3:])}"
    except (Exception, RecursionError) as error:  # noqa: BLE001 - whatever it is, it is a defect
        return what, "".join(traceback.format_exception(error)[-8:])[-3000:]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.cancel_dump_traceback_later()
        if time.process_time() - began > one.slowest[0]:
            one.slowest = (time.process_time() - began, i, what)
    if snapshot(folder) != there:
        return what, "wrote something"
    if open_files() != files:
        return what, "left a file open"
    lost = unsaid(format, done, before, after, said, got, wholes.get(key, 0))
    return what, f"lost without a word: {lost}" if lost else ""


one.slowest = (0.0, -1, "")  # seconds, case, what


def _too_slow(*_: Any) -> None:
    raise TooSlow


def peak_memory() -> int:
    """The most bytes that this process has had. Linux counts as `ru_maxrss` what the process had that started this."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> int:
    """Try all cases; the exit code says whether all was well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("error")
    resource.setrlimit(resource.RLIMIT_AS, (4 * BYTES, 4 * BYTES))
    signal.signal(signal.SIGPROF, _too_slow)
    began, bad, peak, wholes = time.monotonic(), 0, 0, dict[tuple[str, int], int]()
    kinds: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        os.chdir(folder)  # what is written by a relative name lands here
        for i in range(args.first, args.first + args.count):
            what, wrong = one(i, args.seed, folder, wholes)
            kinds[what.partition(",")[0]] += 1
            if not args.keep:
                shutil.rmtree(next(folder.iterdir()))
            used = peak_memory()
            if used > BYTES >= peak:
                wrong = wrong or f"takes {used >> 20} MB"
            peak = max(peak, used)
            if wrong:
                bad += 1
                print(f"case {i}, {what}: {wrong}", flush=True)
        os.chdir("/")
    seconds, i, what = one.slowest
    figures = {
        "cases": args.count,
        "seed": args.seed,
        "wrong": bad,
        "kinds": len(kinds),
        "seconds": round(time.monotonic() - began, 1),
        "slowest": {"seconds": round(seconds, 2), "case": i, "what": what},
        "peak_mb": peak >> 20,
    }
    print(json.dumps(figures))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
