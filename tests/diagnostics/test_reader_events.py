import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from diagnostics.errors import UserError
from diagnostics.events import EventLog, KnobChanged, MetricsLogged, Outcome, RunEnded, RunStarted
from diagnostics.metrics import is_metric, settings
from diagnostics.readers import events
from diagnostics.series import RunHistory

STARTED = RunStarted(0, "trl-grpo", "1.16.0", {"learning_rate": 1e-5}, {"beta": 0.04}, (0.0, 1.0), ("from a test",))


def write(path: Path, *logged: object, attempt: int = 1) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    log = EventLog(path / "events.jsonl", attempt=attempt)
    for event in logged:
        log.emit(event)
    log.close()
    return path


def rewards(*points: tuple[int, float]) -> list[MetricsLogged]:
    return [MetricsLogged(step, {"reward_mean": value}) for step, value in points]


def points(run: RunHistory, metric: str = "reward_mean") -> list[tuple[int, float]]:
    return list(zip(run[metric].steps.tolist(), run[metric].values.tolist(), strict=True))


# ---- what every reader must do; a new one is added with a writer of a small log of its format

# each writes a log whose reward_mean is 0.5 at step 0 and NaN at step 2, with a name nobody knows
LOGS: dict[str, tuple[Callable[[Path], RunHistory], Callable[[Path], Path]]] = {
    "events": (
        events.read,
        lambda path: write(
            path,
            STARTED,
            MetricsLogged(0, {"reward_mean": 0.5}, {"mystery": 1.0}),
            MetricsLogged(2, {"reward_mean": math.nan}),
        ),
    ),
}
each_reader = pytest.mark.parametrize("read, log", LOGS.values(), ids=LOGS)


@each_reader
def test_contract_points(read, log, tmp_path):
    run = read(log(tmp_path))
    assert run["reward_mean"].steps.tolist() == [0, 2]
    assert run["reward_mean"].values[0] == 0.5
    assert math.isnan(run["reward_mean"].values[1])
    for name, series in run.series.items():
        assert is_metric(name)
        assert (np.diff(series.steps) > 0).all()
        assert (series.steps.dtype, series.values.dtype) == (np.int64, np.float64)


@each_reader
def test_contract_what_is_known_of_the_run(read, log, tmp_path):
    run = read(log(tmp_path))
    assert run.source == str(tmp_path)
    assert set(run.settings) <= set(settings())
    assert run.unmapped == ("mystery",)


@each_reader
def test_contract_reading_leaves_no_trace(read, log, tmp_path):
    log(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in [tmp_path, *tmp_path.rglob("*")]}
    read(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in [tmp_path, *tmp_path.rglob("*")]} == before


@each_reader
def test_contract_any_cut_of_a_log_can_be_read(read, log, tmp_path):
    (file,) = (path for path in log(tmp_path / "whole").iterdir() if path.is_file())
    whole = file.read_bytes()
    (tmp_path / "cut").mkdir()
    for length in range(0, len(whole), 7):
        (tmp_path / "cut" / file.name).write_bytes(whole[:length])
        run = read(tmp_path / "cut")
        assert run.last_step in (-1, 0, 2)
        assert run.notes  # it cannot look finished


@each_reader
def test_contract_a_log_of_something_else_is_a_user_error(read, log, tmp_path):
    (file,) = (path for path in log(tmp_path).iterdir() if path.is_file())
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) + b"\n")
    with pytest.raises(UserError):
        read(tmp_path)


# ---- our own events


def test_a_whole_run(tmp_path):
    run = events.read(
        write(
            tmp_path,
            STARTED,
            MetricsLogged(0, {"reward_mean": 0.1, "grad_norm": math.inf}),
            MetricsLogged(0, {"validation_reward": 0.3}),
            KnobChanged(1, "learning_rate", 1e-5, 5e-6),
            MetricsLogged(1, {"reward_mean": 0.2, "reward_component_mean[format]": 1.0}),
            RunEnded(1, Outcome.FINISHED),
        )
    )
    assert points(run) == [(0, 0.1), (1, 0.2)]
    assert points(run, "grad_norm") == [(0, math.inf)]
    assert points(run, "validation_reward") == [(0, 0.3)]
    assert points(run, "reward_component_mean[format]") == [(1, 1.0)]
    assert run.settings == {"learning_rate": 1e-5}
    assert run.raw_settings == {"beta": 0.04}
    assert run.reward_bounds == (0.0, 1.0)
    assert run.knobs == ((1, "learning_rate", 5e-6),)
    assert (run.framework, run.last_step, run.unmapped) == ("trl-grpo", 1, ())
    assert run.notes == ("from a test",)


def test_the_file_itself_can_be_given(tmp_path):
    write(tmp_path, STARTED, *rewards((0, 0.1)))
    assert points(events.read(tmp_path / "events.jsonl")) == [(0, 0.1)]


def test_a_run_that_goes_on_is_noted(tmp_path):
    assert "the run has not ended" in events.read(write(tmp_path, STARTED, *rewards((0, 0.1)))).notes


@pytest.mark.parametrize(
    ("outcome", "note"),
    [
        (Outcome.STOPPED, "the run was stopped at step 3: no memory"),
        (Outcome.FAILED, "the run failed at step 3: no memory"),
        (Outcome.INTERRUPTED, "the run was interrupted at step 3: no memory"),
    ],
)
def test_a_run_that_ended_badly_is_noted(outcome, note, tmp_path):
    run = events.read(write(tmp_path, STARTED, *rewards((3, 0.1)), RunEnded(3, outcome, "no memory")))
    assert run.notes == ("from a test", note)


def test_a_later_attempt_supersedes_the_rows_it_repeats(tmp_path):
    before, late = KnobChanged(0, "top_p", 1, 0.9), KnobChanged(2, "kl_coef", 1, 2)
    write(tmp_path, STARTED, before, *rewards((0, 0.0), (1, 0.1)), late, *rewards((2, 0.2)))
    write(tmp_path, STARTED, KnobChanged(1, "kl_coef", 1, 3), *rewards((1, 0.9), (2, 0.8)), attempt=2)
    run = events.read(write(tmp_path, RunEnded(2, Outcome.FINISHED), attempt=2))
    assert points(run) == [(0, 0.0), (1, 0.9), (2, 0.8)]
    assert run.knobs == ((0, "top_p", 0.9), (1, "kl_coef", 3.0))
    assert run.notes == (
        "from a test",
        "the run was resumed: 2 attempts",
        "2 rows superseded by later rows of the same steps",
    )


def test_a_metric_that_only_the_superseded_rows_had_is_gone_from_there(tmp_path):
    write(tmp_path, STARTED, MetricsLogged(0, {"grad_norm": 1.0}))
    write(tmp_path, MetricsLogged(5, {"grad_norm": 2.0, "entropy.token": 1.0}))
    run = events.read(write(tmp_path, STARTED, *rewards((5, 0.9)), attempt=2))
    assert points(run, "grad_norm") == [(0, 1.0)]
    assert "entropy.token" not in run


def test_an_attempt_that_broke_off_before_its_first_row_supersedes_nothing(tmp_path):
    write(tmp_path, STARTED, *rewards((0, 0.0), (1, 0.1)))
    assert points(events.read(write(tmp_path, STARTED, attempt=2))) == [(0, 0.0), (1, 0.1)]


def test_an_end_counts_for_its_own_attempt_only(tmp_path):
    write(tmp_path, STARTED, *rewards((0, 0.0)), RunEnded(0, Outcome.INTERRUPTED))
    run = events.read(write(tmp_path, STARTED, *rewards((1, 0.1)), attempt=2))
    assert run.notes == ("from a test", "the run was resumed: 2 attempts", "the run has not ended")


def test_steps_that_go_back_within_an_attempt(tmp_path):
    run = events.read(write(tmp_path, STARTED, *rewards((0, 0.0), (1, 0.1), (2, 0.2), (1, 0.5), (3, 0.6))))
    assert points(run) == [(0, 0.0), (1, 0.5), (3, 0.6)]
    assert "steps went back once within an attempt" in run.notes
    assert "2 rows superseded by later rows of the same steps" in run.notes


def test_a_step_logged_twice_is_corrected_by_the_later_row(tmp_path):
    assert points(events.read(write(tmp_path, STARTED, *rewards((0, 0.1), (0, 0.2), (1, 0.3))))) == [(0, 0.2), (1, 0.3)]


def test_lines_that_cannot_be_read_are_counted(tmp_path):
    write(tmp_path, STARTED, *rewards((0, 0.1)))
    with (tmp_path / "events.jsonl").open("ab") as file:
        file.write(b'\xff\xfe\n{"v": 7}\n{"v": 1, "typ')
    notes = events.read(tmp_path).notes
    assert "2 lines could not be read; the last: event version 7, this autotune reads version 1" in notes
    assert any("still being written" in note for note in notes)


def test_a_log_of_another_version_alone_is_an_error(tmp_path):
    (tmp_path / "events.jsonl").write_text('{"v": 7}\n')
    with pytest.raises(UserError, match="holds no event: event version 7"):
        events.read(tmp_path)


def test_names_and_settings_that_are_not_canonical_are_said(tmp_path):
    odd = RunStarted(
        0, "trl-grpo", "1", {"lr": 1.0, "learning_rate": "fast", "top_p": 1.5, "kl_coef": True, "temperature": 0.5}
    )
    run = events.read(write(tmp_path, odd, MetricsLogged(0, {"kl": 1.0, "reward_component_mean[": 1.0}, {"odd": 2.0})))
    assert not run.series
    assert run.unmapped == ("kl", "odd", "reward_component_mean[")
    assert run.settings == {"temperature": 0.5}
    assert "setting lr is left out: it is not a canonical one" in run.notes
    assert "setting learning_rate is left out: 'fast' is not a finite number from 0" in run.notes
    assert "setting top_p is left out: 1.5 is not a finite number from 0 to 1" in run.notes
    assert "setting kl_coef is left out: True is not a finite number from 0" in run.notes


@pytest.mark.parametrize(
    ("bounds", "shown"),
    [
        ((0.0, math.inf), "0 and inf"),
        ((math.nan, 1.0), "nan and 1"),
        ((1.0, 1.0), "1 and 1"),
        ((1.0, -1.0), "1 and -1"),
        ((-1.7e308, 1.7e308), "-1.7e+308 and 1.7e+308"),
    ],
)
def test_reward_bounds_that_bound_nothing_are_unknown(bounds, shown, tmp_path):
    run = events.read(write(tmp_path, RunStarted(0, "trl-grpo", "1", {}, {}, bounds)))
    assert run.reward_bounds is None
    assert f"reward bounds {shown} are left out: not two finite numbers, the lower one first" in run.notes


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("num_generations", math.inf, "inf is not a whole number from 1"),
        ("num_generations", 2.5, "2.5 is not a whole number from 1"),
        ("num_generations", 1e300, "1e+300 is not a whole number from 1"),
        ("seed", math.nan, "nan is not a whole number"),
        ("reward_weight", math.inf, "inf is not a finite number"),
        ("kl_coef", math.inf, "inf is not a finite number from 0"),
        ("loss_type", 3, "3 is not one of grpo, bnpo, dr_grpo, dapo, cispo, sapo, luspo, vespo"),
        ("peft", 1, "1 is not true or false"),
    ],
)
def test_settings_that_can_be_none_are_unknown(name, value, expected, tmp_path):
    run = events.read(write(tmp_path, RunStarted(0, "trl-grpo", "1", {name: value})))
    assert run.settings == {}
    assert f"setting {name} is left out: {expected}" in run.notes


def test_settings_of_a_framework_that_knows_more_are_kept(tmp_path):
    given = {"loss_type": "novel", "num_generations": 8.0, "seed": -1, "temperature": None, "peft": False}
    assert events.read(write(tmp_path, RunStarted(0, "trl-grpo", "2", given))).settings == given


def test_a_log_without_its_beginning(tmp_path):
    run = events.read(write(tmp_path, *rewards((4, 0.1))))
    assert points(run) == [(4, 0.1)]
    assert any("does not begin with the start of a run" in note for note in run.notes)


def test_an_empty_log_and_one_not_there_yet(tmp_path):
    assert events.read(tmp_path).notes == ("events.jsonl is not there yet: the run has not begun",)
    (tmp_path / "events.jsonl").touch()
    assert events.read(tmp_path).notes == ("the log holds no event yet",)


def test_what_is_no_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "events.jsonl")  # opening it would wait for ever
    with pytest.raises(UserError, match="is no file"):
        events.read(tmp_path)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    write(tmp_path / "other", STARTED)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "events.jsonl").symlink_to(tmp_path / "other" / "events.jsonl")
    with pytest.raises(UserError, match="leads out of its folder"):
        events.read(tmp_path / "run")


def test_each_step_has_the_time_of_the_row_that_counts(tmp_path):
    now = iter([0.0, 10.0, 20.0, 30.0, 100.0, 110.0])
    for attempt, steps in ((1, (0, 1, 2)), (2, (1,))):
        log = EventLog(tmp_path / "events.jsonl", attempt=attempt, clock=lambda: next(now))
        log.emit(STARTED)
        for step in steps:
            log.emit(MetricsLogged(step, {"reward_mean": 0.5}))
        log.close()
    times = events.read(tmp_path).times
    assert times.steps.tolist() == [0, 1]
    assert times.values.tolist() == [10.0, 110.0]
