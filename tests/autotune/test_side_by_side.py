"""Trials that take their time: two at once, what people ask meanwhile, what a study that stops leaves to go on with."""

import io
import itertools
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from autotune import live, loop
from autotune.views.plain import PlainView
from diagnostics.errors import UserError
from diagnostics.events import EventLog, FindingRaised, MetricsLogged, Outcome, RunEnded, RunStarted, Tail
from diagnostics.finding import Confidence, Direction, Evidence, Finding, Hypothesis, Prescription, Scale, Severity
from studies import requests
from studies.log import StudyLog, read
from studies.record import Origin, Search, State, StudyRecord, TrialRecord
from studies.requests import Action
from studies.space import Range
from studies.spec import load
from studies.trial import TrialSpec

SPEC = replace(
    load("arithmetic-grpo"),
    space={"learning_rate": Range(1e-6, 1e-2, log=True), "temperature": Range(0.5, 1.5)},
    start={"learning_rate": 3e-3, "temperature": 1.0},
)
LOWER = Prescription("learning_rate", Scale(1 / 8), Hypothesis("reward_mean", Direction.UP, 0.1, 0.5, "smaller steps"))


def raised(severity: Severity) -> Finding:
    evidence = Evidence("reward_mean", 0, 20, "mean", -0.9, -0.5)
    return Finding("RWD002", "reward_collapse", severity, Confidence.HIGH, 1, 20, 20, "it fell", (evidence,), (LOWER,))


Moves = Generator[int, None, int]


def learns(spec: TrialSpec, log: EventLog, *findings: Finding) -> Moves:
    log.emit(RunStarted(0, "trl-grpo", "1.16.0", {"max_steps": 40}))
    for step in (0, 10, 20, 30, 40):
        log.emit(MetricsLogged(step, {"validation_reward": step / 100, "completions_generated": 128.0 * step}))
        if step == 20:
            for finding in findings:
                log.emit(FindingRaised(20, finding))
        yield step
    log.emit(RunEnded(40, Outcome.FINISHED))
    return 0


def grave(spec: TrialSpec, log: EventLog) -> Moves:
    return learns(spec, log, raised(Severity.ERROR))


class Watching(PlainView):
    """Calls `then` at each look at a trial."""

    def __init__(self, directory: Path, then: Callable[[TrialRecord], None] | None) -> None:
        super().__init__(read(directory), io.StringIO())
        self._then = then

    def moved(self, trial: TrialRecord, *rest: Any) -> None:
        super().moved(trial, *rest)
        if self._then is not None:
            self._then(trial)


def create(tmp_path: Path, trials: int = 4, **how: Any) -> Path:
    loop.create(replace(SPEC, trials=trials), Search(**how), tmp_path / "study")
    return tmp_path / "study"


def go_on(directory: Path, launcher: Any, then: Callable[[TrialRecord], None] | None = None) -> StudyRecord:
    return loop.run(directory, launcher, Watching(directory, then))


def answers(study: StudyRecord) -> list[str]:
    return [d.data["answer"] for d in study.decisions if d.kind == "request_answered"]


def told(study: StudyRecord) -> list[str]:
    url = f"sqlite:///{study.directory / 'study.db'}"
    return [t.state.name for t in optuna.load_study(study_name=study.spec.name, storage=url).trials]


def once(step: int, act: Callable[[TrialRecord], object], number: int = 0) -> Callable[[TrialRecord], None]:
    """Does `act` when trial `number` has first reached `step`."""
    done: list[int] = []

    def then(trial: TrialRecord) -> None:
        if trial.number == number and trial.steps >= step and not done:
            done.append(1)
            act(trial)

    return then


def test_two_run_at_once_and_no_more_than_asked_for(tmp_path: Path, stepwise: Callable[..., Any]) -> None:
    under_way: list[int] = []
    directory = create(tmp_path, trials=5, parallel=2)

    def look(_: TrialRecord) -> None:
        under_way.append(sum(t.state is State.RUNNING for t in read(directory).trials))

    launcher = stepwise(learns)
    study = go_on(directory, launcher, look)
    assert launcher.started == [(n, 1) for n in range(5)]
    assert max(under_way) == 2
    assert [t.state for t in study.trials] == [State.COMPLETE] * 5
    assert len({t.seed for t in study.trials}) == 5
    assert told(study) == ["COMPLETE"] * 5


def test_what_is_under_way_counts_as_tried(tmp_path: Path, stepwise: Callable[..., Any]) -> None:
    """The last two are asked for at once, after the same findings."""
    study = go_on(create(tmp_path, trials=4, parallel=2), stepwise(grave))
    assert [t.proposal.origin for t in study.trials[2:]] == [Origin.FINDING] * 2
    assert study.trials[2].proposal.knobs != study.trials[3].proposal.knobs


def test_a_mistake_of_the_user_in_one_leaves_the_other_to_go_on_with(
    tmp_path: Path, stepwise: Callable[..., Any]
) -> None:
    def wrong(spec: TrialSpec, log: EventLog) -> Moves:
        if spec.seed == 0:
            return (yield from learns(spec, log))
        yield 0
        return 2

    directory = create(tmp_path, trials=3, parallel=2)
    with pytest.raises(UserError, match="the last line of its log"):
        go_on(directory, stepwise(wrong))
    broken = read(directory)
    assert [t.state for t in broken.trials] == [State.RUNNING, State.FAILED]
    assert broken.ended == "failed"
    launcher = stepwise(learns)
    study = go_on(directory, launcher)
    assert launcher.started[0] == (0, 2)
    assert [(t.number, t.state) for t in study.trials] == [
        (0, State.COMPLETE), (1, State.FAILED), (2, State.COMPLETE), (3, State.COMPLETE),
    ]  # fmt: skip
    assert told(study) == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]


@pytest.mark.parametrize("script", [learns, grave])
def test_a_study_that_is_asked_to_stop_ends_its_trials_and_resume_takes_them_up(
    tmp_path: Path, stepwise: Callable[..., Any], script: Callable[..., Moves]
) -> None:
    directory = create(tmp_path, trials=3, parallel=2)
    study = go_on(directory, stepwise(script), once(20, lambda t: requests.ask(directory, Action.STOP_STUDY)))
    assert study.ended == "stopped"
    assert [t.state for t in study.trials] == [State.RUNNING] * 2
    assert answers(study) == ["the study ends with the step its trials are at; resume takes them up again"]
    launcher = stepwise(script)
    study = go_on(directory, launcher)
    assert launcher.started == [(0, 2), (1, 2), (2, 1)]
    assert [(t.state, t.attempt) for t in study.trials] == [(State.COMPLETE, n) for n in (2, 2, 1)]
    assert len(answers(study)) == 1
    assert study.ended == "finished"


@pytest.mark.parametrize("script", [learns, grave])
def test_what_an_interrupt_ends_goes_on(
    tmp_path: Path, stepwise: Callable[..., Any], script: Callable[..., Moves]
) -> None:
    def interrupt(_: TrialRecord) -> None:
        raise KeyboardInterrupt

    directory = create(tmp_path, trials=2)
    with pytest.raises(KeyboardInterrupt):
        go_on(directory, stepwise(script), once(20, interrupt))
    study = go_on(directory, stepwise(script))
    assert [(t.state, t.attempt) for t in study.trials] == [(State.COMPLETE, 2), (State.COMPLETE, 1)]


def test_one_trial_is_stopped_and_its_evaluations_count(tmp_path: Path, stepwise: Callable[..., Any]) -> None:
    directory = create(tmp_path, trials=2)
    stop = once(20, lambda t: [requests.ask(directory, Action.STOP_TRIAL, trial=n) for n in (0, 0, 9)])
    study = go_on(directory, stepwise(learns), stop)
    first, second = study.trials
    assert (first.state, first.reason) == (State.PRUNED, "a person stopped it at step 20")
    assert first.value == 0.2
    assert second.state is State.COMPLETE
    assert answers(study) == ["trial 0 ends after its step", "trial 0 is ending already", "there is no trial 9"]
    assert told(study) == ["PRUNED", "COMPLETE"]


def test_a_request_that_nobody_understands_is_answered_once(tmp_path: Path, stepwise: Callable[..., Any]) -> None:
    directory = create(tmp_path, trials=1)

    def litter(_: TrialRecord) -> None:
        (directory / requests.REQUESTS).mkdir()
        (directory / requests.REQUESTS / "odd.json").write_text("{")

    study = go_on(directory, stepwise(learns), once(10, litter))
    assert answers(study) == ["is no request that this autotune understands"]
    assert study.ended == "finished"


def test_what_was_asked_while_the_study_did_not_run_does_not_stop_it(
    tmp_path: Path, stepwise: Callable[..., Any]
) -> None:
    directory = create(tmp_path, trials=1)
    go_on(directory, stepwise(learns))
    requests.ask(directory, Action.STOP_STUDY)
    log = StudyLog(directory)
    log.resumed(replace(SPEC, trials=2), Search())
    log.close()
    study = go_on(directory, stepwise(learns))
    assert answers(study) == ["came when the study was not running; ask again"]
    assert [t.state for t in study.trials] == [State.COMPLETE] * 2


def test_after_its_time_no_trial_begins(
    tmp_path: Path, stepwise: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(0.0, 10.0)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    launcher = stepwise(learns)
    study = go_on(create(tmp_path, trials=50, timeout=500), launcher)
    assert 1 < len(study.trials) < 20
    assert [t.state for t in study.trials] == [State.COMPLETE] * len(study.trials)
    assert study.ended == "finished"


def test_a_study_is_run_once_at_a_time(tmp_path: Path, stepwise: Callable[..., Any]) -> None:
    directory, said = create(tmp_path, trials=1), []

    def another(_: TrialRecord) -> None:
        with pytest.raises(UserError, match="is running in another process") as error:
            loop.run(directory, stepwise(learns), PlainView(read(directory), io.StringIO()))
        said.append(error.value.message)

    study = go_on(directory, stepwise(learns), once(10, another))
    assert len(said) == 1
    assert study.ended == "finished"
    assert len(study.trials) == 1


def test_a_trial_that_does_not_end_by_itself_after_a_fatal_finding_is_ended(
    tmp_path: Path, stepwise: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PATIENCE_SECONDS", 0.0)
    study = go_on(create(tmp_path, trials=1), stepwise(lambda *to: learns(*to, raised(Severity.FATAL))))
    (trial,) = study.trials
    assert trial.state is State.PRUNED
    assert trial.steps < 40


def test_what_a_person_enqueued_is_run_as_it_is(tmp_path: Path, stepwise: Callable[..., Any]) -> None:
    directory = create(tmp_path, trials=3)

    def enqueue(_: TrialRecord) -> None:
        url = f"sqlite:///{directory / 'study.db'}"
        optuna.load_study(study_name=SPEC.name, storage=url).enqueue_trial({"learning_rate": 2e-5, "temperature": 0.7})

    study = go_on(directory, stepwise(learns), once(10, enqueue))
    asked = study.trials[1]
    assert (asked.proposal.origin, asked.proposal.knobs) == (
        Origin.PERSON, {"learning_rate": 2e-5, "temperature": 0.7},
    )  # fmt: skip
    assert [t.proposal.origin is Origin.PERSON for t in study.trials] == [False, True, False]


def test_a_script_that_dies_without_a_word_when_the_study_is_stopped_goes_on(
    tmp_path: Path, stepwise: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    emit = EventLog.emit
    monkeypatch.setattr(
        EventLog, "emit", lambda log, event: None if getattr(event, "reason", "") == "SIGTERM" else emit(log, event)
    )
    directory = create(tmp_path, trials=1)
    study = go_on(directory, stepwise(grave), once(20, lambda t: requests.ask(directory, Action.STOP_STUDY)))
    assert [t.state for t in study.trials] == [State.RUNNING]
    study = go_on(directory, stepwise(grave))
    assert [(t.state, t.attempt) for t in study.trials] == [(State.COMPLETE, 2)]


def test_what_broke_off_side_by_side_goes_on_one_by_one_where_there_is_one_place(
    tmp_path: Path, stepwise: Callable[..., Any]
) -> None:
    directory = create(tmp_path, trials=2, parallel=2)

    def interrupt(trial: TrialRecord) -> None:
        if trial.number == 1 and trial.steps >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go_on(directory, stepwise(learns), interrupt)
    log = StudyLog(directory)
    log.resumed(read(directory).spec, Search(parallel=1))
    log.close()
    launcher = stepwise(learns)
    study = go_on(directory, launcher)
    assert launcher.started == [(0, 2), (1, 2)]
    assert [(t.state, t.attempt) for t in study.trials] == [(State.COMPLETE, 2), (State.COMPLETE, 2)]
    logs = [Tail(directory / "trials" / str(n) / "events.jsonl").poll() for n in (0, 1)]
    told = [e.time for log in logs for e in log if e.attempt == 2]
    assert told == sorted(told)  # the second began when the first had ended


def test_a_trial_of_another_tool_in_the_same_storage_is_left_to_it(
    tmp_path: Path, stepwise: Callable[..., Any]
) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    directory = create(tmp_path, trials=2, storage=url)
    theirs = optuna.load_study(study_name=SPEC.name, storage=url).ask()
    study = go_on(directory, stepwise(learns))
    assert [t.number for t in study.trials] == [1, 2]
    assert optuna.load_study(study_name=SPEC.name, storage=url).trials[theirs.number].state.name == "RUNNING"
