"""Run files that are cut off, overwritten or still being written: complete records are read, and losses are told."""

import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnostics.readers import wandb
from diagnostics.readers.table import Table
from diagnostics.readers.wandb_frames import BLOCK, MAGIC, Frames

DATA = Path(__file__).parents[2] / "data" / "wandb"
GO = (DATA / "0.31.0-typed.wandb").read_bytes()
PYTHON = (DATA / "0.13.11.wandb").read_bytes()


def read(path: Path) -> Table:
    reader = wandb.open_log([path], "")
    while reader.poll():
        pass
    reader.finish()
    return reader.table


def told(table: Table) -> dict[str, object]:
    """All that a table holds; numbers as bytes, so that NaN equals NaN."""
    names = ("rows", "step_names", "settings", "packages", "texts", "lost", "notes", "ended")
    columns = {name: tuple(part.tobytes() for part in column.since(0)) for name, column in table.columns.items()}
    return {"columns": columns, **{name: getattr(table, name) for name in names}}


def rows_of(table: Table) -> dict[float, dict[str, float]]:
    """The rows by their `_step`."""
    rows: dict[int, dict[str, float]] = {}
    for name, column in table.columns.items():
        for row, value in zip(*(part.tolist() for part in column.since(0)), strict=True):
            rows.setdefault(row, {})[name] = value
    return {rows[row]["_step"]: rows[row] for row in sorted(rows)}


def same(one: dict[str, float], other: dict[str, float]) -> bool:
    return repr(sorted(one.items())) == repr(sorted(other.items()))  # NaN equals NaN


@pytest.fixture(params=["go", "python"])
def whole(request, tmp_path):
    data = GO if request.param == "go" else PYTHON
    path = tmp_path / "whole.wandb"
    path.write_bytes(data)
    return data, rows_of(read(path))


def test_cut_off_anywhere(whole, tmp_path):
    """All rows before the cut are there, as they were, and what is torn is counted."""
    data, rows = whole
    draw, path, before = random.Random(0), tmp_path / "a.wandb", 0
    for cut in sorted(draw.sample(range(len(data)), 60)):
        path.write_bytes(data[:cut])
        table = read(path)
        found = rows_of(table)
        assert all(same(row, rows[step]) for step, row in found.items())
        assert list(found) == list(rows)[: len(found)]
        assert len(found) >= before
        before = len(found)
        frames = Frames()
        frames.feed(data[:cut])
        frames.finish()
        assert table.lost.total() == frames.torn <= cut
        assert frames.damaged == 0
        assert table.ended or any("no exit record" in note for note in table.notes)
    assert before > 70


def test_flipped_bytes(whole, tmp_path):
    """Rows are lost, none is changed, and the loss is told."""
    data, rows = whole
    draw, path, lost = random.Random(1), tmp_path / "a.wandb", []
    for _ in range(80):
        damaged = bytearray(data)
        for at in draw.sample(range(len(MAGIC), len(data)), draw.choice([1, 1, 1, 5])):
            damaged[at] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        table = read(path)
        found = rows_of(table)
        assert all(same(row, rows[step]) for step, row in found.items())
        assert table.lost, "the loss is not told"
        lost.append(len(rows) - len(found))
    assert np.mean(lost) < 10


def test_random_stretches(whole, tmp_path):
    """Stretches of noise and of zeros in the middle, stretches missing, and stretches twice."""
    data, rows = whole
    draw, path = random.Random(2), tmp_path / "a.wandb"
    for i in range(60):
        start = draw.randrange(len(MAGIC), len(data))
        end = min(len(data), start + draw.choice([1, 100, 5000, 40_000]))
        middle = [draw.randbytes(end - start), bytes(end - start), b"", data[start:end] * 2][i % 4]
        path.write_bytes(data[:start] + middle + data[end:])
        table = read(path)
        found = rows_of(table)
        assert all(same(row, rows[step]) for step, row in found.items())
        assert table.lost or len(found) == len(rows)


def test_of_damage_no_record_is_made_up(whole):
    """What is given was written as it is, in that order: nothing is put together of the parts of two records."""
    data, _ = whole
    frames = Frames()
    written = [*frames.feed(data), *frames.finish()]
    blocks = range(0, len(data), BLOCK)
    damaged = [data[:at] + bytes(BLOCK) + data[at + BLOCK :] for at in blocks]
    damaged += [data[:at] + bytes(100) + data[at + 100 :] for at in blocks]
    damaged += [data[: at - 100] + bytes(100) + data[at:] for at in blocks[1:]]
    for changed in damaged:
        frames = Frames()
        found = [*frames.feed(changed), *frames.finish()]
        rest = iter(written)
        assert all(record in rest for record in found)
        lost = sum(map(len, written)) - sum(map(len, found))
        assert 0 < lost <= frames.damaged + 2 * BLOCK
        assert frames.damaged >= min(lost, 100)


def test_parts_without_their_record():
    """A writer that was killed and began anew leaves a beginning without an end."""

    def chunk(part: int, data: bytes) -> bytes:
        return struct.pack("<IHB", zlib.crc32(data, zlib.crc32(bytes([part]))), len(data), part) + data

    whole, first, middle, last = 1, 2, 3, 4
    parts = [
        (first, b"12345"),
        (whole, b"A"),
        (last, b"6"),
        (middle, b"78"),
        (first, b"B"),
        (middle, b"C"),
        (last, b"D"),
    ]
    frames = Frames()
    found = frames.feed(
        MAGIC + b"".join(chunk(*part) for part in [*parts, (first, b"90"), (first, b"E"), (last, b"F")])
    )
    assert found == [b"A", b"BCD", b"EF"]
    assert frames.damaged == len("1234567890")
    frames.feed(chunk(first, b"torn"))
    frames.finish()
    assert frames.torn == len("torn")


@pytest.mark.parametrize("zeros", [1, 6, 7, 100, BLOCK, 3 * BLOCK])
def test_a_tail_of_zeros(whole, tmp_path, zeros):
    """What a file system leaves after a power cut."""
    data, rows = whole
    path = tmp_path / "a.wandb"
    path.write_bytes(data + bytes(zeros))
    table = read(path)
    assert len(rows_of(table)) == len(rows)
    room = -len(data) % BLOCK
    assert bool(table.lost) == (zeros >= 7 or zeros > room or zeros < room)


def test_another_beginning(whole, tmp_path):
    data, rows = whole
    path = tmp_path / "a.wandb"
    for damaged in (b"\0" * len(MAGIC) + data[len(MAGIC) :], MAGIC[:4] + b"\xff" + data[5:]):
        path.write_bytes(damaged)
        assert wandb.parts(path, damaged[: 1 << 16]) == ("",)
        table = read(path)
        assert len(rows_of(table)) == len(rows)
        assert table.lost == {wandb.DAMAGED: len(MAGIC)}


@pytest.mark.parametrize(
    "head", [b"", b":", b":W&", b"PK\x03\x04", b"{}", b"\0" * 100, bytes(range(256)), b"W&B" * 100]
)
def test_other_files_are_none(tmp_path, head):
    assert wandb.parts(tmp_path / "a.wandb", head) is None


def test_of_an_empty_file_there_is_nothing(tmp_path):
    path = tmp_path / "a.wandb"
    path.write_bytes(b"")
    table = read(path)
    assert table.rows == 0 and not table.lost


# ---- following


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, len(GO)), max_size=8), st.sampled_from(["whole", "cut", "damaged", "zeros"]))
def test_a_growing_file_gives_the_same_table(tmp_path_factory, cuts, kind):
    data = {
        "whole": GO,
        "cut": GO[:70_001],
        "damaged": GO[:20_000] + b"damage" + GO[20_006:],
        "zeros": GO + bytes(50_000),
    }[kind]
    folder = tmp_path_factory.mktemp("growing")
    (folder / "whole.wandb").write_bytes(data)
    path, at = folder / "growing.wandb", 0
    path.write_bytes(b"")
    reader = wandb.open_log([path], "")
    for cut in [*sorted(cuts), len(data)]:
        with path.open("ab") as file:
            file.write(data[at:cut])
        at = max(at, cut)
        while reader.poll():
            pass
    reader.finish()
    assert told(reader.table) == told(read(folder / "whole.wandb"))


def test_byte_by_byte():
    """Frames give a record as soon as its last byte is there, whatever the parts are."""
    frames, found = Frames(), []
    for i in range(50_000):
        found += frames.feed(GO[i : i + 1])
    at_once = Frames()
    assert found == at_once.feed(GO[:50_000])
    frames.finish()
    assert frames.damaged == 0
    assert frames.torn > 0


def test_a_chunk_that_is_being_written_is_no_damage(tmp_path):
    """The writer's pages may come in any order: zeros now, records later."""
    path = tmp_path / "a.wandb"
    cut = 2 * BLOCK + 5000
    path.write_bytes(GO[:cut] + bytes(3000))
    reader = wandb.open_log([path], "")
    while reader.poll():
        pass
    assert not reader.table.lost
    rows = reader.table.rows
    assert rows > 40
    while reader.poll():
        pass
    assert reader.table.rows == rows
    reader.finish()
    assert reader.table.lost
    waiting, rest = Frames(), GO[:cut] + bytes(BLOCK)
    waiting.feed(rest[: 3 * BLOCK - 1])
    assert waiting.damaged == 0
    waiting.feed(rest[3 * BLOCK - 1 :])
    assert BLOCK - 5000 <= waiting.damaged < BLOCK


def test_a_record_whose_length_goes_beyond_its_block():
    """It is damage once the block is full, and the next block is read."""
    data = bytearray(GO)
    at = len(MAGIC)
    data[at + 4 : at + 6] = b"\xff\xff"
    frames = Frames()
    assert frames.feed(bytes(data[: BLOCK - 1])) == []
    assert frames.damaged == 0
    assert frames.feed(bytes(data[BLOCK - 1 :]))
    assert frames.damaged >= BLOCK - len(MAGIC)
