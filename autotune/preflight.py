"""What a study's settings tell before anything is started: what no trial could train with, and what to know of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product

from diagnostics.errors import UserError
from diagnostics.finding import Finding
from diagnostics.metrics import Kind, settings
from studies import words
from studies.command import CommandSpec
from studies.space import Choices, Range, Space
from studies.spec import StudySpec
from studies.trial import Knob
from trainers import preflight

# What must divide each other: of these every value of the space is looked at, of all others the ends.
_DIVIDING = ("num_generations", "batch_size")


def check(study: StudySpec) -> tuple[str, ...]:
    """What the settings tell where the study starts, in a sentence each.

    UserError where its trials could not be trained there, or at other values of its space. Of a command only the log
    can tell.
    """
    if isinstance(study.trial, CommandSpec):
        return ()
    for knob, space in study.space.items():
        if settings()[knob].kind is Kind.INTEGER and isinstance(space, Range) and not space.integer:
            message = f"study {study.name}: the space of {knob} is {space}, and {knob} a whole number"
            raise UserError(message, "Add integer = true.")
    for knobs in corners(study):
        try:
            preflight.check(replace(study.trial, knobs={**study.trial.knobs, **knobs}))
        except UserError as error:
            apart = {knob: value for knob, value in knobs.items() if value != study.start[knob]}
            if not apart:
                raise UserError(f"study {study.name}: {error.message}", error.hint) from error
            raise UserError(
                f"study {study.name}: its space has {words.knobs(apart)}: {error.message}",
                "Take what cannot be out of the space: give choices, or other ends.",
            ) from error
    return tuple(map(told, preflight.check(replace(study.trial, knobs={**study.trial.knobs, **study.start}))))


def told(finding: Finding) -> str:
    """What the lint found, and what to do about it, in one line."""
    advice = finding.advice or [f"Try {p.knob} {p.change}." for p in finding.prescriptions]
    return " ".join((f"{finding.severity.name} {finding.code} {finding.name}: {finding.message}.", *advice[:1]))


def corners(study: StudySpec) -> Iterator[Mapping[str, Knob]]:
    """Where it starts; each knob at its ends; all that there is of what must divide each other."""
    yield study.start
    for knob, space in study.space.items():
        for value in _ends(space):
            yield {**study.start, knob: value}
    dividing = {knob: tuple(_all(study.space[knob])) for knob in _DIVIDING if knob in study.space}
    for values in product(*dividing.values()):
        yield {**study.start, **dict(zip(dividing, values, strict=True))}


def _ends(space: Space) -> tuple[Knob, ...]:
    return space.values if isinstance(space, Choices) else (space.nearest(space.low), space.nearest(space.high))


def _all(space: Space) -> Iterator[Knob]:
    if isinstance(space, Choices):
        yield from space.values
    else:
        yield from range(round(space.low), round(space.high) + 1)
