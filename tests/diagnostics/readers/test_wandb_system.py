"""Samples of the machine in run files of wandb, beside the rows of the run."""

import importlib.util
import math
from pathlib import Path

import pytest

from diagnostics.engine import diagnose
from diagnostics.logs import open_log, read
from diagnostics.series import RunHistory
from diagnostics.sources import find

_script = importlib.util.spec_from_file_location("big_wandb", Path(__file__).parents[2] / "benchmarks" / "big_wandb.py")
assert _script is not None
assert _script.loader is not None
big_wandb = importlib.util.module_from_spec(_script)
_script.loader.exec_module(big_wandb)
field, item = big_wandb.field, big_wandb.item
RUN, HISTORY, STATS, EXIT = 17, 2, 7, 18


def sample(**values: object) -> tuple[int, bytes]:
    items = b"".join(
        field(3, field(1, name.replace("__", ".").encode()) + field(16, str(value).encode()))
        for name, value in values.items()
    )
    return STATS, b"\x08\x00" + field(2, b"\x08\x01") + items


def row(step: int, **values: float) -> tuple[int, bytes]:
    return HISTORY, b"".join(
        item(repr(value), name) for name, value in {"_step": step, "reward": 0.5, **values}.items()
    )


def written(path: Path, *records: tuple[int, bytes]) -> Path:
    with path.open("wb") as file:
        out = big_wandb.Writer(file)
        out.record(RUN, field(1, b"small"))
        for kind, data in records:
            out.record(kind, data)
        out.record(EXIT, b"")
    return path


def history(path: Path) -> RunHistory:
    (run,) = read(find(path).sources[0])
    return run


def points(run: RunHistory, metric: str) -> list[tuple[int, float]]:
    series = run.get(metric)
    return list(zip(series.steps.tolist(), series.values.tolist(), strict=True))


def test_a_sample_belongs_to_the_row_before_it_and_the_first_counts(tmp_path: Path) -> None:
    path = written(
        tmp_path / "run.wandb",
        sample(gpu__0__gpu=90),  # before the first row
        row(0), sample(gpu__0__gpu=10, proc__memory__rssMB=512), sample(gpu__0__gpu=99),
        row(1), row(2), sample(gpu__0__gpu=30, proc__memory__rssMB=1024),
    )  # fmt: skip
    run = history(path)
    assert points(run, "gpu_utilization") == [(0, 0.1), (2, 0.3)]
    assert points(run, "process_memory") == [(0, 0.5), (2, 1.0)]
    assert run.unmapped == ()
    assert not [note for note in run.notes if "again" in note or "mapped" in note]
    assert run.last_step == 2


def test_of_several_gpus_the_mean_of_those_that_the_run_computes_on(tmp_path: Path) -> None:
    all_of_them = {"gpu__0__gpu": 100, "gpu__1__gpu": 50, "gpu__2__gpu": 0}
    path = written(tmp_path / "run.wandb", row(0), sample(**all_of_them), row(1),
                   sample(**all_of_them, gpu__process__1__gpu=50, gpu__0__memory=7))  # fmt: skip
    assert points(history(path), "gpu_utilization") == [(0, 0.5), (1, 0.5)]


def test_what_is_no_number_is_left_out_and_a_damaged_sample_is_counted(tmp_path: Path) -> None:
    path = written(tmp_path / "run.wandb", row(0), sample(gpu__0__gpu='"busy"'), row(1), (STATS, b"\x1a\xff"))
    run = history(path)
    assert points(run, "gpu_utilization") == []
    assert "could not be read: 1 record that is damaged inside" in run.notes


def test_a_name_of_the_run_itself_is_left_as_it_is(tmp_path: Path) -> None:
    path = written(tmp_path / "run.wandb", row(0, gpu_utilization=0.9), sample(gpu__0__gpu=10), row(1))
    run = history(path)
    assert points(run, "gpu_utilization") in ([(0, 0.9)], [(0, 0.1)])  # never both


def test_a_log_that_is_followed_sees_nothing_late(tmp_path: Path) -> None:
    records = [part for step in range(30) for part in (row(step), sample(gpu__0__gpu=step), sample(gpu__0__gpu=0))]
    whole = written(tmp_path / "whole.wandb", *records).read_bytes()
    path = tmp_path / "run.wandb"
    path.write_bytes(whole[:300])
    log = open_log(find(path).sources[0])
    last = -1
    for end in range(300, len(whole), 97):
        path.write_bytes(whole[:end])
        while log.poll():
            pass
        (run,) = log.histories()
        series = run.get("gpu_utilization")
        assert not len(series) or series.steps[-1] >= last
        last = run.last_step
    log.close()


@pytest.mark.parametrize("busy", [0.0, 100.0])
def test_nothing_is_found_in_them(tmp_path: Path, busy: float) -> None:
    rows = [row(step, reward=0.5 + 0.01 * math.sin(step)) for step in range(60)]
    plain = written(tmp_path / "plain.wandb", *rows)
    sampled = written(
        tmp_path / "sampled.wandb",
        *(part for one in rows for part in (one, sample(gpu__0__gpu=busy, proc__memory__rssMB=busy * 1e6))),
    )
    without, with_them = (diagnose(history(path)) for path in (plain, sampled))
    assert with_them.raised == without.raised
    assert with_them.skips == without.skips
