"""What a dry run says, and that it does nothing."""

from dataclasses import replace
from pathlib import Path

import pytest

from autotune.dry_run import dry_run
from diagnostics.errors import UserError
from diagnostics.events import EventLog, MetricsLogged, Outcome, RunEnded, RunStarted
from studies.log import StudyLog, trial_directory
from studies.record import Origin, Proposal, Search, State
from studies.spec import StudySpec, load

SPEC = load("arithmetic-grpo")


def earlier(runs: Path, name: str, spec: StudySpec, trials: list[tuple[State, float, int]]) -> Path:
    """A study that ran trials of so many seconds, up to such a step of 100."""
    folder = runs / name
    folder.mkdir(parents=True)
    log = StudyLog(folder)
    log.started(spec, Search())
    for number, (state, seconds, step) in enumerate(trials):
        log.proposed(number, number, Proposal(dict(spec.start), Origin.START, "start"))
        trial = trial_directory(folder, number)
        trial.mkdir(parents=True)
        events = EventLog(trial / "events.jsonl")
        events.emit(RunStarted(0, "trl-grpo", "1", {"max_steps": 100}, {}, None, ()))
        events.emit(MetricsLogged(step, {spec.objective: 0.5, "completions_generated": 128.0 * step}))
        events.emit(RunEnded(step, Outcome.FINISHED, ""))
        log.ended(number, state, "", 0.5, seconds)
    log.close()
    return folder


def test_it_says_the_trials_the_space_and_the_search(tmp_path: Path) -> None:
    how = Search(sampler="tpe", pruner="median", storage="mysql://me:secret@host/d", parallel=2, timeout=5400)
    text = "\n".join(dry_run(replace(SPEC, trials=4), how, tmp_path))
    assert "study arithmetic-grpo: at most 4 trials, each GRPO on 12,800 completions, task arithmetic" in text
    assert "learning_rate    1e-06 to 0.01 (log); starts at 0.003" in text
    assert "num_generations  one of 2, 4, 8, 16, 32; starts at 8" in text
    assert "sampler tpe, pruner median, storage mysql://me:***@host/d" in text
    assert "2 trials at once" in text
    assert "completions: at most 51,200" in text
    assert "no trial begins after 1 h 30 min" in text


def test_it_says_what_a_person_should_know_of_the_preset(tmp_path: Path) -> None:
    lines = dry_run(replace(SPEC, notes=("The author saw a.", "The curve shows b.")), Search(), tmp_path)
    assert lines[1:3] == ["The author saw a.", "The curve shows b."]


def test_without_an_earlier_study_the_time_is_unknown_and_nothing_is_made(tmp_path: Path) -> None:
    lines = dry_run(replace(SPEC, trials=4), Search(), tmp_path / "runs")
    assert lines[-2] == f"time: unknown until the first steps; no study in {tmp_path / 'runs'} trained this"
    assert lines[-1] == "  400 rollouts in all: each second that one takes, updates included, makes 6 min 40 s"
    assert not list(tmp_path.iterdir())


def test_the_time_is_that_of_the_earlier_study_of_the_same_thing(tmp_path: Path) -> None:
    folder = earlier(
        tmp_path, "a", SPEC, [(State.PRUNED, 500.0, 50), (State.COMPLETE, 30.0, 100), (State.COMPLETE, 40.0, 100)]
    )
    other = replace(SPEC, trial=replace(SPEC.trial, completions=128_000))
    earlier(tmp_path, "b", other, [(State.COMPLETE, 9000.0, 100)])
    lines = dry_run(SPEC, Search(parallel=2), tmp_path)
    assert lines[-2] == "time: about 4 min 40 s of this machine's CPU or GPU (2 min 20 s with 2 at once),"
    assert lines[-1] == f"  if a trial takes 35 s as it did in {folder}"
    assert "unknown" not in "".join(lines)
    assert "about 4 min 40 s of this machine's CPU or GPU," in "\n".join(dry_run(SPEC, Search(), tmp_path))


def test_where_all_trials_were_stopped_their_steps_tell_the_time(tmp_path: Path) -> None:
    earlier(tmp_path, "a", SPEC, [(State.PRUNED, 20.0, 50)])
    assert "if a trial takes 40 s" in dry_run(SPEC, Search(), tmp_path)[-1]


def test_a_study_that_cannot_be_read_or_ran_nothing_is_passed_over(tmp_path: Path) -> None:
    earlier(tmp_path, "good", SPEC, [(State.COMPLETE, 30.0, 100)])
    earlier(tmp_path, "empty", SPEC, [])
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "study.jsonl").write_text("not json\n")
    assert "good" in dry_run(SPEC, Search(), tmp_path)[-1]


def test_what_could_not_start_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown sampler 'tpee'\. Did you mean tpe"):
        dry_run(SPEC, Search(sampler="tpee"), tmp_path)
    with pytest.raises(UserError, match="unknown pruner"):
        dry_run(SPEC, Search(pruner="x"), tmp_path)
