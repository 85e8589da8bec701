"""What a page shows of a run: thinned curves that keep every spike, settings as the framework calls them, samples."""

import json
import math
from pathlib import Path
from sys import float_info

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.details import (
    LEAST_POINTS,
    LONGEST_SAMPLE,
    MOST_POINTS,
    SAMPLED_STEPS,
    SAMPLES_OF_STEP,
    details,
    thinned,
)
from diagnostics.events import EventLog, KnobChanged, MetricsLogged, RunStarted, SamplesLogged
from diagnostics.logs import read
from diagnostics.report.html_data import Curves, _values, data
from diagnostics.series import MetricSeries, RunHistory
from diagnostics.sources import Source

LOG = Source("jsonl", (Path("log.jsonl"),), "", "log.jsonl")


def run(metrics: dict[str, list[float]], **more) -> RunHistory:
    series = {
        name: MetricSeries(name, np.arange(len(values)), np.array(values, float)) for name, values in metrics.items()
    }
    return RunHistory(series, **more)


@given(
    st.lists(
        st.one_of(st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf, -math.inf])), min_size=1, max_size=400
    ),
    st.integers(2, 60),
)
def test_of_each_stretch_the_extremes_are_kept(values: list[float], most: int):
    steps, of = np.arange(len(values)) * 3, np.array(values)
    kept_steps, kept = thinned(steps, of, most)
    assert len(kept) <= 1.5 * most + 2 or len(values) <= most
    assert (np.diff(kept_steps) > 0).all()
    np.testing.assert_array_equal(kept, of[kept_steps // 3])
    finite = of[np.isfinite(of)]
    if len(finite):
        assert kept[np.isfinite(kept)].max() == finite.max() and kept[np.isfinite(kept)].min() == finite.min()
    assert np.isfinite(of).all() == np.isfinite(kept).all()
    assert (kept_steps[0], kept_steps[-1]) == (steps[0], steps[-1])


def test_what_findings_rest_on_is_drawn_with_more_points_and_runs_share_the_room():
    long = [float(i % 7) for i in range(100_000)]
    of = run({f"m{i}": long for i in range(10)})
    traces = {trace.metric: trace for trace in details([of], LOG, ["m3"]).traces[0]}
    assert len(traces["m3"].steps) > 3 * len(traces["m0"].steps)
    assert sum(len(trace.steps) for trace in traces.values()) <= MOST_POINTS + 2 * len(traces)
    assert {trace.points for trace in traces.values()} == {100_000}
    shared = details([of], LOG, ["m3"], share=4).traces[0]
    assert sum(len(trace.steps) for trace in shared) <= MOST_POINTS / 4 + 2 * len(traces)
    assert all(len(trace.steps) >= LEAST_POINTS for trace in details([of], LOG, [], share=10_000).traces[0])


def test_settings_have_the_names_of_the_framework():
    of = run(
        {"reward_mean": [1, 2]},
        settings={"kl_coef": 0.04, "learning_rate": 1e-5},
        raw_settings={"beta": 0.04, "hub_token": "secret"},
        framework="trl-grpo",
        knobs=((1, "kl_coef", 0.1),),
    )
    told = details([of], LOG, [])
    assert told.settings == {"beta": 0.04, "learning_rate": 1e-5} and told.canonical["kl_coef"] == "beta"
    assert told.changes == ((1, "beta", 0.1),)
    assert "secret" not in repr(told), "what is not understood may be anything, a key too, and a page is passed on"


def test_names_without_a_meaning_have_their_curves_too():
    of = run(
        {"reward_mean": [1.0]},
        others={"odd": MetricSeries("odd", np.arange(2), np.ones(2))},
        names={"reward_mean": "r"},
    )
    assert [(t.metric, t.logged, t.understood) for t in details([of], LOG, []).traces[0]] == [
        ("reward_mean", "r", True),
        ("odd", "odd", False),
    ]


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ([0.123456789, 1.0], [0.12346, 1.0]),
        ([100000.01, 100000.02, 100000.03], [100000.01, 100000.02, 100000.03]),
        ([1e-300, 3e300], [1e-300, 3e300]),
        ([-1.7e308, 1.7e308], [-1.7e308, 1.7e308]),
        ([-float_info.max, float_info.max], [-float_info.max, float_info.max]),
        ([math.nan, math.inf, -math.inf], ["NaN", "Infinity", "-Infinity"]),
        ([5.0, 5.0], [5.0, 5.0]),
        ([], []),
    ],
)
def test_values_are_written_with_the_digits_that_can_be_seen(values: list[float], written: list[float | str]):
    assert _values(np.array(values)) == written


def test_steps_that_are_the_same_are_written_once():
    from diagnostics.engine import diagnose

    of = run({"reward_mean": [1, 2, 3], "grad_norm": [4, 5, 6]})
    (segment,) = json.loads(data([Curves.of(diagnose(of), details([of], LOG, []))]))[0]["segments"]
    assert segment["steps"] == [[0, 1, 1]] and [trace["steps"] for trace in segment["traces"]] == [0, 0]


def events(folder: Path, samples: list[SamplesLogged]) -> Source:
    log = EventLog(folder / "events.jsonl")
    log.emit(RunStarted(0, "trl-grpo", "1.16.0", {}))
    log.emit(MetricsLogged(1, {"reward_mean": 1.0}))
    log.emit(KnobChanged(1, "kl_coef", 0.1, 0.2))
    log.close()
    beside = EventLog(folder / "samples.jsonl")
    for logged in samples:
        beside.emit(logged)
    beside.close()
    return Source("events", (folder,), "", "run")


def test_samples_of_the_first_and_the_last_step_and_some_between(tmp_path: Path):
    long = {"prompt": "p" * 9, "completion": "c" * (LONGEST_SAMPLE + 5), "reward": math.nan}
    source = events(tmp_path, [SamplesLogged(step, (long,) * 9) for step in range(0, 100, 5)])
    told = details(read(source), source, [])
    assert [sampled.step for sampled in told.samples] == [0, 30, 65, 95] and len(told.samples) == SAMPLED_STEPS
    assert {len(sampled.samples) for sampled in told.samples} == {SAMPLES_OF_STEP}
    prompt, completion, reward = told.samples[0].samples[0]
    assert prompt == "p" * 9 and completion.endswith("c [5 more]") and math.isnan(reward)


def test_samples_of_a_step_are_of_several_prompts(tmp_path: Path):
    group = [{"prompt": f"p{i // 8}", "completion": str(i), "reward": 1.0} for i in range(20)]
    source = events(tmp_path, [SamplesLogged(0, tuple(group)), SamplesLogged(1, ())])
    told = details(read(source), source, [])
    assert [prompt for prompt, *_ in told.samples[0].samples] == ["p0", "p0", "p1", "p1"]
    assert told.samples[1].samples == ()


def test_samples_are_read_from_no_other_folder_and_what_is_lost_is_said(tmp_path: Path):
    (tmp_path / "elsewhere.jsonl").write_text("secret")
    (tmp_path / "run").mkdir()
    source = events(tmp_path / "run", [SamplesLogged(1, ({"prompt": 3, "completion": None},))])
    with (tmp_path / "run" / "samples.jsonl").open("a") as file:
        file.write("torn\n")
    told = details(read(source), source, [])
    assert told.samples[0].samples == (("3", "None", None),)
    assert told.unread == "1 line of samples.jsonl could not be read"
    (tmp_path / "run" / "samples.jsonl").unlink()
    assert details(read(source), source, []).unread == ""
    (tmp_path / "run" / "samples.jsonl").symlink_to(tmp_path / "elsewhere.jsonl")
    told = details(read(source), source, [])
    assert told.samples == () and "is no file of this folder" in told.unread
