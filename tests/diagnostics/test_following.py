"""A log that grows raises what it would raise if it were read when it is over, whatever is repaired on the way."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from diagnostics.engine import diagnose
from diagnostics.following import Following
from diagnostics.logs import open_log, read
from diagnostics.rule import all_rules
from diagnostics.series import RunHistory, example
from diagnostics.sources import find
from diagnostics.watch import Watch

CURVES = Path(__file__).parent.parent / "data" / "curves.json"


def said(findings) -> set[tuple[str, int, int, str]]:
    return {(f.code, f.segment, f.raised_at, f.severity.name) for f in findings}


def row(step: int, rng: np.random.Generator, **values: float) -> dict[str, float]:
    return {"step": step, "reward_mean": 0.5 + 0.02 * rng.standard_normal(), "entropy.token": 1.0, **values}


def sick_run(steps: range, seed: int = 0) -> list[dict[str, float]]:
    """Its reward climbs and collapses; its KL explodes."""
    rng = np.random.default_rng(seed)
    climb = [row(s, rng, reward_mean=min(0.1 + 0.02 * s, 0.9) + 0.02 * rng.standard_normal()) for s in steps]
    for logged in climb:
        late = logged["step"] > 60
        logged["kl.reference.k3.token"] = (3.0 if late else 0.01) + 0.001 * rng.standard_normal()
        if late:
            logged["reward_mean"] = 0.05 + 0.02 * rng.standard_normal()
    return climb


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def write(path: Path, rows) -> None:
    with path.open("a") as file:
        file.writelines(json.dumps(r) + "\n" for r in rows)


def followed(path: Path, rows, pieces: int) -> tuple[Following, list]:
    """A following of `path` while `rows` are written, so many at a time, and what it raised."""
    path.write_text("")
    write(path, rows[:1])
    following = Following(open_log(find(path).sources[0]))
    raised = [*following.poll()]
    for i in range(1, len(rows), pieces):
        write(path, rows[i : i + pieces])
        raised += following.catch_up()
    live = following.report()
    raised += following.finish()
    assert said(live.raised) <= said(raised)
    return following, raised


@pytest.mark.parametrize("pieces", [1, 7, 1000])
def test_following_raises_what_reading_does(log: Path, pieces: int):
    following, raised = followed(log, sick_run(range(120)), pieces)
    whole = diagnose(read(find(log).sources[0]))
    assert {"KL002", "RWD002"} <= {f.code for f in whole.findings}
    assert said(raised) == said(whole.raised)
    assert following.report() == whole


@pytest.mark.parametrize("pieces", [1, 7, 1000])
def test_runs_appended_to_one_file_are_each_judged(log: Path, pieces: int):
    rows = [*sick_run(range(3)), *sick_run(range(110), seed=1), *sick_run(range(50), seed=2)]
    following, raised = followed(log, rows, pieces)
    whole = diagnose(read(find(log).sources[0]))
    assert whole.segments == 3
    assert {(f.code, f.segment) for f in whole.findings} >= {("LOG001", 2), ("LOG001", 3), ("RWD002", 2)}
    assert said(raised) == said(whole.raised)
    assert following.report() == whole


def test_a_resumed_run_is_judged_by_what_counts(log: Path):
    healthy = sick_run(range(61))
    rows = [*sick_run(range(90)), *[{**r, "step": r["step"] + 50} for r in healthy[:50]]]
    following, raised = followed(log, rows, 1)
    whole = diagnose(read(find(log).sources[0]))
    assert following.report().findings == whole.findings
    assert said(raised) >= said(whole.raised)  # what was raised before the steps went back was true when it was said
    assert "KL002" in {f.code for f in raised} and "KL002" not in {f.code for f in whole.findings}


def test_late_and_corrected_rows_count(log: Path):
    rows = sick_run(range(100))
    late = rows.pop(70)
    rows.insert(73, late)
    rows.insert(80, {**rows[79], "reward_mean": 0.3})
    following, _ = followed(log, rows, 1)
    assert following.report().findings == diagnose(read(find(log).sources[0])).findings


def test_what_is_raised_once_is_not_raised_again(log: Path):
    _, raised = followed(log, [*sick_run(range(90)), *sick_run(range(40, 100))], 1)
    assert len(raised) == len(said(raised))


def test_a_watch_that_is_loaded_is_as_one_that_saw_every_step():
    every = [*(case.run for rule in all_rules().values() for case in rule.fires)]
    assert len(every) > 10
    for run in every:
        half = run.last_step // 2
        loaded = _watch(run)
        raised = [*loaded.load(run.upto(half))]
        raised += _fed(loaded, run, half)
        stepwise = _watch(run)
        _fed(stepwise, run, -1)
        assert said(loaded.raised) == said(stepwise.raised)
        assert said(raised) | said(loaded.lint()) == said(loaded.raised)
        assert said(loaded.report(run).findings) == said(stepwise.report(run).findings)
        assert {s.code for s in loaded.report(run).skips} == {s.code for s in stepwise.report(run).skips}


def _watch(run: RunHistory) -> Watch:
    return Watch(settings=run.settings, reward_bounds=run.reward_bounds, segment=run.segment, went_back=run.went_back)


def _fed(watch: Watch, run: RunHistory, after: int) -> list:
    rows: dict[int, dict[str, float]] = {}
    for series in run.series.values():
        for step, value in zip(series.steps.tolist(), series.values.tolist(), strict=True):
            rows.setdefault(step, {})[series.metric] = value
    raised = [f for step in sorted(rows) if step > after for f in watch.add(step, rows[step])]
    return [*raised, *watch.close()]


def test_an_empty_log_has_a_report(tmp_path: Path):
    (tmp_path / "events.jsonl").write_text("")
    following = Following(open_log(find(tmp_path).sources[0]))
    assert following.poll() == ()
    assert following.report().findings == ()
    assert not following.ended
    assert example({}).last_step == -1


class Told:
    """A log that tells what it is given, one thing at each poll."""

    ended = False
    position = 0

    def __init__(self, *told: RunHistory) -> None:
        self._told, self._at = told, -1

    def poll(self) -> bool:
        self._at = min(self._at + 1, len(self._told) - 1)
        return True

    def histories(self) -> list[RunHistory]:
        return [self._told[self._at]]

    def finish(self) -> None:
        pass

    def close(self) -> None:
        pass


def test_settings_that_are_told_late_are_judged():
    run = example({"reward_mean": "0.5*3"})
    later = example({"reward_mean": "0.5*4"}, settings={"num_generations": 8, "batch_size": 60})
    following = Following(Told(run, later))
    assert following.poll() == ()
    assert [finding.code for finding in following.poll()] == ["CFG001"]


def test_zeros_that_are_no_measurements_are_left_out(log: Path):
    names = {"completion_length": 9.0, "completions/mean_length": 9.0, "reward": 0.5}
    write(log, [{"step": s, "kl": 0.0 if s < 3 else 0.1, **names} for s in range(6)])
    (run,) = read(find(log).sources[0])
    assert run.framework == "unsloth"
    kl = next(series for metric, series in run.series.items() if metric.startswith("kl."))
    assert kl.steps.tolist() == [3, 4, 5]
    log.write_text("")
    write(log, [{"step": s, "kl": 0.0, **names} for s in range(6)])
    (run,) = read(find(log).sources[0])
    assert not [metric for metric in run.series if metric.startswith("kl.")]
