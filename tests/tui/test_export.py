"""Export: the report on what is shown, in a file of a person's choosing, which nothing overwrites unasked."""

import asyncio
import threading
from pathlib import Path

import pytest

from autotune.journal import journal
from diagnostics.errors import UserError
from diagnostics.sources import find
from tui import exporting
from tui import feed as feeds
from tui.app import MonitorApp
from tui.exporting import Subject, file_name, report, sources, write
from tui.screens.confirm import Confirm
from tui.screens.line import Line

from .pilots import said, until

DATA = Path(__file__).parent.parent / "data"
RUN = DATA / "runs" / "blown-up"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "INTERVAL", 0.02)


async def name_it(pilot, name: str) -> None:
    from textual.widgets import Input

    pilot.app.screen.query_one(Input).value = name
    await pilot.press("enter")


def test_the_selected_trial_is_exported_as_a_page_or_as_markdown(stage, run, text_of) -> None:
    stage.finished()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock, account=journal)
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: app.watched.run)
            app.select(0)
            await pilot.press("2", "e")
            assert isinstance(app.screen, Line)
            assert "st-trial-0.html" in text_of(app)
            await pilot.press("enter")
            await until(pilot, lambda: Path("st-trial-0.html").exists() and "it is in" in said(app))
            await pilot.press("e")
            await name_it(pilot, "mine.md")
            await until(pilot, lambda: Path("mine.md").exists() and said(app).count("it is in") == 2)
            assert str(Path("mine.md").absolute()) in said(app)

    run(go())
    page = Path("st-trial-0.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "KL002" in page
    assert "KL002" in Path("mine.md").read_text()


def test_a_study_is_exported_as_its_account_or_as_a_page_on_all_trials(stage, run, text_of) -> None:
    stage.finished()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock, account=journal)
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: app.watched.run)
            await pilot.press("e")
            await name_it(pilot, "all.html")
            await until(pilot, lambda: Path("all.html").exists() and "it is in" in said(app))
            await pilot.press("e", "enter")  # what tells most needs no name
            await until(pilot, lambda: Path("st.md").exists() and said(app).count("it is in") == 2)
            assert Path("st.md").read_text() == journal(app.watched.study)

    run(go())
    page = Path("all.html").read_text()
    assert 'href="#run-0"' in page
    assert 'href="#run-1"' in page


def test_what_is_there_is_written_over_only_after_a_yes(stage, run, text_of) -> None:
    stage.finished()
    Path("old.md").write_text("old")

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock, account=journal)
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: app.watched.run)
            for answer in ("n", "y"):
                await pilot.press("e")
                await name_it(pilot, "old.md")
                await until(pilot, lambda: isinstance(app.screen, Confirm))
                assert "old.md is there already" in text_of(app)
                assert Path("old.md").read_text() == "old"
                await pilot.press(answer)
                await pilot.pause()
            await until(pilot, lambda: Path("old.md").read_text() == journal(app.watched.study))

    run(go())


def test_a_name_of_another_kind_is_refused_while_it_is_written(stage, run, text_of) -> None:
    stage.finished()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: app.watched.run)
            await pilot.press("e")
            dialog = app.screen
            await name_it(pilot, "report.pdf")
            assert app.screen is dialog
            assert "a name that ends in .html or .htm or .md" in text_of(app)
            await name_it(pilot, "no/such/folder/x.md")
            await until(pilot, lambda: "cannot write no/such/folder/x.md: No such file or directory" in said(app))

    run(go())


def test_a_run_of_any_log_is_exported_and_a_picture_of_the_screen(stage, run) -> None:
    async def go() -> str:
        app = MonitorApp(RUN, found=find(RUN))
        async with app.run_test(size=(160, 50)) as pilot:
            await until(pilot, lambda: app.watched.run and app.watched.run.findings)
            await pilot.press("e", "enter")
            await until(pilot, lambda: Path("blown-up.html").exists() and "it is in" in said(app))
            await app.exporting.picture()
            await pilot.pause()
            await pilot.press("enter")
            await until(pilot, lambda: Path("blown-up.svg").exists() and said(app).count("it is in") == 2)
            return app.watched.run.findings[0].code

    code = run(go())
    assert code in Path("blown-up.html").read_text()
    assert Path("blown-up.svg").read_text().startswith("<svg")


def test_leaving_waits_for_no_export(stage, run, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.finished()
    gate = threading.Event()
    monkeypatch.setattr(exporting, "report", lambda *_: "late" if gate.wait() else "")

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: app.watched.run)
            await pilot.press("e", "enter", "q")

    try:
        asyncio.run(asyncio.wait_for(go(), 30))
    finally:
        gate.set()


def test_a_log_is_never_overwritten_by_its_report(tmp_path: Path) -> None:
    log = tmp_path / "log.md"
    log.write_text('{"step": 1, "reward": 0.5}\n{"step": 2, "reward": 0.25}\n')
    with pytest.raises(UserError, match="is a log, which the report would overwrite"):
        report(find(log).sources, log, None, None)
    outcome = write(log, lambda path: report(find(log).sources, path, None, None), over=True)
    assert outcome.failed
    assert log.read_text().startswith('{"step"')


def test_a_log_that_is_gone_is_said(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 1, "reward": 0.5}\n')
    with pytest.raises(UserError, match="is not there any more"):
        sources(Subject("gone.jsonl", tmp_path, "gone.jsonl"))


def test_a_home_that_nobody_knows_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = write(Path("~nobody-of-that-name/x.md"), lambda _: "text")
    assert outcome.failed
    assert "home" in outcome.told.lower()


def test_the_name_of_a_file_has_nothing_that_a_shell_would_stumble_on() -> None:
    assert file_name("runs/my run.jsonl") == "my-run"
    assert file_name("st trial 2") == "st-trial-2"
    assert file_name("../\x1b[31m$(rm -rf)") == "31m-rm--rf"
    assert file_name("...") == "report"
    assert len(file_name("x" * 500)) == 80
