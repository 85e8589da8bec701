"""Settings of a person's own: what they come to, or in one line why they cannot be tried. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from studies import words
from studies.record import Origin, Proposal, State, StudyRecord, TrialRecord
from studies.requests import LONGEST, Request
from studies.space import Choices, Space
from studies.trial import Knob

FEW = 80  # characters of what a request says that an answer repeats


class CannotBe(Exception):
    """What was asked cannot be done; the message is the answer."""


def text_of(request: Request) -> str:
    """What a person wrote. CannotBe where it is too long to be put down."""
    text = request.text.strip()
    if len(text) > LONGEST:
        raise CannotBe(f"the text has {len(text):,} characters; {LONGEST:,} is the most")
    return text


def who(request: Request) -> str:
    """Who asks."""
    return request.by or "a person"


def own_settings(study: StudyRecord, wanted: Sequence[Proposal], request: Request) -> Proposal:
    """The settings that a person asks for: those of a trial, by default the best, with changes.

    `wanted` are those that wait to be tried. CannotBe where they lie outside the space, or no trial is left for them.
    """
    space = study.spec.space
    for knob, value in request.knobs.items():
        if knob not in space:
            raise CannotBe(f"this study does not change {_short(knob)}: its knobs are {', '.join(space)}")
        if value not in space[knob]:
            raise CannotBe(_outside(knob, value, space[knob]))
    parent = study.trial(request.trial) if request.trial is not None else _best_or_newest(study)
    if request.trial is not None and parent is None:
        raise CannotBe(f"there is no trial {request.trial}")
    before: dict[str, Knob] = {**study.spec.start, **(parent.proposal.knobs if parent else {})}
    whole = {knob: request.knobs.get(knob, before[knob]) for knob in space}
    for knob, value in whole.items():
        if value not in space[knob]:  # of a recorded run, which had no space
            raise CannotBe(f"{_outside(knob, value, space[knob])}: change it, too")
        whole[knob] = _as_written(value, space[knob])
    if any(waits.knobs == whole for waits in wanted):
        raise CannotBe("these settings are to be tried next already")
    if study.begun + len(wanted) >= study.spec.trials:
        raise CannotBe(
            f"the study has {study.spec.trials} trials, and all are begun or asked for; "
            "once it has ended, `autotune study resume --trials N` goes on with more"
        )
    changed = [knob for knob in whole if whole[knob] != before[knob]]
    why = f"{who(request)} asked for these settings" + (f": {text_of(request)}" if request.text.strip() else "")
    return Proposal(
        whole, Origin.PERSON, why, parent.number if parent else None, "", changed[0] if len(changed) == 1 else ""
    )


def _outside(knob: str, value: Knob, place: Space) -> str:
    kind = "not" if isinstance(place, Choices) else "outside"
    return f"{knob} {_short(words.number(value))} is {kind} {str(place).removesuffix(' (log)')}"


def _as_written(value: Knob, place: Space) -> Knob:
    """`value` of the space as the space has it: 8 for 8.0."""
    if isinstance(place, Choices):
        return place.values[place.values.index(value)]
    return int(value) if place.integer else value


def _best_or_newest(study: StudyRecord) -> TrialRecord | None:
    ran = [t for t in study.trials if t.state not in (State.WAITING, State.REFUSED)]
    return study.best() or (ran[-1] if ran else None)


def _short(text: str) -> str:
    """What others wrote, no longer than fits into an answer."""
    return text if len(text) <= FEW else f"{text[:FEW]}..."
