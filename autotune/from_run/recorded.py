"""A recorded run that a study starts from: found, diagnosed, and written down as the first trial of the study."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from autotune.cli import say
from autotune.judged_by import rules_here
from autotune.named import SOME, STDIN, named, nothing_judged
from diagnostics.cache import FETCHED, default_folder
from diagnostics.engine import diagnose
from diagnostics.errors import UserError
from diagnostics.events import EVENTS_FILE, EventLog, FindingRaised, MetricsLogged, Outcome, RunEnded, RunStarted
from diagnostics.finding import Confidence, Finding, Report, Safety, Severity
from diagnostics.logs import read
from diagnostics.metrics import is_metric, knobs, settings
from diagnostics.report.words import onset
from diagnostics.series import MetricSeries, RunHistory
from diagnostics.sources import Found, Source
from diagnostics.stores.store import EVERYTHING
from diagnostics.text import count
from studies.record import Origin, Proposal, State, TrialRecord
from studies.spec import StudySpec
from studies.trial import Knob
from studies.trial_log import Evaluation

COST = "completions_generated"
MOST_POINTS = 5_000  # of a curve that are written down: a study reads them again with each trial
_PART = re.compile(r"(?P<log>.+) \[(?P<part>[^]]+)\]")
_SEGMENT = re.compile(r"segment (\d+)")


@dataclass(frozen=True, slots=True)
class Recorded:
    """One run as its log tells it, called `name`; `folder` is where a run of ours lies, None for any other."""

    name: str
    history: RunHistory
    report: Report
    folder: Path | None

    def study_name(self) -> str:
        """What a study is called that starts from it, and its folder."""
        last = Path(self.name)
        part = last.stem if last.is_file() else last.name
        return "from-" + (re.sub(r"[^A-Za-z0-9._-]+", "-", part).strip(".-") or "run")

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Its findings, the worst first, in each the change that repairs its cause before all others.

        Each began when it was mildest, as in the record of a trial (`studies.trial_log`).
        """
        found = self.report.findings
        return tuple(replace(self._by_its_cause(f), first_step=onset(f, self.report)) for f in found)

    @property
    def loud(self) -> tuple[Finding, ...]:
        """Its findings at WARNING or above."""
        return tuple(f for f in self.findings if f.severity >= Severity.WARNING)

    def _by_its_cause(self, finding: Finding) -> Finding:
        for cause in self.report.causes:
            change = cause.recommendation
            sure = cause.confidence > Confidence.LOW and finding.code in {link.code for link in cause.chain}
            if sure and change is not None and change.safety is not Safety.ADVICE:
                same = [p for p in finding.prescriptions if (p.knob, p.change) == (change.knob, change.change)]
                others = [p for p in finding.prescriptions if p.knob != change.knob]
                return replace(finding, prescriptions=(*(same or [change]), *others))
        return finding

    def setting(self, name: str) -> Knob | None:
        """A setting of the run, canonical or one of its own, None where the log does not tell."""
        values = self.history.settings if name in settings() else self.history.raw_settings
        known = values.get(name)
        return known if isinstance(known, int | float | str) and not isinstance(known, bool) else None

    def value(self, name: str) -> Knob | None:
        """What a knob was: as it was set, else the highest that was logged, which of a schedule is what was asked for.

        None where the log does not tell.
        """
        known = self.setting(name)
        if known is not None or not is_metric(name):
            return known
        values = self.history.get(name).values
        return float(values[np.isfinite(values)].max(initial=0.0)) or None

    def known(self) -> dict[str, Knob]:
        """All knobs that the run tells."""
        return {knob: value for knob in knobs() if (value := self.value(knob)) is not None}

    def trial(self, spec: StudySpec, values: Mapping[str, Knob], *, comparable: bool) -> TrialRecord:
        """The run as a trial of `spec` with the settings `values`, which has ended.

        One that is not `comparable` with what the study runs is never recommended.
        """
        run = self.history.once(_thinned)
        objective = run.get(spec.objective)
        at = np.nan_to_num(run.get(COST).at(objective.steps)) if COST in run else objective.steps
        rows = zip(objective.steps.tolist(), at.tolist(), objective.values.tolist(), strict=True)
        evaluations = tuple(Evaluation(step, int(cost), value) for step, cost, value in rows)
        limit, most = spec.trial.stop_on, int(run.settings.get("max_steps") or 0)
        grave = limit is not None and any(f.severity >= limit for f in self.report.findings)
        ended = run.last_step >= most and bool(np.isfinite(objective.values[-1:]).any())
        return TrialRecord(
            0,
            1,
            int(run.settings.get("seed") or 0),
            Proposal(dict(values), Origin.RUN, f"the recorded run {self.name}, which the study starts from"),
            State.COMPLETE if comparable and ended and not grave else State.PRUNED,
            f"recorded in {self.name}",
            evaluations,
            self.findings,
            steps=run.last_step,
            max_steps=most,
            completions=int(run.get(COST).values[-1]) if COST in run else run.last_step,
        )

    def notes(self) -> list[str]:
        """What is left out where it is written down."""
        most = max(map(len, (*self.history.series.values(), *self.history.others.values())), default=0)
        return [f"of its {most:,} points a curve {MOST_POINTS:,} at most are kept"] if most > MOST_POINTS else []

    def write(self, folder: Path) -> None:
        """Its events in `folder`, as a trial tells them, so that later trials are compared with it."""
        run = self.history.once(_thinned)
        rows: dict[int, tuple[dict[str, float], dict[str, float]]] = {}
        for kind, columns in enumerate((run.series, run.others)):
            for name, series in columns.items():
                for step, value in zip(series.steps.tolist(), series.values.tolist(), strict=True):
                    rows.setdefault(step, ({}, {}))[kind][name] = value
        raised = [self._by_its_cause(finding) for finding in self.report.raised]
        log = EventLog(folder / EVENTS_FILE)
        notes = (f"recorded in {self.name}", *self.notes(), *run.notes)
        log.emit(RunStarted(min(rows, default=0), run.framework, "", run.settings, {}, run.reward_bounds, notes))
        for step in sorted(rows):
            log.emit(MetricsLogged(step, *rows[step]))
            while raised and raised[0].raised_at <= step:
                log.emit(FindingRaised(step, raised.pop(0)))
        for finding in raised:
            log.emit(FindingRaised(run.last_step, finding))
        log.emit(RunEnded(run.last_step, Outcome.STOPPED, notes[0]))
        log.close()


def _thinned(run: RunHistory) -> RunHistory:
    """The same run with at most `MOST_POINTS` points a curve, its last one among them."""

    def thin(series: MetricSeries) -> MetricSeries:
        n = len(series)
        some = np.arange(n - 1, -1, -math.ceil(n / MOST_POINTS))[::-1] if n > MOST_POINTS else slice(None)
        return replace(series, steps=series.steps[some], values=series.values[some])

    others = {name: thin(series) for name, series in run.others.items()}
    return replace(run.with_series({name: thin(series) for name, series in run.series.items()}), others=others)


def recorded(place: str) -> Recorded:
    """The one run at `place`, as `autotune diagnose` reads it; of several `LOG [part]` says which.

    UserError where there is none or more than one, and where no rule can judge it.
    """
    if place == STDIN:
        raise UserError("a study cannot start from standard input", "Save the log to a file, and name that.")
    log, part = _parted(place)
    segment = _SEGMENT.fullmatch(part)
    if segment:
        log, part = _parted(log)
    rules = rules_here((), [log])
    with tempfile.TemporaryDirectory(prefix="autotune-") as spare:
        source = _one(log, part, _found(log, Path(spare)).sources)
        try:
            runs = read(source)
        except OSError as error:
            raise UserError(f"cannot read {source.name}: {error.strerror}", "See that you may read it.") from None
    run = _segment(source.name, int(segment[1]) if segment else None, runs)
    report = diagnose(run, rules)
    if not report.judged:
        raise UserError(nothing_judged(report))
    folder = source.paths[0] if source.format == "events" else None
    if folder is not None and not folder.is_dir():
        folder = folder.parent
    return Recorded(place, run, report, folder)


def _found(log: str, spare: Path) -> Found:
    """The logs at `log`, fetched where that is in a store: into the cache, or into `spare` where there is none."""
    place = named(log, Path())
    if place.store is None:
        return place.find()
    return place.store.fetch(place.shown, EVERYTHING, default_folder(FETCHED) or spare, say)


def _one(log: str, part: str, sources: Sequence[Source]) -> Source:
    """The one log of `sources`, which were found at `log`; of several the one called `part`."""
    chosen = [source for source in sources if source.part == part] if part else list(sources)
    if len(chosen) == 1:
        return chosen[0]
    if not chosen:
        parts = ", ".join(source.part for source in sources[:SOME] if source.part)
        raise UserError(f"{log} has no part {part!r}", f"It has {parts}." if parts else f"Write --from {log}.")
    some = ", ".join(source.name for source in chosen[:SOME])
    more = f" and {len(chosen) - SOME} more" if len(chosen) > SOME else ""
    hint = f"Give one of them, such as --from '{chosen[0].name}': `autotune diagnose` says what each has."
    raise UserError(f"{log} holds {len(chosen)} runs: {some}{more}", hint)


def _segment(log: str, number: int | None, runs: Sequence[RunHistory]) -> RunHistory:
    """The one run of a log, or the one of that number, from 1."""
    if number is None and len(runs) > 1:
        what = f"{log} holds {len(runs)} runs, as its steps begin anew"
        raise UserError(what, f"Say which one: --from '{log} [segment {len(runs)}]', for example.")
    if number is not None and not 1 <= number <= len(runs):
        raise UserError(f"{log} has {count(len(runs), 'run')}, and no segment {number}", "Name one that it has.")
    return runs[(number or 1) - 1]


def _parted(place: str) -> tuple[str, str]:
    """A log, and what of it is meant: `LOG [part]`, as reports call it. A path that exists is a path."""
    match = None if Path(place).exists() else _PART.fullmatch(place)
    return (match["log"], match["part"]) if match else (place, "")
