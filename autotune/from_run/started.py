"""A study that starts from a run, and what a person should know of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from autotune.from_run.recorded import Recorded
from autotune.from_run.values import Values
from autotune.prescribe import out_of_reach
from studies import words
from studies.record import Origin, Proposal, TrialRecord
from studies.spec import StudySpec

LEAST = 2  # trials: the run itself, and one that is run


@dataclass(frozen=True, slots=True)
class FromRun:
    """A study, and the run that it starts from as its first trial."""

    spec: StudySpec
    run: Recorded
    first: TrialRecord

    def change(self) -> Proposal:
        """What the first trial to be run is, as long as nothing but the run is known."""
        from autotune.sampler import propose

        if self.first.proposal.knobs != self.spec.start:
            return Proposal(dict(self.spec.start), Origin.START, "where --start says")
        return propose([self.first], self.spec.space, self.spec.objective, self.spec.trials)

    def told(self) -> Iterator[str]:
        """The first change, in lines."""
        change = self.change()
        before = self.first.proposal.knobs
        moved = ", ".join(
            f"{k} {words.number(before[k])} → {words.number(v)}" for k, v in change.knobs.items() if v != before[k]
        )
        yield f"first change: {moved or 'as the sampler suggests'}, because {change.why}"
        if change.hypothesis is not None:
            yield f"  hypothesis: {words.hypothesis(change.hypothesis)}"


def started(spec: StudySpec, run: Recorded, values: Values, *, comparable: bool, said: Iterable[str] = ()) -> FromRun:
    """`spec` with the notes that a person should read, from `run`, whose knobs had `values`."""
    first = run.trial(spec, values.were(spec.space), comparable=comparable)
    codes = ", ".join(f"{f.severity.name} {f.code} {f.name}" for f in run.loud) or "nothing at WARNING or above"
    notes = [
        f"trial 0 is the recorded run {run.name}, with {run.history.last_step} steps: {codes}",
        *run.notes(),
        *_fixed(spec),
        *out_of_reach(first, spec.space),
        *said,
    ]
    return FromRun(replace(spec, notes=tuple(notes)), run, first)


def _fixed(spec: StudySpec) -> Iterator[str]:
    """What of the run's knobs is not searched."""
    if spec.trial.knobs:
        kept = words.knobs(spec.trial.knobs)
        yield f"as in the run, as no finding wants another: {kept}; --space KNOB=LOW..HIGH searches one"
