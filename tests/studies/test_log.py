"""The writer of `study.jsonl` and its followers: the lock, torn lines, what a follower sees meanwhile."""

import fcntl
import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from diagnostics.errors import UserError
from diagnostics.events import EventLog, MetricsLogged, RunStarted
from studies import words
from studies.log import STUDY_FILE, StudyFollower, StudyLog, claim, is_running, is_study, read, trial_directory
from studies.record import Comparison, Judgement, Origin, Proposal, Search, State, StudyRecord, Verdict
from studies.spec import load

KNOBS = {"learning_rate": 3e-3, "kl_coef": 0.04, "update_epochs": 1, "temperature": 1.0, "num_generations": 8}
SPEC = load("arithmetic-grpo")


def begun(directory: Path, *, how: Search | None = None) -> StudyLog:
    log = StudyLog(directory)
    log.started(SPEC, how or Search())
    return log


def propose(log: StudyLog, number: int = 0, origin: Origin = Origin.START) -> None:
    log.proposed(number, number, Proposal(KNOBS, origin, "why"))


def test_a_study_has_one_writer(tmp_path: Path) -> None:
    assert not (tmp_path / STUDY_FILE).exists()
    log = begun(tmp_path)
    assert is_running(tmp_path)
    with pytest.raises(UserError, match="is running in another process") as error:
        StudyLog(tmp_path)
    assert str(tmp_path) in error.value.hint
    propose(log)  # the second one has not disturbed it
    log.close()
    assert not is_running(tmp_path)
    StudyLog(tmp_path).close()
    assert [d.kind for d in read(tmp_path).decisions] == ["study_started", "trial_proposed"]


def test_whoever_sees_a_study_can_read_which_it_is(tmp_path: Path) -> None:
    (tmp_path / "study.jsonl.new").write_text('{"v": 1, "type": "study_sta')  # its start was killed
    claim(tmp_path)
    log = StudyLog(tmp_path)
    assert not is_study(tmp_path)  # nobody finds a record without its first line
    with pytest.raises(UserError, match="is running in another process"):
        StudyLog(tmp_path)
    log.started(SPEC, Search())
    assert [d.kind for d in read(tmp_path).decisions] == ["study_started"]
    assert read(tmp_path).unreadable == 0
    assert is_running(tmp_path)
    log.close()
    assert [file.name for file in tmp_path.iterdir()] == [STUDY_FILE]


def test_who_comes_second_to_a_start_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has looked for the study in the instant before there was one."""
    begun(tmp_path).close()
    looks = iter([False, True])
    monkeypatch.setattr("studies.log.is_study", lambda _: next(looks))
    with pytest.raises(UserError, match="is running in another process"):
        StudyLog(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [STUDY_FILE]


def test_a_dead_process_keeps_no_lock(tmp_path: Path) -> None:
    begun(tmp_path).close()
    code = f"from pathlib import Path; from studies.log import StudyLog; l = StudyLog(Path({str(tmp_path)!r})); "
    writer = subprocess.Popen(
        [sys.executable, "-c", code + "print('has it', flush=True); input()"], stdin=-1, stdout=-1
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"has it\n"
    with pytest.raises(UserError, match="another process"):
        StudyLog(tmp_path)
    writer.kill()
    writer.communicate()
    StudyLog(tmp_path).close()


def test_who_only_looks_whether_a_study_runs_keeps_nobody_from_running_it(tmp_path: Path) -> None:
    begun(tmp_path).close()
    with (tmp_path / STUDY_FILE).open("rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(0.1, lambda: fcntl.flock(looking, fcntl.LOCK_UN)).start()
        StudyLog(tmp_path).close()


def test_any_line_torn_at_any_byte_is_one_line_less(tmp_path: Path) -> None:
    log = begun(tmp_path)
    first = (tmp_path / STUDY_FILE).stat().st_size
    log.noted("größer → 0.3, 学习率")
    log.close()
    whole = (tmp_path / STUDY_FILE).read_bytes()
    for cut in range(first + 1, len(whole) - 1):
        (tmp_path / STUDY_FILE).write_bytes(whole[:cut])
        before = read(tmp_path)
        assert (len(before.decisions), before.unreadable) == (1, 0)
        log = StudyLog(tmp_path)
        log.noted("it goes on")
        log.close()
        after = read(tmp_path)
        assert [d.kind for d in after.decisions] == ["study_started", "noted"]
        assert after.unreadable == 1
        assert json.loads((tmp_path / STUDY_FILE).read_bytes().splitlines()[-1])["seq"] == 2


def test_a_follower_sees_a_line_when_it_is_whole_wherever_it_was_cut(tmp_path: Path) -> None:
    log = begun(tmp_path)
    first = (tmp_path / STUDY_FILE).stat().st_size
    log.noted("größer → 0.3")
    log.close()
    whole = (tmp_path / STUDY_FILE).read_bytes()
    for cut in range(first, len(whole) - 1):
        (tmp_path / STUDY_FILE).write_bytes(whole[:cut])
        follower = StudyFollower(tmp_path)
        follower.poll()
        with (tmp_path / STUDY_FILE).open("ab") as file:
            file.write(whole[cut:-1])
            file.flush()
            assert not follower.poll()
            file.write(b"\n")
        assert follower.poll()
        record = follower.record()
        assert record is not None
        assert [d.data.get("text") for d in record.decisions] == [None, "größer → 0.3"]
        follower.close()


@pytest.mark.parametrize("keep", [0, 1, 200])
def test_a_first_line_that_is_torn_is_said(tmp_path: Path, keep: int) -> None:
    begun(tmp_path).close()
    whole = (tmp_path / STUDY_FILE).read_bytes()
    (tmp_path / STUDY_FILE).write_bytes(whole[:keep])
    follower = StudyFollower(tmp_path)
    assert not follower.poll()  # it may still be written
    assert follower.record() is None
    follower.close()
    for _ in range(2):
        with pytest.raises(UserError, match="does not say which study it is"):
            read(tmp_path)
        StudyLog(tmp_path).close()  # ends the torn line


def test_a_name_that_is_no_text_can_be_answered(tmp_path: Path) -> None:
    log = begun(tmp_path)
    log.answered("odd-\udcff", "", "is no request")
    log.close()
    assert read(tmp_path).decisions[-1].data["request"] == "odd-\udcff"


def test_a_running_trial_counts_its_seconds_on_and_a_finished_one_does_not(tmp_path: Path) -> None:
    log = begun(tmp_path)
    propose(log)
    now = 100.0
    events = EventLog(trial_directory(tmp_path, 0) / "events.jsonl", clock=lambda: now)
    follower = StudyFollower(tmp_path)
    events.emit(RunStarted(0, "trl-grpo", "1", {"max_steps": 40}))
    seen = []
    for step in (1, 2):
        now += 5
        events.emit(MetricsLogged(step, {"reward_mean": 0.1}))
        assert follower.poll()
        record = follower.record()
        assert record is not None
        seen.append(record.trials[0].seconds)
    assert seen == [5.0, 10.0]
    log.ended(0, State.COMPLETE, "", 0.1, 12.5)
    follower.poll()
    events.emit(MetricsLogged(3, {"reward_mean": 0.1}))
    follower.poll()
    record = follower.record()
    assert record is not None
    assert record.trials[0].seconds == read(tmp_path).trials[0].seconds == 12.5


def test_what_follows_another_line_takes_its_place(tmp_path: Path) -> None:
    log = begun(tmp_path)
    propose(log)
    log.ended(0, State.FAILED, "no memory", None, 3.0)
    log.retried(0, 2, "once more")
    (again,) = read(tmp_path).trials
    assert (again.attempt, again.state, again.reason, again.seconds) == (2, State.RUNNING, "", 0.0)
    log.ended(0, State.COMPLETE, "ran to its end", 0.5, 9.0)
    compared = Comparison("reward_mean", -0.9, 0.5, None, (1, 2), 12800)
    verdicts = [
        Verdict(Judgement.UNDECIDED, "noise", compared),
        Verdict(Judgement.CONFIRMED, "both", compared, compared),
    ]
    for verdict in verdicts:
        log.judged(0, verdict)
        (judged,) = read(tmp_path).trials
        assert judged.verdict == verdict
    log.finished("stopped")
    assert read(tmp_path).ended == "stopped"
    log.resumed(replace(SPEC, trials=20), Search(parallel=2))
    study = read(tmp_path)
    assert (study.spec.trials, study.search.parallel, study.ended) == (20, 2, "")
    assert study.trials == (judged,)
    assert study.started == study.decisions[0].time


def test_a_line_about_a_trial_that_was_never_proposed_is_counted(tmp_path: Path) -> None:
    log = begun(tmp_path)
    log.ended(7, State.COMPLETE, "", 0.5, 1.0)
    assert (read(tmp_path).trials, read(tmp_path).unreadable) == ((), 1)


def test_only_an_empty_folder_is_claimed(tmp_path: Path) -> None:
    assert claim(tmp_path / "a" / "b").is_dir()
    claim(tmp_path / "a" / "b")
    with pytest.raises(UserError, match="is not empty"):
        claim(tmp_path / "a")
    begun(tmp_path / "a" / "b").close()
    with pytest.raises(UserError, match="already holds a study"):
        claim(tmp_path / "a" / "b")


def decided(directory: Path) -> StudyRecord:
    log = begun(directory)
    for number, origin in enumerate(Origin):
        propose(log, number, origin)
    log.retried(0, 2, "no memory")
    log.stopped(0, "it cannot catch up")
    log.ended(0, State.PRUNED, "it cannot catch up", None, 1.0)
    log.judged(0, Verdict(Judgement.REFUTED, "it fell"))
    log.answered("1", "stop_study", "the study ends")
    log.answered("2", "stop_trial", "it ends", trial=0)
    log.answered("3", "", "is no request")
    log.noted("a note")
    log.noted("a note", trial=0)
    log.resumed(SPEC, Search())
    log.finished("finished")
    log._write("of a later version", {})
    log.close()
    return read(directory)


def test_every_decision_has_its_words(tmp_path: Path) -> None:
    study = decided(tmp_path)
    said = [words.decision(study, d) for d in study.decisions]
    assert said[-1] == "of a later version"
    assert len(said) == len(list(Origin)) + 13
    for line in said:
        assert line
        assert "None" not in line
    assert any("as a person asked" in line for line in said)


@pytest.mark.parametrize(
    ("state", "steps", "max_steps", "says"),
    [
        (State.RUNNING, 3, 40, "step 3/40"),
        (State.RUNNING, 0, 0, "step 0"),
        (State.COMPLETE, 40, 40, "complete"),
        (State.PRUNED, 7, 40, "stopped 7/40"),
        (State.FAILED, 7, 40, "failed"),
    ],
)
def test_how_a_trial_stands(tmp_path: Path, state: State, steps: int, max_steps: int, says: str) -> None:
    propose(begun(tmp_path))
    (trial,) = read(tmp_path).trials
    assert words.outcome(replace(trial, state=state, steps=steps, max_steps=max_steps)) == says
