"""How a study is put into words: the same in the plain lines, the live view, `study show` and the journal."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from statistics import fmean

from diagnostics.finding import Finding, Hypothesis
from studies.record import Comparison, Decision, Origin, State, StudyRecord, TrialRecord
from studies.requests import Action
from studies.trial import Knob


def number(value: float | int | str | None) -> str:
    """A setting or a metric for a person: three significant digits."""
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def knobs(values: Mapping[str, Knob]) -> str:
    """All settings of a trial in one line."""
    return ", ".join(f"{knob} {number(value)}" for knob, value in values.items())


def change(study: StudyRecord, trial: TrialRecord) -> str:
    """What a trial changed, in one line."""
    changes = study.changes(trial)
    if not changes:
        if trial.proposal.origin is Origin.RUN:
            return "the recorded run"
        return (
            "as the study starts"
            if trial.proposal.parent is None
            else f"as trial {trial.proposal.parent}, another seed"
        )
    return ", ".join(f"{knob} {number(before)} → {number(after)}" for knob, (before, after) in changes.items())


def outcome(trial: TrialRecord) -> str:
    """How a trial stands, in a few words."""
    share = f"{trial.steps}/{trial.max_steps}" if trial.max_steps else f"{trial.steps}"
    if trial.proposal.origin is Origin.RUN:
        return f"recorded {share}"
    match trial.state:
        case State.WAITING:
            return "waits for an answer"
        case State.RUNNING:
            return f"{'paused at step' if trial.paused else 'step'} {share}"
        case State.COMPLETE:
            return "complete"
        case State.PRUNED:
            return f"stopped {share}"
        case State.FAILED:
            return "failed"
        case State.REFUSED:
            return "refused"


def result(study: StudyRecord, trial: TrialRecord) -> str:
    """What the settings of a trial are worth: their mean over all seeds that were run, and how many those are."""
    values = study.values(trial)
    if not values:
        return number(trial.value)
    return f"{fmean(values):.3g}" + (f" over {len(values)} seeds" if len(values) > 1 else "")


def tried(study: StudyRecord, knob: str, most: int | None = None) -> list[tuple[str, str]]:
    """The values of a knob that were tried, in their order, and what came of each: the highest objective, else why.

    Where there are more than `most`, neighbours are told together.
    """
    by_value: dict[Knob, list[TrialRecord]] = {}
    for trial in study.trials:
        if knob in trial.proposal.knobs and trial.state in (State.COMPLETE, State.PRUNED, State.RUNNING):
            by_value.setdefault(trial.proposal.knobs[knob], []).append(trial)
    values = sorted(by_value)
    groups = min(len(values), most or len(values))
    told = []
    for i in range(groups):
        group = values[len(values) * i // groups : len(values) * (i + 1) // groups]
        span = number(group[0]) if len(group) == 1 else f"{number(group[0])} to {number(group[-1])}"
        told.append((span, _came_of([trial for value in group for trial in by_value[value]])))
    return told


def _came_of(trials: Sequence[TrialRecord]) -> str:
    ended = [t for t in trials if t.state is not State.RUNNING]
    if not ended:
        return "not over"
    if all(t.state is State.PRUNED for t in ended):
        return "stopped"
    return number(max((t.value for t in ended if t.value is not None), default=None))


def finding(found: Finding) -> str:
    """A finding in one line."""
    return f"{found.severity.name} {found.code} {found.name} at step {found.raised_at}: {found.message}"


def hypothesis(claim: Hypothesis) -> str:
    """What a proposal counts on, as it will be judged."""
    moves = "rises" if claim.direction == "up" else "falls"
    by = f" by {number(claim.amount)}" if claim.amount else ""
    return f"{claim.because}; so {claim.metric} {moves}{by} within {claim.by:.0%} of the run"


def comparison(compared: Comparison) -> str:
    """One metric before a change and after it, with the noise and the cost of the comparison."""
    noise = f" ± {number(compared.error)}" if compared.error is not None else ", noise unknown"
    runs = f"{compared.runs[0]} against {compared.runs[1]} {'run' if compared.runs == (1, 1) else 'runs'}"
    return (
        f"{compared.metric} {number(compared.before)} → {number(compared.after)}{noise} "
        f"({runs}, at {compared.completions:,} completions)"
    )


_ORIGINS = {
    Origin.START: "",
    Origin.RUN: " from a recorded run",
    Origin.FINDING: " after a finding",
    Origin.BRACKET: " between settings that were tried",
    Origin.SAMPLER: " by the sampler's model",
    Origin.CONFIRM: " once more on another seed",
    Origin.PERSON: " as a person asked",
}


def decision(study: StudyRecord, taken: Decision) -> str:
    """A line of the study's record, without its time; the kind alone where this version does not know it."""
    data, trial = taken.data, study.trial(taken.trial)
    about = f"trial {taken.trial}"
    match taken.kind:
        case "study_started":
            spec = study.spec
            return f"study {spec.name} begins: {spec.trials} trials, maximising {spec.objective}"
        case "study_resumed":
            return f"the study goes on: {study.spec.trials} trials in all"
        case "trial_proposed" if trial is not None:
            waits = ", and waits for a person to accept or refuse it" if data.get("waits") else ""
            return f"{about} proposed{_ORIGINS[trial.proposal.origin]}: {change(study, trial)}{waits}"
        case "trial_accepted":
            return f"{about} is accepted and begins"
        case "trial_retried":
            return f"{about} begins again, attempt {data.get('attempt')}: {data.get('reason')}"
        case "trial_paused":
            return f"{about} is paused after its step"
        case "trial_continued":
            return f"{about} goes on after a pause of {duration(data.get('seconds', 0.0))}"
        case "trial_stopped":
            return f"{about} is stopped: {data.get('reason')}"
        case "trial_ended" if data.get("state") == State.REFUSED:
            return f"{about} never runs: {data.get('reason')}"
        case "trial_ended":
            value = data.get("value")
            objective = study.spec.objective
            return f"{about} {data.get('state')}: {data.get('reason')}; {objective} {number(value)}"
        case "trial_judged":
            return f"{about} {data.get('judgement')}: {data.get('why')}"
        case "request_answered":
            return answered(taken)
        case "noted":
            return f"{f'{about}: ' if taken.trial is not None else ''}{note(taken)}"
        case "review_set":
            return "every proposal waits for a person now" if data.get("on") else "proposals wait for nobody any more"
        case "study_ending":
            return "no new trial begins: the study ends with those that run"
        case "study_ended":
            return f"the study ended: {data.get('outcome')}"
        case _:
            return taken.kind


def note(taken: Decision) -> str:
    """What was noted; of a person's note also whose it is."""
    text = str(taken.data.get("text"))
    return f"{taken.data['by'] or 'a person'} notes: {text}" if "by" in taken.data else text


def answered(taken: Decision) -> str:
    """What a person asked of a study, and the answer, as the record has them."""
    data = taken.data
    return reply(data.get("action"), taken.trial, data.get("by"), data.get("answer"))


def reply(action: object, trial: int | None, by: object, answer: object) -> str:
    """What a person asked of a study, and the answer."""
    return f"{f'{by} ' if by else ''}{asked(action, trial)}: {answer}"


def by_people(study: StudyRecord, trial: int | None = None) -> list[str]:
    """What people asked of a study and what they noted, each with its time; of one trial where it is named."""
    told = []
    for taken in study.decisions:
        noted = taken.kind == "noted" and "by" in taken.data
        # That a note was written down says nothing that the note does not.
        said = taken.kind == "request_answered" and not (
            taken.data.get("action") == Action.NOTE and taken.data.get("done")
        )
        if (noted or said) and trial in (None, taken.trial):
            told.append(f"{moment(taken.time)}: {decision(study, taken)}")
    return told


def moment(seconds: float) -> str:
    """A time since the epoch as a person reads it, to the minute, where they are."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def asked(action: object, trial: int | None) -> str:
    """What a person asked of a study."""
    one = f"trial {trial}" if trial is not None else ""
    match action:
        case Action.STOP_STUDY:
            return "asked to stop the study"
        case Action.STOP_AFTER:
            return "asked to stop the study after the trials that run"
        case Action.STOP_TRIAL:
            return f"asked to stop {one or 'a trial'}"
        case Action.PAUSE:
            return f"asked to pause {one or 'what runs'}"
        case Action.CONTINUE:
            return f"asked to go on with {one or 'what is paused'}"
        case Action.REVIEW_ON:
            return "asked to let proposals wait"
        case Action.REVIEW_OFF:
            return "asked to let proposals wait no more"
        case Action.ACCEPT:
            return f"asked to accept {one or 'the proposal'}"
        case Action.REFUSE:
            return f"asked to refuse {one or 'the proposal'}"
        case Action.TRY:
            return f"asked to try other settings{f' than those of {one}' if one else ''}"
        case Action.NOTE:
            return f"asked to note something{f' of {one}' if one else ''}"
        case _:
            return f"asked: {action}"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours = minutes // 60
    if hours < 48:
        return f"{hours} h {minutes % 60:02d} min" if hours else f"{minutes} min {rest:02d} s"
    return f"{hours // 24} d {hours % 24:02d} h"


def pace(seconds: float) -> str:
    """How long one of many takes."""
    return duration(seconds) if seconds >= 1 else f"{seconds:.1g} s"
