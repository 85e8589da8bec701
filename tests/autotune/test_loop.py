"""The loop over scripted trials: a stand-in for the launcher writes the events that a trainer would have written.

Real training goes through the same loop in test_study.py.
"""

import io
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from autotune import journal, loop
from autotune.launch import Launcher
from autotune.views.plain import PlainView, closing
from diagnostics.errors import UserError
from diagnostics.events import EventLog, FindingRaised, MetricsLogged, Outcome, RunEnded, RunStarted
from diagnostics.finding import (
    Confidence,
    Direction,
    Evidence,
    Finding,
    Hypothesis,
    Prescription,
    Scale,
    Severity,
)
from studies import trial
from studies.log import read
from studies.record import Origin, Search, State, StudyRecord
from studies.spec import load
from studies.trial import TrialSpec

LOWER = Prescription("learning_rate", Scale(1 / 8), Hypothesis("reward_mean", Direction.UP, 0.1, 0.5, "smaller steps"))


def raised(severity: Severity) -> Finding:
    evidence = Evidence("reward_mean", 0, 20, "mean", -0.9, -0.5)
    return Finding("RWD002", "reward_collapse", severity, Confidence.HIGH, 1, 20, 20, "it fell", (evidence,), (LOWER,))


Script = Callable[[TrialSpec, EventLog], int]


class Scripted:
    """A launcher whose trials are over at once; `script` writes their events and returns their exit status."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def __enter__(self) -> "Scripted":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def start(self, directory: Path, *, attempt: int = 1) -> "Scripted":
        log = EventLog(directory / "events.jsonl", attempt=attempt)
        self._status = self._script(trial.read(directory), log)
        log.close()
        return self

    def prepare(self) -> None:
        pass

    def poll(self) -> int | None:
        return self._status

    def ask_to_stop(self) -> None:
        pass

    def stop(self) -> int:
        return self._status

    def last_words(self) -> str:
        return "the last line of its log"


def learns_below_1e_3(spec: TrialSpec, log: EventLog) -> int:
    rate = float(spec.knobs["learning_rate"])
    log.emit(RunStarted(0, "trl-grpo", "1.16.0", {"max_steps": 100}))
    log.emit(MetricsLogged(0, {"validation_reward": -0.3, "completions_generated": 0.0}))
    if rate > 1e-3:
        log.emit(MetricsLogged(20, {"validation_reward": -0.9, "completions_generated": 2560.0}))
        log.emit(FindingRaised(20, raised(Severity.FATAL)))
        log.emit(RunEnded(21, Outcome.STOPPED, "RWD002"))
        return 0
    value = 0.4 - 0.2 * abs(math.log10(rate / 3e-4))
    log.emit(MetricsLogged(100, {"validation_reward": value, "completions_generated": 12800.0}))
    log.emit(RunEnded(100, Outcome.FINISHED))
    return 0


def start(
    directory: Path, launcher: Launcher, *, trials: int = 3, out: io.StringIO | None = None, **how: Any
) -> StudyRecord:
    """A study of the preset, whose trials `launcher` runs."""
    loop.create(replace(load("arithmetic-grpo"), trials=trials), Search(**how), directory)
    return go_on(directory, launcher, out=out)


def go_on(directory: Path, launcher: Launcher, *, out: io.StringIO | None = None) -> StudyRecord:
    return loop.run(directory, launcher, PlainView(read(directory), out or io.StringIO()))


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., StudyRecord]:
    return lambda script, **options: start(tmp_path / "study", Scripted(script), **options)


def told(study: StudyRecord) -> list[optuna.trial.FrozenTrial]:
    storage = f"sqlite:///{study.directory / 'study.db'}"
    return optuna.load_study(study_name=study.spec.name, storage=storage).trials


def test_a_collapse_is_pruned_with_its_evaluations_and_the_next_trial_mends_it(run: Callable[..., StudyRecord]) -> None:
    study = run(learns_below_1e_3)
    first, second, _ = study.trials
    assert (first.state, second.state) == (State.PRUNED, State.COMPLETE)
    assert second.proposal.origin is Origin.FINDING
    assert second.proposal.knobs["learning_rate"] == pytest.approx(3e-3 / 8)
    best = study.best()
    assert best is not None
    assert best.value is not None
    assert best.value > 0.3

    optunas = told(study)
    assert [t.state.name for t in optunas] == ["PRUNED", "COMPLETE", "COMPLETE"]
    assert optunas[0].intermediate_values == {0: -0.3, 2560: -0.9}
    assert optunas[1].value == second.value
    assert optunas[1].params == dict(second.proposal.knobs)
    assert optunas[1].user_attrs["why"] == second.proposal.why
    assert optunas[0].user_attrs["findings"] == {"RWD002": "fatal"}


def test_every_trial_is_named_with_its_reason_before_it_begins(run: Callable[..., StudyRecord], tmp_path: Path) -> None:
    seen: list[str] = []

    def script(spec: TrialSpec, log: EventLog) -> int:
        last = json.loads((tmp_path / "study" / "study.jsonl").read_text().splitlines()[-1])
        seen.append(last["type"])
        assert last["knobs"] == dict(spec.knobs)
        return learns_below_1e_3(spec, log)

    out = io.StringIO()
    run(script, out=out)
    assert seen == ["trial_proposed"] * 3
    lines = out.getvalue().splitlines()
    assert "trial 1  learning_rate 0.003 → 0.000375  (from trial 0)" in lines
    began = lines.index("trial 1  learning_rate 0.003 → 0.000375  (from trial 0)")
    assert lines[began + 1] == "trial 1  because: RWD002 reward_collapse in trial 0: it fell"
    assert "hypothesis: smaller steps; so reward_mean rises by 0.1 within 50% of the run" in lines[began + 2]


def test_equal_studies_are_equal(tmp_path: Path) -> None:
    one, two = (start(tmp_path / name, Scripted(learns_below_1e_3), trials=9) for name in ("one", "two"))
    assert [t.proposal for t in one.trials] == [t.proposal for t in two.trials]
    sampled = [t for t in one.trials if t.proposal.origin is Origin.SAMPLER]
    assert sampled  # findings run out before trials do
    parents = {t.number: t for t in one.trials}
    for t in sampled:  # what findings have settled is held, the model searches the rest
        assert t.proposal.parent is not None
        assert set(one.changes(t)) & {"kl_coef", "update_epochs", "temperature", "num_generations"}
        assert t.proposal.knobs["learning_rate"] == parents[t.proposal.parent].proposal.knobs["learning_rate"]


def breaks_down(spec: TrialSpec, log: EventLog) -> int:
    return 1


def test_a_fault_of_ours_is_tried_twice_then_said(run: Callable[..., StudyRecord], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="trial 0 failed 2 times: the last line of its log"):
        run(breaks_down)
    study = read(tmp_path / "study")
    assert [t.state for t in study.trials] == [State.FAILED]
    assert study.trials[0].attempt == 2
    assert study.ended == "failed"
    assert [t.state.name for t in told(study)] == ["FAIL"]


def test_breaking_down_after_a_grave_finding_is_a_diverged_run(run: Callable[..., StudyRecord]) -> None:
    def script(spec: TrialSpec, log: EventLog) -> int:
        log.emit(RunStarted(0, "trl-grpo", "1.16.0", {"max_steps": 100}))
        log.emit(FindingRaised(20, raised(Severity.ERROR)))
        return 1

    study = run(script, trials=1)
    assert study.trials[0].state is State.PRUNED
    assert "broke down after RWD002" in study.trials[0].reason


def test_a_run_that_ended_without_a_finite_objective_after_a_grave_finding_diverged(
    run: Callable[..., StudyRecord],
) -> None:
    def script(spec: TrialSpec, log: EventLog) -> int:
        log.emit(RunStarted(0, "trl-grpo", "1.16.0", {"max_steps": 100}))
        log.emit(FindingRaised(90, raised(Severity.ERROR)))
        log.emit(MetricsLogged(100, {"validation_reward": math.nan, "completions_generated": 12800.0}))
        log.emit(RunEnded(100, Outcome.FINISHED))
        return 0

    study = run(script, trials=1)
    assert study.trials[0].state is State.PRUNED
    assert study.trials[0].attempt == 1
    for name in ("study.jsonl", "report.json"):
        assert "NaN" not in (study.directory / name).read_text().replace('"NaN"', "")


def test_what_a_broken_attempt_said_is_not_told_to_optuna(run: Callable[..., StudyRecord]) -> None:
    attempts: list[int] = []

    def script(spec: TrialSpec, log: EventLog) -> int:
        attempts.append(1)
        if len(attempts) == 1:
            log.emit(RunStarted(0, "trl-grpo", "1.16.0", {"max_steps": 100}))
            log.emit(MetricsLogged(10, {"validation_reward": 0.9, "completions_generated": 1280.0}))
            return 1
        return learns_below_1e_3(replace(spec, knobs={"learning_rate": 3e-4}), log)

    study = run(script, trials=1)
    assert [(e.step, e.value) for e in study.trials[0].evaluations] == [(0, -0.3), (100, 0.4)]
    assert told(study)[0].intermediate_values == {0: -0.3, 12800: 0.4}


class SecondTakesTime(Scripted):
    """The first attempt was stopped from outside; the second has said nothing when it is first looked at."""

    def start(self, directory: Path, *, attempt: int = 1) -> "Scripted":
        self._folder, self._polls, self._attempt = directory, 0, attempt
        if attempt == 1:
            log = EventLog(directory / "events.jsonl")
            log.emit(RunStarted(0, "trl-grpo", "1.16.0", {"max_steps": 100}))
            log.emit(RunEnded(3, Outcome.STOPPED, "SIGTERM"))
            log.close()
        return self

    def poll(self) -> int | None:
        self._polls += 1
        if self._attempt == 1 or self._polls > 2:
            return 0
        if self._polls == 2:
            log = EventLog(self._folder / "events.jsonl", attempt=2)
            learns_below_1e_3(replace(trial.read(self._folder), knobs={"learning_rate": 3e-4}), log)
            log.close()
        return None

    def stop(self) -> int:
        return 0


def test_the_end_of_an_earlier_attempt_does_not_end_the_next(tmp_path: Path) -> None:
    study = start(tmp_path / "study", SecondTakesTime(learns_below_1e_3), trials=1)
    assert (study.trials[0].state, study.trials[0].attempt) == (State.COMPLETE, 2)


def test_the_trainers_word_for_a_mistake_of_the_user_is_passed_on(
    run: Callable[..., StudyRecord], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="the last line of its log"):
        run(lambda spec, log: 2)
    assert [t.state.name for t in told(read(tmp_path / "study"))] == ["FAIL"]


def test_an_interrupt_is_recorded_and_passed_on(run: Callable[..., StudyRecord], tmp_path: Path) -> None:
    def script(spec: TrialSpec, log: EventLog) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(script)
    study = read(tmp_path / "study")
    assert study.ended == "interrupted"
    assert study.trials[0].state is State.RUNNING  # it broke off, and is taken up again
    study = go_on(tmp_path / "study", Scripted(learns_below_1e_3))
    assert study.ended == "finished"
    assert [(t.number, t.attempt) for t in study.trials] == [(0, 2), (1, 1), (2, 1)]


def test_a_second_study_does_not_overwrite_the_first(run: Callable[..., StudyRecord], tmp_path: Path) -> None:
    run(learns_below_1e_3)
    files = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in (tmp_path / "study").rglob("*") if p.is_file()}
    with pytest.raises(UserError, match="already holds a study"):
        run(learns_below_1e_3)
    after = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in (tmp_path / "study").rglob("*") if p.is_file()}
    assert after == files


def test_the_journal_says_what_happened(run: Callable[..., StudyRecord]) -> None:
    study = run(learns_below_1e_3)
    text = journal.journal(study)
    assert "| 0 | as the study starts | -0.9 | stopped 21/100 | RWD002 |" in text
    assert "- **RWD002 reward_collapse** in trial 0 (step 20, FATAL): it fell." in text
    assert "## Trial 1: learning_rate 0.003 → 0.000375" in text
    assert "- Hypothesis: smaller steps; so reward_mean rises by 0.1 within 50% of the run." in text
    assert "one seed cannot tell a small lead from luck. The best of the other settings reached 0.3" in text
    journal.write(study)
    report = json.loads((study.directory / "report.json").read_text())
    assert report["best"] == study.best().number  # type: ignore[union-attr]
    assert len(report["trials"]) == 3
    assert any("best: trial" in line for line in closing(study))


def test_a_study_without_a_feasible_trial_recommends_nothing(run: Callable[..., StudyRecord]) -> None:
    def script(spec: TrialSpec, log: EventLog) -> int:
        return learns_below_1e_3(replace(spec, knobs={"learning_rate": 1e-2}), log)

    study = run(script, trials=2)
    assert study.best() is None
    assert "None: no trial ran to its end" in journal.journal(study)
    assert "there is nothing to recommend" in closing(study)[0]


def test_a_knob_that_a_finding_asks_for_and_the_space_does_not_have_is_said_once(tmp_path: Path) -> None:
    spec = load("arithmetic-grpo")
    space = {"kl_coef": spec.space["kl_coef"]}
    spec = replace(spec, trials=2, space=space, start={"kl_coef": 0.04})

    def script(spec: TrialSpec, log: EventLog) -> int:
        return learns_below_1e_3(replace(spec, knobs={"learning_rate": 1e-2}), log)

    loop.create(spec, Search(), tmp_path / "study")
    out = io.StringIO()
    study = go_on(tmp_path / "study", Scripted(script), out=out)
    assert [t.state for t in study.trials] == [State.PRUNED, State.PRUNED]
    said = "RWD002 reward_collapse calls for a change of learning_rate, which the space does not have"
    assert out.getvalue().count(said) == 1
    assert said in journal.journal(study)
    end = "his study cannot repair RWD002 reward_collapse, found in 2 of 2 trials: it calls for a change of"
    assert any(end in line for line in closing(study))
    assert f"- T{end} learning_rate, which the space does not have." in journal.journal(study).splitlines()
