"""Looks once at the logs that a person names: diagnoses them, or takes the report of an earlier look."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autotune.named import STDIN, Named, named, nothing_known
from diagnostics.cache import Cache
from diagnostics.errors import UserError
from diagnostics.finding import Report
from diagnostics.sources import Found, Source
from diagnostics.user_map import UserMap


@dataclass(slots=True)
class Looked:
    """What came of it.

    `errors` say why a place that was named was not diagnosed, one line each. Of folders, which may hold anything,
    `unread` (name: reason) are logs that could not be read, and `others` the files that are no logs.
    """

    reports: list[Report] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)
    others: list[Path] = field(default_factory=list)


def look(arguments: Sequence[str], mine: UserMap, cache: Cache) -> Looked:
    """Diagnose all logs that `arguments` name, each once."""
    looked, seen = Looked(), set[Source]()
    with tempfile.TemporaryDirectory(prefix="autotune-") as folder:
        stdin = Path(folder) / "stdin"
        if STDIN in arguments:
            with stdin.open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
        for place in (named(argument, stdin) for argument in dict.fromkeys(arguments)):
            _look_at(place, mine, Cache(None) if place.path == stdin else cache, looked, seen)
    return looked


def _look_at(place: Named, mine: UserMap, cache: Cache, looked: Looked, seen: set[Source]) -> None:
    try:
        found = _found(place, cache)
    except UserError as error:
        looked.errors.append(str(error))
        return
    looked.others += found.others
    looked.unread |= {str(path): reason for path, reason in found.unreadable}
    for source in found.sources:
        if source in seen:
            continue
        seen.add(source)
        try:
            report = _report(source, mine, cache)
        except (OSError, UserError) as error:
            reason = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)
            if len(found.sources) == 1:
                looked.errors.append(f"{source.name} {reason}" if isinstance(error, OSError) else reason)
            else:
                looked.unread[source.name] = reason
            continue
        looked.reports.append(report)
        if report.steps < 0 and len(found.sources) == 1:
            looked.errors.append(nothing_known(report))


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
