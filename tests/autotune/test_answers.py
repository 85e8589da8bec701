"""What people ask of a study while it runs, over trials that take their time: each request is answered once."""

import io
import json
import os
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from autotune import journal, ledger, loop
from autotune.ledger import Ledger
from autotune.live import Live
from autotune.prescribe import tried
from autotune.views.plain import PlainView
from diagnostics.events import EventLog, FindingRaised, MetricsLogged, Outcome, RunEnded, RunStarted
from diagnostics.finding import Confidence, Direction, Evidence, Finding, Hypothesis, Prescription, Scale, Severity
from studies import words
from studies.log import read
from studies.record import Origin, Proposal, Search, State, StudyRecord, TrialRecord
from studies.requests import LONGEST, REQUESTS, Action, ask
from studies.space import Choices, Range
from studies.spec import load
from studies.trial import TrialSpec
from studies.trial_log import TrialLog

SPEC = replace(
    load("arithmetic-grpo"),
    space={
        "learning_rate": Range(1e-6, 1e-2, log=True),
        "update_epochs": Range(1, 4, integer=True),
        "num_generations": Choices((4, 8, 16)),
    },
    start={"learning_rate": 3e-3, "update_epochs": 1, "num_generations": 8},
)
LOWER = Prescription("learning_rate", Scale(1 / 8), Hypothesis("reward_mean", Direction.UP, 0.1, 0.5, "smaller steps"))
HIGH = Finding(
    "RWD002", "reward_collapse", Severity.ERROR, Confidence.HIGH, 1, 20, 20, "it fell",
    (Evidence("reward_mean", 0, 20, "mean", -0.9, -0.5),), (LOWER,),
)  # fmt: skip


def learns(spec: TrialSpec, log: EventLog) -> Generator[int, None, int]:
    """Is the better the lower the learning rate, which is found to be too high above 1e-3."""
    rate = float(spec.knobs["learning_rate"])
    log.emit(RunStarted(0, "trl-grpo", "1.16.0", {"max_steps": 40}))
    for step in (0, 10, 20, 30, 40):
        value = step / 100 - rate
        log.emit(MetricsLogged(step, {"validation_reward": value, "completions_generated": 128.0 * step}))
        if step == 20 and rate > 1e-3:
            log.emit(FindingRaised(20, HIGH))
        yield step
    log.emit(RunEnded(40, Outcome.FINISHED))
    return 0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same without SQL, which takes ten times as long."""
    monkeypatch.setattr(ledger, "_storage", lambda how, directory: journal_in(directory))
    monkeypatch.setattr(os, "fsync", lambda file: None)  # against power cuts only


def journal_in(directory: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(directory / "optuna.journal")))


Turn = tuple[Callable[[StudyRecord], Any], Callable[[], Any]]


class People(PlainView):
    """Take their turns at each look, and in each idle moment: (when the study is so, do this), in this order."""

    def __init__(self, directory: Path, turns: list[Turn]) -> None:
        self.out = io.StringIO()
        super().__init__(read(directory), self.out)
        self._directory, self._turns, self._idle = directory, turns, 0

    def moved(self, trial: TrialRecord, *rest: Any) -> None:
        super().moved(trial, *rest)
        self.look()

    def look(self, _: float = 0.0) -> None:
        self._idle += 1
        assert self._idle < 2_000, "nobody does what the study waits for"
        if self._turns and self._turns[0][0](read(self._directory)):
            self._turns.pop(0)[1]()


@pytest.fixture
def go_on(
    tmp_path: Path, stepwise: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[StudyRecord, str]]:
    """Runs the study in `tmp_path/study` while people take their turns: its record, and what it said."""

    def go_on(*turns: Turn) -> tuple[StudyRecord, str]:
        people = People(tmp_path / "study", list(turns))
        monkeypatch.setattr(time, "sleep", people.look)
        study = loop.run(tmp_path / "study", stepwise(learns), people)
        return study, people.out.getvalue()

    return go_on


@pytest.fixture
def start(tmp_path: Path, go_on: Callable[..., Any]) -> Callable[..., tuple[StudyRecord, str]]:
    def start(*turns: Turn, trials: int = 3, **how: Any) -> tuple[StudyRecord, str]:
        loop.create(replace(SPEC, trials=trials), Search(**how), tmp_path / "study")
        return go_on(*turns)

    return start


@pytest.fixture
def asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Callable[[], None]]:
    """What leaves these requests of anna's at once: (action, what else is said of it)."""
    monkeypatch.setattr("getpass.getuser", lambda: "anna")

    def asking(*wanted: tuple[Action, dict[str, Any]] | Action) -> Callable[[], None]:
        def leave() -> None:
            for one in wanted:
                action, said = one if isinstance(one, tuple) else (one, {})
                ask(tmp_path / "study", action, **said)

        return leave

    return asking


def at(step: int, number: int = 0) -> Callable[[StudyRecord], bool]:
    """When trial `number` has reached `step`."""
    return lambda study: (t := study.trial(number)) is not None and t.steps >= step and t.state is State.RUNNING


def waits(number: int) -> Callable[[StudyRecord], bool]:
    """When trial `number` waits for an answer."""
    return lambda study: (t := study.trial(number)) is not None and t.state is State.WAITING


def answers(study: StudyRecord) -> list[str]:
    return [d.data["answer"] for d in study.decisions if d.kind == "request_answered"]


def states(study: StudyRecord) -> list[State]:
    return [t.state for t in study.trials]


def told(study: StudyRecord) -> list[str]:
    kept = optuna.load_study(study_name=study.spec.name, storage=journal_in(study.directory))
    return [t.state.name for t in kept.trials]


# ---- pausing


def test_a_paused_trial_stands_still_and_goes_on(start: Callable[..., Any], asking: Callable[..., Any]) -> None:
    seen: list[TrialRecord] = []
    study, said = start(
        (at(20), asking(Action.PAUSE)),
        (lambda s: s.trials[0].paused, lambda: None),
        *[(lambda s: seen.append(s.trials[0]) or True, lambda: None)] * 20,
        (lambda s: True, asking(Action.CONTINUE)),
        trials=1,
    )
    assert {(t.paused, t.steps, words.outcome(t)) for t in seen} == {(True, 20, "paused at step 20/40")}
    assert (states(study), study.trials[0].paused, study.ended) == ([State.COMPLETE], False, "finished")
    assert answers(study) == ["trial 0 is paused once the step is over", "trial 0 goes on"]
    assert "anna asked to pause trial 0: trial 0 is paused once the step is over\n" in said
    text = journal.journal(study)
    assert "anna asked to go on with trial 0: trial 0 goes on." in text
    assert "- trial 0 goes on after a pause of 0 s." in text


def test_a_pause_is_nobodys_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Still:
        def pause(self) -> None: ...
        def go_on(self) -> None: ...
        def ask_to_stop(self) -> None: ...

    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    record = TrialRecord(0, 1, 0, Proposal({}, Origin.START, ""))
    live = Live(record, TrialLog(tmp_path, "score"), Still(), began=90.0)  # type: ignore[arg-type]
    live.pause()
    now = 1_000.0
    live.read()
    assert (live.record.seconds, live.record.paused) == (10.0, True)
    assert live.go_on() == 900.0
    now = 1_005.0
    live.read()
    assert (live.record.seconds, live.record.paused, live.record.paused_seconds) == (15.0, False, 900.0)
    live.pause()
    now = 2_000.0
    live.stop("a person stopped it")  # what it then takes to end is its own time again
    now = 2_001.0
    live.read()
    assert (live.record.seconds, live.record.paused) == (16.0, False)
    assert live.last_call > 2_000.0


def test_a_paused_trial_can_be_stopped_and_so_can_its_study(
    start: Callable[..., Any], asking: Callable[..., Any]
) -> None:
    study, _ = start(
        (at(20), asking(Action.PAUSE)),
        (lambda s: s.trials[0].paused, asking((Action.STOP_TRIAL, {"trial": 0}))),
        (at(10, 1), asking((Action.PAUSE, {"trial": 1}))),
        (lambda s: s.trials[1].paused, asking(Action.STOP_STUDY)),
    )
    first, second = study.trials
    assert (first.state, first.reason, first.paused) == (State.PRUNED, "a person stopped it at step 20", False)
    assert (second.state, study.ended) == (State.RUNNING, "stopped")


def test_a_study_that_is_killed_while_a_trial_is_paused_goes_on(
    start: Callable[..., Any], go_on: Callable[..., Any], asking: Callable[..., Any]
) -> None:
    def kill() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start((at(20), asking(Action.PAUSE)), (lambda s: s.trials[0].paused, kill), trials=1)
    study, _ = go_on()
    assert [(t.state, t.attempt, t.paused) for t in study.trials] == [(State.COMPLETE, 2, False)]


# ---- no trial after these


def test_a_study_stops_after_the_trials_that_run_and_can_be_resumed(
    start: Callable[..., Any], go_on: Callable[..., Any], asking: Callable[..., Any]
) -> None:
    study, _ = start((at(20, 1), asking(Action.STOP_AFTER)), trials=4, parallel=2)
    assert (states(study), study.ended, study.ending) == ([State.COMPLETE] * 2, "stopped", True)
    assert answers(study) == ["no new trial begins; the study ends with trials 0 and 1"]
    study, _ = go_on()
    assert (states(study), study.ended, study.ending) == ([State.COMPLETE] * 4, "finished", False)


def test_a_study_that_stops_after_its_last_trial_has_finished(
    start: Callable[..., Any], asking: Callable[..., Any]
) -> None:
    study, _ = start((at(20), asking(Action.STOP_AFTER)), trials=1)
    assert (states(study), study.ended) == ([State.COMPLETE], "finished")


# ---- proposals that wait


def test_a_proposal_waits_and_what_is_refused_costs_nothing_and_is_not_proposed_again(
    start: Callable[..., Any], asking: Callable[..., Any]
) -> None:
    study, said = start(
        (waits(0), asking(Action.ACCEPT)),
        (waits(1), asking((Action.REFUSE, {"text": "too *low*\n\x1b[31m"}))),
        (waits(2), asking((Action.REFUSE, {"trial": 2}))),
        *[(waits(n), asking(Action.ACCEPT)) for n in range(3, 6)],
        trials=4,
        review=True,
    )
    assert states(study) == [State.COMPLETE, State.REFUSED, State.REFUSED, *[State.COMPLETE] * 3]
    assert told(study) == ["COMPLETE", "FAIL", "FAIL", *["COMPLETE"] * 3]
    assert study.ended == "finished"
    refused = [t for t in study.trials if t.state is State.REFUSED]
    assert refused[0].proposal.code == "RWD002"
    for t in study.trials[3:]:
        assert not tried(t.proposal.knobs, refused, SPEC.space)
    lines = said.splitlines()
    directory = study.directory
    waiting = f"trial 0  waits for an answer: autotune study accept {directory}, or autotune study refuse {directory}"
    assert lines[lines.index(waiting) + 2] == "trial 0  begins"
    text = journal.journal(study)
    assert "- Result: refused, anna refused it: too *low*\\n\\x1b[31m." in text
    assert "\x1b" not in text
    assert refused[1].reason == "anna refused it"


def test_another_seed_that_is_refused_is_not_proposed_again(
    start: Callable[..., Any], asking: Callable[..., Any]
) -> None:
    """The last of four trials is kept for the best settings on another seed."""
    study, _ = start(
        (waits(0), asking(Action.REVIEW_OFF)),
        (at(20, 2), asking(Action.REVIEW_ON)),
        (waits(3), asking(Action.REFUSE)),
        (waits(4), asking(Action.ACCEPT)),
        trials=4,
        review=True,
    )
    assert study.trials[3].proposal.origin is Origin.CONFIRM
    assert states(study)[3:] == [State.REFUSED, State.COMPLETE]
    assert study.trials[4].proposal.origin is not Origin.CONFIRM


def test_who_wants_proposals_to_wait_no_more_lets_those_begin_that_do(
    start: Callable[..., Any], asking: Callable[..., Any]
) -> None:
    study, _ = start(
        (waits(0), asking(Action.REVIEW_OFF)), (at(20, 1), asking(Action.REVIEW_ON)), (waits(2), asking(Action.ACCEPT)),
        review=True,
    )  # fmt: skip
    assert states(study) == [State.COMPLETE] * 3
    assert [d.trial for d in study.decisions if d.kind == "trial_accepted"] == [0, 2]
    assert study.search.review is True


def test_a_proposal_outlives_the_study_that_made_it(
    start: Callable[..., Any], go_on: Callable[..., Any], asking: Callable[..., Any]
) -> None:
    def kill() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start((waits(0), asking(Action.ACCEPT)), (waits(1), kill), review=True)
    study, said = go_on(
        (waits(1), asking(Action.STOP_AFTER)),
    )
    assert (states(study), study.ended) == ([State.COMPLETE, State.WAITING], "stopped")
    proposal = study.trials[1].proposal
    assert "trial 1  waits for an answer" in said
    study, _ = go_on(
        (waits(1), asking(Action.ACCEPT)), (waits(2), asking(Action.REFUSE)), (waits(3), asking(Action.ACCEPT))
    )
    assert states(study) == [State.COMPLETE, State.COMPLETE, State.REFUSED, State.COMPLETE]
    assert study.trials[1].proposal == proposal
    assert study.trials[1].attempt == 1


def test_a_refusal_that_was_told_to_optuna_and_not_yet_written_down_holds(
    start: Callable[..., Any], go_on: Callable[..., Any], asking: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = Ledger.tell

    def killed(self: Ledger, record: TrialRecord) -> None:
        tell(self, record)
        if record.state is State.REFUSED:
            raise KeyboardInterrupt

    monkeypatch.setattr(Ledger, "tell", killed)
    with pytest.raises(KeyboardInterrupt):
        start((waits(0), asking((Action.REFUSE, {"text": "no"}))), trials=1, review=True)
    study, _ = go_on((waits(1), asking(Action.ACCEPT)))
    assert [(t.state, t.reason) for t in study.trials] == [
        (State.REFUSED, "anna refused it: no"), (State.COMPLETE, "ran to its end"),
    ]  # fmt: skip


# ---- settings of a person's own


def test_a_persons_settings_are_tried_next_and_do_not_wait(
    start: Callable[..., Any], asking: Callable[..., Any]
) -> None:
    mine = {"knobs": {"learning_rate": 1e-4, "num_generations": 16.0}, "text": "between"}
    study, said = start(
        (waits(0), asking((Action.TRY, {"knobs": {"update_epochs": 2.0}}))),
        (at(20, 1), asking((Action.TRY, {**mine, "trial": 0}), (Action.TRY, {**mine, "trial": 0}))),
        (lambda s: s.trial(2) is not None and s.trial(2).state is State.COMPLETE, asking(Action.ACCEPT)),
        trials=3,
        review=True,
    )
    _, first, second = study.trials
    assert states(study) == [State.COMPLETE] * 3
    assert (first.proposal.origin, first.proposal.parent) == (Origin.PERSON, None)  # nothing had run yet
    assert json.dumps(dict(first.proposal.knobs)) == json.dumps({**SPEC.start, "update_epochs": 2})
    assert (second.proposal.parent, second.proposal.why) == (0, "anna asked for these settings: between")
    assert json.dumps(study.changes(second)) == '{"learning_rate": [0.003, 0.0001], "num_generations": [8, 16]}'
    assert second.proposal.hypothesis is None
    assert [d.trial for d in study.decisions if d.kind == "trial_accepted"] == [0]
    assert answers(study)[1:3] == [
        "tried next: learning_rate 0.0001, update_epochs 1, num_generations 16",
        "these settings are to be tried next already",
    ]
    assert "trial 2  because: anna asked for these settings: between" in said


def test_settings_without_a_trial_are_changes_of_the_best(
    start: Callable[..., Any], asking: Callable[..., Any]
) -> None:
    study, _ = start((at(20, 3), asking((Action.TRY, {"knobs": {"update_epochs": 3}}))), trials=5)
    best = max((t for t in study.trials[:3] if t.feasible), key=lambda t: t.value or 0, default=study.trials[3])
    mine = study.trials[4]
    assert (mine.proposal.origin, mine.proposal.parent, mine.proposal.knob) == (
        Origin.PERSON,
        best.number,
        "update_epochs",
    )
    assert mine.proposal.knobs == {**best.proposal.knobs, "update_epochs": 3}


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ({"knobs": {"learning_rate": 5}}, "learning_rate 5 is outside 1e-06 to 0.01"),
        ({"knobs": {"learning_rate": "fast\x1b[2J"}}, "learning_rate fast\x1b[2J is outside 1e-06 to 0.01"),
        ({"knobs": {"update_epochs": 1.5}}, "update_epochs 1.5 is outside 1 to 4 (whole numbers)"),
        ({"knobs": {"num_generations": 10}}, "num_generations 10 is not one of 4, 8, 16"),
        ({"knobs": {"x" * 900: 1}},
         f"this study does not change {'x' * 80}...: its knobs are learning_rate, update_epochs, num_generations"),
        ({"knobs": {"update_epochs": 2}, "trial": 9}, "there is no trial 9"),
        ({"knobs": {"update_epochs": 2}, "text": "x" * (LONGEST + 1)},
         "the text has 2,001 characters; 2,000 is the most"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused_in_one_line(
    start: Callable[..., Any], asking: Callable[..., Any], said: dict[str, Any], answer: str
) -> None:
    study, _ = start((at(10), asking((Action.TRY, said))), trials=2)
    assert answers(study) == [answer]
    assert [t.proposal.origin is Origin.PERSON for t in study.trials] == [False, False]


def test_settings_that_no_trial_is_left_for_are_refused(start: Callable[..., Any], asking: Callable[..., Any]) -> None:
    one, two = ((Action.TRY, {"knobs": {"update_epochs": n}}) for n in (2, 3))
    study, _ = start((at(10), asking(one, two)), trials=2)
    assert answers(study)[1].startswith("the study has 2 trials, and all are begun or asked for")
    assert [t.proposal.knobs["update_epochs"] for t in study.trials] == [1, 2]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_settings_that_were_promised_are_tried_once_after_a_kill(
    start: Callable[..., Any],
    go_on: Callable[..., Any],
    asking: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    want = Ledger.want

    def killed(self: Ledger, *settings: Any) -> None:
        if moment == "after":
            want(self, *settings)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "want", killed)
        with pytest.raises(KeyboardInterrupt):
            start((at(10), asking((Action.TRY, {"knobs": {"update_epochs": 2}}))))
    go_on((at(10, 1), asking(Action.STOP_AFTER)))
    study, _ = go_on()
    assert states(study) == [State.COMPLETE] * 3
    assert [t.proposal.origin is Origin.PERSON for t in study.trials] == [False, True, False]


# ---- notes


def test_a_note_says_who_and_when_and_is_written_even_after_a_kill(
    start: Callable[..., Any], go_on: Callable[..., Any], asking: Callable[..., Any]
) -> None:
    def kill() -> None:
        asking((Action.NOTE, {"text": "late"}), Action.PAUSE)()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start((at(10), asking((Action.NOTE, {"text": " # hot GPU ", "trial": 0}))), (at(20), kill), trials=1)
    asking((Action.NOTE, {"text": "meanwhile"}), Action.PAUSE)()
    study, _ = go_on()
    notes = [d for d in study.decisions if d.kind == "noted" and "by" in d.data]
    said = [(d.trial, d.data["by"], d.data["text"]) for d in notes]
    assert said == [(0, "anna", "# hot GPU"), (None, "anna", "late"), (None, "anna", "meanwhile")]
    assert answers(study) == [
        "noted: # hot GPU",
        "noted: late",
        "the study has ended; ask again once it goes on",
        "noted: meanwhile",
        "came when the study was not running; ask again",
    ]
    assert words.by_people(study, 0)[0] == f"{words.moment(notes[0].time)}: trial 0: anna notes: # hot GPU"
    assert ": anna notes: late." in journal.journal(study)


# ---- whatever is asked


EVERY = [
    (Action.STOP_STUDY, {}), (Action.STOP_AFTER, {}), (Action.STOP_TRIAL, {"trial": 0}),
    (Action.PAUSE, {"trial": 0}), (Action.CONTINUE, {"trial": 0}),
    (Action.REVIEW_ON, {}), (Action.REVIEW_OFF, {}), (Action.ACCEPT, {"trial": 1}), (Action.REFUSE, {"trial": 1}),
    (Action.TRY, {"knobs": {"update_epochs": 2}}), (Action.NOTE, {"text": "x"}),
]  # fmt: skip
# What asks a second time for the same, at the same moment, may be done again without harm.
TWICE = {Action.NOTE}


def test_all_actions_are_looked_at() -> None:
    assert [action for action, _ in EVERY] == list(Action)


@pytest.mark.parametrize(("action", "said"), EVERY, ids=lambda v: str(v) if isinstance(v, Action) else "")
def test_two_who_ask_for_the_same_at_once_get_an_answer_each_and_it_is_done_once(
    start: Callable[..., Any], asking: Callable[..., Any], action: Action, said: dict[str, Any]
) -> None:
    before: list[Turn] = []
    if action is Action.CONTINUE:
        before = [(at(20), asking(Action.PAUSE))]
    elif action in (Action.ACCEPT, Action.REFUSE, Action.REVIEW_OFF):
        before = [(at(10), asking(Action.REVIEW_ON))]
    when = {
        Action.CONTINUE: lambda s: s.trials[0].paused,
        Action.ACCEPT: waits(1), Action.REFUSE: waits(1), Action.REVIEW_OFF: waits(1),
    }.get(action, at(20))  # fmt: skip
    after: list[Turn] = []
    if action is Action.PAUSE:
        after = [(lambda s: s.trials[0].paused, asking(Action.CONTINUE))]
    elif action in (Action.REFUSE, Action.REVIEW_ON):
        after = [(lambda s: bool(s.waiting), asking(Action.REVIEW_OFF))]
    elif action is Action.ACCEPT:
        after = [(at(20, 1), asking(Action.REVIEW_OFF))]
    study, _ = start(*before, (when, asking((action, said), (action, said))), *after, trials=3)
    mine = [d.data for d in study.decisions if d.kind == "request_answered" and d.data["action"] == action]
    mine = mine[-1:] + mine[:-1] if action is Action.REVIEW_OFF and len(mine) > 2 else mine
    assert len(mine) == len({d["request"] for d in mine}) == 2
    assert [d["done"] for d in mine] == [True, action in TWICE]
    assert all(d["by"] == "anna" and d["answer"] for d in mine)
    assert study.ended == ("stopped" if action in (Action.STOP_STUDY, Action.STOP_AFTER) else "finished")


OF_A_TRIAL = [(action, said) for action, said in EVERY if "trial" in said or action in (Action.TRY, Action.NOTE)]


@pytest.mark.parametrize(("action", "said"), OF_A_TRIAL, ids=lambda v: str(v) if isinstance(v, Action) else "")
def test_what_is_asked_of_a_trial_that_is_over_or_never_was_changes_nothing(
    start: Callable[..., Any], asking: Callable[..., Any], action: Action, said: dict[str, Any]
) -> None:
    of = [(action, {**said, "trial": n}) for n in ((7,) if action in (Action.TRY, Action.NOTE) else (0, 7))]
    study, _ = start((at(20, 1), asking(*of)), trials=2)
    mine = [d.data for d in study.decisions if d.kind == "request_answered"]
    assert [d["done"] for d in mine] == [False] * len(of)
    assert states(study) == [State.COMPLETE] * 2


@pytest.mark.parametrize(
    "text",
    [
        "\x1b]0;title\x07\x1b[2J",
        "\ud800 alone",
        "| a | table |\n# and a headline",
        "<script>alert(1)</script>",
        "'\"; DROP",
    ],
)
def test_hostile_words_stay_words(
    start: Callable[..., Any], asking: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    leave = asking(
        (Action.NOTE, {"text": text}),
        (Action.TRY, {"knobs": {"update_epochs": 2}, "text": text}),
        (Action.REFUSE, {"text": text}),
    )
    monkeypatch.setattr("getpass.getuser", lambda: text)
    study, said = start((waits(0), leave), (waits(2), asking(Action.ACCEPT)), trials=2, review=True)
    assert [d.data["done"] for d in study.decisions if d.kind == "request_answered"] == [True] * 4
    assert states(study) == [State.REFUSED, State.COMPLETE, State.COMPLETE]
    text = (study.directory / "journal.md").read_text(encoding="utf-8")
    assert not any(c in said + text for c in "\x1b\x07")
    assert not any(line.startswith(("# and", "| a |")) for line in text.splitlines())


def test_litter_among_the_requests_is_answered_and_the_study_goes_on(start: Callable[..., Any], tmp_path: Path) -> None:
    def litter() -> None:
        folder = tmp_path / "study" / REQUESTS
        folder.mkdir()
        (folder / "deep.json").write_text("[" * 50_000)
        (folder / "huge.json").write_text(f'{{"action": "note", "trial": null, "text": "{"x" * 100_000}"}}')
        (folder / "new.json").write_text('{"action": "fly", "trial": null}')
        (folder / "link.json").symlink_to("/dev/zero")

    study, _ = start((at(10), litter), trials=1)
    assert answers(study) == ["is no request that this autotune understands"] * 4
    assert study.ended == "finished"


def test_what_chance_draws_after_a_resume_is_not_what_was_refused(
    start: Callable[..., Any], go_on: Callable[..., Any], asking: Callable[..., Any]
) -> None:
    """A sampler of the same seed would begin with the same draw."""
    start((waits(0), asking(Action.REFUSE)), (waits(1), asking(Action.STOP_AFTER)), trials=1, review=True)
    study, _ = go_on((waits(1), asking(Action.REFUSE)), (lambda s: len(s.trials) == 3, asking(Action.ACCEPT)))
    assert states(study) == [State.REFUSED, State.REFUSED, State.COMPLETE]
    assert study.trials[1].proposal.origin is study.trials[2].proposal.origin is Origin.SAMPLER
    assert not tried(study.trials[2].proposal.knobs, study.trials[:2], SPEC.space)


def test_a_sampler_that_says_again_what_was_refused_is_asked_again(
    start: Callable[..., Any], asking: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    draws = iter([0.0, 0.0, 0.0, 1.0])

    class Stubborn(optuna.samplers.RandomSampler):
        def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
            if name != "learning_rate":
                return distribution.high if hasattr(distribution, "high") else distribution.choices[0]
            return distribution.low if next(draws) == 0.0 else distribution.high

    monkeypatch.setattr("autotune.search.sampler", lambda *_, **__: Stubborn())
    study, _ = start(
        (waits(0), asking(Action.REFUSE)),
        (waits(1), asking(Action.REFUSE)),
        (waits(4), asking(Action.ACCEPT)),
        trials=1,
        review=True,
    )
    assert [t.number for t in study.trials] == [0, 1, 4]
    assert study.trials[2].proposal.knobs["learning_rate"] == 1e-2
    assert told(study) == ["FAIL"] * 4 + ["COMPLETE"]
