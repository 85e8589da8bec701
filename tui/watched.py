"""What is watched, and what of it a person looks at: the one thing that every screen shows, whatever lies behind it.

A run is a trial of a study, or one run of a log. The screens but the first know runs alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from diagnostics.axes import Clock
from diagnostics.finding import Finding
from diagnostics.plot import Curve
from studies.record import StudyRecord, TrialRecord
from tui.feed import Snapshot, TrialFeed
from tui.log_feed import Logs
from tui.log_status import Run, newest, runs

RunKey = int | tuple[str, int]  # the number of a trial; the name of a log and which of its runs, from 1


@dataclass(frozen=True, slots=True, eq=False)
class RunView:
    """One run; `of` is what it is a view of, and `parent` the trial that it was changed from.

    `metrics` are under canonical names, `others` under names without a meaning; `names` says how the log calls those
    that it calls otherwise. `first` and `last` are the steps at which its plots begin and end. `clock` says when its
    steps were logged, None where nothing does, and `knobs` what was changed while it ran, as (step, knob, value).
    """

    key: RunKey
    name: str
    of: TrialRecord | Run
    metrics: Mapping[str, Curve] = field(default_factory=dict)
    others: Mapping[str, Curve] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    first: int = 0
    last: int = 0
    objective: str = ""
    parent: RunKey | None = None
    clock: Clock | None = None
    knobs: tuple[tuple[int, str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Watched:
    """The newest that is known, and which run of it is looked at; `source` is None before anything was read.

    `baseline` is the run that a person chose to be drawn beneath the selected one.
    """

    source: Snapshot | Logs | None = None
    runs: tuple[RunView, ...] = ()
    selected: RunKey | None = None
    baseline: RunKey | None = None

    @property
    def run(self) -> RunView | None:
        """The selected run."""
        return self.find(self.selected)

    @property
    def beneath(self) -> RunView | None:
        """The run that the selected one is compared with: the chosen one, else the trial that it was changed from."""
        run = self.run
        if run is None:
            return None
        chosen = self.baseline if self.baseline is not None and self.baseline != run.key else run.parent
        return self.find(chosen)

    @property
    def compared(self) -> RunView | None:
        """The run beneath, or else the one before the selected one in the list; of the first run none."""
        run, beneath = self.run, self.beneath
        if run is None or beneath is not None:
            return beneath
        place = self.runs.index(run)
        return self.runs[place - 1] if place else None

    def find(self, key: RunKey | None) -> RunView | None:
        """The run that is known by `key`."""
        return next((run for run in self.runs if run.key == key), None)

    @property
    def study(self) -> StudyRecord | None:
        """The study, where it is one and its first line was read."""
        return self.source.study if isinstance(self.source, Snapshot) else None

    def updated(self, source: Snapshot | Logs) -> Watched:
        """With what is known by now; the selection stays, and follows what goes on as long as it is on it."""
        if isinstance(source, Snapshot):
            found = tuple(_of_study(source))
            return replace(self, source=source, runs=found, selected=self._trial(source, found))
        all_runs = runs(source)
        found = tuple(_of_log(run) for run in all_runs)
        return replace(self, source=source, runs=found, selected=self._run(all_runs))

    def _trial(self, snapshot: Snapshot, found: tuple[RunView, ...]) -> RunKey | None:
        """At first the newest trial, of a study that is finished the best."""
        if not found:
            return None
        if self.selected is None:
            best = snapshot.study.best() if snapshot.study and snapshot.study.ended == "finished" else None
            return best.number if best else found[-1].key
        on_newest = bool(self.runs) and self.selected == self.runs[-1].key
        return found[-1].key if on_newest else self.selected

    def _run(self, all_runs: list[Run]) -> RunKey | None:
        """At first the run that was written last; then the last run of the log that is looked at."""
        if not all_runs:
            return None
        before = self.run.of if self.run else None
        of_log = [run for run in all_runs if isinstance(before, Run) and run.log.name == before.log.name]
        if not isinstance(before, Run) or not of_log:
            return newest(all_runs).key
        return of_log[-1].key if before.last else before.key


def _of_study(snapshot: Snapshot) -> list[RunView]:
    study = snapshot.study
    if study is None:
        return []
    return [
        RunView(
            trial.number,
            f"trial {trial.number}",
            trial,
            feed.curves,
            findings=trial.findings,
            last=trial.max_steps,
            objective=study.spec.objective,
            parent=trial.proposal.parent,
            clock=feed.clock,
            knobs=feed.knobs,
        )
        for trial in study.trials
        for feed in [snapshot.trials.get(trial.number, TrialFeed())]
    ]


def _of_log(run: Run) -> RunView:
    segment, report = run.segment, run.log.report
    several = len(run.log.segments) > 1
    name = f"segment {run.number} of {run.log.name}" if several else run.log.name
    if segment is None or report is None:
        return RunView(run.key, name, run)
    named = {metric: logged for metric in segment.metrics if (logged := report.names.get(metric, metric)) != metric}
    others = segment.others
    return RunView(
        run.key,
        name,
        run,
        segment.metrics,
        others,
        named,
        run.findings,
        segment.first,
        max(0, segment.last),
        clock=segment.clock,
        knobs=segment.knobs,
    )
