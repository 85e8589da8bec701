"""A study as plain lines, one for each thing that happens: for pipes, logs and `--plain`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from autotune.prescribe import unrepaired
from diagnostics.events import Event, FindingRaised, MetricsLogged, Outcome
from diagnostics.text import visible
from studies import words
from studies.record import State, StudyRecord, TrialRecord
from studies.trial_log import TrialLog


class PlainView:
    """Writes lines to `stream` as the study goes; each line is flushed."""

    def __init__(self, study: StudyRecord, stream: TextIO) -> None:
        self._stream, self._study = stream, study
        self._introduced: set[int] = set()  # trials that were told of before they began
        spec, again = study.spec, f", {len(study.trials)} of them begun" if study.trials else ""
        if len(study.trials) == 1 and study.recorded is not None:
            again = ", the first of them recorded"
        cost = f", {spec.trial.completions:,} completions each" if spec.trial.completions else ""
        self._say(
            f"study {spec.name} in {study.directory}: {spec.trials} trials{again}{cost}, maximising {spec.objective}"
        )

    def waits(self, trial: TrialRecord) -> None:
        """Settings, reason and hypothesis, and who is to decide."""
        self._introduced.add(trial.number)
        self._introduce(trial)
        where = self._study.directory
        self._say(
            f"trial {trial.number}  waits for an answer: autotune study accept {where}, "
            f"or autotune study refuse {where}"
        )

    def began(self, trial: TrialRecord) -> None:
        """Settings, reason and hypothesis, before the trial starts; of one that waited they were told."""
        if trial.number in self._introduced and trial.attempt == 1:
            self._say(f"trial {trial.number}  begins")
        else:
            self._introduce(trial)

    def _introduce(self, trial: TrialRecord) -> None:
        proposal = trial.proposal
        self._study = self._study.with_trial(trial)
        name = f"trial {trial.number}" + (f" (attempt {trial.attempt})" if trial.attempt > 1 else "")
        if proposal.parent is None:
            self._say(f"{name}  {words.knobs(proposal.knobs)}")
        else:
            self._say(f"{name}  {words.change(self._study, trial)}  (from trial {proposal.parent})")
        self._say(f"trial {trial.number}  because: {proposal.why}")
        if proposal.hypothesis is not None:
            self._say(f"trial {trial.number}  hypothesis: {words.hypothesis(proposal.hypothesis)}")

    def moved(self, trial: TrialRecord, log: TrialLog, events: Sequence[Event]) -> None:
        """A line for each evaluation and each finding."""
        objective = self._study.spec.objective
        if not events:  # this is called many times a second
            return
        position = {e.step: n for n, e in enumerate(log.evaluations, 1)}
        values = {e.step: e.value for e in log.evaluations}
        for event in events:
            if isinstance(event, FindingRaised):
                self._say(f"trial {trial.number}  {words.finding(event.finding)}")
            elif isinstance(event, MetricsLogged) and _worth_a_line(position.pop(event.step, 0)):
                share = f"{event.step}/{log.max_steps}" if log.max_steps else str(event.step)
                self._say(f"trial {trial.number}  step {share}  {objective} {values[event.step]:+.3f}")

    def ended(self, trial: TrialRecord) -> None:
        """What became of it."""
        self._study = self._study.with_trial(trial)
        self._say(
            f"trial {trial.number}  {words.outcome(trial)}: {trial.reason}; {self._study.spec.objective} "
            f"{words.number(trial.evaluations[0].value) if trial.evaluations else '-'} → {words.number(trial.value)}, "
            f"{words.duration(trial.seconds)}"
        )

    def judged(self, trial: TrialRecord) -> None:
        """What it says of its hypothesis."""
        if trial.verdict is not None:
            self._say(f"trial {trial.number}  hypothesis {trial.verdict.judgement}: {trial.verdict.why}")

    def noted(self, text: str) -> None:
        """Something a person should know."""
        self._say(text)

    def _say(self, line: str) -> None:
        print(visible(line), file=self._stream, flush=True)


ALL_OF = 30  # so many evaluations of a trial have a line each


def _worth_a_line(evaluation: int) -> bool:
    """Whether the evaluation of this number, from 1, is told: of a script that logs one at every step fewer and fewer.

    After the first ones every tenth, from the hundredth on every hundredth, and so on.
    """
    return 0 < evaluation <= ALL_OF or (evaluation > 0 and evaluation % 10 ** (len(str(evaluation)) - 1) == 0)


def told(trial: TrialRecord) -> list[str]:
    """A trial in full, for whoever looks back."""
    lines = [f"trial {trial.number}: {trial.proposal.why}"]
    if trial.proposal.hypothesis is not None:
        lines.append(f"  hypothesis: {words.hypothesis(trial.proposal.hypothesis)}")
    lines += [f"  {words.finding(finding)}" for finding in trial.findings]
    if trial.reason:
        lines.append(f"  {words.outcome(trial)}: {trial.reason}")
    if trial.verdict is not None:
        lines.append(f"  {trial.verdict.judgement}: {trial.verdict.why}")
    return lines


def closing(study: StudyRecord) -> list[str]:
    """The last lines of a study: what is recommended, against where it began, what is left, and where to look."""
    best, lines = study.best(), []
    objective = study.spec.objective
    if best is None:
        lines.append("no trial ran to its end without a finding at ERROR: there is nothing to recommend")
    else:
        start = study.trials[0]
        settings = words.knobs(best.proposal.knobs)
        lines.append(f"best: trial {best.number} with {objective} {words.result(study, best)}  ({settings})")
        if start is not best:
            lines.append(
                f"it began with {words.knobs(start.proposal.knobs)}: {words.number(start.value)}"
                f"{', ' + start.reason if start.state is State.PRUNED else ''}"
            )
    lines += unrepaired(study)
    if study.ended != Outcome.FINISHED:
        lines.append(f"it is not at its end: autotune study resume {study.directory}")
    lines.append(f"journal: {study.directory / 'journal.md'}")
    return lines
