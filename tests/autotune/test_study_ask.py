"""What is typed in a second terminal: which request it becomes, and what is said of the answer."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autotune.cli import main
from autotune.commands import study_ask
from studies.log import StudyLog, read
from studies.record import Origin, Proposal, Search
from studies.requests import Action, Request, pending
from studies.spec import load


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study with one trial, which no process runs."""
    monkeypatch.setattr("getpass.getuser", lambda: "anna")
    directory = tmp_path / "autotune-runs" / "one"
    directory.mkdir(parents=True)
    spec = load("arithmetic-grpo")
    log = StudyLog(directory)
    log.started(spec, Search())
    log.proposed(0, 0, Proposal(spec.start, Origin.START, "where it starts"))
    log.close()
    monkeypatch.chdir(tmp_path)
    return directory


@pytest.fixture
def running(study: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StudyLog]:
    """The same, run by a process that does not answer."""
    monkeypatch.setattr(study_ask, "ANSWER_SECONDS", 0.0)
    log = StudyLog(study)
    yield log
    log.close()


VERBS = [
    (["stop"], Action.STOP_STUDY, {}),
    (["stop", "--trial", "3"], Action.STOP_TRIAL, {"trial": 3}),
    (["stop", "--after-trial"], Action.STOP_AFTER, {}),
    (["pause"], Action.PAUSE, {}),
    (["pause", "--trial", "3"], Action.PAUSE, {"trial": 3}),
    (["continue", "--trial", "3"], Action.CONTINUE, {"trial": 3}),
    (["accept"], Action.ACCEPT, {}),
    (["refuse", "--because", "too high"], Action.REFUSE, {"text": "too high"}),
    (["review", "on"], Action.REVIEW_ON, {}),
    (["review", "off"], Action.REVIEW_OFF, {}),
    (
        ["try", "learning_rate=1e-4", "loss_type=dapo", "--from-trial", "3", "--because", "x"],
        Action.TRY,
        {"knobs": {"learning_rate": 1e-4, "loss_type": "dapo"}, "trial": 3, "text": "x"},
    ),
    (["note", "looks slow", "--trial", "0"], Action.NOTE, {"trial": 0, "text": "looks slow"}),
]


@pytest.mark.parametrize("named", [True, False], ids=["named", "latest"])
@pytest.mark.parametrize(("words", "action", "said"), VERBS, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_what_is_typed_is_asked_and_no_answer_is_said(
    study: Path,
    running: StudyLog,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    action: Action,
    said: dict[str, Any],
    named: bool,
) -> None:
    options = next((i for i, word in enumerate(words) if word.startswith("--")), len(words))
    folder = [str(study)] if named else []
    assert main(["study", *words[:options], *folder, *words[options:]]) == 0
    (request,) = pending(study, set())
    assert isinstance(request, Request)
    assert request == Request(request.id, action, by="anna", time=request.time, **said)
    asked, unanswered = capsys.readouterr().out.splitlines()
    assert asked.startswith(f"{study if named else 'autotune-runs/one'}: asked to ")
    assert unanswered.startswith("no answer yet: it will stand in ")


@pytest.mark.parametrize(("words", "action", "said"), VERBS, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_where_nothing_runs_the_study_one_line_says_so(
    study: Path, capsys: pytest.CaptureFixture[str], words: list[str], action: Action, said: dict[str, Any]
) -> None:
    status = main(["study", *words])
    if action is Action.NOTE:
        assert (status, capsys.readouterr().out) == (0, "autotune-runs/one: noted: looks slow\n")
        return
    assert status == 2
    assert capsys.readouterr().err == (
        "autotune: error: no process runs the study in autotune-runs/one. "
        "Go on with: autotune study resume autotune-runs/one\n"
    )
    assert not list(pending(study, set()))


@pytest.mark.parametrize("done", [True, False])
def test_the_answer_is_said_and_what_cannot_be_done_is_an_error(
    study: Path, running: StudyLog, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    monkeypatch.setattr(study_ask, "ANSWER_SECONDS", 60.0)

    def answer() -> None:
        while not (asked := list(pending(study, set()))):
            pass
        running.noted("not yet")
        running.answered("another", "pause", "not this one")
        running.answered(asked[0].id, "pause", "trial 0 \x1b[2J", done=done)  # type: ignore[union-attr]

    loop = threading.Thread(target=answer)
    loop.start()
    status = main(["study", "pause"])
    loop.join()
    told = capsys.readouterr()
    assert told.out.splitlines()[0] == "autotune-runs/one: asked to pause what runs"
    if done:
        assert (status, told.out.splitlines()[1:], told.err) == (0, ["trial 0 \\x1b[2J"], "")
    else:
        assert (status, told.err) == (2, "autotune: error: trial 0 \\x1b[2J\n")


def test_a_note_of_a_study_that_is_over_stands_in_its_record_and_its_journal(study: Path) -> None:
    assert main(["study", "note", " the GPU was hot ", "--trial", "0"]) == 0
    (note,) = [d for d in read(study).decisions if d.kind == "noted"]
    assert (note.trial, note.data["text"], note.data["by"]) == (0, "the GPU was hot", "anna")
    assert "trial 0: anna notes: the GPU was hot." in (study / "journal.md").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["note", "  "], "the note has 0 characters"),
        (["note", "x" * 2_001], "the note has 2,001 characters"),
        (["note", "x", "--trial", "9"], "there is no trial 9"),
        (["note", "x", "nowhere"], "nowhere is no study"),
        (["try", "one"], "no change is named"),
        (["try", "=3"], "no change is named"),
        (["try", "learning_rate=1e-4", "one", "two"], "two is not knob=value"),
        (["stop", "--trial", "1", "--after-trial"], "not allowed with argument --trial"),
        (["review", "maybe"], "unknown wait maybe. Choose from on, off."),
    ],
)
def test_mistakes_are_one_line(study: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert main(["study", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
