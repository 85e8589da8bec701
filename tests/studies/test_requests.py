import json
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
        '{"action": ["stop_trial"], "trial": 1}',
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


def test_the_name_of_the_file_is_the_request(tmp_path: Path) -> None:
    """A copy under another name is another request: what was answered is known by the file."""
    asked = ask(tmp_path, Action.STOP_STUDY)
    text = (tmp_path / REQUESTS / f"{asked.id}.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"v": 1, "id": asked.id, "action": "stop_study", "trial": None}
    (tmp_path / REQUESTS / "zz.json").write_text(text, encoding="utf-8")
    assert list(pending(tmp_path, {asked.id})) == [Request("zz", Action.STOP_STUDY)]
