"""What is known of a trial beyond its own words: its report, made as `autotune diagnose` makes it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from diagnostics.errors import UserError
from diagnostics.finding import Report
from diagnostics.text import visible
from tui.watched import RunView

if TYPE_CHECKING:
    from diagnostics.rule import Catalogue


@dataclass(frozen=True, slots=True)
class Judged:
    """The report on a trial as it was at `of`, which begins with its key; or, in `trouble`, why there is none."""

    of: tuple[object, ...] = ()
    report: Report | None = None
    trouble: str = ""


def judge(of: tuple[object, ...], folder: Path, rules: Catalogue | None) -> Judged:
    """Read the trial in `folder` and judge it by `rules`, None for ours as they are; takes its time."""
    from diagnostics.engine import diagnose
    from diagnostics.logs import read
    from diagnostics.sources import Source

    try:
        return Judged(of, diagnose(read(Source("events", (folder,), "", str(folder))), rules))
    except UserError as error:
        return Judged(of, trouble=visible(str(error)))
    except OSError as error:
        return Judged(of, trouble=visible(f"cannot read {folder}: {error.strerror}"))


def told(run: RunView) -> Report:
    """A report that has the findings alone, for as long as there is no other."""
    return Report("", "", run.last, run.findings, run.findings, (), (), (), rules=1)


def joined(report: Report, run: RunView) -> Report:
    """`report` with what the trial itself found, should that be more or worse; knobs as the study calls them."""
    by_code = {finding.code: finding for finding in report.findings}
    for finding in run.findings:
        if finding.code not in by_code or by_code[finding.code].severity < finding.severity:
            by_code[finding.code] = finding
    worst_first = tuple(sorted(by_code.values(), key=lambda f: (-f.severity, f.raised_at)))
    return replace(report, source="", framework="", findings=worst_first, excerpts=())
