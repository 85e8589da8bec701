"""Databases that trackio itself writes, of this version and older ones, whole and while they are written."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from diagnostics.cache import Cache
from diagnostics.engine import diagnose
from diagnostics.errors import UserError
from diagnostics.logs import open_log, read
from diagnostics.readers import sqlite
from diagnostics.sources import find
from diagnostics.stores.trackio import database
from diagnostics.user_map import UserMap

DATA = Path(__file__).parents[2] / "data"
SCRIPT = DATA / "log_trackio.py"
PATIENCE = 60  # seconds for rows to arrive


@contextmanager
def writing(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The script under way, half of its second run logged."""
    env = {**os.environ, "TRACKIO_DIR": str(folder), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, SCRIPT, "My project"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=env) as writer:
        assert writer.stdout is not None
        try:
            assert any(line == "half\n" for line in writer.stdout), writer.stderr and writer.stderr.read()
            yield writer
        finally:
            if writer.poll() is None:
                writer.kill()


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[Path, list[int]]:
    """A database, and how many points the second run had while it was written and in the end."""
    folder = tmp_path_factory.mktemp("trackio")
    with writing(folder) as writer:
        (path,) = folder.glob("*.db")
        end = time.monotonic() + PATIENCE
        while len(sources := find(path).sources) < 2 and time.monotonic() < end:
            time.sleep(0.05)
        log, points = open_log(sources[1]), []
        for wanted in (30, 60):
            while not points or (points[-1] < wanted and time.monotonic() < end):
                log.poll()
                points.append(len(log.histories()[0].series.get("reward_mean", ())))
                time.sleep(0.02)
            if wanted == 30:
                writer.communicate("\n", timeout=PATIENCE)
        log.close()
    return path, points


def module():
    spec = importlib.util.spec_from_file_location("log_trackio", SCRIPT)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_runs_of_one_name_are_told_apart_and_read_whole(written):
    path, _ = written
    first, second = find(path).sources
    assert first.part != second.part
    assert first.part.startswith("same ") and second.part.startswith("same ")
    assert second.name == f"{path} [{second.part}]"
    logged = module()
    for run, source in enumerate((first, second)):
        (history,) = read(source)
        assert history.format == "trackio database"
        rows = [logged.row(run, step) for step in range(logged.STEPS)]
        steps = [row["train/global_step"] for row in rows]  # trackio's own would be 0, 1, 2, ...
        for name, metric in (("train/reward", "reward_mean"), ("train/grad_norm", "grad_norm")):
            series = history.series[metric]
            assert series.steps.tolist() == steps
            np.testing.assert_array_equal(series.values, [row[name] for row in rows])
        config = logged.CONFIG | {"seed": run, "trainer.packing": True}
        assert history.raw_settings == {name: config[name] for name in config if name != "trainer"}
    report = diagnose(read(second))
    assert {"NUM001", "RWD002"} <= {finding.code for finding in report.findings}


def test_it_is_read_while_it_is_written(written):
    _, points = written
    assert points == sorted(points)
    assert points[-1] == 60
    assert 30 in points


@contextmanager
def held(path: Path) -> Iterator[sqlite3.Connection]:
    """A writer that has the database open, as trackio while it writes: what is new is in the WAL beside it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        yield database


def add(database: sqlite3.Connection, step: int, run: str = "id1") -> None:
    query = "INSERT INTO metrics (run_id, timestamp, run_name, step, metrics) VALUES (?, '', ?, ?, ?)"
    database.execute(query, (run, run, step, json.dumps({"reward": step})))


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir() if path.suffix != ".db-shm"
    }


def rewards(path: Path) -> list[float]:
    return [value for run in read(find(path).sources[0]) for value in run.series["reward_mean"].values[-2:]]


def test_reading_beside_a_writer_leaves_nothing_behind(tmp_path, samples):
    path, copy = tmp_path / "a" / "a ?#%41.db", tmp_path / "copy"
    path.parent.mkdir()
    path.write_bytes(samples.trackio(samples.run(5)))
    with held(path) as database:
        add(database, 6)
        add(database, 7)
        before = files(path.parent)
        assert f"{path.name}-wal" in before
        assert rewards(path.parent) == [6, 7]  # what is beside the database is no log
        assert files(path.parent) == before
        copy.mkdir()  # of a run that was killed, or copied to another machine: without the index of the WAL
        for name in (path.name, f"{path.name}-wal"):
            (copy / name).write_bytes((path.parent / name).read_bytes())
    before, names = files(copy), sorted(copy.iterdir())
    assert rewards(copy) == [6, 7]
    assert files(copy) == before and sorted(copy.iterdir()) == names
    before = files(path.parent)
    assert list(before) == [path.name]
    assert rewards(path.parent) == [6, 7]
    assert files(path.parent) == before


def test_a_writer_that_opens_it_while_it_is_read_makes_it_be_read_again(tmp_path, samples):
    path = tmp_path / "p.db"
    path.write_bytes(samples.trackio(samples.run(5)))
    with held(path):
        pass
    with pytest.raises(sqlite.Busy), sqlite.opened(path) as database:
        database.execute("SELECT 1 FROM metrics").fetchall()
        with held(path) as writer:
            add(writer, 6)


def test_no_report_is_kept_for_rows_that_are_in_the_wal_alone(tmp_path, samples, monkeypatch):
    monkeypatch.setattr("diagnostics.cache.RACY_SECONDS", -math.inf)  # as if all were written long ago
    path, cache = tmp_path / "p.db", Cache(tmp_path / "cache")
    path.write_bytes(samples.trackio(samples.run(5)))
    with held(path) as database:
        add(database, 6)
        sources = find(path).sources
        key = cache.key(sources[0], UserMap())
        cache.remember(path, sources)
        add(database, 1, "other")
        assert cache.key(sources[0], UserMap()) != key
        assert cache.logs(path) is None


def test_objects_of_trackio_are_no_metrics_and_are_told(tmp_path, samples):
    path = tmp_path / "p.db"
    rows = samples.run(5)
    path.write_bytes(samples.trackio(rows))
    with closing(sqlite3.connect(path)) as database:
        table = {"_type": "trackio.table", "_value": [{"a": 1.0}], "size": 3}
        database.execute("UPDATE metrics SET metrics = ? WHERE step = 3", (json.dumps({"reward": 2.5, "t": table}),))
        database.execute("UPDATE metrics SET metrics = 'no JSON' WHERE step = 4")
        database.commit()
    (history,) = read(find(path).sources[0])
    assert history.series["reward_mean"].values[2] == 2.5
    assert "t.size" not in history.unmapped
    assert "not read, as they are no numbers: 1 trackio.table" in history.notes
    assert "could not be read: 1 row that is no object of JSON" in history.notes


@pytest.mark.parametrize("path", sorted((DATA / "trackio").glob("*.db")), ids=lambda path: path.stem)
def test_older_versions(path):
    before = path.read_bytes()
    first, second = find(path).sources  # which know a run by its name, and gave the second another one
    assert first.part == "same" and second.part
    logged = module()
    for run, source in enumerate((first, second)):
        (history,) = read(source)
        rows = [logged.row(run, step) for step in range(logged.STEPS)]
        assert history.series["reward_mean"].steps.tolist() == [row["train/global_step"] for row in rows]
        np.testing.assert_array_equal(history.series["reward_mean"].values, [row["train/reward"] for row in rows])
        np.testing.assert_array_equal(history.series["grad_norm"].values, [row["train/grad_norm"] for row in rows])
        assert history.raw_settings["seed"] == run
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir() if file.suffix != ".db"] == []


# ---- what it syncs

EXPORT = """
import sys
from pathlib import Path
from trackio.sqlite_storage import SQLiteStorage as storage
storage._dataset_import_attempted = True
storage.export_to_parquet()
storage.export_for_static_space("My project", Path(sys.argv[1]))
"""


def test_its_exports_hold_what_its_database_holds(written, tmp_path):
    path, _ = written
    database = tmp_path / path.name
    database.write_bytes(path.read_bytes())
    env = {**os.environ, "TRACKIO_DIR": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "-c", EXPORT, str(tmp_path / "static")], env=env, check=True)
    known = [read(source)[0] for source in find(database).sources]
    for export in (database.with_suffix(".parquet"), tmp_path / "static" / "metrics.parquet"):
        sources = find(export).sources
        assert [source.part for source in sources] == [source.part for source in find(database).sources]
        for source, of_database in zip(sources, known, strict=True):
            (history,) = read(source)
            assert history.format == "trackio export"
            assert history.series.keys() == of_database.series.keys() >= {"reward_mean", "grad_norm"}
            for metric, series in history.series.items():
                assert series.steps.tolist() == of_database.series[metric].steps.tolist()
                np.testing.assert_array_equal(series.values, of_database.series[metric].values)
            for name, value in module().CONFIG.items():
                if not isinstance(value, dict):
                    assert history.raw_settings[name] == value
            assert history.raw_settings["trainer.packing"] is True
            assert history.raw_settings["seed"] == of_database.raw_settings["seed"]
            assert not {"run_id", "timestamp", "created_at"} & history.raw_settings.keys()
    with pytest.raises(UserError, match="is no log that autotune reads"):
        find(database.with_name(f"{database.stem}_configs.parquet"))
    assert [source.format for source in find(tmp_path).sources] == ["trackio"] * 2  # which has it all


def test_an_export_without_pyarrow_says_what_to_install(tmp_path, samples, monkeypatch):
    path = tmp_path / "p.parquet"
    path.write_bytes(samples.trackio_parquet(samples.run(5)))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (source,) = find(path).sources
    with pytest.raises(UserError, match=r"p\.parquet is read with pyarrow, which is not installed\. pip install"):
        read(source)


NO_TEXT = b"\xff\xfe"


def of_bytes(texts):
    import pyarrow

    return pyarrow.array(texts, pyarrow.binary()).view(pyarrow.string())


def test_an_export_with_columns_of_one_name_or_names_that_are_no_text_is_damaged(tmp_path):
    import pyarrow
    import pyarrow.parquet

    names = ["run_name", "timestamp", "step", "loss"]
    runs = pyarrow.array(["a", "a"])
    others = [runs, pyarrow.array([0, 1]), pyarrow.array([1.0, 2.0])]
    for columns in ([of_bytes([NO_TEXT, NO_TEXT]), *others], [runs, *others, runs]):
        path = tmp_path / "p.parquet"
        pyarrow.parquet.write_table(pyarrow.table(columns, [*names, "run_name"][: len(columns)]), path)
        (history,) = read(find(path).sources[0])
        assert "could not be read: 1 export that is damaged" in history.notes


@pytest.mark.parametrize("odd", ["text", "time"])
def test_settings_of_an_export_that_cannot_be_read_cost_no_numbers(odd, tmp_path, samples):
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "p.parquet"
    path.write_bytes(samples.trackio_parquet(samples.run(5)))
    value = of_bytes([NO_TEXT]) if odd == "text" else pyarrow.array([2**62], pyarrow.timestamp("us"))
    configs = pyarrow.table({"run_id": ["id1"], "run_name": ["run1"], "learning_rate": value})
    pyarrow.parquet.write_table(configs, tmp_path / "p_configs.parquet")
    (history,) = read(find(path).sources[0])
    assert len(history["reward_mean"]) == 5
    assert "could not be read: 1 export that is damaged" in history.notes


# ---- what others could have put into such a file


def tampered(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(";".join(statements))
    return path


VIEW = (
    "ALTER TABLE metrics RENAME TO kept",
    "CREATE VIEW metrics AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
    " SELECT i AS id, 'a' AS run_id, 'a' AS run_name, i AS step, '{}' AS metrics FROM n",
)


def test_a_view_that_never_ends_is_not_evaluated(tmp_path, samples):
    path = tmp_path / "p.db"
    path.write_bytes(samples.trackio(samples.run(5)))
    with pytest.raises(UserError, match="is no log that autotune reads"):
        find(tampered(path, *VIEW))


def test_a_database_that_turns_into_a_view_is_not_evaluated(tmp_path, samples):
    path = tmp_path / "p.db"
    path.write_bytes(samples.trackio(samples.run(5)))
    (source,) = find(path).sources
    tampered(path, *VIEW)
    (history,) = read(source)
    assert not history.series


def test_a_column_that_is_computed_is_not_read(tmp_path, samples):
    path = tmp_path / "p.db"
    path.write_bytes(samples.trackio(samples.run(5)))
    tampered(
        path,
        "ALTER TABLE metrics RENAME COLUMN step TO kept",
        "ALTER TABLE metrics ADD COLUMN step GENERATED ALWAYS AS (length(hex(zeroblob(100000000))))",
    )
    with pytest.raises(UserError, match="is no log that autotune reads"):
        find(path)


@pytest.mark.parametrize(
    "statement",
    ["SELECT hex(run_id) FROM metrics", "DELETE FROM metrics", "ATTACH 'x.db' AS x", "PRAGMA writable_schema = ON",
     "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"],
)  # fmt: skip
def test_nothing_but_columns_can_be_read(statement, tmp_path, samples):
    path = tmp_path / "p.db"
    path.write_bytes(samples.trackio(samples.run(5)))
    with sqlite.opened(path) as database:
        assert sqlite.columns(database, "metrics") > {"run_id", "step"}
        assert len(database.execute("SELECT step FROM metrics").fetchall()) == 5
    with pytest.raises(sqlite.Damaged), sqlite.opened(path) as database:
        sqlite.columns(database, "metrics")
        database.execute(statement).fetchone()
    assert list(tmp_path.iterdir()) == [path]


def test_a_view_has_no_columns(tmp_path, samples):
    path = tmp_path / "p.db"
    path.write_bytes(samples.trackio(samples.run(5)))
    virtual = "INSERT INTO sqlite_schema VALUES ('table', 'f', 'f', 0, 'CREATE VIRTUAL TABLE f USING none(step)')"
    spaced = virtual.replace("'f'", "'g'").replace("CREATE VIRTUAL TABLE f", "CREATE/**/VIRTUAL TABLE g")
    tampered(path, "CREATE VIEW v AS SELECT * FROM metrics", "PRAGMA writable_schema = ON", virtual, spaced)
    with sqlite.opened(path) as database:
        assert [sqlite.columns(database, name) for name in ("v", "f", "g", "none")] == [frozenset()] * 4


def test_a_page_that_is_cut_is_damage(tmp_path, samples):
    path = tmp_path / "p.db"
    path.write_bytes(samples.trackio(samples.run(40))[:-22])
    with pytest.raises(sqlite.Damaged), sqlite.opened(path):
        pass
    (history,) = read(find(path).sources[0])
    assert "could not be read: 1 database that is damaged" in history.notes


def test_a_damaged_database_of_anything_is_called_so(tmp_path):
    path = tmp_path / "p.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE other (a)")
    with pytest.raises(UserError, match="is no log that autotune reads"):
        find(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"p\.db is a database that is damaged\. Copy it anew, with p\.db-wal where"):
        find(path)


def test_ids_that_are_no_numbers_are_damage(tmp_path, samples):
    path = tmp_path / "p.db"
    path.write_bytes(samples.trackio(samples.run(5)))
    tampered(path, "CREATE TABLE other AS SELECT 'x' AS id, run_id, run_name, step, metrics FROM metrics",
             "DROP TABLE metrics", "ALTER TABLE other RENAME TO metrics")  # fmt: skip
    (history,) = read(find(path).sources[0])
    assert "could not be read: 1 database that is damaged" in history.notes


# ---- by name


@pytest.mark.parametrize(
    ("name", "environment", "path"),
    [
        ("trackio:My.proj ect", {"TRACKIO_DIR": "/t"}, "/t/Myproject.db"),
        ("trackio:a-b_c", {"HF_HOME": "/h", "XDG_CACHE_HOME": "/x"}, "/h/trackio/a-b_c.db"),
        ("trackio:..", {"XDG_CACHE_HOME": "/x"}, "/x/huggingface/trackio/default.db"),
        ("trackio:../../etc/passwd", {"TRACKIO_DIR": "/t"}, "/t/etcpasswd.db"),
        ("trackio:", {"TRACKIO_DIR": "/t"}, "/t"),
        ("trackio", {"TRACKIO_DIR": "/t"}, None),
        ("wandb:trackio:x", {"TRACKIO_DIR": "/t"}, None),
    ],
)
def test_where_a_project_lies(name, environment, path):
    assert database(name, environment) == (path and Path(path))


def test_trackio_itself_says_the_same(written, monkeypatch):
    path, _ = written
    monkeypatch.setenv("TRACKIO_DIR", str(path.parent))
    assert database("trackio:My project") == path


def test_a_project_is_diagnosed_by_its_name(written, tmp_path):
    path, _ = written
    env = {**os.environ, "TRACKIO_DIR": str(path.parent), "AUTOTUNE_CACHE": str(tmp_path)}
    command = [sys.executable, "-m", "autotune", "diagnose", "--format", "json"]
    done = subprocess.run([*command, "trackio:My project"], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    names = [report["source"] for report in json.loads(done.stdout)["runs"]]
    assert [name.partition(" [")[0] for name in names] == ["trackio:My project"] * 2
    assert str(path.parent) not in done.stdout
    done = subprocess.run([*command, "trackio:Myprojct"], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    looked = f"Projects of trackio are looked for in {path.parent} (TRACKIO_DIR)."
    assert done.stderr == f"autotune: error: there is no trackio:Myprojct. Did you mean {path}? {looked}\n"
    done = subprocess.run([*command, "trackio:"], env=env, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)["overview"][0]["source"].startswith(f"{path} [same ")
