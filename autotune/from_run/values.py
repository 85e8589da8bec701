"""What the knobs of a run were, which of them its findings want changed, and what a person says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from autotune.from_run.around import around
from autotune.from_run.recorded import Recorded
from diagnostics.errors import UserError
from diagnostics.finding import Change, Safety
from diagnostics.metrics import knobs, settings
from diagnostics.report.words import spoken
from diagnostics.vocabulary import frameworks, vocabulary
from studies import words
from studies.command import RESERVED, STALL_MINUTES
from studies.space import Choices, Space, check_knob, space_from_text, typed
from studies.trial import Knob


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a person says of the study beside the run; spaces and starts are texts as on the command line."""

    space: Sequence[str] = ()
    start: Sequence[str] = ()
    command: str | None = None
    objective: str | None = None
    log: str | None = None
    stall_minutes: float = STALL_MINUTES
    reward: str | None = None


class Values:
    """The knobs of a run under canonical names: `told` is what they were.

    What a person gives for a knob that the run does not tell says what it was; for any other one, where to start
    instead. UserError where that cannot be read.
    """

    def __init__(self, run: Recorded, known: Mapping[str, Knob], wishes: Wishes) -> None:
        self._run, self._framework = run, run.history.framework
        self._given = dict(self._typed(text) for text in wishes.start)
        self._known = known
        self.told = {**self._given, **known}
        self._asked: dict[str, Space] = {}
        for text in wishes.space:
            word, place = space_from_text(text, "--space")
            knob = canonical(word, self._framework)
            if knob in self._asked:
                raise UserError(f"--space: {knob} is given twice", "Give one space for each knob.")
            self._asked[knob] = place

    def word(self, knob: str) -> str:
        """What the run's framework calls a knob."""
        return spoken(knob, self._framework)

    def wanted(self) -> dict[str, list[Change]]:
        """The knobs that findings want changed, and how."""
        return wanted(self._run)

    def space(self, usable: Callable[[str], bool], batch: int | None) -> dict[str, Space]:
        """What the study may change: what findings want changed where that is `usable`, and what a person asks for.

        UserError where that is nothing.
        """
        found = {
            knob: around(knob, self.told[knob], changes, batch)
            for knob, changes in self.wanted().items()
            if knob in self.told and knob not in self._asked and usable(knob)
        }
        space = {knob: place for knob, place in found.items() if not _is_one_value(place)} | self._asked
        if not space:
            raise self.nothing()
        return space

    def start(self, space: Mapping[str, Space]) -> dict[str, Knob]:
        """Where the knobs of `space` start. UserError where that is not in it, or of a knob that stays as it was."""
        were = self.were(space)
        for knob in self._given:
            if knob in self._known and knob not in space:
                word = self.word(knob)
                what = f"--start: {word} stays {words.number(self._known[knob])}, as in {self._run.name}"
                raise UserError(what, f"Give it a space, too: --space {word}=LOW..HIGH.")
        return {knob: check_knob(knob, self._given.get(knob, were[knob]), space, "--start") for knob in space}

    def were(self, space: Mapping[str, Space]) -> dict[str, Knob]:
        """What the knobs of `space` were in the run. UserError where that is not in it."""
        lacking = [knob for knob in space if knob not in self.told]
        if lacking:
            raise self.unknown(lacking)
        values = {knob: self.told[knob] for knob in space}
        for knob, value in values.items():
            if value not in space[knob]:
                what = f"--space: {self.word(knob)} is {space[knob]}, and was {words.number(value)} in {self._run.name}"
                raise UserError(what, "Make it so wide that the run has a place in it.")
        return values

    def unknown(self, names: Iterable[str]) -> UserError:
        """What to say of knobs that the run does not tell."""
        lacking = list(names)
        what = " and ".join(self.word(knob) for knob in lacking)
        return UserError(f"{self._run.name} does not tell what {what} was", f"Say it, such as {self.example(lacking)}.")

    def example(self, lacking: Iterable[str]) -> str:
        """What to type for knobs that the run does not tell."""
        return " ".join(f"--start {self.word(knob)}={EXAMPLES.get(knob, 1):g}" for knob in lacking)

    def nothing(self) -> UserError:
        """Why there is nothing to change."""
        run, asked = self._run, "To search all the same, say what may change: --space learning_rate=1e-6..1e-3:log."
        if not run.loud:
            return UserError(f"nothing was found in {run.name} at WARNING or above: nothing needs repair", asked)
        codes = ", ".join(f"{f.code} {f.name}" for f in run.loud)
        if not self.wanted():
            left = [self.word(p.knob) for f in run.loud for p in f.prescriptions]  # that only a person may act on
            own = [f"Where you mean to change {left[0]}, say so: --space {left[0]}=LOW..HIGH."] if left else []
            advice = next(iter((*own, *(sentence for f in run.loud for sentence in f.advice))), asked)
            return UserError(f"no knob is known to repair what was found in {run.name}: {codes}", advice)
        if not self.told.keys() & self.wanted().keys():
            return self.unknown(list(self.wanted())[:1])
        change = " or ".join(self.word(knob) for knob in self.wanted())
        what = f"what was found in {run.name} ({codes}) calls for a change of {change}"
        some = next(iter(self.wanted()))
        return UserError(f"{what}, for which there is no placeholder", f"Write {{{some}}} where its value belongs.")

    def _typed(self, text: str) -> tuple[str, Knob]:
        word, equals, written = text.partition("=")
        if not equals or not word or not written:
            raise UserError(f"--start: {text!r} is not knob=value", "Write for example learning_rate=1e-4.")
        knob, value = canonical(word, self._framework), typed(written)
        if knob in knobs() and not settings()[knob].accepts(value):
            raise UserError(f"--start: {word} is {written!r}", f"It should be {settings()[knob].expected}.")
        return knob, value


def _is_one_value(place: Space) -> bool:
    return len(place.values) == 1 if isinstance(place, Choices) else not place.low < place.high


# Usual values, for an example of what to type.
EXAMPLES: Mapping[str, float] = {
    "learning_rate": 1e-6,
    "kl_coef": 0.04,
    "update_epochs": 1,
    "temperature": 1.0,
    "num_generations": 8,
}


def wanted(run: Recorded) -> dict[str, list[Change]]:
    """The knobs that the findings of `run` want changed, those of the worst finding first, and how."""
    changes: dict[str, list[Change]] = {}
    for finding in run.loud:
        for prescription in finding.prescriptions:
            if prescription.safety is not Safety.ADVICE:
                changes.setdefault(prescription.knob, []).append(prescription.change)
    return changes


def canonical(word: str, framework: str) -> str:
    """The canonical name of a knob that `framework` calls `word`; `word` where it is no word of its."""
    if word in knobs() or word in RESERVED or framework not in frameworks():
        return word
    known = (entry.means for entry in vocabulary(framework).settings if entry.name == word)
    return next((means for means in known if means in knobs()), word)
