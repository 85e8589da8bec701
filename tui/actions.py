"""What a person can ask of a study that runs, as data: keys, footer, palette and help are made from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from studies.record import State, StudyRecord, TrialRecord
from studies.requests import Action
from studies.trial import Knob
from tui.feed import Snapshot
from tui.watched import Watched

if TYPE_CHECKING:  # a dialog is imported when it opens
    from textual.screen import ModalScreen


@dataclass(frozen=True, slots=True)
class Ask:
    """A request that has not been left yet; the fields are those of `studies.requests.Request`."""

    action: Action
    trial: int | None = None
    knobs: Mapping[str, Knob] = field(default_factory=dict)
    text: str = ""


Begun: TypeAlias = "Ask | ModalScreen[Ask]"  # what costs nothing is asked at once, all else after a dialog


@dataclass(frozen=True, slots=True)
class StudyAction:
    """Something to ask, of the selected trial or of the study.

    `label` names it in a footer, `text` in a sentence. `impossible` says why it cannot be asked of a study that runs,
    and nothing where it can. `hint` says whether the footer shows it where it can.
    """

    name: str
    key: str
    label: Callable[[StudyRecord, TrialRecord | None], str]
    text: str
    impossible: Callable[[StudyRecord, TrialRecord | None], str]
    begin: Callable[[StudyRecord, TrialRecord | None], Begun]
    hint: bool = True

    @property
    def binding(self) -> str:
        """What its key runs."""
        return f"ask('{self.name}')"


def impossible(action: StudyAction, watched: Watched) -> str:
    """Why `action` cannot be asked now, in one line; empty where it can."""
    snapshot = watched.source
    if snapshot is None:
        return "nothing was read yet"
    if not isinstance(snapshot, Snapshot):
        return "this is a log: only of a study that runs can something be asked"
    if snapshot.replayed:
        return "this is a replay: of what is past nothing can be asked"
    study = snapshot.study
    if study is None:
        return "the study has not begun"
    if study.ended or not snapshot.running:
        return f"nothing runs this study, so nobody would answer; go on with: autotune study resume {study.directory}"
    return action.impossible(study, selected(watched))


def selected(watched: Watched) -> TrialRecord | None:
    """The selected trial."""
    return watched.run.of if watched.run and isinstance(watched.run.of, TrialRecord) else None


def possible(watched: Watched) -> tuple[str, ...]:
    """The names of what can be asked now."""
    return tuple(action.name for action in ACTIONS if not impossible(action, watched))


def label(action: StudyAction, watched: Watched) -> str:
    """What the footer calls `action`, of a study."""
    assert watched.study is not None
    return action.label(watched.study, selected(watched))


# ---- a trial


def _not_running(study: StudyRecord, trial: TrialRecord | None) -> str:
    if trial is None:
        return "there is no trial yet"
    if trial.state is State.RUNNING:
        return ""
    running = [str(other.number) for other in study.trials if other.state is State.RUNNING]
    others = f": select trial {' or '.join(running)}" if running else ""
    state = "waits to be accepted" if trial.state is State.WAITING else "does not run"
    return f"trial {trial.number} {state}{others}"


def _pause(_: StudyRecord, trial: TrialRecord | None) -> Ask:
    assert trial is not None
    return Ask(Action.CONTINUE if trial.paused else Action.PAUSE, trial.number)


def _stop_trial(_: StudyRecord, trial: TrialRecord | None) -> Begun:
    from tui.screens.confirm import Confirm

    assert trial is not None
    question = f"Stop trial {trial.number}? It ends after its step; its evaluations count, and the study goes on."
    return Confirm(question, {"y": ("stop it", Ask(Action.STOP_TRIAL, trial.number))})


# ---- the study


def _stop_study(study: StudyRecord, _: TrialRecord | None) -> Begun:
    from tui.screens.confirm import Confirm

    question = "Stop the study? What was done is kept, and it can be resumed."
    choices = {"y": ("now: the trials that run end after their step", Ask(Action.STOP_STUDY))}
    if not study.ending:
        choices["a"] = ("after the trials that run, which run to their end", Ask(Action.STOP_AFTER))
    return Confirm(question, choices)


def _possible(_study: StudyRecord, _trial: TrialRecord | None) -> str:
    return ""


# ---- proposals


def _waiting(study: StudyRecord, trial: TrialRecord | None) -> TrialRecord | None:
    """The proposal that is meant: the selected one, else the first."""
    if trial is not None and trial.state is State.WAITING:
        return trial
    return next(iter(study.waiting), None)


def _nothing_waits(study: StudyRecord, trial: TrialRecord | None) -> str:
    if _waiting(study, trial) is not None:
        return ""
    return "no proposal waits for you" + ("" if study.search.review else "; with v all that come will")


def _accept(study: StudyRecord, trial: TrialRecord | None) -> Ask:
    proposed = _waiting(study, trial)
    assert proposed is not None
    return Ask(Action.ACCEPT, proposed.number)


def _refuse(study: StudyRecord, trial: TrialRecord | None) -> Begun:
    from tui.screens.line import Line

    proposed = _waiting(study, trial)
    assert proposed is not None
    number = proposed.number
    return Line[Ask](
        f"Refuse trial {number}? It never runs, and something else is proposed.",
        lambda text, _: Ask(Action.REFUSE, number, text=text),
        placeholder="why (may stay empty)",
        doing="refuse it",
    )


def _review(study: StudyRecord, _: TrialRecord | None) -> Ask:
    return Ask(Action.REVIEW_OFF if study.search.review else Action.REVIEW_ON)


# ---- what a person adds


def _nothing_to_change(study: StudyRecord, trial: TrialRecord | None) -> str:
    if study.ending:
        return "the study ends with the trials that run: it begins no other"
    if study.begun >= study.spec.trials:
        return (
            f"all {study.spec.trials} trials of the study are begun; more come with: autotune study resume --trials N"
        )
    return "" if trial is not None else "there is no trial yet whose knobs could be changed"


def _try(study: StudyRecord, trial: TrialRecord | None) -> Begun:
    from tui.screens.knobs import KnobForm

    assert trial is not None
    return KnobForm(study, trial)


def _note(_: StudyRecord, trial: TrialRecord | None) -> Begun:
    from tui.screens.line import Line

    number = trial.number if trial else None
    return Line[Ask](
        "A note, for the log of the study and its journal.",
        lambda text, of_trial: Ask(Action.NOTE, number if of_trial else None, text=text),
        placeholder="what should be known later",
        option="" if number is None else f"of trial {number}, not of the study as a whole",
        check=lambda text: "" if text.strip() else "nothing is written yet",
        doing="write it down",
    )


ACTIONS = (
    StudyAction("accept", "a", lambda *_: "Accept", "begin the trial that waits for you", _nothing_waits, _accept),
    StudyAction(
        "refuse", "r", lambda *_: "Refuse",
        "never run the trial that waits for you, and say why", _nothing_waits, _refuse,
    ),
    StudyAction(
        "pause", "p", lambda _, trial: "Continue" if trial and trial.paused else "Pause",
        "pause the selected trial after its step, or let it go on", _not_running, _pause,
    ),
    StudyAction(
        "stop_trial", "x", lambda *_: "Stop",
        "stop the selected trial after its step; its evaluations count", _not_running, _stop_trial,
    ),
    StudyAction(
        "stop_study", "s", lambda *_: "Stop study",
        "stop the study now, or after the trials that run", _possible, _stop_study,
    ),
    StudyAction(
        "try", "c", lambda *_: "Change",
        "run the selected trial's settings once more with some knobs changed", _nothing_to_change, _try, hint=False,
    ),
    StudyAction(
        "note", "n", lambda *_: "Note",
        "add a note to the study or the selected trial", _possible, _note, hint=False,
    ),
    StudyAction(
        "review", "v", lambda study, _: "Review off" if study.search.review else "Review",
        "let every proposal wait until you accept or refuse it, or no longer", _possible, _review, hint=False,
    ),
)  # fmt: skip
BY_NAME = {action.name: action for action in ACTIONS}
BY_KEY = {action.key: action for action in ACTIONS}
