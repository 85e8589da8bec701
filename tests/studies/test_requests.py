import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from studies.requests import REQUESTS, Action, Request, ask, pending


def test_requests_are_read_in_the_order_they_were_made_and_answered_once(tmp_path: Path) -> None:
    one = ask(tmp_path, Action.STOP_TRIAL, trial=3)
    two = ask(tmp_path, Action.STOP_STUDY)
    assert list(pending(tmp_path, set())) == [one, two]
    assert (one.action, one.trial) == (Action.STOP_TRIAL, 3)
    assert list(pending(tmp_path, {one.id})) == [two]
    assert list(pending(tmp_path, {one.id, two.id})) == []


def test_nobody_asked_anything(tmp_path: Path) -> None:
    assert list(pending(tmp_path, set())) == []


def test_a_request_that_is_still_written_is_not_there_yet(tmp_path: Path) -> None:
    ask(tmp_path, Action.STOP_STUDY)
    (path,) = (tmp_path / REQUESTS).iterdir()
    path.rename(path.with_name(f".{path.stem}.partial"))
    assert list(pending(tmp_path, set())) == []


@pytest.mark.parametrize(
    "text",
    [
        "", "{", '{"v": 1, "action": "stop_study"', "[]", '"stop_study"', "{}", "null", "7",
        '{"action": "stop_study"}',
        '{"action": "eat", "trial": null}',
        '{"action": "stop_trial", "trial": "3"}',
        '{"action": "stop_trial", "trial": 1.5}',
        '{"action": "stop_trial", "trial": true}',
        '{"action": "stop_trial", "trial": -1}',
        '{"action": "stop_trial", "trial": 99999999999999999999}',
        '{"action": ["stop_trial"], "trial": 1}',
        '{"action": "try", "trial": null, "knobs": ["learning_rate"]}',
        '{"action": "try", "trial": null, "knobs": {"learning_rate": null}}',
        '{"action": "try", "trial": null, "knobs": {"learning_rate": true}}',
        '{"action": "try", "trial": null, "knobs": {"learning_rate": NaN}}',
        '{"action": "try", "trial": null, "knobs": {"learning_rate": 1e999}}',
        '{"action": "try", "trial": null, "knobs": {"learning_rate": 1' + "0" * 4000 + "}}",
        '{"action": "note", "trial": null, "text": 3}',
        '{"action": "note", "trial": null, "text": "x", "by": []}',
        '{"action": "note", "trial": null, "text": "x", "time": "now"}',
        '{"action": "note", "trial": null, "text": "' + "x" * (1 << 16) + '"}',
        "[" * 60_000,
        "\ufeff{}",
    ],
)  # fmt: skip
def test_what_is_no_request_is_told_by_its_name(tmp_path: Path, text: str) -> None:
    (tmp_path / REQUESTS).mkdir()
    (tmp_path / REQUESTS / "odd.json").write_text(text, encoding="utf-8")
    assert list(pending(tmp_path, set())) == ["odd"]
    assert list(pending(tmp_path, {"odd"})) == []


def test_bytes_that_are_no_text_and_a_folder_are_no_requests(tmp_path: Path) -> None:
    (tmp_path / REQUESTS / "folder.json").mkdir(parents=True)
    (tmp_path / REQUESTS / "raw.json").write_bytes(b"\xff\xfe\x00")
    (tmp_path / REQUESTS / "notes.txt").write_text("not for us")
    assert list(pending(tmp_path, set())) == ["folder", "raw"]


def test_a_pipe_is_no_request_and_nobody_waits_for_it(tmp_path: Path) -> None:
    (tmp_path / REQUESTS).mkdir()
    os.mkfifo(tmp_path / REQUESTS / "pipe.json")
    assert list(pending(tmp_path, set())) == ["pipe"]


def test_a_request_says_all_that_was_asked_by_whom_and_when(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "anna")
    made = ask(
        tmp_path, Action.TRY, trial=3, knobs={"learning_rate": 1e-4, "loss_type": "dapo"}, text="too high\n\x1b[31m"
    )
    (found,) = pending(tmp_path, set())
    assert found == made
    assert isinstance(found, Request)
    assert (found.knobs, found.text) == ({"learning_rate": 1e-4, "loss_type": "dapo"}, "too high\n\x1b[31m")
    assert found.by == "anna"
    assert found.time == pytest.approx(time.time(), abs=600)


def test_a_user_without_a_name_can_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr("getpass.getuser", unknown)
    assert ask(tmp_path, Action.PAUSE).by == ""


def test_what_an_older_version_asked_is_understood(tmp_path: Path) -> None:
    (tmp_path / REQUESTS).mkdir()
    (tmp_path / REQUESTS / "old.json").write_text('{"v": 1, "id": "old", "action": "stop_trial", "trial": 3}')
    assert list(pending(tmp_path, set())) == [Request("old", Action.STOP_TRIAL, 3)]


def test_the_name_of_the_file_is_the_request(tmp_path: Path) -> None:
    """A copy under another name is another request: what was answered is known by the file."""
    asked = ask(tmp_path, Action.STOP_STUDY)
    text = (tmp_path / REQUESTS / f"{asked.id}.json").read_text(encoding="utf-8")
    assert json.loads(text) == {
        "v": 1, "id": asked.id, "action": "stop_study", "trial": None,
        "knobs": {}, "text": "", "by": asked.by, "time": asked.time,
    }  # fmt: skip
    (tmp_path / REQUESTS / "zz.json").write_text(text, encoding="utf-8")
    assert list(pending(tmp_path, {asked.id})) == [replace(asked, id="zz")]
