"""The curves that findings rest on as pictures, PNG and SVG, with the findings' ranges marked. Needs matplotlib."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from diagnostics.details import Details, Trace
from diagnostics.finding import Finding, Report, Severity
from diagnostics.report.html_data import Curves
from diagnostics.text import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = ("png", "svg")
SIZE, DPI = (9.0, 3.6), 150  # inches, and dots in one
LONGEST, LONGEST_TEXT = 60, 90  # characters of a part of a file's name, and of a title
TONES = {Severity.FATAL: "#a3101c", Severity.ERROR: "#b3261e", Severity.WARNING: "#8a5a00"}
CURVE = "#1f5fbf"
DOTS = 80  # points up to which each has one


def save(reports: Sequence[Report], details: Sequence[Details], folder: Path) -> list[Path]:
    """Draw into `folder`, which is made if need be, and return what was written.

    OSError where it cannot be written; ModuleNotFoundError without matplotlib.
    """
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    names: set[str] = set()
    written = []
    # Text is text, not formulas; a picture of the same run is the same file.
    with matplotlib.rc_context({"text.parse_math": False, "svg.fonttype": "none", "svg.hashsalt": "autotune"}):
        for report, of_it in zip(reports, details, strict=True):
            run = f"{safe(Path(report.source).name)}-" if len(reports) > 1 else ""
            for finding, trace in _drawn(report, of_it):
                name = _free(f"{run}{safe(finding.code)}-{safe(trace.metric)}", names)
                figure = _figure(report, finding, trace)
                for kind in KINDS:
                    path = folder / f"{name}.{kind}"
                    figure.savefig(path, dpi=DPI, metadata={"Date": None} if kind == "svg" else None)
                    written.append(path)
    return written


def safe(name: str) -> str:
    """`name` as a part of a file's name on any system: it leads nowhere else and hides nothing."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.")[:LONGEST] or "unnamed"


def _free(name: str, taken: set[str]) -> str:
    """`name`, with a number where it, or one that differs in its case alone, is `taken`; it is taken then."""
    free, n = name, 1
    while free.lower() in taken:
        n += 1
        free = f"{name}-{n}"
    taken.add(free.lower())
    return free


def _drawn(report: Report, details: Details) -> Iterator[tuple[Finding, Trace]]:
    """Each finding at WARNING or above with each curve that it rests on."""
    curves = Curves.of(report, details)
    for finding in curves.marks:
        for metric in dict.fromkeys(evidence.metric for evidence in finding.evidence):
            place = curves.place(metric, finding.segment)
            if place is not None:
                yield finding, details.traces[finding.segment - 1][place]


def _figure(report: Report, finding: Finding, trace: Trace) -> Figure:
    import numpy as np
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    tone, last = TONES[finding.severity], max(finding.last_step, finding.raised_at)
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    axes.plot(trace.steps, trace.values, color=CURVE, linewidth=1.2, marker="." if len(trace.steps) <= DOTS else "")
    axes.axvspan(finding.first_step, last, facecolor=tone, alpha=0.12, hatch="//", edgecolor=tone, linewidth=0)
    axes.axvline(finding.raised_at, color=tone, linewidth=1.5)
    text = f"{finding.severity.name} at {finding.raised_at}"
    axes.annotate(text, (finding.raised_at, 1), xycoords=("data", "axes fraction"), xytext=(3, -11),
                  textcoords="offset points", color=tone, fontweight="bold")  # fmt: skip
    lost = trace.steps[~np.isfinite(trace.values)]
    if len(lost):
        axes.plot(lost, np.ones(len(lost)), "x", color=TONES[Severity.FATAL], transform=axes.get_xaxis_transform(),
                  clip_on=False, label="not finite")  # fmt: skip
        axes.legend(loc="upper left")
    axes.set_title(_plain(f"{finding.code} {finding.name}: {report.source}"), loc="left", fontsize=10)
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel(_plain(trace.metric), fontsize=9, loc="bottom")
    axes.margins(x=0.01)
    axes.grid(alpha=0.3)
    return figure


def _plain(text: str) -> str:
    """`text` in characters that every font has, as much of it as there is room for."""
    plain = visible(text).encode("ascii", "backslashreplace").decode("ascii")
    return plain if len(plain) <= LONGEST_TEXT else f"{plain[:LONGEST_TEXT]}..."
