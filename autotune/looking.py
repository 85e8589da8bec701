"""Looks once at the logs that a person names: diagnoses them, or takes the report of an earlier look."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from autotune.cli import ExitStatus, say
from autotune.named import STDIN, UNREADABLE, Named, named, nothing_judged, spooling
from diagnostics.cache import Cache
from diagnostics.errors import UserError
from diagnostics.finding import Report, Severity
from diagnostics.sources import Found, Source
from diagnostics.stores.store import EVERYTHING, Store, Wanted
from diagnostics.user_map import UserMap

if TYPE_CHECKING:  # needs all rules
    from diagnostics.choice import Choice
    from diagnostics.details import Details
    from diagnostics.rule import Catalogue
    from diagnostics.series import RunHistory


@dataclass(slots=True)
class Looked:
    """What came of it.

    `errors` say why a place that was named was not diagnosed, one line each. `unread` (name: reason) are the logs that
    could not be read, those in folders too, and `others` the files in these that are no logs. `details` are what a page
    shows of each of `reports`, and `runs` what each is on, where that was asked for. `remote` are those of `reports` on
    runs in a store, with what was named there.
    """

    sources: set[Source] = field(default_factory=set)
    reports: list[Report] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)
    others: list[Path] = field(default_factory=list)
    details: list[Details] = field(default_factory=list)
    runs: list[Sequence[RunHistory]] = field(default_factory=list)
    remote: list[tuple[Store, str, Report]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Asked:
    """How logs are read and judged: names by a person's own map, by `rules` (None for ours as they are), less some.

    Of a store that holds many runs those that are `wanted`. With `detailed` also what a page shows beside the reports,
    with `whole` the runs themselves.
    """

    mine: UserMap
    rules: Catalogue | None = None
    chosen: Choice | None = None
    wanted: Wanted = EVERYTHING
    detailed: bool = False
    whole: bool = False


def look(arguments: Sequence[str], asked: Asked, cache: Cache, fetched: Path | None = None) -> Looked:
    """Diagnose all logs that `arguments` name, each once. UserError where standard input cannot be read.

    Runs in a store are kept in the folder `fetched`, None to keep none.
    """
    looked = Looked()
    with spooling(arguments) as stdin:
        if STDIN in arguments:
            try:
                with stdin.open("wb") as file:
                    shutil.copyfileobj(sys.stdin.buffer, file)
            except OSError as error:
                hint = "See that it can be read, and that there is room for temporary files."
                raise UserError(UNREADABLE.format(error.strerror), hint) from None
        places = [named(argument, stdin) for argument in dict.fromkeys(arguments)]
        with _kept(fetched, places) as folder:
            for place in places:
                known = Cache(None) if place.path == stdin else cache
                try:
                    found = _found(place, asked, known, folder)
                except UserError as error:
                    looked.unread[place.shown] = error.message
                    looked.errors.append(str(error))
                else:
                    _look_at(place, found, asked, known, looked, share=max(len(places), len(found.sources)))
    cache.save()
    return looked


def status(reports: Sequence[Report], fail_on: Severity) -> ExitStatus:
    """What the shell is told of logs that could be read."""
    worst = max((severity for report in reports if (severity := report.worst()) is not None), default=None)
    return ExitStatus.FINDINGS if worst is not None and worst >= fail_on else ExitStatus.CLEAN


def _look_at(place: Named, found: Found, asked: Asked, cache: Cache, looked: Looked, share: int) -> None:
    """Diagnose what was found at `place`; `share` is how many logs there may be in all."""
    looked.others += found.others
    looked.unread |= {str(path): reason for path, reason in found.unreadable}
    if found.trouble:
        looked.errors.append(found.trouble)
    new = [source for source in found.sources if source not in looked.sources]
    looked.sources.update(new)
    reports = []
    for source in new:
        try:
            report, runs = _report(source, asked, cache)
        except OSError as error:
            looked.unread[source.name] = f"cannot be read: {error.strerror}"
        except UserError as error:
            looked.unread[source.name] = str(error)
        else:
            reports.append(report if asked.chosen is None else asked.chosen.of(report))
            if place.store is not None:
                looked.remote.append((place.store, place.shown, reports[-1]))
            if asked.detailed:
                looked.details.append(_details(runs, source, reports[-1], share))
            if asked.whole:
                looked.runs.append(runs)
    looked.reports += reports
    if not any(report.judged for report in reports) and new:
        looked.errors.append(_why_nothing(place, new, reports, looked.unread))


def _why_nothing(place: Named, logs: list[Source], reports: list[Report], unread: Mapping[str, str]) -> str:
    """One line on a place in which no log could be diagnosed."""
    if len(logs) > 1:
        return f"nothing could be checked in any of the {len(logs)} logs in {place.shown}. See what is said of each."
    return nothing_judged(reports[0]) if reports else f"{logs[0].name}: {unread[logs[0].name]}"


@contextmanager
def _kept(folder: Path | None, places: Sequence[Named]) -> Iterator[Path]:
    """Where runs that are fetched lie: `folder`, or one that is gone afterwards."""
    if folder is not None or all(place.store is None for place in places):
        yield folder or Path()
        return
    with tempfile.TemporaryDirectory(prefix="autotune-") as made:
        yield Path(made)


def _found(place: Named, asked: Asked, cache: Cache, folder: Path) -> Found:
    if place.store is not None:
        return place.store.fetch(place.shown, asked.wanted, folder, say)
    known = cache.logs(place.path)
    if known is not None:
        return Found(known)
    found = place.find()
    cache.remember(place.path, found.sources)
    return found


def _report(source: Source, asked: Asked, cache: Cache) -> tuple[Report, Sequence[RunHistory]]:
    """The report on a log, and its runs; they are not read where the report of an earlier look is all that is asked."""
    key = cache.key(source, asked.mine, _digest(asked.rules))
    report = cache.get(key)
    if report is not None and not (asked.detailed or asked.whole):
        return report, ()
    from diagnostics.logs import read

    runs = read(source, asked.mine)
    if report is None:
        from diagnostics.engine import diagnose

        report = diagnose(runs, asked.rules)
        cache.put(key, report)
    return report, runs


def _details(runs: Sequence[RunHistory], source: Source, report: Report, share: int) -> Details:
    from diagnostics.details import details

    important = [evidence.metric for finding in report.findings for evidence in finding.evidence]
    return details(runs, source, important, share)


def _digest(rules: Catalogue | None) -> str:
    if rules is None:
        return ""
    from diagnostics.catalogue import digest

    return digest(rules)
