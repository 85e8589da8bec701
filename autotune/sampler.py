"""An Optuna sampler: the next trial is what the findings so far call for, or a model-based suggestion.

It needs nothing but Optuna's storage, so it works in anyone's `study.optimize`:

study = optuna.create_study(direction="maximize", sampler=FindingsSampler(seed=0))
def objective(trial):
    learning_rate = trial.suggest_float("learning_rate", 1e-6, 1e-2, log=True)
    ...
    report_findings(trial, diagnose(history).findings)
    return reward
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

import optuna
from optuna.samplers import BaseSampler, TPESampler

from autotune.ledger import FINDINGS, PROPOSAL, record_of, space_of, verdicts_of
from autotune.prescribe import prescribe, settled
from diagnostics.finding import Finding, finding_to_json
from studies.record import Origin, Proposal, State, TrialRecord, proposal_to_json, replicates
from studies.space import Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

# How many random trials TPE wants first; what findings proposed counts, so that few are left.
STARTUP_TRIALS = 4
CONFIRMING = 4  # one trial of so many is kept for running the best settings on further seeds
SEEDS = 3  # on which settings are confirmed: the least that shows whether one of them is an outlier
PRESCRIBED = (Origin.FINDING, Origin.BRACKET)


class FindingsSampler(BaseSampler):
    """Follows the findings of earlier trials, confirms the best settings, and lets `base` search the rest.

    `trials` is how many the study will have, None where nobody knows: without it the last ones are not kept for running
    the best settings on further seeds. `objective` is what hypotheses call the value to maximise. `base` is a sampler
    of Optuna's, multivariate TPE by default. Findings reach it through `report_findings`, in a study of autotune's by
    themselves.
    """

    def __init__(
        self,
        *,
        seed: int | None = None,
        trials: int | None = None,
        objective: str = "objective",
        base: BaseSampler | None = None,
    ) -> None:
        self._base = base or _tpe(seed)
        self._trials, self._objective = trials, objective
        self._space = optuna.search_space.IntersectionSearchSpace(include_pruned=True)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The knobs that all trials so far had in common."""
        return {n: d for n, d in self._space.calculate(study).items() if not d.single()}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Settings for `trial`, and in its system attributes why."""
        self._raise_error_if_multi_objective(study)
        if not search_space or "fixed_params" in trial.system_attrs:
            return {}
        sign = -1.0 if study.direction == optuna.study.StudyDirection.MINIMIZE else 1.0
        known = [record_of(t, sign=sign) for t in study.get_trials(deepcopy=False) if t.number != trial.number]
        verdicts = verdicts_of(study)
        tried = [
            replace(t, verdict=verdicts.get(t.number))
            for t in known
            if t.state is not State.FAILED and set(search_space) <= set(t.proposal.knobs)
        ]
        space = {name: space_of(distribution) for name, distribution in search_space.items()}
        proposal = propose(tried, space, self._objective, self._trials)
        study._storage.set_trial_system_attr(trial._trial_id, PROPOSAL, proposal_to_json(proposal))
        if proposal.origin is not Origin.SAMPLER:
            return {name: proposal.knobs[name] for name in search_space}
        free = {name: d for name, d in search_space.items() if name not in proposal.knobs}
        return {**proposal.knobs, **self._base.sample_relative(study, trial, free)}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """What the base sampler says of a knob that nothing else decided."""
        self._raise_error_if_multi_objective(study)
        return self._base.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """Another stream of random numbers, as Optuna wants for each process of several."""
        self._base.reseed_rng()

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Passed on to the base sampler."""
        self._base.before_trial(study, trial)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: optuna.trial.TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Passed on to the base sampler."""
        self._base.after_trial(study, trial, state, values)


def report_findings(trial: optuna.Trial, findings: Sequence[Finding]) -> None:
    """Tell the sampler what was found in the run of `trial`, before its objective returns or is pruned."""
    trial.storage.set_trial_system_attr(trial._trial_id, FINDINGS, [finding_to_json(f) for f in findings])
    found: Mapping[str, str] = {f.code: f.severity.name.lower() for f in findings}
    trial.set_user_attr("findings", found)


def _tpe(seed: int | None) -> TPESampler:
    import warnings

    with warnings.catch_warnings():  # multivariate TPE is declared experimental in Optuna 5, and is what we mean
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return TPESampler(seed=seed, multivariate=True, n_startup_trials=STARTUP_TRIALS)


# ---- what to try next: pure


def propose(trials: Sequence[TrialRecord], space: Mapping[str, Space], objective: str, total: int | None) -> Proposal:
    """The next trial of a study of `total`: what findings call for, or what the sampler is to search.

    The last quarter of a study runs the best settings on further seeds. Until then prescriptions and search take turns
    by what has paid: each has as many chances as the share of its trials that became the best of the study, the
    prescriptions with two won in advance, the search with one of two. What a person refused is not proposed again.
    """
    spent = sum(t.state is not State.REFUSED for t in trials)
    if total is not None and total - spent <= total // CONFIRMING:
        proposal = confirm(trials)
        if proposal is not None:
            return proposal
    prescribed = prescribe(trials, space, objective)
    if prescribed is not None and _paid(trials, PRESCRIBED, 2) >= _paid(trials, {Origin.SAMPLER}, 1):
        return prescribed
    return _searched(trials, space, prescribed is not None)


def confirm(trials: Sequence[TrialRecord]) -> Proposal | None:
    """The best settings so far on another seed.

    None where there are none, where they have run on `SEEDS` already, or where a person did not want them to.
    """
    finished = [t for t in trials if t.feasible and replicates(trials, t)]
    if not finished:
        return None
    means = {t.number: fmean(s.value or 0.0 for s in replicates(trials, t)) for t in finished}
    first = max(finished, key=lambda t: (means[t.number], -t.number))
    same = [t for t in trials if t.proposal.knobs == first.proposal.knobs]  # those under way are among them
    again = len(same)
    if again >= SEEDS or any(t.state is State.REFUSED for t in same):
        return None
    why = (
        f"trial {first.number} has the best settings so far, run on {again} seed{'s' if again > 1 else ''}: "
        "the best of many single runs may be the luckiest, so they are run on another one"
    )
    return Proposal(first.proposal.knobs, Origin.CONFIRM, why, first.number)


def _paid(trials: Sequence[TrialRecord], origins: Collection[Origin], won: int) -> float:
    """The share of the trials of these origins that became the best of the study, after two of which `won` did."""
    tried, best_value = 2, -math.inf
    for t in sorted(trials, key=lambda t: t.number):
        if t.state in (State.RUNNING, State.REFUSED):
            continue
        better = t.feasible and t.value is not None and t.value > best_value
        if better and t.value is not None:
            best_value = t.value
        if t.proposal.origin in origins:
            tried, won = tried + 1, won + better
    return won / tried


def _searched(trials: Sequence[TrialRecord], space: Mapping[str, Space], in_turn: bool) -> Proposal:
    """A proposal whose knobs are those that the sampler may not choose."""
    why = (
        "what findings called for last brought nothing better, so the model has its turn"
        if in_turn
        else "no finding calls for a change, so the model searches"
    )
    known = settled(trials, space)
    if known is None or not known[1]:
        return Proposal({}, Origin.SAMPLER, why)
    first, held = known
    return Proposal(
        held, Origin.SAMPLER, f"{why}, with {', '.join(held)} held at what is best so far", parent=first.number
    )
