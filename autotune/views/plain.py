"""A study as plain lines, one for each thing that happens: for pipes, logs and `--plain`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from diagnostics.events import Event, FindingRaised, MetricsLogged
from diagnostics.text import visible
from studies import words
from studies.record import State, StudyRecord, TrialRecord
from studies.spec import StudySpec
from studies.trial_log import TrialLog


class PlainView:
    """Writes lines to `stream` as the study goes; each line is flushed."""

    def __init__(self, spec: StudySpec, directory: Path, stream: TextIO) -> None:
        self._stream = stream
        self._study = StudyRecord(directory, spec)
        cost = f"{spec.trial.completions:,} completions each"
        self._say(f"study {spec.name} in {directory}: {spec.trials} trials, {cost}, maximising {spec.objective}")

    def began(self, trial: TrialRecord) -> None:
        """Settings, reason and hypothesis, before the trial starts."""
        proposal = trial.proposal
        self._study = self._study.with_trial(trial)
        again = f" (attempt {trial.attempt})" if trial.attempt > 1 else ""
        if proposal.parent is None:
            self._say(f"trial {trial.number}{again}  {words.knobs(proposal.knobs)}")
        else:
            self._say(
                f"trial {trial.number}{again}  {words.change(self._study, trial)}  (from trial {proposal.parent})"
            )
        self._say(f"trial {trial.number}  because: {proposal.why}")
        if proposal.hypothesis is not None:
            self._say(f"trial {trial.number}  hypothesis: {words.hypothesis(proposal.hypothesis)}")

    def moved(self, trial: TrialRecord, log: TrialLog, events: Sequence[Event]) -> None:
        """A line for each evaluation and each finding."""
        objective = self._study.spec.objective
        for event in events:
            if isinstance(event, FindingRaised):
                self._say(f"trial {trial.number}  {words.finding(event.finding)}")
            elif isinstance(event, MetricsLogged) and objective in event.metrics:
                share = f"{event.step}/{log.max_steps}" if log.max_steps else str(event.step)
                self._say(f"trial {trial.number}  step {share}  {objective} {event.metrics[objective]:+.3f}")

    def ended(self, trial: TrialRecord) -> None:
        """What became of it."""
        self._study = self._study.with_trial(trial)
        self._say(
            f"trial {trial.number}  {words.outcome(trial)}: {trial.reason}; {self._study.spec.objective} "
            f"{words.number(trial.evaluations[0].value) if trial.evaluations else '-'} → {words.number(trial.value)}, "
            f"{words.duration(trial.seconds)}"
        )

    def _say(self, line: str) -> None:
        print(visible(line), file=self._stream, flush=True)


def closing(study: StudyRecord) -> list[str]:
    """The last lines of a study: what is recommended, against where it began, and where to look."""
    best, lines = study.best(), []
    objective = study.spec.objective
    if best is None:
        lines.append("no trial ran to its end without a finding at ERROR: there is nothing to recommend")
    else:
        start = study.trials[0]
        lines.append(
            f"best: trial {best.number} with {objective} {best.value:+.3f}  ({words.knobs(best.proposal.knobs)})"
        )
        if start is not best:
            lines.append(
                f"it began with {words.knobs(start.proposal.knobs)}: {words.number(start.value)}"
                f"{', ' + start.reason if start.state is State.PRUNED else ''}"
            )
    lines.append(f"journal: {study.directory / 'journal.md'}")
    return lines
