"""What a path holds: told by content, whatever it is called; and what is said of what holds nothing."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from diagnostics.errors import UserError
from diagnostics.logs import read
from diagnostics.sources import Found, find

DATA = Path(__file__).parent.parent / "data"
STATE = {"global_step": 2, "max_steps": 9, "log_history": [{"step": s, "reward": 0.1 * s} for s in (1, 2)]}
ROWS = "".join(json.dumps({"step": s, "reward": 0.1 * s}) + "\n" for s in range(4))
TABLE = "step,reward\n0,0.1\n1,0.2\n2,0.3\n"
CONSOLE = "".join(f"{{'loss': 0.{s}, 'reward': 0.{s}, 'epoch': 0.{s}}}\n" for s in range(1, 6))


def event(seq: int) -> str:
    return json.dumps({"v": 1, "type": "metrics_logged", "seq": seq, "time": 0, "attempt": 1, "step": seq,
                       "metrics": {"reward_mean": 0.5}}) + "\n"  # fmt: skip


def make(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def formats(found: Found) -> list[str]:
    return [source.format for source in found.sources]


@pytest.mark.parametrize(
    ("text", "format"),
    [
        (ROWS, "jsonl"),
        (TABLE, "csv_file"),
        (CONSOLE, "console"),
        (json.dumps(STATE), "trainer_state"),
        (event(0), "events"),
    ],
)
@pytest.mark.parametrize("name", ["log.txt", "metrics.csv", "x.wandb", "noname", "trainer_state.json", "run.jsonl"])
def test_a_file_is_told_by_what_is_in_it(tmp_path: Path, text: str, format: str, name: str):
    path = tmp_path / name
    path.write_text(text)
    found = find(path)
    assert formats(found) == [format]
    assert found.sources[0].paths == (path,)
    assert found.sources[0].name == str(path)


def said(path: Path) -> str:
    with pytest.raises(UserError) as error:
        find(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_is_not_there(tmp_path: Path):
    (tmp_path / "metrics.jsonl").write_text(ROWS)
    assert f"there is no {tmp_path / 'metrcs.jsonl'}. Did you mean {tmp_path / 'metrics.jsonl'}?" in said(
        tmp_path / "metrcs.jsonl"
    )
    assert "Check the spelling" in said(tmp_path / "zzz")
    assert "there is no" in said(tmp_path / "metrics.jsonl" / "below")
    assert "File name too long" in said(tmp_path / ("x" * 300))


def test_what_is_empty(tmp_path: Path):
    (tmp_path / "empty.log").touch()
    assert said(tmp_path / "empty.log") == f"{tmp_path / 'empty.log'} is empty. Has its writer begun?"
    (tmp_path / "folder").mkdir()
    assert "nothing to diagnose in" in said(tmp_path / "folder") and "it holds no log" in said(tmp_path / "folder")


@pytest.mark.parametrize(
    "content", [b"just some text\nand more of it\n", b"\x89PNG\r\n\x1a\n" + bytes(99), b'{"a": [1, 2]}', bytes(4096)]
)
def test_what_is_of_no_known_format(tmp_path: Path, content: bytes):
    path = tmp_path / "thing"
    path.write_bytes(content)
    assert said(path).startswith(f"{path} is no log that autotune reads. Autotune reads ")


def test_what_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "secret.jsonl"
    path.write_text(ROWS)
    (tmp_path / "open.jsonl").write_text(ROWS)
    really_open = Path.open

    def refuse(self: Path, *args, **options):
        if self.name == "secret.jsonl":
            raise PermissionError(13, "Permission denied", str(self))
        return really_open(self, *args, **options)

    monkeypatch.setattr(Path, "open", refuse)
    assert said(path) == f"cannot read {path}: Permission denied. See that you may read it."
    found = find(tmp_path)  # of a folder, the others are read all the same
    assert [source.paths[0].name for source in found.sources] == ["open.jsonl"]
    assert found.unreadable == ((path, "Permission denied"),)


@pytest.mark.parametrize("forbidden", [os.R_OK, os.X_OK])
def test_a_folder_that_may_not_be_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forbidden: int):
    make(tmp_path, {"closed/run.jsonl": ROWS, "open/run.jsonl": ROWS})
    closed = tmp_path / "closed"
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != closed or not mode & forbidden)
    assert said(closed) == f"cannot read {closed}: Permission denied. See that you may read it."
    if forbidden == os.X_OK:  # without R_OK it cannot be listed, which os.walk tells
        found = find(tmp_path)
        assert [source.paths[0].parent.name for source in found.sources] == ["open"]
        assert found.unreadable == ((closed, "Permission denied"),)


def test_what_is_no_file(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    assert said(tmp_path / "pipe").startswith(f"{tmp_path / 'pipe'} is no file")


def test_a_folder_of_many_things_lists_each(tmp_path: Path):
    make(
        tmp_path,
        {
            "a/run.jsonl": ROWS, "b/progress.csv": TABLE, "c/train.log": CONSOLE, "d/notes.txt": "nothing here\n",
            "e/empty.log": "", "README.md": TABLE, ".hidden/x.jsonl": ROWS, "src/train.py": "x = 1\n",
            "f/config.json": '{"hidden_size": 64}',
        },
    )  # fmt: skip
    found = find(tmp_path)
    assert {(source.format, source.paths[0].parent.name) for source in found.sources} == {
        ("console", "c"), ("csv_file", "b"), ("jsonl", "a"),
    }  # fmt: skip
    assert {p.name for p in found.others} == {"notes.txt", "config.json"}
    assert found.unreadable == ((tmp_path / "e" / "empty.log", "empty"),)


def test_other_logs_beside_a_run_file_of_wandb_are_read(tmp_path: Path):
    run_file = (DATA / "wandb" / "0.31.0.wandb").read_bytes()
    make(
        tmp_path, {"a.csv": TABLE, "run-1/files/output.log": CONSOLE, "run-1/logs/debug.log": CONSOLE, "x/b.csv": TABLE}
    )
    for folder in (tmp_path, tmp_path / "run-1"):
        (folder / "run-1.wandb").write_bytes(run_file)
    found = find(tmp_path)
    paths = {str(path.relative_to(tmp_path)) for source in found.sources for path in source.paths}
    assert paths == {"run-1.wandb", "a.csv", "x/b.csv"}, "the run file's copy is told once, what it printed not at all"
    assert found.others == ()


def test_of_a_run_whose_run_file_is_empty_what_it_printed_is_read(tmp_path: Path):
    make(tmp_path, {"run-1/run-1.wandb": "", "run-1/files/output.log": CONSOLE})
    found = find(tmp_path)
    assert [(source.format, source.paths[0].name) for source in found.sources] == [("console", "output.log")]
    assert found.unreadable == ((tmp_path / "run-1" / "run-1.wandb", "empty"),)


def test_events_of_another_program_hide_no_logs(tmp_path: Path):
    theirs = "".join(json.dumps({"event": "start", "at": i}) + "\n" for i in range(3))
    make(tmp_path, {"events.jsonl": theirs, "a.csv": TABLE})
    assert "csv_file" in formats(find(tmp_path)) and "events" not in formats(find(tmp_path))
    make(tmp_path, {"events.jsonl": "damaged\n" + event(1)})
    assert formats(find(tmp_path)) == ["events"]
    make(tmp_path, {"events.jsonl": ""})  # a run of ours that has not begun
    assert formats(find(tmp_path)) == ["events"]


def test_compressed_logs_are_told(tmp_path: Path):
    make(tmp_path, {"a.csv": TABLE})
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(TABLE.encode()))
    assert find(tmp_path).others == (tmp_path / "b.csv.gz",)


def test_a_folder_without_a_log_says_what_it_holds(tmp_path: Path):
    make(tmp_path, {"notes.txt": "nothing\n", "more.txt": "nothing\n", "empty.log": ""})
    assert "none of its 2 files is a log that autotune reads, and 1 could not be read (empty.log: empty)" in said(
        tmp_path
    )


def test_a_folder_of_one_other_file(tmp_path: Path):
    assert "its only file is no log that autotune reads" in said(make(tmp_path, {"notes.txt": "nothing\n"}))


def test_runs_of_ours_and_studies(tmp_path: Path):
    make(tmp_path, {f"study/trials/{n}/events.jsonl": event(0) for n in (0, 2, 10)})
    make(tmp_path, {"study/study.jsonl": "{}\n", "study/report.json": json.dumps([{"step": 1, "a": 2}] * 9)})
    make(tmp_path, {"study/trials/0/samples.jsonl": ROWS, "alone/events.jsonl": event(0)})
    assert [source.paths[0].name for source in find(tmp_path / "study").sources] == ["0", "2", "10"]
    assert [source.paths[0].name for source in find(tmp_path).sources] == ["alone", "0", "2", "10"]
    assert formats(find(tmp_path / "alone")) == ["events"]


def test_trials_come_by_their_numbers_those_that_have_not_begun_too(tmp_path: Path):
    make(tmp_path, {f"trials/{n}/events.jsonl": event(0) for n in ("10", "9", "0", "notes", ".tmp")})
    (tmp_path / "trials" / "11").mkdir()
    (tmp_path / "trials" / "12").symlink_to(tmp_path.parent)
    (tmp_path / "trials" / "13").touch()
    assert [source.paths[0].name for source in find(tmp_path).sources] == ["0", "9", "10", "11"]


def test_a_study_without_trials(tmp_path: Path):
    make(tmp_path, {"study.jsonl": "{}\n"})
    assert said(tmp_path) == f"the study {tmp_path} has no trials yet. Wait for its first trial to start."


def test_links_in_a_folder_are_not_followed(tmp_path: Path):
    outside = make(tmp_path / "outside", {"run.jsonl": ROWS, "events.jsonl": event(0)})
    inside = make(tmp_path / "inside", {"mine.jsonl": ROWS})
    (inside / "link.jsonl").symlink_to(outside / "run.jsonl")
    (inside / "folder").symlink_to(outside)
    assert [source.paths[0].name for source in find(inside).sources] == ["mine.jsonl"]


def test_checkpoints_of_one_run_are_one_log(tmp_path: Path):
    make(tmp_path, {f"out/checkpoint-{n}/trainer_state.json": json.dumps(STATE) for n in (2, 10)})
    (source,) = find(tmp_path).sources
    assert source.format == "trainer_state"
    assert source.name == str(tmp_path / "out")
    assert len(source.paths) == 3  # the folder as well: more may appear


def steps(found: Found) -> list[int]:
    return [read(source)[0].last_step for source in found.sources]


def test_a_run_in_the_folder_of_another_is_not_taken_for_it(tmp_path: Path):
    longer = {**STATE, "log_history": [{"step": s, "reward": 0.9} for s in range(1, 9)]}
    make(tmp_path, {"checkpoint-2/trainer_state.json": json.dumps(STATE)})
    make(tmp_path, {"other/checkpoint-8/trainer_state.json": json.dumps(longer)})
    assert steps(find(tmp_path)) == [2, 8]


def test_of_a_checkpoint_no_other_is_read(tmp_path: Path):
    longer = {**STATE, "log_history": [{"step": s, "reward": 0.9} for s in range(1, 9)]}
    make(tmp_path, {"checkpoint-2/trainer_state.json": json.dumps(STATE)})
    make(tmp_path, {"checkpoint-8/trainer_state.json": json.dumps(longer)})
    assert steps(find(tmp_path / "checkpoint-2")) == [2]
    assert steps(find(tmp_path)) == [8]


def test_a_folder_as_large_as_a_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make(tmp_path, {f"{i}.txt": "x" for i in range(5)})
    monkeypatch.setattr("diagnostics.sources.MOST_FILES", 4)
    assert "holds more than 4 files" in said(tmp_path)
