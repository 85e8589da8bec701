"""A study killed at every single write, and before it, goes on as if nothing had happened.

What a SIGKILL leaves is what is on the disk at that moment: the folder is copied before each write, the copy is taken
up again.
"""

import fcntl
import io
import itertools
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from autotune import ledger, loop, recovery
from autotune.launch import Launcher
from autotune.ledger import FINDINGS, PROPOSAL, VERDICT
from autotune.views.plain import PlainView
from diagnostics.errors import UserError
from diagnostics.events import EventLog, FindingRaised, MetricsLogged, Outcome, RunEnded, RunStarted, Tail
from diagnostics.finding import (
    Confidence,
    Direction,
    Evidence,
    Finding,
    Hypothesis,
    Prescription,
    Scale,
    Severity,
    finding_to_json,
)
from studies import requests, trial
from studies.log import STUDY_FILE, StudyLog, read
from studies.record import Origin, Search, State, StudyRecord, TrialRecord, proposal_to_json, verdict_to_json
from studies.requests import Action
from studies.space import Range
from studies.spec import load
from studies.trial import TrialSpec

LOWER = Prescription("learning_rate", Scale(1 / 8), Hypothesis("reward_mean", Direction.UP, 0.1, 0.5, "smaller steps"))


def raised(severity: Severity) -> Finding:
    evidence = Evidence("reward_mean", 0, 20, "mean", -0.9, -0.5)
    return Finding("RWD002", "reward_collapse", severity, Confidence.HIGH, 1, 20, 20, "it fell", (evidence,), (LOWER,))


def learns(spec: TrialSpec, log: EventLog) -> Generator[int, None, int]:
    """Collapses above 1e-3, and learns the better the nearer it is to 3e-4."""
    rate = float(spec.knobs["learning_rate"])
    log.emit(RunStarted(0, "trl-grpo", "1.16.0", {"max_steps": 100}))
    yield 0
    log.emit(MetricsLogged(0, {"validation_reward": -0.3, "reward_mean": -0.3, "completions_generated": 0.0}))
    yield 0
    value = -0.9 if rate > 1e-3 else 0.4 - 0.2 * abs(round(rate / 3e-4, 6) - 1)
    for step in (20, 60, 100):
        metrics = {"validation_reward": value, "reward_mean": value, "completions_generated": 128.0 * step}
        log.emit(MetricsLogged(step, metrics))
        if rate > 1e-3:
            log.emit(FindingRaised(20, raised(Severity.FATAL)))
            yield 20
            log.emit(RunEnded(21, Outcome.STOPPED, "RWD002"))
            return 0
        yield step
    log.emit(RunEnded(100, Outcome.FINISHED))
    return 0


SPEC = replace(
    load("arithmetic-grpo"),
    trials=4,
    space={"learning_rate": Range(1e-6, 1e-2, log=True)},
    start={"learning_rate": 3e-3},
    noise={"validation_reward": 0.01, "reward_mean": 0.01},
)


class Killed(BaseException):
    """Ends a run whose state on the disk was copied."""


class Moments:
    """Calls `before` in the moment before each write of a study: to its record, its storage, its trials' folders."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.before: Callable[[str], None] | None = None
        for owner, names in (
            (StudyLog, ["_write"]),
            (JournalFileBackend, ["append_logs"]),
            (EventLog, ["emit"]),
            (trial, ["write"]),
        ):
            for name in names:
                monkeypatch.setattr(owner, name, self._watched(getattr(owner, name), name))

    def _watched(self, write: Callable[..., Any], name: str) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            if self.before is not None:
                self.before(name)
            return write(*args, **kwargs)

        return watched

    @contextmanager
    def calling(self, before: Callable[[str], None]) -> Iterator[None]:
        self.before = before
        try:
            yield
        finally:
            self.before = None


@pytest.fixture
def moments(monkeypatch: pytest.MonkeyPatch) -> Moments:
    return Moments(monkeypatch)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same without SQL, which takes ten times as long, and without what is derived from the rest."""
    monkeypatch.setattr(ledger, "_storage", lambda how, directory: journal_in(directory))
    monkeypatch.setattr(loop.journal, "write", lambda study: None)
    monkeypatch.setattr(os, "fsync", lambda file: None)  # against power cuts only


def journal_in(directory: Path) -> BaseStorage:
    return JournalStorage(JournalFileBackend(str(directory / "optuna.journal")))


def go_on(directory: Path, launcher: Launcher) -> StudyRecord:
    return loop.run(directory, launcher, PlainView(read(directory), io.StringIO()))


def storage_of(study: StudyRecord) -> optuna.Study:
    return optuna.load_study(study_name=study.spec.name, storage=journal_in(study.directory))


def done(study: StudyRecord) -> list[tuple[Any, ...]]:
    """What the trials that count came to, in order, whatever their numbers are."""
    number: dict[int | None, int] = {
        t.number: i for i, t in enumerate(t for t in study.trials if t.state is not State.FAILED)
    }
    return [
        (
            t.proposal.origin, t.proposal.knobs, number.get(t.proposal.parent), t.state, t.reason, t.evaluations,
            t.findings, t.verdict,
        )
        for t in study.trials if t.state is not State.FAILED
    ]  # fmt: skip


def check_whole(study: StudyRecord) -> None:
    """The record, Optuna and the trials' events say one thing."""
    assert study.ended == "finished"
    ends = Counter(d.trial for d in study.decisions if d.kind == "trial_ended")
    assert ends == {t.number: 1 for t in study.trials}
    optunas = storage_of(study)
    told = {t.number: t for t in optunas.trials}
    for t in study.trials:
        assert told[t.number].state.name == {State.FAILED: "FAIL", State.REFUSED: "FAIL"}.get(t.state, t.state.name)
        assert told[t.number].params == dict(t.proposal.knobs)
        assert told[t.number].system_attrs[PROPOSAL] == proposal_to_json(t.proposal)
        assert told[t.number].system_attrs[FINDINGS] == [finding_to_json(f) for f in t.findings]
        if t.state is not State.FAILED:
            assert told[t.number].intermediate_values == {e.completions: e.value for e in t.evaluations}
            assert told[t.number].value == t.value
    attrs = optunas._storage.get_study_system_attrs(optunas._study_id)
    assert {k: v for k, v in attrs.items() if k.startswith(VERDICT)} == {
        f"{VERDICT}:{t.number}": verdict_to_json(t.verdict) for t in study.trials if t.verdict is not None
    }
    unknown = set(told) - {t.number for t in study.trials}
    assert {told[n].state.name for n in unknown} <= {"FAIL"}
    assert {d.trial for d in study.decisions if d.kind == "noted" and "never began" in d.data["text"]} == unknown


def said_all(folder: Path) -> set[int]:
    """The trials in the study's folder whose own last word was said."""
    return {
        int(path.name)
        for path in (folder / "trials").glob("*")
        for e in Tail(path / "events.jsonl").poll()
        if isinstance(e.event, RunEnded) and e.event.outcome is Outcome.FINISHED
    }


def ended(folder: Path) -> dict[int, Any]:
    """The trials of which the record says what became of them."""
    if not (folder / STUDY_FILE).read_bytes().count(b"\n"):
        return {}
    return {t.number: (t.state, t.value, t.evaluations) for t in read(folder).trials if t.state is not State.RUNNING}


def test_a_kill_before_any_write_loses_and_doubles_nothing(
    tmp_path: Path, moments: Moments, stepwise: Callable[..., Any]
) -> None:
    loop.create(SPEC, Search(), tmp_path / "study")
    kept: list[tuple[str, Path]] = []

    def keep(write: str) -> None:
        kept.append((write, tmp_path / f"kill-{len(kept)}"))
        shutil.copytree(tmp_path / "study", kept[-1][1])

    with moments.calling(keep):
        whole = go_on(tmp_path / "study", stepwise(learns))
    check_whole(whole)
    reference = done(whole)
    assert [t[0] for t in reference] == [Origin.START, Origin.FINDING, Origin.BRACKET, Origin.CONFIRM]
    assert {write for write, _ in kept} == {"_write", "append_logs", "emit", "write"}

    for number, (write, folder) in enumerate(kept):
        before, over = ended(folder), said_all(folder)
        launcher = stepwise(learns)
        study = go_on(folder, launcher)
        where = f"killed before write {number}, {write}"
        assert done(study) == reference, where
        check_whole(study)
        assert before.items() <= ended(folder).items(), where
        assert not over & {started for started, _ in launcher.started}, where
        shutil.rmtree(folder)


class Person(PlainView):
    """Refuses the first change that a finding calls for, accepts all else, and once tries settings of their own.

    What is answered and did not come to pass, as after a kill, is asked for again.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(read(directory), io.StringIO())
        self._directory = directory

    def moved(self, trial: TrialRecord, *rest: Any) -> None:
        super().moved(trial, *rest)
        self.look()

    def look(self, _: float = 0.0) -> None:
        study = read(self._directory)
        answered = {d.data["request"] for d in study.decisions if d.kind == "request_answered"}
        if list(requests.pending(self._directory, answered)):
            return
        refused = any(t.state is State.REFUSED for t in study.trials)
        for one in study.waiting:
            refuse = one.proposal.origin is Origin.FINDING and not refused
            requests.ask(self._directory, Action.REFUSE if refuse else Action.ACCEPT, trial=one.number)
        if any(t.state is State.PRUNED for t in study.trials) and not study.tries:
            requests.ask(self._directory, Action.TRY, knobs={"learning_rate": 1e-4})


def test_a_kill_before_any_write_of_what_people_ask_loses_and_doubles_nothing(
    tmp_path: Path, moments: Moments, stepwise: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def go_on(folder: Path) -> StudyRecord:
        person = Person(folder)
        monkeypatch.setattr(time, "sleep", person.look)
        return loop.run(folder, stepwise(learns), person)

    loop.create(replace(SPEC, trials=3), Search(review=True), tmp_path / "study")
    kept: list[tuple[str, Path]] = []

    def keep(write: str) -> None:
        kept.append((write, tmp_path / f"kill-{len(kept)}"))
        shutil.copytree(tmp_path / "study", kept[-1][1])

    with moments.calling(keep):
        go_on(tmp_path / "study")
    # The trials' own events are killed at elsewhere.
    for number, (write, folder) in enumerate(kept):
        if write in ("_write", "append_logs"):
            before = ended(folder)
            study = go_on(folder)
            where = f"killed before write {number}, {write}"
            check_whole(study)
            states = Counter(t.state for t in study.trials if t.state is not State.FAILED)
            assert states.total() == 4, where
            assert states[State.REFUSED] == 1, where
            assert [t.proposal.knobs for t in study.trials if t.proposal.origin is Origin.PERSON] == [
                {"learning_rate": 1e-4}
            ], where
            answers = Counter(d.data["request"] for d in study.decisions if d.kind == "request_answered")
            asked = {path.stem for path in (folder / requests.REQUESTS).glob("*.json")}
            assert answers == dict.fromkeys(asked, 1), where
            waited = {n for n, (state, *_) in before.items() if state is not State.WAITING}
            assert {n: before[n] for n in waited}.items() <= ended(folder).items(), where
        shutil.rmtree(folder)


def killed_after(writes: int, folder: Path, moments: Moments, launcher: Launcher) -> bool:
    """Goes on with the study and kills it after so many writes; whether it came to that before it ended."""
    left = itertools.count(writes, -1)

    def kill(write: str) -> None:
        if next(left) == 0:
            shutil.copytree(folder, folder.with_name("copy"))
            raise Killed

    try:
        with moments.calling(kill):
            go_on(folder, launcher)
    except Killed:
        shutil.rmtree(folder)
        folder.with_name("copy").rename(folder)
        return True
    return False


def test_killed_again_and_again_it_still_ends_whole(
    tmp_path: Path, moments: Moments, stepwise: Callable[..., Any]
) -> None:
    """Killed after a few more writes every time it is taken up, and in mid-line where it was a line."""
    rng = random.Random(0)
    whole = go_on(_created(tmp_path / "whole"), stepwise(learns))
    for number in range(8):
        folder = _created(tmp_path / f"study-{number}")
        before = ended(folder)
        while killed_after(rng.randrange(40), folder, moments, stepwise(learns)):
            for path in folder.rglob("*.jsonl"):
                if rng.random() < 0.3:
                    with path.open("ab") as file:
                        file.write(b'{"v": 1, "type": "\xc3')
            assert before.items() <= ended(folder).items()
            before = ended(folder)
        study = read(folder)
        assert done(study) == done(whole)
        check_whole(study)


def _created(folder: Path) -> Path:
    loop.create(SPEC, Search(), folder)
    return folder


def stopped_under_way(folder: Path, moments: Moments, launcher: Launcher) -> Path:
    """A copy of a study that was killed right after the decision to stop its trial, before the trial's last word."""
    copy = folder.with_name("copy")

    def keep(write: str) -> None:
        if not copy.exists() and any(d.kind == "trial_stopped" for d in read(folder).decisions):
            shutil.copytree(folder, copy)

    class Asking(PlainView):
        def moved(self, trial: TrialRecord, *rest: Any) -> None:
            super().moved(trial, *rest)
            if trial.steps == 20 and trial.number == 0 and trial.proposal.knobs["learning_rate"] < 1e-3:
                requests.ask(folder, Action.STOP_TRIAL, trial=0)

    with moments.calling(keep):
        loop.run(folder, launcher, Asking(read(folder), io.StringIO()))
    assert b"run_ended" not in (copy / "trials" / "0" / "events.jsonl").read_bytes()
    return copy


@pytest.mark.parametrize(
    ("rate", "reason"), [(3e-3, "RWD002 reward_collapse at step 20"), (3e-4, "a person stopped it at step 20")]
)
def test_what_was_stopped_before_the_kill_is_not_run_again(
    tmp_path: Path, moments: Moments, stepwise: Callable[..., Any], rate: float, reason: str
) -> None:
    loop.create(replace(SPEC, start={"learning_rate": rate}, trials=2), Search(), tmp_path / "study")
    launcher = stepwise(learns)
    study = go_on(stopped_under_way(tmp_path / "study", moments, stepwise(learns)), launcher)
    assert launcher.started == [(1, 1)]
    assert (study.trials[0].state, study.trials[0].reason, study.trials[0].attempt) == (State.PRUNED, reason, 1)
    check_whole(study)


def test_a_trial_that_finishes_after_its_study_was_killed_is_not_run_again(
    tmp_path: Path, stepwise: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process looks for the study once a second, and may end by itself before that."""
    folder = tmp_path / "study"
    loop.create(replace(SPEC, start={"learning_rate": 3e-4}, trials=2), Search(), folder)

    class Dying(PlainView):
        def moved(self, trial: TrialRecord, *rest: Any) -> None:
            if trial.steps == 60:
                raise Killed

    with pytest.raises(Killed):
        loop.run(folder, stepwise(learns), Dying(read(folder), io.StringIO()))
    events = folder / "trials" / "0" / "events.jsonl"
    lock = events.open("ab")
    fcntl.flock(lock, fcntl.LOCK_EX)

    def finish(seconds: float) -> None:
        with closing(EventLog(events)) as log:
            log.emit(MetricsLogged(100, {"validation_reward": 0.4, "completions_generated": 12800.0}))
            log.emit(RunEnded(100, Outcome.FINISHED))
        lock.close()

    monkeypatch.setattr(recovery, "time", SimpleNamespace(monotonic=time.monotonic, sleep=finish))
    launcher = stepwise(learns)
    study = go_on(folder, launcher)
    assert 0 not in [number for number, _ in launcher.started]
    assert (study.trials[0].state, study.trials[0].value, study.trials[0].attempt) == (State.COMPLETE, 0.4, 1)
    check_whole(study)


def test_a_study_whose_storage_was_lost_says_so(tmp_path: Path, stepwise: Callable[..., Any]) -> None:
    folder = _created(tmp_path / "study")
    study = go_on(folder, stepwise(learns))
    (folder / "optuna.journal").unlink()
    launcher = stepwise(learns)
    with pytest.raises(UserError, match=r"trial 0 of .* is not in its Optuna storage"):
        go_on(folder, launcher)
    assert launcher.started == []
    assert done(read(folder)) == done(study)


def test_what_a_person_asked_for_is_asked_for_again(
    tmp_path: Path, moments: Moments, stepwise: Callable[..., Any]
) -> None:
    """A trial taken from the queue, and killed before it was proposed in the study's record."""
    folder = _created(tmp_path / "study")
    wanted = {"learning_rate": 2e-5}

    class Enqueuing(PlainView):
        def ended(self, trial: TrialRecord) -> None:
            if trial.number == 0:
                storage_of(read(folder)).enqueue_trial(wanted)

    def kill(write: str) -> None:
        if write == "write" and (folder / "trials" / "1").exists():
            raise Killed

    with moments.calling(kill), pytest.raises(Killed):
        loop.run(folder, stepwise(learns), Enqueuing(read(folder), io.StringIO()))
    study = go_on(folder, stepwise(learns))
    assert [t.number for t in study.trials if t.proposal.knobs == wanted] == [2]
    assert study.trials[1].proposal.origin is Origin.PERSON
    check_whole(study)
