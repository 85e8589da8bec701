"""CSV of every shape that people have, read whole, while it grows, and damaged."""

import codecs
import math
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnostics.readers import csv_file
from diagnostics.readers.csv_records import LONGEST
from diagnostics.readers.table import Table

DATA = Path(__file__).parents[2] / "data"
SB3 = DATA / "stable-baselines3"


def read(path: Path, part: str = "") -> Table:
    reader = csv_file.open_log([path], part)
    while reader.poll():
        pass
    reader.finish()
    reader.close()
    return reader.table


def table_of(tmp_path: Path, text: str | bytes, part: str = "") -> Table:
    path = tmp_path / "log.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(path, part)


def columns(table: Table) -> dict[str, list[object]]:
    """The numbers of each column by row, None where it has none there."""
    found: dict[str, list[object]] = {}
    for name, column in table.columns.items():
        rows, numbers = column.since(0)
        cells: list[object] = [None] * table.rows
        for row, number in zip(rows.tolist(), numbers.tolist(), strict=True):
            cells[row] = "nan" if math.isnan(number) else number
        found[name] = cells
    return found


def parts(text: str | bytes) -> list[str] | None:
    found = csv_file.parts(Path("log.csv"), text if isinstance(text, bytes) else text.encode())
    return None if found is None else list(found)


# ---- shapes


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_cells_are_parted_by_what_parts_the_header_into_most(delimiter, tmp_path):
    text = "step,loss,kl\n1,0.5,2\n2,0.25,-3e-4\n".replace(",", delimiter)
    assert parts(text) == [""]
    assert columns(table_of(tmp_path, text)) == {"step": [1, 2], "loss": [0.5, 0.25], "kl": [2, -3e-4]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encodings_and_ends_of_lines(encoding, end, tmp_path):
    raw = end.join(["step,größe", "1,0.5", "2,0.25", ""]).encode(encoding)
    assert parts(raw) == [""]
    assert columns(table_of(tmp_path, raw)) == {"step": [1, 2], "größe": [0.5, 0.25]}


def test_another_encoding_is_counted(tmp_path):
    table = table_of(tmp_path, "step,größe\n1,2\n".encode("latin-1"))
    assert columns(table)["step"] == [1] and sum(table.lost.values()) == 2


def test_blanks_texts_flags_and_numbers_as_texts(tmp_path):
    table = table_of(
        tmp_path,
        'step,loss,phase,done,kl\n1,"0.5",train,True,NaN\n2,,eval,False,inf\n3, 1e-3 ,train,True,-Infinity\n'
        "4,No log,train,False,N/A\n5,broken,train,False,-\n",
    )
    assert columns(table) == {
        "step": [1, 2, 3, 4, 5],
        "loss": [0.5, None, 1e-3, None, None],
        "kl": ["nan", math.inf, -math.inf, None, None],
    }
    assert table.texts == {"phase": "train", "done": "True"}
    assert dict(table.lost) == {"cells of text in columns of numbers": 1}


@pytest.mark.parametrize("cell", ["1_000", "1٢", '"0,5"', "5%", "0x10", "1 2"])
def test_what_only_looks_like_a_number_is_a_text(cell, tmp_path):
    table = table_of(tmp_path, f"step,a,b\n1,{cell},2\n")
    assert columns(table) == {"step": [1], "b": [2]} and table.texts == {"a": cell.strip('"')}


def test_quoted_cells_with_delimiters_quotes_and_line_ends(tmp_path):
    text = 'step,prompt,reward\n1,"a, ""b""\nand 3,4,5\n",0.5\n2,12" long,0.25\n3,"x\n\ny",1\n'
    assert parts(text) == [""]
    table = table_of(tmp_path, text)
    assert columns(table) == {"step": [1, 2, 3], "reward": [0.5, 0.25, 1]}
    assert not table.lost and table.texts == {"prompt": 'a, "b"\nand 3,4,5'}


def test_a_quote_that_never_ends_loses_its_line_alone(tmp_path):
    table = table_of(tmp_path, 'step,text,reward\n1,a,1\n2,"b,2\n3,c,3\n4,d,4\n')
    assert columns(table) == {"step": [1, 3, 4], "reward": [1, 3, 4]}
    assert dict(table.lost) == {"lines with a quote that does not end": 1}
    long = "".join(f"{i},x,{i}\n" for i in range(LONGEST // 4))
    path = tmp_path / "long.csv"
    path.write_text('step,text,reward\n"' + long)
    reader = csv_file.open_log([path], "")
    while reader.poll():
        pass
    table = reader.table  # without waiting for the end
    assert table.rows == LONGEST // 4 - 1 and dict(table.lost) == {"lines with a quote that does not end": 1}


def test_a_header_alone_is_said(tmp_path):
    assert parts("step,loss,reward\n") == [""]
    table = table_of(tmp_path, "step,loss,reward\n")
    assert (table.rows, table.columns) == (0, {}) and table.notes == ["it holds a header and no row of numbers"]


def test_without_a_header_columns_are_counted(tmp_path):
    assert parts("1,0.5\n2,0.25\n") == [""]
    assert columns(table_of(tmp_path, "1,0.5\n2,0.25\n")) == {"column 1": [1, 2], "column 2": [0.5, 0.25]}


def test_a_header_in_a_comment_is_one(tmp_path):
    text = "# made by numpy\n# step,loss\n1.0,0.5\n2.0,0.25\n"
    assert parts(text) == [""]
    assert columns(table_of(tmp_path, text)) == {"step": [1, 2], "loss": [0.5, 0.25]}


def test_an_index_of_pandas_and_names_that_come_twice(tmp_path):
    table = table_of(tmp_path, ",Training Loss,rewards / check,loss, loss \n0,1,2,3,4\n1,5,6,7,8\n")
    assert columns(table) == {
        "Unnamed: 0": [0, 1], "Training Loss": [1, 5], "rewards / check": [2, 6], "loss": [3, 7], "loss.1": [4, 8],
    }  # fmt: skip
    assert table.notes == ["several columns have the same name (loss): the later have a number behind"]
    assert columns(table_of(tmp_path, ",0,1\n0,1.5,2\n")) == {"Unnamed: 0": [0], "0": [1.5], "1": [2]}


def test_rows_of_another_length_are_counted(tmp_path):
    table = table_of(tmp_path, "step,loss,kl\n1,2,3\n4,5\n6,7,8,9\n10,11,12,\n\n13,14,15\n,,\nx,y,z\n")
    assert columns(table) == {"step": [1, 10, 13], "loss": [2, 11, 14], "kl": [3, 12, 15]}
    assert dict(table.lost) == {
        "lines with more or fewer cells than the header": 2,
        "rows without a number": 2,
        "cells of text in columns of numbers": 3,
    }


def test_a_header_that_comes_again(tmp_path):
    table = table_of(tmp_path, "step,loss\n1,2\nstep,loss\n1,3\nstep,kl,loss\n1,4,5\n")
    assert columns(table) == {"step": [1, 1, 1], "loss": [2, 3, 5], "kl": [None, None, 4]}
    assert table.notes == ["the header is there 3 times: it was begun anew, or holds several runs"]
    assert not table.lost


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["0,5", "1,25", "-3,0e-2"], [0.5, 1.25, -0.03]),
        (["1,234", "0,5", "1,234"], [None, 0.5, 1.234]),  # the first may have meant a thousand
        (["1,234", "2,345"], None),
        (["1,234,567", "0.5"], [None, 0.5]),
    ],
)
def test_commas_are_decimal_points_where_they_part_nothing_else(cells, numbers, tmp_path):
    table = table_of(tmp_path, "step;x\n" + "".join(f"{i};{cell}\n" for i, cell in enumerate(cells)))
    assert columns(table).get("x") == numbers
    said = ["commas in numbers were read as decimal points"]
    assert table.notes == (said if numbers and any("," in c and n for c, n in zip(cells, numbers, strict=True)) else [])


def test_a_table_of_a_notebook_or_markdown(tmp_path):
    text = "| Step | Training Loss |\n|-----:|:--------------|\n| 10 | 0.5 |\n| 20 | No log |\n"
    assert parts(text) == [""]
    table = table_of(tmp_path, text)
    assert columns(table) == {"Step": [10, 20], "Training Loss": [0.5, None]} and not table.lost
    assert columns(table_of(tmp_path, "Step | Training Loss\n10 | 0.5\n")) == {"Step": [10], "Training Loss": [0.5]}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "Hello, world\n",
        "no delimiter at all\nin these lines\n",
        '{"step": 1, "loss": 2}\n{"step": 2, "loss": 1}\n',
        "[1, 2]\n[3, 4]\n",
        "{'loss': 1.5, 'epoch': 1}\n{'loss': 0.5, 'epoch': 2}\n",
        "step: 1, loss: 0.5\nstep: 2, loss: 0.25\n",
        "2026-01-01 10:00:00,123 INFO step 1, loss 0.5\n2026-01-01 10:00:01,456 INFO step 2, loss 0.4\n",
        "INFO | step | 5\nINFO | step | 6\n",
        " 10%|#         | 1/10 [00:01<00:09,  1.0s/it]\n 20%|##        | 2/10 [00:02<00:08,  1.0s/it]\n",
        "name,city\nBo,Ulm\nAl,Rom\n",
        "loss\n0.5\nend\n",
        "7\n8\n9\n",
        "<html>, <b>\n1,2\n",
        ",".join(["x" * 300, "y"]) + "\n1,2\n",
        b"\x00\x01\x02\xff" * 50,
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    ],
)
def test_other_texts_are_no_csv(text):
    assert parts(text) is None


def test_one_column_of_numbers_is_one():
    assert parts("reward\n0.5\n0.25\n") == [""]


# ---- Stable-Baselines3, wandb's page


def test_progress_of_stable_baselines():
    table = read(SB3 / "progress.csv")
    assert columns(table) == {
        "rollout/ep_rew_mean": [1.5, 3, 4.5, None, 6, 7.5],
        "time/total_timesteps": [2048, 4096, 6144, 6145, 8192, 10240],
        "train/approx_kl": [None, 0.002, 0.003, None, "nan", 0.005],
        "train/n_updates": [None, 10, 20, None, 30, 40],
        "eval/mean_reward": [None, None, None, 7.25, None, None],
    }
    assert table.texts == {"note": 'a, "b"'} and not table.lost and not table.notes


def test_monitor_of_stable_baselines():
    head = (SB3 / "monitor.csv").read_bytes()
    assert parts(head) == [""]
    table = read(SB3 / "monitor.csv")
    assert table.framework == "stable-baselines3" and table.settings.keys() == {"t_start", "env_id"}
    found = columns(table)
    assert found["r"] == [0.5, 1, 1.5, 2, 2.5, 3] and found["l"] == [1, 2, 3, 4, 5, 6] and len(found["t"]) == 6


EXPORT = (
    '"Step","a - b - train/kl","a - b - train/kl__MIN","a - b - train/kl__MAX","c - train/kl","c - train/kl__MIN",'
    '"c - train/kl__MAX"\n"0","0.5","0.5","0.5","","",""\n"10","","","","1.5","1","2"\n'
    '"20","0.25","0.25","0.25","2","2","2"\n'
)


def test_a_chart_of_several_runs(tmp_path):
    assert parts(EXPORT) == ["a - b", "c"]
    first, second = table_of(tmp_path, EXPORT, "a - b"), table_of(tmp_path, EXPORT, "c")
    assert columns(first) == {"Step": [0, 20], "train/kl": [0.5, 0.25]}
    assert columns(second) == {"Step": [10, 20], "train/kl": [1.5, 2]}
    assert first.step_names == ("Step",) and not first.lost and not second.lost
    assert first.notes == ["the columns __MIN and __MAX of wandb's export were left out"]
    assert second.notes == [first.notes[0] + "; 1 points stand for several, from one to the other"]


def test_a_chart_of_one_run_and_a_file_that_only_looks_like_one(tmp_path):
    one = "Step,r - kl,r - kl__MIN,r - kl__MAX\n1,2,2,2\n"
    assert parts(one) == [""] and columns(table_of(tmp_path, one)) == {"Step": [1], "kl": [2]}
    other = "Step,r - kl,r - kl__MIN\n1,2,3\n"
    assert columns(table_of(tmp_path, other)) == {"Step": [1], "r - kl": [2], "r - kl__MIN": [3]}
    more = "Step,loss,r - kl,r - kl__MIN,r - kl__MAX\n1,2,3,4,5\n"
    assert len(columns(table_of(tmp_path, more))) == 5


# ---- growing

LINES = 'step,loss,text\n1,0.5,a\n2,,"b ""c"" \n4,5\n6,7\n"\n3,NaN,größe\nstep,loss,text\n1,x,y\n9,9\n2,0.1,"z\r\n'


@settings(deadline=None)
@given(data=st.data())
def test_a_growing_file_gives_the_table_of_the_whole_one(data, tmp_path_factory):
    raw = LINES.encode(data.draw(st.sampled_from(["utf-8", "utf-16"])))
    folder = tmp_path_factory.mktemp("growing")
    (folder / "whole").write_bytes(raw)
    expected = read(folder / "whole")
    (folder / "growing").touch()
    reader = csv_file.open_log([folder / "growing"], "")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    for begin, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        with (folder / "growing").open("ab") as file:
            file.write(raw[begin:end])
        while reader.poll():
            pass
    reader.finish()
    assert columns(reader.table) == columns(expected) and reader.table.rows == expected.rows == 4
    assert (reader.table.lost, reader.table.notes) == (expected.lost, expected.notes)
    assert reader.table.texts == expected.texts


def test_a_torn_last_line_means_not_yet(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("step,loss\n1,0.5\n2,0.2")
    reader = csv_file.open_log([path], "")
    assert reader.poll() and not reader.poll()
    assert columns(reader.table) == {"step": [1], "loss": [0.5]}
    with path.open("a") as file:
        file.write("5\n")
    assert reader.poll()
    assert columns(reader.table) == {"step": [1, 2], "loss": [0.5, 0.25]}


def test_a_file_that_is_written_anew_with_more_columns_is_followed(tmp_path):
    path = tmp_path / "progress.csv"
    path.write_text("steps,reward\n1,0.5\n2,0.25\n")
    reader = csv_file.open_log([path], "")
    assert reader.poll()
    path.write_text("steps,reward,train/kl\n1,0.5,\n2,0.25,\n3,0.125,7\n")  # as Stable-Baselines3 does
    assert reader.poll()
    path.write_text("steps,reward,train/kl,eval\n1,0.5,,\n2,0.25,,\n3,0.125,7,\n4,1,8,9\n")
    assert reader.poll()
    reader.finish()
    assert columns(reader.table) == {
        "steps": [1, 2, 3, 4], "reward": [0.5, 0.25, 0.125, 1], "train/kl": [None, None, 7, 8], "eval": [None] * 3 + [9]
    }  # fmt: skip
    assert not reader.table.notes and not reader.table.lost


def test_a_file_that_is_begun_anew_adds_its_rows(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("step,reward\n1,0.5\n2,0.25\n3,0.125\n")
    reader = csv_file.open_log([path], "")
    assert reader.poll()
    path.write_text("step,kl\n1,7\n")
    assert reader.poll()
    assert columns(reader.table) == {"step": [1, 2, 3, 1], "reward": [0.5, 0.25, 0.125, None], "kl": [None] * 3 + [7]}


def test_another_file_in_its_place_is_read_from_its_beginning(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("step,reward\n1,0.5\n2,0.25\n")
    reader = csv_file.open_log([path], "")
    assert reader.poll()
    path.write_text("step,kl,a longer name\n1,7,8\n2,9,10\n")
    assert reader.poll()
    assert columns(reader.table)["step"] == [1, 2, 1, 2] and columns(reader.table)["kl"] == [None, None, 7, 9]


# ---- damaged, hostile


@pytest.mark.parametrize("seed", range(100))
def test_a_damaged_file_is_read_as_far_as_it_goes(seed, tmp_path):
    rng = random.Random(seed)
    raw = bytearray(rng.choice([LINES.encode() * 20, EXPORT.encode(), (SB3 / "progress.csv").read_bytes()]))
    for _ in range(rng.randrange(1, 5)):
        begin = rng.randrange(len(raw))
        end = begin + rng.randrange(60)
        kind = rng.randrange(6)
        if kind == 0:
            raw[begin] ^= rng.randrange(1, 256)
        elif kind == 1:
            raw[begin:end] = bytes(end - begin)
        elif kind == 2:
            raw[begin:begin] = b"9" * rng.choice((400, 200_000))
        elif kind == 3:
            del raw[begin:end]
        elif kind == 4:
            raw[begin:begin] = rng.choice((b'"', b"\r", b",,,", b"\xff\xfe", b"\n\n", b"1e999,", b"\x1b[31m"))
        else:
            raw = raw[: begin + 1]
    if rng.random() < 0.2:
        raw = bytearray(codecs.BOM_UTF16_LE + raw)
    csv_file.parts(tmp_path, bytes(raw))
    table = table_of(tmp_path, bytes(raw), rng.choice(["", "c"]))
    for name, cells in columns(table).items():
        assert len(cells) == table.rows, name


def test_a_line_that_never_ends_is_counted_and_passed(tmp_path):
    long = "1," * (LONGEST // 2 + 1)
    for text in (f"step,loss\n1,2\n{long}\n3,4\n{long}", f"step,loss\n1,2\n{long * 5}\n3,4\n{long * 5}"):
        table = table_of(tmp_path, text)
        assert columns(table) == {"step": [1, 3], "loss": [2, 4]}
        assert dict(table.lost) == {"lines of more than 1,048,576 characters": 2}


def test_more_columns_than_any_log_has(tmp_path):
    names = [f"c{i}" for i in range(10_005)]
    table = table_of(tmp_path, ",".join(names) + "\n" + ",".join("1" for _ in names) + "\n")
    assert len(table.columns) == 10_000 and sum(table.lost.values()) == 5
