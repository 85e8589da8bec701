"""Run files of many versions of wandb against what was logged, and against what wandb's own reader says."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnostics.readers import wandb
from diagnostics.readers.columns import MOST_NAMES, TOO_MANY
from diagnostics.readers.table import Table, number
from diagnostics.readers.wandb_history import UNREADABLE_ROWS, UNREADABLE_VALUES

DATA = Path(__file__).parents[2] / "data" / "wandb"
FILES = sorted(DATA.glob("*.wandb"))
CLOCK = {"_timestamp", "_runtime"}

_script = importlib.util.spec_from_file_location("big_wandb", DATA.parents[1] / "benchmarks" / "big_wandb.py")
assert _script is not None and _script.loader is not None
big_wandb = importlib.util.module_from_spec(_script)
_script.loader.exec_module(big_wandb)
field, item, varint = big_wandb.field, big_wandb.item, big_wandb.varint
RUN, CONFIG, METRIC, OUTPUT, EXIT, HISTORY, STATS = 17, 5, 12, 13, 18, 2, 7


def read(*paths: Path) -> wandb.WandbReader:
    reader = wandb.open_log(paths, "")
    while reader.poll():
        pass
    reader.finish()
    reader.close()
    return reader


def points(table: Table) -> dict[str, list[tuple[int, str]]]:
    """Row and number of each column; numbers as texts, so that NaN equals NaN and -0.0 is not 0.0."""
    return {
        name: list(zip(rows.tolist(), map(repr, numbers.tolist()), strict=True))
        for name, (rows, numbers) in ((name, column.since(0)) for name, column in table.columns.items())
    }


def everything(table: Table) -> dict[str, object]:
    told = ("rows", "step_names", "settings", "packages", "texts", "lost", "notes", "ended")
    return {"points": points(table), **{name: getattr(table, name) for name in told}}


def flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{before}{name}.")
        else:
            yield before + name, value


def expected(rows: list[dict[str, Any]]) -> dict[str, list[tuple[int, str]]]:
    """The points of `rows`, by the plainest code."""
    found: dict[str, list[tuple[int, str]]] = {}
    for row, values in enumerate(rows):
        for name, value in flat(values):
            if (spelt := number(value)) is not None:
                found.setdefault(name, []).append((row, repr(spelt)))
    return found


def run_file(path: Path, *records: tuple[int, bytes], exit_code: int | None = 0) -> Path:
    """A run file with these records."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        out = big_wandb.Writer(file)
        for kind, data in records:
            out.record(kind, data)
        if exit_code is not None:
            out.record(EXIT, b"\x08" + varint(exit_code & (1 << 64) - 1))
    return path


def start(
    run_id: str = "abc", *, at: int = 1_700_000_000, resumed: bool = False, more: bytes = b""
) -> tuple[int, bytes]:
    """The record a run begins with."""
    flags = b"\x90\x01\x01" if resumed else b""
    return RUN, field(1, run_id.encode()) + field(17, b"\x08" + varint(at)) + flags + more


def history(step: int, *items: bytes) -> tuple[int, bytes]:
    return HISTORY, b"".join(items) + field(2, b"\x08" + varint(step))


def logged(step: int, **values: object) -> tuple[int, bytes]:
    return history(step, *(item(json.dumps(value), name) for name, value in values.items()))


# ---- what the SDK wrote


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden(path):
    resumed = path.stem.endswith("resumed")
    golden = json.loads((DATA / f"logged{'-resumed' if resumed else ''}.json").read_text())
    reader = read(path)
    table = reader.table
    assert table.rows == len(golden["rows"])
    clock = {name: table.columns.pop(name) for name in CLOCK}
    assert points(table) == expected([{"_step": row["step"], **row["logged"]} for row in golden["rows"]])
    for column in clock.values():
        assert len(column) == table.rows
        assert (np.diff(column.since(0)[1]) >= 0).all()
    assert table.settings == golden["config"]
    assert table.step_names == ("train/global_step",)
    assert table.packages["wandb"] == path.stem.partition("-")[0]
    assert table.texts == {"note": golden["rows"][0]["logged"]["note"]}
    assert reader.exit_code == golden["exit"]
    assert table.ended
    assert not table.lost
    assert table.notes == [
        "not read, as they are no numbers: 1 histogram, 1 html-file",
        "no number under flag, list, nothing: flags, blanks or lists",
        *(["the run exited with code 3"] if resumed else []),
    ]


def test_at_least_six_versions():
    versions = {path.stem.partition("-")[0] for path in FILES}
    assert len(versions) >= 6
    assert {"0.13", "0.31"} <= {version.rpartition(".")[0] for version in versions}
    assert (DATA / "0.31.0-typed.wandb").read_bytes().count(b"train/kl\x82\x01") > 0


def test_golden_files_name_no_machine():
    for path in FILES:
        data = path.read_bytes()
        for private in (b"/home", b"/root", b"/tmp", b"/Users", b"/usr", b"://", b"site-packages"):
            assert private not in data, path


@pytest.mark.parametrize("name", ["0.31.0", "0.31.0-typed", "0.31.0-resumed"])
def test_same_as_wandb_itself(name):
    """`wandb leet inspect`, the SDK's own reader, is written in Go and shares nothing with ours."""
    path = DATA / f"{name}.wandb"
    script = shutil.which("wandb", path=str(Path(sys.executable).parent))
    if script is None:
        pytest.skip("wandb is not installed")
    told = subprocess.run([script, "leet", "inspect", "--json", path], check=True, capture_output=True, timeout=120)
    records = [json.loads(line) for line in told.stdout.splitlines()]
    rows = [record["history"]["item"] for record in records if record["type"] == "history"]
    table = read(path).table
    theirs = {name: column for name, column in expected(rows).items() if not name.startswith(("histogram.", "page."))}
    assert points(table) == theirs
    config: dict[str, Any] = {}
    for record in records:
        for changed in (record.get("config"), record.get("run", {}).get("config")):
            config |= (changed or {}).get("update", {})
    assert table.settings == {name: value for name, value in config.items() if not name.startswith("_wandb")}


def test_a_resumed_run_goes_on(tmp_path):
    files = [DATA / "0.31.0.wandb", DATA / "0.31.0-resumed.wandb"]
    table = read(*files).table
    rows, steps = table.columns["_step"].since(0)
    assert rows.tolist() == list(range(160))
    assert (np.diff(steps) > 0).all()
    assert steps[-1] == 164
    assert "2 files were read as one: the run was resumed" in table.notes
    assert "the run exited with code 3" in table.notes
    reader = wandb.open_log(files, "")
    assert reader.position == 0
    while reader.poll():
        pass
    assert reader.position == sum(path.stat().st_size for path in files)


# ---- values of all kinds, in all encodings

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=150).filter(lambda name: name != "_type")
numbers = st.floats() | st.integers(-(2**70), 2**70) | st.sampled_from([10**400, -(10**400), 0, -0.0])
others = st.none() | st.booleans() | st.text(max_size=200) | st.lists(st.integers(), max_size=60)
objects = st.recursive(numbers | others, lambda inner: st.dictionaries(names, inner, max_size=3), max_leaves=8)
paths = st.lists(names, min_size=1, max_size=3).map(tuple)
rows_of_values = st.lists(st.dictionaries(paths, objects, max_size=6), max_size=12)


def typed(value: Any) -> bytes:
    """The form of `value` that has a type."""
    match value:
        case None:
            return b"\x18\x00"
        case bool():
            return b"\x20" + varint(value)
        case int() if -(2**63) <= value < 2**63:
            return b"\x28" + varint(value << 1 ^ value >> 63 if value >= 0 else -2 * value - 1)
        case float():
            return b"\x31" + np.float64(value).tobytes()
        case str():
            return field(7, value.encode())
        case _:
            return field(8, json.dumps(value).encode())


def encoded(path: tuple[str, ...], value: Any, form: str) -> bytes:
    key = field(1, path[0].encode()) if form == "python" else b"".join(field(2, name.encode()) for name in path)
    return field(
        1,
        key
        + (field(16, json.dumps(value).encode()) if form != "typed" else b"")
        + (typed(value) if "typed" in form else b""),
    )


def leaves(path: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves((*path, name), inner)
    else:
        yield path, value


@settings(max_examples=100, deadline=None)
@given(rows_of_values, st.sampled_from(["json", "typed", "json,typed", "python"]))
def test_what_was_written_is_read(tmp_path_factory, rows, form):
    rows = [{path[:1] if form == "python" else path: value for path, value in row.items()} for row in rows]
    columns: dict[tuple[str, ...], list[tuple[int, str]]] = {}
    seen = set()
    for i, row in enumerate(rows):
        for path, value in row.items():
            for leaf, inner in leaves(path, value):
                seen.add(leaf)
                if (spelt := number(inner)) is not None:
                    columns.setdefault(leaf, []).append((i, repr(spelt)))
    path = tmp_path_factory.mktemp("run") / "a.wandb"
    run_file(path, *(history(i, *(encoded(p, v, form) for p, v in row.items())) for i, row in enumerate(rows)))
    table = read(path).table
    assert table.rows == len(rows)
    assert sorted(points(table).values()) == sorted(columns.values())
    if len(set(map(".".join, seen))) == len(seen):
        assert points(table) == {".".join(path): column for path, column in columns.items()}
    assert not table.lost


def test_lengths_that_look_like_tags(tmp_path):
    """82 01 is the tag of a value, the length 130, and the step 130."""
    texts = ["x" * (n - 2) for n in range(120, 140)]
    rows = [{"text": texts[i % 20], "\x82" * (i % 3) + "loss": float(i), "n" * 128: i} for i in range(300)]
    table = read(run_file(tmp_path / "a.wandb", *(logged(i, **row) for i, row in enumerate(rows)))).table
    assert points(table) == expected(rows)


def test_names_that_look_alike(tmp_path):
    both = history(0, item("1", "a.b"), item("2", "a", "b"), item("3", "a", "c"))
    table = read(run_file(tmp_path / "a.wandb", both, both)).table
    assert {name: [value for _, value in column] for name, column in points(table).items()} == {
        "a.b": ["1.0", "1.0"],
        "a.b (2)": ["2.0", "2.0"],
        "a.c": ["3.0", "3.0"],
    }
    assert "names that also arise by joining others: a.b (2)" in table.notes


def test_objects_whole_and_in_parts(tmp_path):
    """A value below two names may come either way."""
    parts, whole = [item("1", "a", "b"), item('"0.5"', "c")], [item('{"b": 2, "d": {"e": "3"}}', "a"), item("4", "c")]
    rows = [history(i, *(whole if i % 2 else parts)) for i in range(4)]
    table = read(run_file(tmp_path / "a.wandb", *rows)).table
    assert points(table) == {
        "a.b": [(0, "1.0"), (1, "2.0"), (2, "1.0"), (3, "2.0")],
        "c": [(0, "0.5"), (1, "4.0"), (2, "0.5"), (3, "4.0")],
        "a.d.e": [(1, "3.0"), (3, "3.0")],
    }


def test_a_name_twice_in_a_row(tmp_path):
    table = read(run_file(tmp_path / "a.wandb", history(0, item("1", "a"), item("2", "a")), logged(1, a=3))).table
    assert points(table) == {"a": [(0, "1.0"), (0, "2.0"), (1, "3.0")]}


def test_parts_of_an_object_of_wandb_are_no_metrics(tmp_path):
    picture = [
        item("640", "picture", "width"),
        item('"image-file"', "picture", "_type"),
        item("1.5", "other", "width"),
        item("0.5", "eval", "plot", "size"),
        item('"plotly-file"', "eval", "plot", "_type"),
        item("2", "eval", "loss"),
    ]
    table = read(run_file(tmp_path / "a.wandb", history(0, *picture), history(1, item("3", "picture", "width")))).table
    assert points(table) == {"other.width": [(0, "1.5")], "eval.loss": [(0, "2.0")], "picture.width": [(1, "3.0")]}
    assert "not read, as they are no numbers: 1 image-file, 1 plotly-file" in table.notes
    assert not table.texts


def test_hundreds_of_names_that_come_once(tmp_path):
    rows = [
        {"loss": 1 / (i + 1), f"layer/{i}": i, **({f"x{j}": j for j in range(500)} if i == 5 else {})}
        for i in range(900)
    ]
    table = read(run_file(tmp_path / "a.wandb", *(logged(i, **row) for i, row in enumerate(rows)))).table
    assert points(table) == expected(rows)


def test_more_names_than_a_log_has(tmp_path):
    row = {f"n{i}": i for i in range(MOST_NAMES + 100)}
    table = read(run_file(tmp_path / "a.wandb", logged(0, **row), logged(1, n1=5, other=1))).table
    assert len(table.columns) == MOST_NAMES
    assert table.lost == {TOO_MANY: 101}
    assert points(table)["n1"] == [(0, "1.0"), (1, "5.0")]


def test_a_row_of_megabytes(tmp_path):
    row = {f"n{i}": i * 0.5 for i in range(9000)}
    table = read(run_file(tmp_path / "a.wandb", logged(0, loss=1.0), logged(1, **row), logged(2, loss=2.0))).table
    assert points(table) == expected([{"loss": 1.0}, row, {"loss": 2.0}])


@pytest.mark.parametrize(
    "value", ["nope", "[" * 100_000, '{"a":' * 100_000, '"open', "-", "Infinite", "1.2.3", "0x10", "1" * 40 + "e"]
)
def test_a_value_that_is_no_json(tmp_path, value):
    rows = [history(0, item("1", "loss"), item(value, "odd")), history(1, item("2", "loss"), item("5", "odd"))]
    table = read(run_file(tmp_path / "a.wandb", *rows)).table
    assert points(table) == {"loss": [(0, "1.0"), (1, "2.0")], "odd": [(1, "5.0")]}
    assert table.lost == ({} if value[0] in "n[" else {UNREADABLE_VALUES: 1})


def test_names_below_names(tmp_path):
    row = history(0, item("1", *"abc" * 10), item("2", *["deep"] * 100), item("3", "loss"))
    table = read(run_file(tmp_path / "a.wandb", row)).table
    assert points(table) == {".".join("abc" * 10): [(0, "1.0")], "loss": [(0, "3.0")]}
    assert table.lost == {UNREADABLE_VALUES: 1}


def test_giant_numbers(tmp_path):
    rows = [
        history(0, item("9" * 5000, "a"), item("-" + "9" * 5000, "b"), item("1e999", "c"), item("0." + "3" * 5000, "d"))
    ]
    table = read(run_file(tmp_path / "a.wandb", *rows)).table
    assert points(table) == {"a": [(0, "inf")], "b": [(0, "-inf")], "c": [(0, "inf")], "d": [(0, repr(1 / 3))]}


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x0a\xff\xff\xff\xff\x0f",
        b"\x0a\x05\x12\x01",
        b"\x0b",
        b"\xff" * 20,
        b"\x80",
    ],
)
def test_a_record_that_is_damaged_inside(tmp_path, data):
    """Checksums are right: whoever wrote it is to blame."""
    good = item("1", "loss")
    for kind in (HISTORY, CONFIG, METRIC, RUN):
        table = read(
            run_file(tmp_path / "a.wandb", start(), logged(0, loss=5.0), (kind, good + data), logged(1, loss=7.0))
        ).table
        assert points(table)["loss"][0] == (0, "5.0")
        assert points(table)["loss"][-1] == (table.rows - 1, "7.0")
        assert table.lost == {UNREADABLE_ROWS if kind == HISTORY else wandb.UNREADABLE: 1}, kind


# ---- what else a run file tells


def test_settings_are_updated_and_removed(tmp_path):
    config = item("1", "a") + item('{"x": 1}', "b") + item("2", "c", "d")
    records = [
        start(more=field(4, config)),
        (CONFIG, item("5", "b", "y") + item("{}", "_wandb") + field(2, field(1, b"a"))),
        (CONFIG, item("7", "c", "e", "f") + item("3", "b", "x")),
        (CONFIG, item('{"cli_version": "0.15.0", "huggingface_version": "4.30.1"}', "_wandb")),
    ]
    table = read(run_file(tmp_path / "a.wandb", *records, logged(0, loss=1))).table
    assert table.settings == {"b": {"x": 3, "y": 5}, "c": {"d": 2, "e": {"f": 7}}}
    assert table.packages == {"wandb": "0.15.0", "transformers": "4.30.1"}


@pytest.mark.parametrize(
    ("defined", "step_names"),
    [
        ([("*", "train/global_step")], ("train/global_step",)),
        ([("eval/*", "eval/step"), ("*", "global_step")], ("global_step",)),
        ([("loss", "iteration"), ("reward", "iteration")], ("iteration",)),
        ([("train/*", "train/step"), ("eval/*", "eval/step")], ()),
        ([("loss", "")], ()),
        ([("*", "a\\.b")], ("a.b",)),
        ([], ()),
    ],
)
def test_step_metrics(tmp_path, defined, step_names):
    records = [
        (METRIC, field(2 if "*" in name else 1, name.encode()) + field(4, step.encode())) for name, step in defined
    ]
    assert read(run_file(tmp_path / "a.wandb", *records, logged(0, loss=1))).table.step_names == step_names


@pytest.mark.parametrize(
    ("code", "note"),
    [
        (0, None),
        (1, "the run exited with code 1"),
        (-9, "the run exited with code -9"),
        (None, "the run file has no exit record: the run was killed, or still goes on"),
    ],
)
def test_how_a_run_ended(tmp_path, code, note):
    reader = read(run_file(tmp_path / "a.wandb", logged(0, loss=1), exit_code=code))
    assert reader.exit_code == code
    assert reader.table.ended == (code is not None)
    assert reader.table.notes == ([note] if note else [])


def test_a_run_that_was_resumed_and_killed_has_not_ended(tmp_path):
    first = run_file(tmp_path / "a.wandb", start(), logged(0, loss=1), exit_code=1)
    second = run_file(tmp_path / "b.wandb", start(resumed=True), logged(1, loss=2), exit_code=None)
    reader = read(first, second)
    assert reader.exit_code is None
    assert not reader.table.ended
    assert any("no exit record" in note for note in reader.table.notes)


def test_forked_and_resumed(tmp_path):
    branch = field(23, field(1, b"parent") + b"\x11" + np.float64(120).tobytes())
    forked = read(run_file(tmp_path / "a.wandb", start(more=branch), logged(120, loss=1))).table
    assert "forked from run parent at step 120: what was before is in that run" in forked.notes
    resumed = read(
        run_file(tmp_path / "b.wandb", start(resumed=True, more=b"\x70" + varint(40)), logged(40, loss=1))
    ).table
    assert "resumed at step 40: what was before is in another file" in resumed.notes


PRINTED = "".join(f"{{'loss': {1 / (i + 1)}, 'reward': {i / 10}, 'epoch': {i}.0}}\n" for i in range(20))


def test_a_run_without_rows_is_read_from_its_console(tmp_path):
    parts = [PRINTED[i : i + 37] for i in range(0, len(PRINTED), 37)]
    path = run_file(tmp_path / "run-x" / "a.wandb", start(), *((OUTPUT, field(3, part.encode())) for part in parts))
    table = read(path).table
    assert table.columns["reward"].since(0)[1].tolist() == [i / 10 for i in range(20)]
    assert "nothing was logged to wandb: the rows are those of the console (output records)" in table.notes
    silent = run_file(tmp_path / "run-y" / "a.wandb", start())
    assert read(silent).table.rows == 0
    (silent.parent / "files").mkdir()
    (silent.parent / "files" / "output.log").write_text(PRINTED)
    assert read(silent).table.columns["reward"].since(0)[1].tolist() == [i / 10 for i in range(20)]
    rows = run_file(tmp_path / "run-x" / "a.wandb", start(), (OUTPUT, field(3, PRINTED.encode())), logged(0, kl=1.0))
    assert set(read(rows).table.columns) == {"kl"}


def test_what_lies_beside_the_run_file(tmp_path):
    files = tmp_path / "run-x" / "files"
    files.mkdir(parents=True)
    (files / "config.yaml").write_text("wandb_version: 1\n\nlearning_rate:\n  desc: null\n  value: 1.0e-05\n")
    (files / "requirements.txt").write_text("trl==0.9.6\nPyYAML==6.0\n# no\nmine @ file:///there\n==\n")
    path = run_file(files.parent / "a.wandb", start(), logged(0, loss=1))
    table = read(path).table
    assert table.settings == {"learning_rate": 1e-5}
    assert table.packages == {"trl": "0.9.6", "pyyaml": "6.0"}
    assert "the settings are those in config.yaml: the run file has none" in table.notes
    said = run_file(files.parent / "a.wandb", start(more=field(4, item("3", "learning_rate"))), logged(0, loss=1))
    assert read(said).table.settings == {"learning_rate": 3}


def test_links_out_of_the_folder_of_a_run_are_not_followed(tmp_path):
    files = tmp_path / "run-x" / "files"
    files.mkdir(parents=True)
    secret = tmp_path / "secret"
    secret.write_text("key:\n  value: 1\nsecret==1\n" + PRINTED)
    for name in ("config.yaml", "requirements.txt", "output.log"):
        (files / name).symlink_to(secret)
    table = read(run_file(files.parent / "a.wandb", start())).table
    assert not table.settings and not table.packages and not table.rows
