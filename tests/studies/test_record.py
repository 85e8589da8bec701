import json
from pathlib import Path

import pytest

from diagnostics.errors import UserError
from diagnostics.events import EventLog, FindingRaised, MetricsLogged, Outcome, RunEnded, RunStarted
from diagnostics.finding import Confidence, Direction, Evidence, Finding, Hypothesis, Severity
from studies import words
from studies.log import STUDY_FILE, StudyLog, read, trial_directory
from studies.record import Origin, Proposal, Search, State, StudyRecord, TrialRecord, best, replicates
from studies.spec import load
from studies.trial_log import Evaluation, TrialLog

KNOBS = {"learning_rate": 3e-3, "kl_coef": 0.04, "update_epochs": 1, "temperature": 1.0, "num_generations": 8}


def finding(severity: Severity, step: int) -> Finding:
    evidence = Evidence("reward_mean", 0, step, "mean", -0.9, -0.5)
    return Finding("RWD002", "reward_collapse", severity, Confidence.HIGH, 1, step, step, "it fell", (evidence,))


def write_trial(directory: Path, values: list[float], *findings: Finding) -> None:
    directory.mkdir(parents=True)
    log = EventLog(directory / "events.jsonl")
    log.emit(RunStarted(0, "trl-grpo", "1.16.0", {"max_steps": 10 * (len(values) - 1)}))
    for i, value in enumerate(values):
        log.emit(MetricsLogged(10 * i, {"validation_reward": value, "completions_generated": 1280.0 * i}))
        log.emit(MetricsLogged(10 * i + 1, {"reward_mean": value}))
    for found in findings:
        log.emit(FindingRaised(found.raised_at, found))
    log.emit(RunEnded(10 * len(values), Outcome.FINISHED))
    log.close()


def test_a_study_is_read_back_from_its_files(tmp_path: Path) -> None:
    spec = load("arithmetic-grpo")
    hypothesis = Hypothesis("reward_mean", Direction.UP, 0.1, 0.5, "smaller steps")
    start = Proposal(KNOBS, Origin.START, "the start")
    second = Proposal(
        {**KNOBS, "learning_rate": 3.75e-4}, Origin.FINDING, "it fell", 0, "RWD002", "learning_rate", hypothesis
    )
    log = StudyLog(tmp_path)
    log.started(spec, Search())
    log.proposed(0, 7, start)
    fatal = finding(Severity.FATAL, 12)
    write_trial(trial_directory(tmp_path, 0), [-0.3, -0.9], finding(Severity.WARNING, 9), fatal)
    log.stopped(0, fatal.name, fatal)
    log.ended(0, State.PRUNED, "RWD002", -0.9, 4.0)
    log.proposed(1, 8, second)
    write_trial(trial_directory(tmp_path, 1), [-0.3, 0.1, 0.4])
    log.ended(1, State.COMPLETE, "ran to its end", 0.4, 9.0)
    log.finished("finished")
    log.close()

    study = read(tmp_path)
    assert study.spec == spec
    assert study.ended == "finished"
    first, other = study.trials
    assert (first.state, first.seed, first.seconds, first.value) == (State.PRUNED, 7, 4.0, -0.9)
    assert first.findings == (fatal,)  # the worst of its code
    assert other.proposal == second
    assert other.evaluations == (Evaluation(0, 0, -0.3), Evaluation(10, 1280, 0.1), Evaluation(20, 2560, 0.4))
    assert (other.steps, other.max_steps, other.completions) == (30, 20, 2560)
    assert study.best() == other
    assert study.changes(other) == {"learning_rate": (3e-3, 3.75e-4)}
    assert study.changes(first) == {}


def test_a_finding_at_error_keeps_a_trial_from_being_best(tmp_path: Path) -> None:
    log = StudyLog(tmp_path)
    log.started(load("arithmetic-grpo"), Search())
    for number, (value, severity) in enumerate([(0.9, Severity.ERROR), (0.2, Severity.WARNING)]):
        log.proposed(number, number, Proposal({**KNOBS, "kl_coef": 0.1 * number}, Origin.START, ""))
        write_trial(trial_directory(tmp_path, number), [-0.3, value], finding(severity, 5))
        log.ended(number, State.COMPLETE, "", value, 1.0)
    best = read(tmp_path).best()
    assert best is not None
    assert best.number == 1


@pytest.mark.parametrize("keep", [1, 40, -20])
def test_a_kill_at_any_byte_leaves_a_readable_study(tmp_path: Path, keep: int) -> None:
    log = StudyLog(tmp_path)
    log.started(load("arithmetic-grpo"), Search())
    first = (tmp_path / STUDY_FILE).stat().st_size
    log.proposed(0, 0, Proposal(KNOBS, Origin.START, "why"))
    log.close()
    whole = (tmp_path / STUDY_FILE).read_bytes()
    (tmp_path / STUDY_FILE).write_bytes(whole[: first + keep] if keep > 0 else whole[:keep])
    study = read(tmp_path)
    assert study.trials == ()
    assert study.unreadable == 0


def test_damaged_lines_are_counted(tmp_path: Path) -> None:
    log = StudyLog(tmp_path)
    log.started(load("arithmetic-grpo"), Search())
    log.close()
    with (tmp_path / STUDY_FILE).open("a") as file:
        file.write("{not json}\n[1]\n")
    assert read(tmp_path).unreadable == 2


def test_a_study_of_a_newer_version(tmp_path: Path) -> None:
    (tmp_path / STUDY_FILE).write_text(json.dumps({"v": 2, "type": "study_started"}) + "\n")
    with pytest.raises(UserError, match="has version 2, this autotune reads version 1"):
        read(tmp_path)


def test_a_folder_that_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no study"):
        read(tmp_path)


def test_a_trial_is_followed_while_it_is_written(tmp_path: Path) -> None:
    follower = TrialLog(tmp_path, "validation_reward")
    assert follower.poll() == []  # it has not begun
    log = EventLog(tmp_path / "events.jsonl", clock=lambda: 5.0)
    log.emit(RunStarted(0, "trl-grpo", "1", {"max_steps": 100}, notes=("no reference",)))
    log.emit(MetricsLogged(3, {"reward_mean": 0.5, "completions_generated": 384.0}))
    assert [e.step for e in follower.poll()] == [0, 3]
    assert (follower.max_steps, follower.step, follower.completions, follower.notes) == (100, 3, 384, ("no reference",))
    assert follower.curves["reward_mean"] == [(3, 0.5)]
    log.emit(RunEnded(3, Outcome.STOPPED, "KL002"))
    follower.poll()
    assert follower.ended == RunEnded(3, Outcome.STOPPED, "KL002")


def test_a_second_attempt_takes_the_place_of_the_first_from_where_it_starts(tmp_path: Path) -> None:
    first = EventLog(tmp_path / "events.jsonl", attempt=1)
    first.emit(RunStarted(0, "trl-grpo", "1", {"max_steps": 40}))
    for step in (0, 10, 20):
        first.emit(MetricsLogged(step, {"validation_reward": 0.9, "completions_generated": 128.0 * step}))
    first.emit(FindingRaised(15, finding(Severity.FATAL, 15)))
    first.emit(RunEnded(20, Outcome.FAILED))
    first.close()
    second = EventLog(tmp_path / "events.jsonl", attempt=2)
    second.emit(RunStarted(10, "trl-grpo", "1", {"max_steps": 40}))
    second.emit(MetricsLogged(10, {"validation_reward": 0.1, "completions_generated": 1280.0}))
    second.close()
    log = TrialLog(tmp_path, "validation_reward")
    log.poll()
    assert log.evaluations == [Evaluation(0, 0, 0.9), Evaluation(10, 1280, 0.1)]
    assert (log.findings, log.ended, log.step) == ({}, None, 10)
    assert log.curves["validation_reward"] == [(0, 0.9), (10, 0.1)]


def test_a_result_that_is_not_finite_is_valid_json(tmp_path: Path) -> None:
    log = StudyLog(tmp_path)
    log.started(load("arithmetic-grpo"), Search())
    log.proposed(0, 0, Proposal(KNOBS, Origin.START, ""))
    log.ended(0, State.PRUNED, "", float("nan"), 1.0)
    last = (tmp_path / STUDY_FILE).read_text().splitlines()[-1]
    assert json.loads(last, parse_constant=lambda name: pytest.fail(f"bare {name}"))["value"] == "NaN"


def of(
    number: int,
    *values: float,
    rate: float = 1e-3,
    state: State = State.COMPLETE,
    found: tuple[Finding, ...] = (),
) -> TrialRecord:
    evaluations = tuple(Evaluation(i, i, v) for i, v in enumerate(values))
    return TrialRecord(
        number, 1, number, Proposal({**KNOBS, "learning_rate": rate}, Origin.START, ""), state, "", evaluations, found
    )


@pytest.mark.parametrize(("n", "mean_of"), [(1, 1), (9, 1), (10, 1), (19, 1), (20, 2), (100, 10)])
def test_the_value_is_the_mean_of_the_last_tenth(n: int, mean_of: int) -> None:
    values = [float(i * i) for i in range(n)]
    assert of(0, *values).value == pytest.approx(sum(values[-mean_of:]) / mean_of)
    assert of(0).value is None


def test_only_what_ran_to_its_end_without_a_grave_finding_is_feasible() -> None:
    assert of(0, 0.5, found=(finding(Severity.WARNING, 3),)).feasible
    assert not of(0, 0.5, found=(finding(Severity.ERROR, 3),)).feasible
    assert not any(of(0, 0.5, state=state).feasible for state in State if state is not State.COMPLETE)


def test_the_best_is_the_first_of_the_settings_with_the_best_mean_over_several_seeds() -> None:
    assert best([]) is None
    assert best([of(0, 0.5, state=State.PRUNED)]) is None
    lucky, steady = of(0, 0.9, rate=1e-2), [of(1, 0.4), of(3, 0.6)]
    assert best([lucky, of(1, 0.4)]) == lucky
    assert best([of(1, 0.5), of(2, 0.5, rate=1e-4)]) == of(1, 0.5)  # the first of equals
    # 0.9 less twice the noise against a mean of 0.5; the seeds at hand, 0.4 and 0.6, have a noise of 0.141
    assert best([lucky, *steady], noise=0.19) == lucky
    assert best([lucky, *steady], noise=0.21) == steady[0]
    assert best([lucky, *steady]) == lucky
    assert best([of(0, 0.78, rate=1e-2), *steady]) == steady[0]
    other = [of(4, 0.3, rate=1e-5), of(5, 0.8, rate=1e-5)]
    assert best([*steady, *other]) == other[0]  # 0.55 against 0.5
    collapsed = of(6, 0.1, rate=1e-5, found=(finding(Severity.ERROR, 3),), state=State.PRUNED)
    assert best([*steady, *other, collapsed]) == steady[0]  # settings that fail on one seed are not recommended
    assert replicates([*other, collapsed], other[0]) == ()
    given_up = of(7, 0.1, rate=1e-5, state=State.PRUNED)
    assert replicates([*other, given_up], other[0]) == (*other, given_up)
    assert best([*steady, *other, given_up]) == steady[0]  # (0.3 + 0.8 + 0.1) / 3 against 0.5
    assert replicates([lucky, *steady], steady[1]) == tuple(steady)


def test_values_of_a_knob_are_told_in_their_order_neighbours_together_where_there_are_many() -> None:
    def trial(number: int, rate: float, state: State, value: float | None) -> TrialRecord:
        evaluations = () if value is None else (Evaluation(1, 8, value),)
        knobs = {"learning_rate": rate}
        return TrialRecord(number, 1, 0, Proposal(knobs, Origin.SAMPLER, "why"), state, evaluations=evaluations)

    study = StudyRecord(
        Path("st"),
        load("arithmetic-grpo"),
        (
            trial(0, 1e-2, State.PRUNED, -0.9),
            trial(1, 1e-4, State.COMPLETE, 0.1),
            trial(2, 1e-4, State.COMPLETE, 0.3),
            trial(3, 1e-3, State.RUNNING, 0.2),
            trial(4, 1e-5, State.PRUNED, None),
            trial(5, 1e-6, State.FAILED, 0.9),
        ),
    )
    each = [("1e-05", "stopped"), ("0.0001", "0.3"), ("0.001", "not over"), ("0.01", "stopped")]
    assert words.tried(study, "learning_rate") == each
    assert words.tried(study, "learning_rate", 2) == [("1e-05 to 0.0001", "0.3"), ("0.001 to 0.01", "stopped")]
    assert words.tried(study, "temperature") == []
