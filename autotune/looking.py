"""Looks once at the logs that a person names: diagnoses them, or takes the report of an earlier look."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from autotune.cli import ExitStatus
from autotune.named import STDIN, Named, named, nothing_judged
from diagnostics.cache import Cache
from diagnostics.errors import UserError
from diagnostics.finding import Report, Severity
from diagnostics.sources import Found, Source
from diagnostics.user_map import UserMap

if TYPE_CHECKING:  # needs all rules
    from diagnostics.choice import Choice


@dataclass(slots=True)
class Looked:
    """What came of it.

    `errors` say why a place that was named was not diagnosed, one line each. Of folders, which may hold anything,
    `unread` (name: reason) are logs that could not be read, and `others` the files that are no logs.
    """

    sources: set[Source] = field(default_factory=set)
    reports: list[Report] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)
    others: list[Path] = field(default_factory=list)


def look(arguments: Sequence[str], mine: UserMap, chosen: Choice | None, cache: Cache) -> Looked:
    """Diagnose all logs that `arguments` name, each once."""
    looked = Looked()
    with tempfile.TemporaryDirectory(prefix="autotune-") as folder:
        stdin = Path(folder) / "stdin"
        if STDIN in arguments:
            with stdin.open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
        for place in (named(argument, stdin) for argument in dict.fromkeys(arguments)):
            _look_at(place, mine, chosen, Cache(None) if place.path == stdin else cache, looked)
    return looked


def status(reports: Sequence[Report], fail_on: Severity) -> ExitStatus:
    """What the shell is told of logs that could be read."""
    worst = max((severity for report in reports if (severity := report.worst()) is not None), default=None)
    return ExitStatus.FINDINGS if worst is not None and worst >= fail_on else ExitStatus.CLEAN


def _look_at(place: Named, mine: UserMap, chosen: Choice | None, cache: Cache, looked: Looked) -> None:
    try:
        found = _found(place, cache)
    except UserError as error:
        looked.errors.append(str(error))
        return
    looked.others += found.others
    looked.unread |= {str(path): reason for path, reason in found.unreadable}
    alone = len(found.sources) == 1
    for source in found.sources:
        if source in looked.sources:
            continue
        looked.sources.add(source)
        try:
            report = _report(source, mine, cache)
        except (OSError, UserError) as error:
            reason = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)
            if alone:
                looked.errors.append(f"{source.name}: {reason}")
            else:
                looked.unread[source.name] = reason
            continue
        looked.reports.append(report if chosen is None else chosen.of(report))
        if alone and not looked.reports[-1].judged:
            looked.errors.append(nothing_judged(looked.reports[-1]))


def _found(place: Named, cache: Cache) -> Found:
    known = cache.logs(place.path)
    if known is not None:
        return Found(known)
    found = place.find()
    cache.remember(place.path, found.sources)
    return found


def _report(source: Source, mine: UserMap, cache: Cache) -> Report:
    key = cache.key(source, mine)
    report = cache.get(key)
    if report is None:
        from diagnostics.engine import diagnose
        from diagnostics.logs import read

        report = diagnose(read(source, mine))
        cache.put(key, report)
    return report
