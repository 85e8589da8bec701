"""A second look: the same report without reading the log, and never a wrong one."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as configured
from hypothesis import strategies as st

from diagnostics import cache as module
from diagnostics.cache import Cache, default_folder, kept_to_json, report_from_json
from diagnostics.engine import diagnose
from diagnostics.finding import Report
from diagnostics.readers import events
from diagnostics.sources import Source
from diagnostics.user_map import UserMap

RUNS = Path(__file__).parent.parent / "data" / "runs"
REPORTS = [diagnose(events.read(path)) for path in sorted(RUNS.iterdir())]
REPORT = next(report for report in REPORTS if report.source.endswith("collapse-0"))
NOBODY = UserMap()


@pytest.fixture
def log(tmp_path: Path) -> Source:
    """A log that was last written a minute ago."""
    return aged(tmp_path / "log.csv", "step,loss\n1,2\n")


def aged(path: Path, text: str, seconds: float = 60) -> Source:
    path.write_text(text)
    then = time.time() - seconds
    os.utime(path, (then, then))
    return Source("csv_file", (path,), "", str(path))


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the cache stands a minute ahead, so that nothing was changed just now."""
    now = time.time
    monkeypatch.setattr(module.time, "time", lambda: now() + 60)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the logs whose bytes are read."""
    seen: list[str] = []
    opened = Path.open

    def watched(path: Path, *args, **options):
        if path.suffix == ".csv":
            seen.append(path.name)
        return opened(path, *args, **options)

    monkeypatch.setattr(Path, "open", watched)
    return seen


def kept(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*.json") if path.stem != module.CONTENTS]


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: Path(report.source).name)
def test_what_is_kept_is_the_whole_report(report: Report, tmp_path: Path, log: Source) -> None:
    whole = replace(
        report,
        names={"a": "b"},
        suggestions={"c": ("d", "e")},
        recognised="by x",
        version="1 or newer",
        unmapped=("y\ud800",),
    )
    cache = Cache(tmp_path / "c")
    cache.put(cache.key(log, NOBODY), whole)
    again = Cache(tmp_path / "c")
    # Not ==, to which NaN is unlike NaN.
    found = again.get(again.key(log, NOBODY))
    assert found is not None
    assert json.dumps(kept_to_json(found)) == json.dumps(kept_to_json(whole))


def test_excerpts_with_what_is_not_finite_are_kept() -> None:
    blown_up = next(report for report in REPORTS if report.source.endswith("blown-up"))
    again = report_from_json(json.loads(json.dumps(kept_to_json(blown_up))))
    assert repr(again.excerpts) == repr(blown_up.excerpts)
    assert "nan" in repr(again.excerpts)


@pytest.mark.usefixtures("later")
def test_a_second_look_does_not_read_the_log(tmp_path: Path, log: Source, reads: list[str]) -> None:
    first = Cache(tmp_path / "c")
    first.put(first.key(log, NOBODY), REPORT)
    first.save()
    assert reads == ["log.csv"]
    second = Cache(tmp_path / "c")
    assert second.get(second.key(log, NOBODY)) == REPORT
    assert reads == ["log.csv"]


@pytest.mark.usefixtures("later")
def test_a_log_that_was_touched_is_read_and_found_to_be_the_same(tmp_path: Path, log: Source, reads: list[str]) -> None:
    cache = Cache(tmp_path / "c")
    cache.put(cache.key(log, NOBODY), REPORT)
    os.utime(log.paths[0])
    assert cache.get(cache.key(log, NOBODY)) == REPORT
    assert reads == ["log.csv"] * 2


@pytest.mark.usefixtures("later")
def test_other_content_another_map_another_name_or_other_rules_are_another_report(
    tmp_path: Path, log: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path / "c")
    cache.put(cache.key(log, NOBODY), REPORT)
    assert cache.get(cache.key(log, UserMap({"loss": "policy_loss"}))) is None
    assert cache.get(cache.key(log, UserMap(settings={"loss": "learning_rate"}))) is None
    assert cache.get(cache.key(replace(log, part="2"), NOBODY)) is None
    assert cache.get(cache.key(replace(log, name="other"), NOBODY)) is None
    assert cache.get(cache.key(replace(log, format="jsonl"), NOBODY)) is None
    with monkeypatch.context() as patch:
        patch.setattr(module, "ours", lambda: "another version")
        assert cache.get(cache.key(log, NOBODY)) is None
    assert cache.get(cache.key(log, NOBODY)) == REPORT
    aged(log.paths[0], "step,loss\n1,3\n")
    assert cache.get(cache.key(log, NOBODY)) is None


def test_our_own_code_is_every_rule_reader_and_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    before = module.ours()
    read = Path.read_bytes
    for name in ("kl_explosion.py", "trl-grpo.toml", "metrics.toml", "jsonl.py"):
        module.ours.cache_clear()
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_bytes", lambda path, name=name: read(path) + b"#" * (path.name == name))
            assert module.ours() != before
    module.ours.cache_clear()
    assert module.ours() == before


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize(
    "beside", ["files/config.yaml", "files/output.log", "{}_configs.parquet", "aux/configs.parquet"]
)
def test_what_is_read_beside_a_log_is_part_of_it(tmp_path: Path, log: Source, beside: str) -> None:
    cache = Cache(tmp_path / "c")
    cache.put(cache.key(log, NOBODY), REPORT)
    file = tmp_path / beside.format(log.paths[0].stem)
    file.parent.mkdir(exist_ok=True)
    file.write_text("lr: 1\n")
    assert cache.get(cache.key(log, NOBODY)) is None


def test_a_log_that_was_just_written_is_read_again_each_time(tmp_path: Path, reads: list[str]) -> None:
    """Git's racy case: a second write within the same tick of the clock, and of the same length, shows in no time."""
    log = aged(tmp_path / "log.csv", "step,loss\n1,2\n", seconds=0)
    cache = Cache(tmp_path / "c")
    cache.put(cache.key(log, NOBODY), REPORT)
    before = log.paths[0].stat()
    log.paths[0].write_text("step,loss\n1,9\n")
    os.utime(log.paths[0], ns=(before.st_atime_ns, before.st_mtime_ns))
    cache = Cache(tmp_path / "c")
    assert cache.get(cache.key(log, NOBODY)) is None
    assert len(reads) >= 2


def test_a_report_on_a_log_that_grew_meanwhile_is_not_kept(tmp_path: Path, log: Source) -> None:
    cache = Cache(tmp_path / "c")
    key = cache.key(log, NOBODY)
    with log.paths[0].open("a") as file:
        file.write("2,3\n")
    cache.put(key, REPORT)
    assert not kept(tmp_path / "c")


def test_what_cannot_be_read_has_no_key(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c")
    assert cache.key(Source("csv_file", (tmp_path / "gone.csv",), "", "gone"), NOBODY) is None
    cache.put(None, REPORT)
    assert cache.get(None) is None
    assert not (tmp_path / "c").exists()


@configured(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_a_damaged_entry_is_none(data: st.DataObject, tmp_path: Path) -> None:
    log = aged(tmp_path / "log.csv", "step,loss\n1,2\n")
    cache = Cache(tmp_path / "c")
    cache.put(cache.key(log, NOBODY), REPORT)
    (entry,) = kept(tmp_path / "c")
    whole = entry.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = data.draw(
        st.sampled_from([whole[:at], whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :], whole[at:], b"", b"\n"])
    )
    entry.write_bytes(damaged)
    found = cache.get(cache.key(log, NOBODY))
    assert found is None or damaged == whole
    cache.put(cache.key(log, NOBODY), REPORT)
    assert cache.get(cache.key(log, NOBODY)) == REPORT


@pytest.mark.usefixtures("later")
def test_a_damaged_memory_of_files_is_forgotten(tmp_path: Path, log: Source, reads: list[str]) -> None:
    cache = Cache(tmp_path / "c")
    cache.put(cache.key(log, NOBODY), REPORT)
    cache.save()
    contents = tmp_path / "c" / "contents.json"
    contents.write_bytes(contents.read_bytes()[:-3])
    again = Cache(tmp_path / "c")
    assert again.get(again.key(log, NOBODY)) == REPORT
    assert reads == ["log.csv"] * 2


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path: Path, log: Source) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file" / "c", Path("/proc/none"), None):
        cache = Cache(folder)
        cache.put(cache.key(log, NOBODY), REPORT)
        cache.remember(log.paths[0], [log])
        cache.save()
        assert cache.get(cache.key(log, NOBODY)) is None
        assert cache.logs(log.paths[0]) is None


@pytest.mark.usefixtures("later")
def test_the_reports_looked_at_longest_ago_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ENTRIES", 4)
    logs = [aged(tmp_path / f"{i}.csv", f"step,loss\n1,{i}\n") for i in range(6)]
    cache = Cache(tmp_path / "c")
    for i, log in enumerate(logs):
        cache.put(cache.key(log, NOBODY), REPORT)
        cache.save()
        for n, path in enumerate(sorted(kept(tmp_path / "c"), key=lambda p: p.stat().st_mtime_ns)):
            os.utime(path, (1000 + 10 * i + n, 1000 + 10 * i + n))  # as if hours lay between
        cache.get(cache.key(logs[0], NOBODY))
    left = [i for i, log in enumerate(logs) if cache.get(cache.key(log, NOBODY)) is not None]
    assert 0 in left and 5 in left and 1 not in left
    assert len(list((tmp_path / "c").iterdir())) <= 4


def test_the_reports_together_have_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    big = replace(REPORT, notes=("x" * 4000,))
    monkeypatch.setattr(module, "MOST_BYTES", 50_000)
    cache = Cache(tmp_path / "c")
    for i in range(20):
        cache.put(cache.key(aged(tmp_path / f"{i}.csv", str(i)), NOBODY), big)
    cache.save()
    assert 0 < sum(path.stat().st_size for path in (tmp_path / "c").iterdir()) <= 50_000


def remembered(folder: Path, path: Path, logs: list[Source]) -> None:
    cache = Cache(folder)
    cache.remember(path, logs)
    cache.save()


@pytest.mark.usefixtures("later")
def test_what_is_known_of_files_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CONTENTS", 3)
    logs = [aged(tmp_path / f"{i}.csv", f"step,loss\n1,{i}\n") for i in range(5)]
    for log in logs:
        remembered(tmp_path / "c", log.paths[0], [log])
    known = [i for i, log in enumerate(logs) if Cache(tmp_path / "c").logs(log.paths[0]) is not None]
    assert known == [2, 3, 4], "those that were looked at last"


@pytest.mark.usefixtures("later")
def test_what_is_known_of_files_is_written_once_for_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    real = Cache._write
    monkeypatch.setattr(Cache, "_write", lambda self, name, data: written.append(name) or real(self, name, data))
    cache = Cache(tmp_path / "c")
    for i in range(4):
        log = aged(tmp_path / f"{i}.csv", f"step,loss\n1,{i}\n")
        cache.remember(log.paths[0], [log])
        cache.put(cache.key(log, NOBODY), REPORT)
    cache.save()
    assert written.count("contents.json") == 1 and len(written) == 5
    cache.save()
    assert len(written) == 5, "nothing was learned since"


@pytest.mark.usefixtures("later")
def test_what_a_file_holds_is_remembered_as_long_as_it_is_the_same(tmp_path: Path, log: Source) -> None:
    path = log.paths[0]
    two = [replace(log, part="a", name="x [a]"), replace(log, part="b", name="x [b]")]
    assert Cache(tmp_path / "c").logs(path) is None
    remembered(tmp_path / "c", path, two)
    assert Cache(tmp_path / "c").logs(path) == tuple(two)
    (tmp_path / "link.csv").hardlink_to(path)
    assert Cache(tmp_path / "c").logs(tmp_path / "link.csv") is None
    aged(path, "step,loss\n1,2\n2,3\n")
    assert Cache(tmp_path / "c").logs(path) is None


@pytest.mark.usefixtures("later")
def test_what_a_file_holds_is_asked_anew_of_another_version(
    tmp_path: Path, log: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    remembered(tmp_path / "c", log.paths[0], [log])
    monkeypatch.setattr(module, "ours", lambda: "another version")
    assert Cache(tmp_path / "c").logs(log.paths[0]) is None


@pytest.mark.usefixtures("later")
def test_a_folder_is_never_remembered(tmp_path: Path, log: Source) -> None:
    (tmp_path / "runs").mkdir()
    remembered(tmp_path / "c", tmp_path / "runs", [log])
    assert Cache(tmp_path / "c").logs(tmp_path / "runs") is None


def test_text_of_a_log_names_no_file(tmp_path: Path) -> None:
    log = aged(tmp_path / "log.csv", "../../../evil,step\n1,2\n")
    evil = replace(log, part="../../evil", name="../../../evil\x00", format="../evil")
    cache = Cache(tmp_path / "deep" / "c")
    cache.put(cache.key(evil, UserMap({"../x": "policy_loss"})), replace(REPORT, source="../../../evil"))
    written = {path.name for path in tmp_path.rglob("*") if path.is_file()} - {"log.csv"}
    assert {path.parent for path in tmp_path.rglob("*.json")} == {tmp_path / "deep" / "c"}
    assert all(name == "contents.json" or len(name) == len("a" * 64 + ".json") for name in written)


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"AUTOTUNE_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a/diagnoses"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/autotune/diagnoses"),
        ({"XDG_CACHE_HOME": "b", "HOME": "/h"}, "/h/.cache/autotune/diagnoses"),
        ({"HOME": "/h"}, "/h/.cache/autotune/diagnoses"),
    ],
)
def test_where_it_is(environment: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AUTOTUNE_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert default_folder() == Path(folder)
