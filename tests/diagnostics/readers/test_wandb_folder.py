"""Which run files are one run, and the settings that lie beside them."""

import importlib.util
import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnostics.readers import wandb
from diagnostics.readers.wandb_yaml import parsed

_script = importlib.util.spec_from_file_location("big_wandb", Path(__file__).parents[2] / "benchmarks" / "big_wandb.py")
assert _script is not None and _script.loader is not None
big_wandb = importlib.util.module_from_spec(_script)
_script.loader.exec_module(big_wandb)
field, item, varint = big_wandb.field, big_wandb.item, big_wandb.varint


def run_file(
    path: Path, run_id: str, *, at: float, rows: range = range(3), resumed: bool = False, starting_step: int = 0
) -> Path:
    """A run file whose rows have `_step` and `loss`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    begun = b"\x08" + varint(int(at)) + b"\x10" + varint(round(at % 1 * 1e9))
    begun = field(1, run_id.encode()) + field(17, begun) + (b"\x90\x01\x01" if resumed else b"")
    with path.open("wb") as file:
        out = big_wandb.Writer(file)
        out.record(17, begun + (b"\x70" + varint(starting_step) if starting_step else b""))
        for step in rows:
            out.record(2, item(str(step), "_step") + item(str(step / 2), "loss") + field(2, b"\x08" + varint(step)))
    return path


NOON = 1_700_000_000.0


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "wandb"


def test_each_run_by_itself(folder):
    files = [run_file(folder / f"run-{i}" / f"run-{i}.wandb", f"id{i}", at=NOON + i) for i in range(3)]
    assert wandb.group(files) == [(path,) for path in files]


def test_a_resumed_run_is_one_in_the_order_of_time(folder):
    late = run_file(folder / "run-a" / "run-x.wandb", "x", at=NOON + 7200, rows=range(6, 9), starting_step=6)
    other = run_file(folder / "run-b" / "run-y.wandb", "y", at=NOON)
    first = run_file(folder / "run-c" / "run-x.wandb", "x", at=NOON, rows=range(3))
    second = run_file(folder / "run-d" / "run-x.wandb", "x", at=NOON + 30, rows=range(3, 6), resumed=True)
    runs = wandb.group([late, other, first, second])
    assert sorted(runs) == sorted([(other,), (first, second, late)])
    reader = wandb.open_log((first, second, late), "")
    while reader.poll():
        pass
    reader.finish()
    assert reader.table.columns["_step"].since(0)[1].tolist() == list(range(9))
    assert "3 files were read as one: the run was resumed" in reader.table.notes


def test_offline_runs_of_one_id_are_one_when_they_began_apart(folder):
    """Without a server nobody says that they were resumed."""
    first = run_file(folder / "a" / "run-x.wandb", "x", at=NOON)
    second = run_file(folder / "b" / "run-x.wandb", "x", at=NOON + 3600)
    assert wandb.group([second, first]) == [(first, second)]


def test_processes_that_share_an_id_are_runs_of_their_own(folder):
    ranks = [run_file(folder / f"run-{i}" / "run-x.wandb", "x", at=NOON + i * 0.3, rows=range(i + 1)) for i in range(4)]
    assert sorted(wandb.group(ranks)) == [(path,) for path in ranks]


def test_a_copy_is_told_once(folder):
    """`latest-run` is a copy where links were resolved, and maybe an older state of the file."""
    run = run_file(folder / "run-20240101_000000-x" / "run-x.wandb", "x", at=NOON, rows=range(50))
    copy = folder / "latest-run" / "run-x.wandb"
    copy.parent.mkdir()
    for size in (run.stat().st_size, 1000):
        copy.write_bytes(run.read_bytes()[:size])
        assert wandb.group([copy, run]) == [(run,)]
        assert wandb.group([run, copy]) == [(run,)]
    copy.write_bytes(run.read_bytes()[:-1] + b"\xff")
    assert sorted(wandb.group([copy, run])) == sorted([(run,), (copy,)])


def test_files_that_do_not_say_whose_they_are(folder):
    folder.mkdir()
    files = [folder / name for name in ("empty.wandb", "header.wandb", "noise.wandb")]
    for path, data in zip(files, (b"", b":W&B\xe1\xbe\x00", b":W&B\xe1\xbe\x00" + b"noise" * 1000), strict=True):
        path.write_bytes(data)
    missing = folder / "missing.wandb"
    assert wandb.group([*files, missing]) == [(path,) for path in (*files, missing)]


# ---- config.yaml

BY_PYTHON = """\
wandb_version: 1

_wandb:
  desc: null
  value:
    python_version: 3.8.10
    cli_version: 0.15.0
    t:
      1:
      - 1
      - 5
      8:
      - 5
learning_rate:
  desc: null
  value: 1.0e-05
batch_size:
  desc: null
  value: 64
model:
  desc: null
  value: org/model-7b
'on':
  desc: null
  value: 'yes'
layers:
  desc: null
  value:
  - 1
  - 2.5
  - x
nested:
  desc: null
  value:
    beta: 0.04
    deep:
      name: 'it''s: here'
      none: null
      empty: {}
    list: []
    last: true
text:
  desc: null
  value: 'a long text that goes
    on in the next line'
block:
  desc: null
  value: |
    def f():
      return 1
object:
  desc: null
  value: !!python/object:os.system
    args: x
maps:
  desc: null
  value:
  - a: 1
    b: 2
after:
  desc: null
  value: -.inf
"""
BY_GO = """\
_wandb:
    value:
        cli_version: 0.19.0
        m: []
        t:
            "1":
                - 1
learning_rate:
    value: 1e-06
layers:
    value:
        - 1
        - 2
nested:
    value:
        beta: 0.04
        note: "a \\"b\\" é"
"""


def test_config_of_python_and_go():
    told = {
        name: entry["value"]
        for name, entry in parsed(BY_PYTHON).items()
        if isinstance(entry, dict) and "value" in entry
    }
    told.pop("_wandb")
    assert told == {
        "learning_rate": 1e-5,
        "batch_size": 64,
        "model": "org/model-7b",
        "on": "yes",
        "layers": [1, 2.5, "x"],
        "nested": {
            "beta": 0.04,
            "deep": {"name": "it's: here", "none": None, "empty": {}},
            "list": [],
            "last": True,
        },
        "after": -math.inf,
    }
    assert isinstance(told["batch_size"], int)
    assert {name: entry["value"] for name, entry in parsed(BY_GO).items() if name != "_wandb"} == {
        "learning_rate": 1e-6,
        "layers": [1, 2],
        "nested": {"beta": 0.04, "note": 'a "b" é'},
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "- 1\n- 2\n",
        "a",
        ":",
        ": 1",
        "?",
        "&a *a",
        "\t",
        "{",
        "[1, 2",
        "a:\n b:\n  c:" + "\n   d:" * 50,
        "'",
        '"',
        "'a",
        "-",
    ],
)
def test_what_is_no_mapping(text):
    assert isinstance(parsed(text), dict)


def test_deep_and_wide():
    deep = "\n".join(" " * i + "a:" for i in range(2_000))
    assert parsed(deep)["a"]["a"]["a"]
    wide = "\n".join(f"k{i}: {i}" for i in range(50_000))
    assert parsed(wide)["k49999"] == 49999


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12)


@settings(max_examples=80, deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=8),
        st.recursive(
            scalars | st.lists(scalars, max_size=3),
            lambda inner: st.dictionaries(st.text(max_size=8), inner, max_size=3),
            max_leaves=8,
        ),
        max_size=4,
    )
)
def test_whatever_pyyaml_writes(config):
    """What is read is what was written; what cannot be read is not there."""
    yaml = pytest.importorskip("yaml")
    for options in ({"default_flow_style": False}, {"default_flow_style": False, "allow_unicode": True, "indent": 4}):
        read = parsed(yaml.dump({"top": {"value": config}}, **options))
        assert_within(read.get("top", {}).get("value", {}), config)


def assert_within(read: object, written: object) -> None:
    if isinstance(read, dict) and isinstance(written, dict):
        for name, value in read.items():
            assert name in written
            assert_within(value, written[name])
    else:
        assert json.dumps(read) == json.dumps(written)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=" \n\t:-'\"#ab1{}[]|>&*!", max_size=80))
def test_any_text(text):
    assert isinstance(parsed(text), dict)
