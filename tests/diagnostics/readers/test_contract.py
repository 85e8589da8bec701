"""What every reader must do, whatever its format; a new format needs a writer of a small log in `samples.py`."""

import importlib
import json
import math
import os
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diagnostics.errors import UserError
from diagnostics.logs import Log, open_log
from diagnostics.readers.reader import HEAD
from diagnostics.sources import FORMATS, find

TABLES = tuple(
    format for format in FORMATS if format != "events"
)  # events fill no table: they have their names already
each_format = pytest.mark.parametrize("format", FORMATS)
each_table = pytest.mark.parametrize("format", TABLES)
# Each example writes the same file anew.
anew = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=40)

# What lies about where logs do, and is none.
NO_LOGS = {
    "nothing": b"",
    "text": b"The reward rose to 0.5 after 100 steps,\nthen the KL exploded. See section 3.\n" * 20,
    "readme": b"# Training\n\n- step 1: install\n- step 2: `train.py --lr 1e-5`\n\n| a | b |\n|---|---|\n| x | y |\n",
    "source": b"import torch\n\ndef loss(x, y=1.0):\n    kl = {'step': 1, 'kl': 0.5}\n    return x * 2\n" * 30,
    "config": json.dumps({"learning_rate": 1e-5, "layers": 12, "hidden": [768, 768], "trl": {"beta": 0.04}}).encode(),
    "tokenizer": json.dumps({"model": {"vocab": {f"tok{i}": i for i in range(500)}, "merges": []}}).encode(),
    "prompts": b"".join(json.dumps({"prompt": f"What is {i}?", "answer": "x"}).encode() + b"\n" for i in range(30)),
    "yaml": b"learning_rate: 1.0e-05\nbeta: 0.04\nsteps: 500\nmodel:\n  layers: 2\n",
    "requirements": b"torch==2.6.0\ntransformers==5.0.0\nnumpy==2.1.0\n",
    "html": b"<!doctype html><html><body><table><tr><td>1</td></tr></table></body></html>",
    "png": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40,
    "zip": b"PK\x03\x04" + bytes(range(255, -1, -1)) * 40,
    "zeros": bytes(5000),
    "ones": b"\xff" * 5000,
    "trace": b'Traceback (most recent call last):\n  File "a.py", line 3, in f\n    x = 1 / 0\nKeyError: 5\n' * 3,
}


def module(format):
    return importlib.import_module(f"diagnostics.readers.{format}")


def write(samples, format, folder, rows=None) -> Path:
    name, writer = samples.WRITERS[format]
    path = folder / name
    path.write_bytes(writer(samples.run() if rows is None else rows))
    return path


def parts(format, path):
    with path.open("rb") as file:
        return module(format).parts(path, file.read(HEAD))


def opened(path) -> Log:
    (source,) = find(path).sources
    return open_log(source)


def read_out(log):
    while log.poll():
        pass
    log.finish()
    return told(log)


def told(log):
    """All that a log tells, as what can be compared; NaN as a text."""
    runs = []
    for run in log.histories():
        points = {name: (series.steps.tolist(), list(map(repr, series.values))) for name, series in run.series.items()}
        runs.append((points, dict(run.settings), sorted(run.unmapped), run.notes, run.framework, run.segment))
    return runs


def snapshot(folder):
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in [folder, *folder.rglob("*")]}


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


# ---- what is a log of this format


def test_every_format_has_a_sample(samples):
    assert set(samples.WRITERS) == set(FORMATS)


@each_format
def test_its_own_is_told_by_content_whatever_it_is_called(format, samples, tmp_path):
    path = write(samples, format, tmp_path)
    assert parts(format, path) == ("",)
    (source,) = find(path).sources
    assert (source.format, source.paths, source.part) == (format, (path,), "")
    other = path.rename(tmp_path / "mystery")
    assert [source.format for source in find(other).sources] == [format]
    assert isinstance(module(format).FORMAT, str) and module(format).FORMAT


@pytest.mark.parametrize("other", FORMATS)
@each_format
def test_a_log_of_another_format_is_refused(format, other, samples, tmp_path):
    # Our own events are lines of JSON: that they are tried first is what tells them.
    if format != other and (format, other) != ("jsonl", "events"):
        assert parts(format, write(samples, other, tmp_path)) is None


@pytest.mark.parametrize("what", NO_LOGS)
def test_what_is_no_log_is_refused(what, tmp_path):
    path = tmp_path / what
    path.write_bytes(NO_LOGS[what])
    assert [format for format in FORMATS if parts(format, path) is not None] == []
    with pytest.raises(UserError):
        find(path)


@each_format
@anew
@given(data=st.data())
def test_no_head_makes_it_fail(format, samples, tmp_path, data):
    whole = samples.WRITERS[format][1](samples.run(5))
    begin = whole[: data.draw(st.integers(0, len(whole)))]
    path = tmp_path / "log"
    path.write_bytes(begin + data.draw(st.binary(max_size=200)) + data.draw(st.sampled_from([b"", whole])))
    found = parts(format, path)
    assert found is None or all(isinstance(part, str) for part in found)


# ---- reading


@each_format
def test_whole_or_while_it_grows_is_the_same(format, samples, tmp_path):
    whole = samples.WRITERS[format][1](sparse(samples))
    path = write(samples, format, tmp_path, sparse(samples))
    expected = read_out(opened(path))
    (source,) = find(path).sources

    @settings(deadline=None, max_examples=25)
    @given(cuts=st.lists(st.integers(0, len(whole)), max_size=6))
    def grows(cuts):
        path.write_bytes(b"")
        log = open_log(source)
        for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(whole)], strict=True):
            with path.open("ab") as file:
                file.write(whole[begin:end])
            while log.poll():
                pass
            log.histories()
        log.finish()
        assert told(log) == expected
        log.close()

    grows()
    assert sum(len(steps) for run in expected for steps, _ in run[0].values()) > 100


def sparse(samples):
    """A run with an evaluation now and then, and a metric that begins late."""
    rows = samples.run(30)
    for i, row in enumerate(rows):
        if i < 10:
            del row["entropy"]
        if i % 7 == 3:
            row["grad_norm"] = math.inf
    return rows


@each_format
def test_finishing_twice_and_polling_again_change_nothing(format, samples, tmp_path):
    log = opened(write(samples, format, tmp_path))
    once = read_out(log)
    assert not log.poll()
    assert not log.poll()
    log.finish()
    assert told(log) == once
    log.close()
    log.close()


@each_format
def test_reading_leaves_no_trace(format, samples, tmp_path):
    path = write(samples, format, tmp_path)
    before, files = snapshot(tmp_path), open_files()
    log = opened(path)
    read_out(log)
    log.close()
    assert snapshot(tmp_path) == before
    assert open_files() == files


@each_format
def test_a_file_that_is_gone_is_an_error_of_the_system_or_nothing_new(format, samples, tmp_path):
    path = write(samples, format, tmp_path)
    unread, half_read = opened(path), opened(path)
    half_read.poll()
    path.unlink()
    for log in (unread, half_read):
        try:
            while log.poll():
                pass
            log.finish()
            log.histories()
        except (OSError, UserError) as error:
            assert str(error)
        log.close()


@each_format
@pytest.mark.parametrize("how", ["emptied", "cut", "begun anew", "another format", "replaced"])
def test_a_file_that_is_written_anew_while_it_is_followed_does_no_harm(format, how, samples, tmp_path):
    path = write(samples, format, tmp_path)
    log = opened(path)
    while log.poll():
        pass
    before = told(log)
    whole = path.read_bytes()
    match how:
        case "emptied":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(whole[: len(whole) // 2])
        case "begun anew":
            path.write_bytes(samples.WRITERS[format][1](samples.run(10, seed=5)))
        case "another format":
            path.write_bytes(samples.WRITERS["console" if format != "console" else "wandb"][1](samples.run(10, seed=5)))
        case "replaced":
            (tmp_path / "new").write_bytes(samples.WRITERS[format][1](samples.run(60, seed=5)))
            (tmp_path / "new").replace(path)
    for _ in range(100):
        if not log.poll():
            break
    else:
        pytest.fail("it reads the same again and again")
    log.finish()
    after = told(log)
    assert before[0][0].keys() <= {name for run in after for name in run[0]}


@each_format
def test_what_is_said_of_it_is_for_a_person(format, samples, tmp_path):
    path = write(samples, format, tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3] + b"\xff\x00\xfe" + whole[len(whole) * 2 // 3 + 40 : -30])
    (source,) = find(path).sources
    log = open_log(source)
    read_out(log)
    notes = [note for run in log.histories() for note in run.notes]
    assert notes
    for note in notes:
        assert note.strip() == note and "\n" not in note and len(note) < 300
        assert not any(word in note for word in ("Error(", "Traceback", "<class", "0x"))


def test_a_pipe_among_logs_is_not_opened(samples, tmp_path):
    write(samples, "jsonl", tmp_path)
    os.mkfifo(tmp_path / "pipe.log")  # opening it would wait for ever
    found = find(tmp_path)
    assert [source.format for source in found.sources] == ["jsonl"]
    assert found.unreadable == ((tmp_path / "pipe.log", "is no file"),)


# ---- tables


def table_of(format, path):
    reader = module(format).open_log((path,), "")
    while reader.poll():
        pass
    reader.finish()
    reader.close()
    return reader.table


@each_table
def test_rows_do_not_decrease_and_are_rows_of_the_table(format, samples, tmp_path):
    table = table_of(format, write(samples, format, tmp_path, sparse(samples)))
    assert table.rows == 30
    for name, column in table.columns.items():
        rows, numbers = column.since(0)
        assert isinstance(name, str) and name
        assert len(rows) == len(numbers) == len(column) > 0
        assert (rows.dtype, numbers.dtype) == (np.int64, np.float64)
        assert (np.diff(rows) >= 0).all() and rows[0] >= 0 and rows[-1] < table.rows
    assert all(isinstance(what, str) and n > 0 for what, n in table.lost.items())


# ---- every number that was logged is there

NAMES = st.lists(
    st.one_of(
        st.sampled_from(["loss", "train/reward", "a.b", "with space", "größe→", "rewards / format", "x@2", "_m", "KL"]),
        st.from_regex(r"[a-z][a-z0-9_/]{2,12}", fullmatch=True),
    ).filter(lambda name: name.lower() not in ("step", "nan", "inf", "infinity", "true", "none", "null")),
    min_size=2,
    max_size=6,
    unique_by=str.lower,
)
NUMBERS = st.one_of(
    st.floats(),
    st.floats(width=32),
    st.integers(-(2**70), 2**70),
    st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 0, 5e-324, 1.7976931348623157e308]),
    st.sampled_from([2**53 + 1, 10**400, -(10**400)]),
)
WIDE = {
    "tensorboard": st.floats(width=32),  # of torch: float32, and no integers
    "trackio_parquet": st.floats(),  # a column has one type
    # It keeps an infinity as the largest number, and SQLite a zero without its sign.
    "mlflow": NUMBERS.filter(lambda number: abs(number) != sys.float_info.max).map(lambda number: number or 0),
}
DENSE = {"console"}  # where a line with fewer names may be one that is cut


@st.composite
def tables(draw, format):
    """Rows with a step and some names; each row has a number besides the step."""
    names = draw(NAMES)
    numbers = WIDE.get(format, NUMBERS)
    rows = []
    for step in range(1, draw(st.integers(3, 12)) + 1):
        some = names if format in DENSE else draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
        rows.append({"step": step} | {name: draw(numbers) for name in names if name in some})
    rows[0] = {"step": 1} | {name: draw(numbers) for name in names}
    return rows


def bits(value):
    """A number bit for bit; one NaN is as good as another."""
    try:
        value = float(value)
    except OverflowError:
        value = math.inf if value > 0 else -math.inf
    return "nan" if math.isnan(value) else struct.pack("<d", value)


@each_table
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=60
)
@given(data=st.data())
def test_every_number_is_there_with_its_row(format, samples, tmp_path, data):
    rows = data.draw(tables(format))
    path = write(samples, format, tmp_path, rows)
    table = table_of(format, path)
    assert table.rows == len(rows)
    for name in {name for row in rows for name in row} - {"step"}:
        logged = [(i, bits(row[name])) for i, row in enumerate(rows) if name in row]
        at, numbers = table.columns[name].since(0)
        assert list(zip(at.tolist(), map(bits, numbers.tolist()), strict=True)) == logged
    assert not table.lost


@anew
@given(values=st.lists(st.floats(), min_size=1, max_size=20))
def test_every_number_of_our_own_events_is_there(samples, tmp_path, values):
    log = opened(write(samples, "events", tmp_path, [{"step": i, "reward": v} for i, v in enumerate(values)]))
    read_out(log)
    (run,) = log.histories()
    log.close()
    assert run["reward_mean"].steps.tolist() == list(range(len(values)))
    assert list(map(bits, run["reward_mean"].values.tolist())) == list(map(bits, values))
