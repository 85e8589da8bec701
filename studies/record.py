"""What a study has come to: its trials, what each was to show, what came of it. `studies.log` writes and reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from diagnostics.finding import Finding, Hypothesis, Severity, hypothesis_from_json, hypothesis_to_json
from studies.spec import StudySpec
from studies.trial import Knob
from studies.trial_log import Evaluation, TrialLog

LUCK = 2.0  # standard deviations; the best of twenty runs at one setting is expected 1.87 above their mean


class Origin(StrEnum):
    """Where a proposal comes from."""

    START = "start"  # the preset's start, or a person's --start
    RUN = "run"  # no trial: the recorded run that the study starts from
    FINDING = "finding"  # a prescription of a finding
    BRACKET = "bracket"  # between settings of which more is known
    SAMPLER = "sampler"  # Optuna's model
    CONFIRM = "confirm"  # settings of an earlier trial on another seed
    PERSON = "person"  # enqueued in Optuna by a person or another tool


class State(StrEnum):
    """What became of a trial, as told to Optuna."""

    WAITING = "waiting"  # proposed, and waits for a person to accept or refuse it
    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"  # stopped by a finding or a pruner; its evaluations count
    FAILED = "failed"  # a fault of ours or of the machine; its settings are not judged
    REFUSED = "refused"  # by a person: it never ran, and nothing is learned of its settings


@dataclass(frozen=True, slots=True)
class Proposal:
    """The settings of a trial and why they were chosen.

    `knob` and `parent` say what was changed from which trial; `code` is the finding behind it.
    """

    knobs: Mapping[str, Knob]
    origin: Origin
    why: str
    parent: int | None = None
    code: str = ""
    knob: str = ""
    hypothesis: Hypothesis | None = None


class Judgement(StrEnum):
    """What a trial says of the hypothesis behind it."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric of the runs before a change and after it, at equal cost.

    `before` and `after` are means over `runs` = (seeds before, seeds after); `error` is the standard error of their
    difference, None where nothing tells the noise between seeds; `completions` is the cost at which they were compared.
    """

    metric: str
    before: float
    after: float
    error: float | None
    runs: tuple[int, int]
    completions: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a proposal did what its hypothesis said; the comparisons are None where a metric was not logged."""

    judgement: Judgement
    why: str
    mechanism: Comparison | None = None
    objective: Comparison | None = None


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One trial: what was proposed, what happened, what was found. `findings` holds the worst per code.

    One that is `paused` is RUNNING and stands still; `paused_seconds` is how long it did before, which `seconds` do not
    count.
    """

    number: int
    attempt: int
    seed: int
    proposal: Proposal
    state: State = State.RUNNING
    reason: str = ""
    evaluations: tuple[Evaluation, ...] = ()
    findings: tuple[Finding, ...] = ()
    steps: int = 0
    max_steps: int = 0
    completions: int = 0
    seconds: float = 0.0
    verdict: Verdict | None = None
    paused: bool = False
    paused_seconds: float = 0.0

    @property
    def value(self) -> float | None:
        """The objective at the end: the mean of the last tenth of the evaluations, None before the first.

        A trial evaluated ten times counts with its last value; one whose objective is logged at every step would
        otherwise count with the noise of one.
        """
        last = self.evaluations[-max(1, len(self.evaluations) // 10) :]
        return fmean(e.value for e in last) if last else None

    @property
    def feasible(self) -> bool:
        """Whether it ran to its end with no finding at ERROR or above."""
        return self.state is State.COMPLETE and all(f.severity < Severity.ERROR for f in self.findings)

    def with_log(self, log: TrialLog) -> TrialRecord:
        """This trial with what its events say by now."""
        return replace(
            self,
            evaluations=tuple(log.evaluations),
            findings=tuple(sorted(log.findings.values(), key=lambda f: (-f.severity, f.raised_at))),
            steps=log.step,
            max_steps=log.max_steps,
            completions=log.completions,
            seconds=max(0.0, log.last_time - log.first_time - self.paused_seconds)
            if self.state is State.RUNNING
            else self.seconds,
        )


@dataclass(frozen=True, slots=True)
class Search:
    """How a study looks for settings. `storage` is a URL of Optuna's, empty for `study.db` in the study's folder.

    With `review` every proposal waits for a person to accept or refuse it.
    """

    sampler: str = "autotune"
    pruner: str = "autotune"
    storage: str = ""
    name: str = ""  # of the study in that storage
    parallel: int = 1
    timeout: float | None = None  # seconds
    review: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """A line of `study.jsonl`: when, what kind, about which trial, and all that it says."""

    time: float  # seconds since the epoch
    kind: str
    trial: int | None
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """A study as its files tell it; `ended` is empty while it runs, or after a kill.

    One that is `ending` begins no new trial, as a person asked. `tries` are the settings that persons wanted to be run,
    by their requests; those that began are among the trials.
    """

    directory: Path
    spec: StudySpec
    trials: tuple[TrialRecord, ...] = ()
    search: Search = field(default_factory=Search)
    started: float = 0.0
    ended: str = ""
    ending: bool = False
    tries: Mapping[str, Proposal] = field(default_factory=dict)
    unreadable: int = 0
    decisions: tuple[Decision, ...] = ()

    def trial(self, number: int | None) -> TrialRecord | None:
        """The trial of that number, None where there is none."""
        return next((t for t in self.trials if t.number == number), None)

    @property
    def begun(self) -> int:
        """How many of its trials are spent: all but those that failed or were refused, which cost none."""
        return sum(t.state not in (State.FAILED, State.REFUSED) for t in self.trials)

    @property
    def done(self) -> int:
        """How many trials are over and tell something of their settings."""
        return sum(t.state in (State.COMPLETE, State.PRUNED) for t in self.trials)

    @property
    def waiting(self) -> tuple[TrialRecord, ...]:
        """The trials that wait for a person to accept or refuse them."""
        return tuple(t for t in self.trials if t.state is State.WAITING)

    @property
    def recorded(self) -> TrialRecord | None:
        """The recorded run that the study starts from, which stands as its first trial; None where there is none."""
        return next((t for t in self.trials if t.proposal.origin is Origin.RUN), None)

    def settings(self, trial: TrialRecord) -> dict[str, Knob]:
        """All knobs of `trial`: those that the study searches, and before them those that it leaves as they are."""
        return {**self.spec.trial.knobs, **trial.proposal.knobs}

    def changes(self, trial: TrialRecord) -> dict[str, tuple[Knob, Knob]]:
        """What `trial` changed, knob by knob, as (before, after): against its parent, else against the start."""
        parent = self.trial(trial.proposal.parent)
        before = parent.proposal.knobs if parent else self.spec.start
        return {k: (before[k], v) for k, v in trial.proposal.knobs.items() if k in before and before[k] != v}

    def with_trial(self, trial: TrialRecord) -> StudyRecord:
        """The study with `trial` added, or in the place of the trial of that number."""
        others = tuple(t for t in self.trials if t.number != trial.number)
        return replace(self, trials=tuple(sorted((*others, trial), key=lambda t: t.number)))

    def values(self, trial: TrialRecord) -> tuple[float, ...]:
        """The objective of the settings of `trial` on each of their seeds; see `replicates`."""
        return tuple(t.value for t in replicates(self.trials, trial) if t.value is not None)

    def best(self) -> TrialRecord | None:
        """The feasible trial to recommend, None where there is none; see `best`."""
        return best(self.trials, self.spec.noise.get(self.spec.objective))


def replicates(trials: Sequence[TrialRecord], trial: TrialRecord) -> tuple[TrialRecord, ...]:
    """Those of `trials` with the settings of `trial` that have ended with a value, whatever their seeds.

    Empty where one of them had a finding at ERROR or above, or none ran to its end: settings that fail on one seed of
    three are not to be recommended for the other two.
    """
    same = [t for t in trials if t.proposal.knobs == trial.proposal.knobs]
    ended = [t for t in same if t.state in (State.COMPLETE, State.PRUNED)]
    if not any(t.feasible for t in ended) or any(f.severity >= Severity.ERROR for t in ended for f in t.findings):
        return ()
    return tuple(t for t in ended if t.value is not None)


def best(trials: Sequence[TrialRecord], noise: float | None = None) -> TrialRecord | None:
    """The first feasible trial with the settings whose mean objective over all their seeds is highest.

    Of many single runs the highest is the luckiest: where some settings were run on several seeds, those that were run
    on one must be ahead of them by `LUCK` times the `noise` between seeds, by default that of the seeds at hand.
    """
    groups = {same[0].number: same for t in trials if (same := replicates(trials, t))}
    several = [[t.value or 0.0 for t in same] for same in groups.values() if len(same) > 1]
    handicap = 0.0
    if several:
        known = noise if noise is not None else fmean(stdev(values) for values in several)
        handicap = LUCK * known

    def score(number: int) -> float:
        same = groups[number]
        return fmean(t.value or 0.0 for t in same) - (handicap if len(same) == 1 else 0.0)

    number = max(groups, key=lambda n: (score(n), -n), default=None)
    if number is None:
        return None
    return next(t for t in groups[number] if t.feasible)


# ---- as plain JSON types


def proposal_to_json(proposal: Proposal) -> dict[str, Any]:
    """The proposal as it stands in `study.jsonl` and in a trial's user attributes."""
    h = proposal.hypothesis
    return {
        "knobs": dict(proposal.knobs),
        "origin": str(proposal.origin),
        "why": proposal.why,
        "lineage": {"parent": proposal.parent, "forked_at": 0 if proposal.parent is not None else None},
        "code": proposal.code,
        "knob": proposal.knob,
        "hypothesis": h and hypothesis_to_json(h),
    }


def proposal_from_json(data: Mapping[str, Any]) -> Proposal:
    """The inverse of `proposal_to_json`. KeyError, TypeError or ValueError where it is none."""
    h = data["hypothesis"]
    return Proposal(
        data["knobs"],
        Origin(data["origin"]),
        data["why"],
        data["lineage"]["parent"],
        data["code"],
        data["knob"],
        h and hypothesis_from_json(h),
    )


def verdict_to_json(verdict: Verdict) -> dict[str, Any]:
    """The verdict as plain JSON types."""
    return {
        "judgement": str(verdict.judgement),
        "why": verdict.why,
        "mechanism": verdict.mechanism and _comparison_to_json(verdict.mechanism),
        "objective": verdict.objective and _comparison_to_json(verdict.objective),
    }


def verdict_from_json(data: Mapping[str, Any]) -> Verdict:
    """The inverse of `verdict_to_json`. KeyError, TypeError or ValueError where it is none."""
    mechanism, objective = data["mechanism"], data["objective"]
    return Verdict(
        Judgement(data["judgement"]),
        data["why"],
        mechanism and _comparison_from_json(mechanism),
        objective and _comparison_from_json(objective),
    )


def _comparison_to_json(c: Comparison) -> dict[str, Any]:
    return {
        "metric": c.metric,
        "before": c.before,
        "after": c.after,
        "error": c.error,
        "runs": list(c.runs),
        "completions": c.completions,
    }


def _comparison_from_json(data: Mapping[str, Any]) -> Comparison:
    before, after = data["runs"]
    return Comparison(
        data["metric"], data["before"], data["after"], data["error"], (before, after), data["completions"]
    )
