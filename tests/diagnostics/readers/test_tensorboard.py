"""Event files against what TensorBoard itself reads from them, while they grow, and damaged."""

import json
import math
import random
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnostics.readers import tensorboard
from diagnostics.readers.columns import MOST_NAMES
from diagnostics.readers.table import Table
from diagnostics.readers.tfrecord import checksums

DATA = Path(__file__).parents[2] / "data" / "tensorboard"
GOLDEN = json.loads((DATA / "golden.json").read_text())
TORCH = DATA / "by_torch"


def read(*paths: Path) -> Table:
    reader = tensorboard.open_log(paths, "")
    while reader.poll():
        pass
    reader.finish()
    reader.close()
    return reader.table


def points(table: Table) -> dict[str, list[tuple[float, float]]]:
    """Step and number of each column; NaN, which equals nothing, as its name."""
    assert table.steps is not None
    rows, steps = table.steps.since(0)
    assert rows.tolist() == list(range(table.rows))
    found = {}
    for name, column in table.columns.items():
        at, numbers = column.since(0)
        assert (np.diff(at) >= 0).all()
        found[name] = [(s, "nan" if math.isnan(n) else n) for s, n in zip(steps[at], numbers, strict=True)]
    return found


def varint(number: int) -> bytes:
    found = bytearray()
    number &= (1 << 64) - 1
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def message(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def event(step: int | None, values: bytes, *, time: float = 1.7e9) -> bytes:
    stepped = b"" if step is None else b"\x10" + varint(step)
    return b"\x09" + struct.pack("<d", time) + stepped + message(5, values)


def scalar(tag: str, number: float) -> bytes:
    return message(1, message(1, tag.encode()) + b"\x15" + struct.pack("<f", number))


def record(payload: bytes) -> bytes:
    length = struct.pack("<Q", len(payload))
    data = np.frombuffer(length + payload, np.uint8)
    crcs = checksums(data, np.array([0, 8]), np.array([8, len(data)])).tolist()
    return length + struct.pack("<I", crcs[0]) + payload + struct.pack("<I", crcs[1])


def file_of(path: Path, *payloads: bytes) -> Path:
    begin = b"\x09" + struct.pack("<d", 1.7e9) + b"\x1a\x0dbrain.Event:2"
    path.write_bytes(b"".join(map(record, (begin, *payloads))))
    return path


# ---- what TensorBoard reads


@pytest.mark.parametrize("name", GOLDEN)
def test_the_numbers_are_those_that_tensorboard_reads(name):
    path = DATA / name
    with path.open("rb") as file:
        assert tensorboard.parts(path, file.read(1 << 16)) == ("",)
    table = read(path)
    assert not table.lost
    expected = {tag: [(s, "nan" if v == "nan" else float(v)) for s, v in pts] for tag, pts in GOLDEN[name].items()}
    assert points(table) == expected


def test_the_golden_files_hold_what_they_are_for():
    tags = {tag for file in GOLDEN.values() for tag in file}
    assert {"double", "new_style", "named", "kind/float16", "kind/bfloat16", "kind/int64", "half", "m299"} <= tags
    assert [-2.0 + i for i in range(10)] == [s for s, _ in GOLDEN["by_merged/" + min(GOLDEN).partition("/")[2]]["half"]]


def test_what_is_no_number_is_counted():
    (file,) = (DATA / "by_tf").iterdir()
    assert read(file).notes == ["not read, as they are no numbers over steps: 10 histograms, 10 tensors, 10 texts"]


def test_settings_are_read_from_the_texts_of_trainer_and_cleanrl():
    table = read(min(TORCH.glob("*tfevents*")))
    assert table.settings == {
        "output_dir": "out", "beta": 0.04, "num_generations": 8, "fp16": False, "exp_name": "ppo",
        "learning_rate": 0.00025,  # the table came after the JSON
        "anneal_lr": True, "target_kl": None,
        "model_config": {"architectures": ["Tiny"], "temperature": 1.0, "transformers_version": "4.57.1"},
    }  # fmt: skip
    assert table.packages == {"transformers": "4.57.1"}
    assert table.notes == ["not read, as they are no numbers over steps: 4 histograms, 1 texts"]


# ---- runs of several files


def test_the_files_of_a_folder_are_one_run_in_the_order_in_which_they_were_begun(tmp_path):
    run = tmp_path / "run"
    shutil.copytree(TORCH, run)
    first, resumed = sorted(run.glob("*tfevents*"))
    (hparams,) = run.glob("*/*tfevents*")
    other = run / "other"
    other.mkdir()
    shutil.copy(first, other)
    resumed = resumed.rename(run / "a.tfevents")  # before the others by its name
    unknown = run / "b.tfevents"
    unknown.write_bytes(b"")
    files = [unknown, resumed, hparams, first, other / first.name]
    assert tensorboard.group(files) == [(first, resumed, unknown, hparams), (other / first.name,)]

    table = read(first, resumed, unknown, hparams)
    assert table.settings["lr"] == 0.1  # of the folder of `add_hparams`, whose numbers are no part of the run
    assert "hparam/accuracy" not in table.columns
    steps = [step for step, _ in points(table)["train/loss"]]
    assert steps == [*range(20), *range(15, 25), 2**40]
    assert table.rows == 31


def test_numbers_with_one_step_are_one_row_and_those_without_a_step_are_not_all_one(tmp_path):
    path = file_of(
        tmp_path / "f",
        event(None, scalar("a", 1) + scalar("b", 2)),  # 0 is not written
        event(None, scalar("c", 3)),
        event(None, scalar("a", 4)),
        event(1, scalar("b", 5)),
        event(0, scalar("a", 6)),
    )
    table = read(path)
    assert table.rows == 4
    assert {name: column.since(0)[0].tolist() for name, column in table.columns.items()} == {
        "a": [0, 1, 3], "b": [0, 2], "c": [0],
    }  # fmt: skip
    assert points(table)["a"] == [(0, 1), (0, 4), (0, 6)]


def test_rows_of_one_step_go_on_from_one_poll_to_the_next(tmp_path):
    path = file_of(tmp_path / "f", event(9, scalar("other", 0)), event(0, scalar("a", 1)))
    reader = tensorboard.open_log([path], "")
    for values in (scalar("b", 2), scalar("b", 3), scalar("a", 4), scalar("b", 5)):
        assert reader.poll()
        with path.open("ab") as file:
            file.write(record(event(0, values)))
    assert reader.poll() and not reader.poll()
    assert reader.table.columns["a"].since(0)[0].tolist() == [1, 2]
    assert reader.table.columns["b"].since(0)[0].tolist() == [1, 1, 2]


def test_values_are_read_in_whatever_order_their_fields_are(tmp_path):
    number = b"\x15" + struct.pack("<f", 2.5)
    step_last = b"\x09" + bytes(8) + message(5, message(1, number + message(1, b"odd"))) + b"\x10\x07"
    two_summaries = event(8, scalar("even", 1)) + message(5, scalar("odd", 3))
    unknown = event(9, scalar("even", 2)) + b"\x78\x01"  # a field of a later version
    path = file_of(tmp_path / "f", step_last, event(7, scalar("even", 0)), two_summaries, unknown)
    assert points(read(path)) == {"odd": [(7, 2.5), (8, 3)], "even": [(7, 0), (8, 1), (9, 2)]}


# ---- growing


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_a_growing_file_gives_the_table_of_the_whole_one(data, tmp_path_factory):
    source = data.draw(st.sampled_from(sorted(GOLDEN)))
    raw = bytearray((DATA / source).read_bytes()[:6000])
    for place in data.draw(st.lists(st.integers(40, len(raw) - 1), max_size=2)):
        raw[place] ^= data.draw(st.integers(1, 255))
    folder = tmp_path_factory.mktemp("growing")
    whole, growing = folder / "whole", folder / "growing"
    whole.write_bytes(raw)
    expected = read(whole)
    growing.touch()
    reader = tensorboard.open_log([growing], "")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    for begin, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        with growing.open("ab") as file:
            file.write(raw[begin:end])
        while reader.poll():
            pass
    reader.finish()
    assert points(reader.table) == points(expected)
    assert (reader.table.lost, reader.table.notes) == (expected.lost, expected.notes)
    assert reader.table.settings == expected.settings


# ---- damaged, hostile


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_file_is_read_as_far_as_it_goes_and_says_what_it_lost(seed, tmp_path):
    rng = random.Random(seed)
    raw = bytearray((DATA / rng.choice(sorted(GOLDEN))).read_bytes())
    begin = rng.randrange(100, len(raw))
    end = min(len(raw), begin + rng.randrange(1, 400))
    kind = seed % 5
    if kind == 0:
        raw[begin] ^= rng.randrange(1, 256)
    elif kind == 1:
        raw[begin:end] = bytes(end - begin)
    elif kind == 2:
        raw[begin:end] = rng.randbytes(end - begin)
    elif kind == 3:
        raw[begin:begin] = rng.randbytes(50)
    else:
        del raw[begin:end]
    path = tmp_path / "damaged"
    path.write_bytes(raw)
    table = read(path)
    assert table.lost or kind in (1, 4)  # zeros over zeros; a cut between two records
    points(table)


@pytest.mark.parametrize("seed", range(60))
def test_bytes_that_are_no_event_in_a_sound_record_are_counted(seed, tmp_path):
    rng = random.Random(seed)
    sound = event(
        3, scalar("a", 1) + scalar("b", 2) + message(1, message(1, b"t") + message(8, b"\x08\x01\x2a\x04abcd"))
    )
    broken = bytearray(sound)
    for _ in range(rng.randrange(1, 4)):
        broken[rng.randrange(len(broken))] = rng.choice((0, 127, 128, 255, rng.randrange(256)))
    path = file_of(tmp_path / "f", bytes(broken), sound[: rng.randrange(1, len(sound))], rng.randbytes(30), sound)
    table = read(path)
    assert table.lost
    assert points(table)["a"][-1] == (3, 1)


def test_giant_numbers_in_messages_are_no_trouble(tmp_path):
    giant = b"\xff" * 9 + b"\x01"
    path = file_of(
        tmp_path / "f",
        b"\x09" + bytes(8) + b"\x10" + giant + b"\x2a" + giant,
        event(-1, b"\x0a" + giant),
        event(1, message(1, b"\x0a" + giant)),
        event(2, message(1, message(1, b"t") + message(8, b"\x08\x01\x12\x0d\x12\x0b\x08" + giant))),
        event(2**63 - 1, scalar("a", 1)),
    )
    table = read(path)
    assert points(table) == {"a": [(float(2**63 - 1), 1)]}
    assert sum(table.lost.values()) == 3
    assert table.notes == ["not read, as they are no numbers over steps: 1 tensors"]


def test_a_value_that_is_longer_than_its_event_does_not_read_the_next_one(tmp_path):
    following = event(5, scalar("b", 2))
    # A tag that reaches from the first event over the frame of the second up to the number in it.
    tag = 1 + 4 + 12 + following.index(b"\x15")
    value = b"\x0a" + varint(2 + tag + 5) + b"\x0a" + varint(tag) + b"t"
    table = read(file_of(tmp_path / "f", event(4, value), following))
    assert points(table) == {"b": [(5, 2)]}
    assert dict(table.lost) == {"records that are no event": 1}


def test_what_stands_behind_a_number_is_looked_at(tmp_path):
    number = message(1, b"a") + b"\x15" + struct.pack("<f", 1)
    plugin = message(9, message(1, message(1, b"scalars")))
    path = file_of(
        tmp_path / "f",
        event(1, message(1, number + plugin)),
        event(2, message(1, number + b"\x07" * len(plugin))),  # no message
        event(3, message(1, number + message(9, message(1, message(1, b"another"))))),
    )
    table = read(path)
    assert points(table) == {"a": [(1, 1), (3, 1)]} and dict(table.lost) == {"values that cannot be read": 1}


def test_one_element_that_stands_for_many_is_no_number(tmp_path):
    vector = b"\x08\x01" + message(2, message(2, b"\x08\x02")) + message(5, struct.pack("<f", 1.0))
    table = read(file_of(tmp_path / "f", event(1, message(1, message(1, b"t") + message(8, vector)))))
    assert not table.columns and table.notes


def test_settings_of_any_kind_are_no_trouble(tmp_path):
    def text(tag: bytes, content: bytes) -> bytes:
        return event(0, message(1, message(1, tag) + message(8, b"\x08\x07" + message(8, content))))

    path = file_of(
        tmp_path / "f",
        text(b"args/text_summary", b'{"model_config": 1, "a": NaN}'),
        text(b"args/text_summary", b"[" * 100_000),
        text(b"args/text_summary", b"\xff{}"),
        text(b"model_config/text_summary", b"[1]"),
    )
    table = read(path)
    assert table.settings.pop("a") != 0 and table.settings == {"model_config": {}}
    assert table.notes == ["not read, as they are no numbers over steps: 3 texts"]


def test_more_tags_than_any_log_has_are_counted(tmp_path):
    values = b"".join(scalar(f"t{i}", i) for i in range(MOST_NAMES + 5))
    table = read(file_of(tmp_path / "f", event(1, values)))
    assert len(table.columns) == MOST_NAMES and sum(table.lost.values()) == 5


def test_other_files_are_not_taken_for_event_files(tmp_path):
    example = tmp_path / "train.tfrecord"
    example.write_bytes(record(message(1, message(1, b"a feature"))))
    for head in (example.read_bytes(), b"", b"\0" * 100, b"step,loss\n1,2\n"):
        assert tensorboard.parts(example, head) is None
    raw = bytearray((DATA / min(GOLDEN)).read_bytes())
    raw[0] ^= 255
    assert tensorboard.parts(example, bytes(raw)) == ("",)  # the header is damaged, and the version is there
