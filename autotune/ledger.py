"""The study as Optuna keeps it: trials, their settings, values and states, in a database that any Optuna tool opens.

Trials are told by their number, so that a study that goes on after a kill can tell those it did not ask for itself.
What Optuna has no place for (the whole findings, the proposal with its hypothesis, the verdict) goes into system
attributes, from which `autotune.sampler` decides what to try next.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autotune import dashboard, search
from autotune.prescribe import tried
from diagnostics.errors import UserError
from diagnostics.finding import Finding, Severity, finding_from_json, finding_to_json
from studies.record import (
    Origin,
    Proposal,
    Search,
    State,
    StudyRecord,
    TrialRecord,
    Verdict,
    proposal_from_json,
    proposal_to_json,
    verdict_from_json,
    verdict_to_json,
)
from studies.space import Choices, Range, Space
from studies.spec import StudySpec
from studies.trial import Knob
from studies.trial_log import Evaluation

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

PROPOSAL, FINDINGS, VERDICT = "autotune:proposal", "autotune:findings", "autotune:verdict"
REASON = "reason"
REQUEST = "autotune:request"  # of a person, who asked for the settings of the trial
REFUSED = "autotune:refused"  # a person did not want the trial to run
DATABASE = "study.db"
STORAGE_VARIABLE = "AUTOTUNE_STORAGE"  # holds the URL of a storage with its password
CONSTRAINT = "findings_at_error"
DRAWS = 10  # at most, until the settings are none that a person refused: a small space may have no others


class Ledger:
    """One study in Optuna's storage. Whatever the storage raises passes through."""

    def __init__(self, study: optuna.Study) -> None:
        self.study = study
        self._storage = study._storage

    @classmethod
    def reserve(cls, spec: StudySpec, how: Search) -> None:
        """Make the study in a storage of others'. UserError where that cannot be, or where it has one of that name."""
        import optuna

        with search.plainly(how.storage):
            try:
                optuna.create_study(
                    study_name=_name(spec, how),
                    storage=search.storage(_with_password(how.storage)),
                    direction="maximize",
                )
            except optuna.exceptions.DuplicatedStudyError:
                raise UserError(
                    f"{search.hide_password(how.storage)} already has a study {_name(spec, how)}",
                    "Give another --name, or another --storage.",
                ) from None

    @classmethod
    @contextmanager
    def open(cls, spec: StudySpec, how: Search, directory: Path) -> Iterator[Ledger]:
        """The study of `directory` while it runs. UserError where its storage cannot be reached, then or later."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with search.plainly(how.storage or str(directory / DATABASE)):
            study = optuna.create_study(
                study_name=_name(spec, how),
                storage=_storage(how, directory),
                pruner=search.pruner(how.pruner),
                direction="maximize",
                load_if_exists=True,
            )
            # One that goes on with the seed it began with would draw again what it drew before.
            seed = spec.seed + len(study.get_trials(deepcopy=False))
            study.sampler = search.sampler(how.sampler, seed, trials=spec.trials, objective=spec.objective)
            yield cls(study)

    def ask(self, space: Mapping[str, Space], start: Proposal | None) -> tuple[int, Proposal]:
        """The number of a new trial and what it is to try: what waits in the queue, else what the sampler says.

        `start` joins the queue where it is given, once: a kill may have left it there. What the model or chance draws
        is drawn again where a person refused it before.
        """
        if start is not None:
            self._enqueue(start)
        refused = [t for t in map(record_of, self.study.get_trials(deepcopy=False)) if t.state is State.REFUSED]
        for draws in range(1, DRAWS + 1):
            asked = self.study.ask({knob: distribution(place) for knob, place in space.items()})
            proposal = replace(self._proposed(asked.number), knobs=dict(asked.params))
            if proposal.origin is not Origin.SAMPLER or draws == DRAWS or not tried(proposal.knobs, refused, space):
                break
            self.fail(asked.number, "these are settings that a person refused")
        self._storage.set_trial_system_attr(asked._trial_id, PROPOSAL, proposal_to_json(proposal))
        return asked.number, proposal

    def adopt(self, record: TrialRecord, space: Mapping[str, Space]) -> None:
        """Add a trial that was not asked for and has ended, the recorded run that a study starts from."""
        from optuna.trial import TrialState, create_trial

        complete = record.state is State.COMPLETE
        self.study.add_trial(
            create_trial(
                state=TrialState.COMPLETE if complete else TrialState.PRUNED,
                value=record.value if complete else None,
                params=dict(record.proposal.knobs),
                distributions={knob: distribution(place) for knob, place in space.items()},
                intermediate_values={e.completions: e.value for e in record.evaluations if math.isfinite(e.value)},
                user_attrs={REASON: record.reason},
                system_attrs={PROPOSAL: proposal_to_json(record.proposal), **_found(record.findings)},
            )
        )
        dashboard.annotate(self.study, record)

    def want(self, proposal: Proposal, request: str) -> None:
        """Have a person's settings be tried next, once for each request, however often this is said."""
        if all(t.system_attrs.get(REQUEST) != request for t in self.study.get_trials(deepcopy=False)):
            self._enqueue(proposal, request)

    def wanted(self) -> list[Proposal]:
        """The settings of persons' that are still to be tried, the next one first."""
        from optuna.trial import TrialState

        waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        return [proposal_from_json(t.system_attrs[PROPOSAL]) for t in waiting if REQUEST in t.system_attrs]

    def _enqueue(self, proposal: Proposal, request: str = "") -> None:
        """Have the next trial asked for be `proposal`, unless it waits already; `request` is the person's behind it."""
        from optuna.trial import TrialState, create_trial

        attrs: dict[str, Any] = {"fixed_params": dict(proposal.knobs), PROPOSAL: proposal_to_json(proposal)}
        if request:
            attrs[REQUEST] = request
        waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if all(t.system_attrs.get(PROPOSAL) != attrs[PROPOSAL] for t in waiting):
            self.study.add_trial(create_trial(state=TrialState.WAITING, system_attrs=attrs))

    def _proposed(self, number: int) -> Proposal:
        attrs = self._storage.get_trial(self._id(number)).system_attrs
        if PROPOSAL in attrs:
            return proposal_from_json(attrs[PROPOSAL])
        if "fixed_params" in attrs:
            return Proposal({}, Origin.PERSON, "a person asked for these settings")
        name = type(self.study.sampler).__name__
        if name == "FindingsSampler":
            return Proposal({}, Origin.SAMPLER, "no trial has ended yet, so these settings are drawn at random")
        return Proposal({}, Origin.SAMPLER, f"Optuna's {name} suggests this from the trials so far")

    def report(self, number: int, evaluations: Iterable[Evaluation]) -> None:
        """Add evaluations, each at the completions it cost; those that are not finite are left out.

        A later attempt's take the place of an earlier one's.
        """
        trial_id = self._id(number)
        known = self._storage.get_trial(trial_id).intermediate_values
        for e in evaluations:
            if math.isfinite(e.value) and known.get(e.completions) != e.value:
                self._storage.set_trial_intermediate_value(trial_id, e.completions, e.value)

    def given_up(self, number: int) -> str:
        """Why the study's pruner would end the trial now, empty where it would not."""
        from autotune.pruner import CannotCatchUp

        pruner, trial = self.study.pruner, self._storage.get_trial(self._id(number))
        if isinstance(pruner, CannotCatchUp):
            forecast = pruner.forecast(self.study, trial)
            return str(forecast) if forecast is not None and forecast.hopeless else ""
        return f"Optuna's {type(pruner).__name__} gave it up" if pruner.prune(self.study, trial) else ""

    def tell(self, record: TrialRecord) -> None:
        """Report every evaluation, then the end. A collapse is PRUNED, never FAIL: samplers ignore failed trials.

        So what a person refused is FAIL: nothing is to be learned of it. A trial that is told already stays as it is.
        """
        import optuna

        trial_id = self._id(record.number)
        if self._storage.get_trial(trial_id).state.is_finished():
            return
        self.report(record.number, record.evaluations)
        dashboard.annotate(self.study, record)
        self._describe(trial_id, record.findings, record.reason)
        match record.state:
            case State.COMPLETE:
                self.study.tell(record.number, record.value)
            case State.PRUNED:
                self.study.tell(record.number, state=optuna.trial.TrialState.PRUNED)
            case _:
                if record.state is State.REFUSED:
                    self._storage.set_trial_system_attr(trial_id, REFUSED, True)
                self.study.tell(record.number, state=optuna.trial.TrialState.FAIL)

    def _describe(self, trial_id: int, findings: Sequence[Finding], reason: str) -> None:
        for key, value in _found(findings).items():
            self._storage.set_trial_system_attr(trial_id, key, value)
        self._storage.set_trial_user_attr(trial_id, REASON, reason)

    def fail(self, number: int, reason: str) -> None:
        """Tell the end of a trial that never began. What a person asked for waits again."""
        import optuna

        trial = self._storage.get_trial(self._id(number))
        wanted, request = trial.system_attrs.get("fixed_params", {}), trial.system_attrs.get(REQUEST, "")
        # What another tool enqueued and is not of the space would fail again.
        if request or (wanted and wanted.items() <= trial.params.items()):
            self._enqueue(replace(self._proposed(number), knobs=wanted), request)
        self._storage.set_trial_user_attr(trial._trial_id, REASON, reason)
        self.study.tell(number, state=optuna.trial.TrialState.FAIL)

    def proposed(self, record: TrialRecord) -> None:
        """Show why a trial has its settings where Optuna's dashboard looks."""
        dashboard.annotate(self.study, record)

    def judged(self, record: TrialRecord, verdict: Verdict) -> None:
        """Keep what a trial says of its hypothesis, for the sampler; with the study, as the trial has ended."""
        key = f"{VERDICT}:{record.number}"
        self._storage.set_study_system_attr(self.study._study_id, key, verdict_to_json(verdict))
        dashboard.annotate(self.study, replace(record, verdict=verdict))

    def summarise(self, study: StudyRecord) -> None:
        """Show how the study stands where Optuna's dashboard looks."""
        dashboard.annotate_study(self.study, study)

    def trials(self) -> dict[int, FrozenTrial]:
        """All trials that were ever asked for, by number; those that wait in the queue are not among them."""
        import optuna

        trials = self.study.get_trials(deepcopy=False)
        return {t.number: t for t in trials if t.state is not optuna.trial.TrialState.WAITING}

    def _id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self.study._study_id, number)


def _found(findings: Sequence[Finding]) -> dict[str, Any]:
    """The findings of a trial as system attributes, and as the constraint that they are."""
    # The key under which Trial.set_constraint stores; a trial that this process did not ask for has no Trial.
    from optuna.study._constrained_optimization import _CONSTRAINTS_KEY

    grave = sum(f.severity >= Severity.ERROR for f in findings)
    return {f"{_CONSTRAINTS_KEY}:{CONSTRAINT}": float(grave), FINDINGS: [finding_to_json(f) for f in findings]}


def _name(spec: StudySpec, how: Search) -> str:
    return how.name or spec.name


def _storage(how: Search, directory: Path) -> BaseStorage:
    if how.storage:
        return search.storage(_with_password(how.storage))
    from sqlalchemy import URL

    return search.storage(
        URL.create("sqlite", database=str(directory.absolute() / DATABASE)).render_as_string(hide_password=False)
    )


def _with_password(url: str) -> str:
    """The storage of a record, which keeps no password, as it can be opened: from the environment where it has one."""
    given = os.environ.get(STORAGE_VARIABLE, "")
    if search.hide_password(given) == url:
        return given
    if "***" in url:
        raise UserError(
            f"the password of {url} is in no record of ours", f"Give it again: --storage, or {STORAGE_VARIABLE}."
        )
    return url


def state(trial: FrozenTrial) -> State:
    """The state of a trial in our words."""
    import optuna

    return {
        optuna.trial.TrialState.COMPLETE: State.COMPLETE,
        optuna.trial.TrialState.PRUNED: State.PRUNED,
        optuna.trial.TrialState.FAIL: State.REFUSED if REFUSED in trial.system_attrs else State.FAILED,
    }.get(trial.state, State.RUNNING)


def verdicts_of(study: optuna.Study) -> dict[int, Verdict]:
    """The verdicts on the hypotheses of its trials, by their numbers."""
    attrs = study._storage.get_study_system_attrs(study._study_id)
    head = f"{VERDICT}:"
    return {int(k.removeprefix(head)): verdict_from_json(v) for k, v in attrs.items() if k.startswith(head)}


def record_of(trial: FrozenTrial, *, sign: float = 1.0) -> TrialRecord:
    """A trial as far as Optuna knows it: settings, state, values (times `sign`), findings, proposal."""
    attrs = trial.system_attrs
    evaluations = [Evaluation(c, c, sign * v) for c, v in sorted(trial.intermediate_values.items())]
    if trial.state.name == "COMPLETE" and trial.value is not None:
        last = max(trial.intermediate_values, default=0)
        evaluations = [Evaluation(last, last, sign * trial.value)]
    proposal = (
        proposal_from_json(attrs[PROPOSAL]) if PROPOSAL in attrs else Proposal(dict(trial.params), Origin.SAMPLER, "")
    )
    # What is asked for and what is used may differ in a user's own objective, which is known when it has ended.
    knobs: dict[str, Knob] = dict(trial.params) if trial.state.is_finished() else {**proposal.knobs, **trial.params}
    return TrialRecord(
        trial.number,
        1,
        0,
        replace(proposal, knobs=knobs),
        state(trial),
        evaluations=tuple(evaluations),
        findings=tuple(finding_from_json(data) for data in attrs.get(FINDINGS, ())),
    )


def distribution(space: Space) -> BaseDistribution:
    """A space in Optuna's words."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(space, Choices):
        return CategoricalDistribution(space.values)
    if space.integer:
        return IntDistribution(int(space.low), int(space.high), log=space.log)
    return FloatDistribution(space.low, space.high, log=space.log)


def space_of(distribution: BaseDistribution) -> Space:
    """The inverse of `distribution`. A step becomes choices, as only its multiples may be suggested."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in distribution.choices)
        values: tuple[Any, ...] = tuple(distribution.choices)
        return Choices(tuple(sorted(values)) if numbers else values)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    whole = isinstance(distribution, IntDistribution)
    step = distribution.step
    if distribution.low == distribution.high:
        return Choices((distribution.low,))
    if step is not None and not (whole and step == 1):
        n = math.floor((distribution.high - distribution.low) / step + 1e-9)
        return Choices(tuple(min(distribution.low + i * step, distribution.high) for i in range(n + 1)))
    return Range(distribution.low, distribution.high, distribution.log, whole)
