"""The monitor on logs of any format: it shows what diagnose says and follows them, whatever they say."""

import asyncio
import json
import math
import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from rich.console import Console

from diagnostics.engine import diagnose
from diagnostics.logs import TableLog, read
from diagnostics.rule import Tuning, shipped
from diagnostics.series import example
from diagnostics.sources import FORMATS, Found, find
from diagnostics.user_map import from_arguments
from studies.log import StudyLog
from studies.record import Search
from studies.spec import load
from tui import log_feed
from tui.app import MonitorApp, MonitorResult
from tui.log_feed import Logs, LogView
from tui.log_status import Run
from tui.screens.confirm import Confirm
from tui.widgets.curves import Curves
from tui.widgets.log_about import about

from .pilots import HOSTILE, until


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(log_feed, "INTERVAL", 0.02)
    monkeypatch.setattr(log_feed, "SEARCH_INTERVAL", 0.05)
    monkeypatch.setattr(log_feed, "SHARE", 10.0)
    monkeypatch.chdir(tmp_path)


def watching(path: str, **options: object) -> MonitorApp:
    return MonitorApp(Path(path), found=find(Path(path)), **options)


def watched(app: MonitorApp) -> Logs:
    known = app.watched.source
    assert known is None or isinstance(known, Logs)
    return known or Logs()


def was_read(app: MonitorApp) -> bool:
    logs = watched(app).logs
    return bool(logs) and all(log.report or log.trouble for log in logs)


def names(app: MonitorApp) -> list[str]:
    return [plot.metric for plot in app.screen.query_one(Curves).plots]


def row(step: int, *, sick_from: int = 10**9, **more: float) -> dict[str, float]:
    """What a step of GRPO logs; from `sick_from` on its KL rises and its reward falls."""
    late = max(0, step - sick_from)
    return {
        "step": step,
        "reward": 0.2 + 0.5 * math.tanh(step / 20) - 1.2 * math.tanh(late / 10) + 0.03 * math.sin(step * 1.7),
        "kl": 0.01 + 3 * math.tanh(late / 15),
        "loss": 0.1 * math.sin(step),
        **more,
    }


def write(path: str, rows: list[Mapping[str, object]], *, mode: str = "w") -> None:
    with Path(path).open(mode, encoding="utf-8") as file:
        file.writelines(json.dumps(each) + "\n" for each in rows)


@pytest.mark.parametrize("format", FORMATS)
def test_any_format_is_opened_and_judged_as_diagnose_does(format: str, samples: ModuleType, run, text_of) -> None:
    assert set(FORMATS) == samples.WRITERS.keys()
    name, make = samples.WRITERS[format]
    Path(name).write_bytes(make(samples.run()))
    (source,) = find(Path(name)).sources
    wanted = diagnose(read(source))
    assert wanted.findings

    async def go() -> None:
        app = watching(name, clock=lambda: Path(name).stat().st_mtime + 1000)  # long over: read to its end
        async with app.run_test(size=(160, 60)) as pilot:
            await until(pilot, lambda: was_read(app))
            assert app.watched.run.of.log.report.findings == wanted.findings
            text = " ".join(text_of(app).split())
            assert f"{wanted.findings[0].severity.name} {wanted.findings[0].code}" in text
            assert "reward_mean" in names(app)
            assert "my_own_score" in names(app)  # without a meaning, and shown all the same
            assert names(app).index("my_own_score") > names(app).index("reward_mean")
            assert f"step {wanted.steps}" in text
            assert {(p.first, p.last) for p in app.screen.query_one(Curves).plots} == {(1, 40)}

    run(go())


def test_a_log_is_judged_by_the_rules_it_is_given(run) -> None:
    write("log.jsonl", [row(step) for step in range(1, 60)])
    lower = replace(shipped()["KL002"], tuning=Tuning("autotune.toml", {"token_limit": 0.001, "sequence_limit": 0.001}))

    async def go() -> None:
        app = watching("log.jsonl", rules={"KL002": lower})
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda: was_read(app))
            report = app.watched.run.of.log.report
            assert report.rules == 1
            assert report.notes[-1].startswith("KL002 is changed by autotune.toml: token_limit = 0.001 instead of 0.5")

    run(go())


def test_a_log_that_grows_is_followed_until_something_is_found(run, text_of) -> None:
    write("log.jsonl", [row(step) for step in range(1, 30)])

    async def go() -> None:
        app = watching("log.jsonl")
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda: was_read(app))
            assert "RUNNING  step 29, data up to" in text_of(app)
            assert "No findings" in text_of(app)
            write("log.jsonl", [row(step, sick_from=35) for step in range(30, 70)], mode="a")
            await until(pilot, lambda: "RWD002" in [f.code for f in app.watched.run.of.findings])
            await until(pilot, lambda: "step 69" in text_of(app))
            assert [plot.curve.steps[-1] for plot in app.screen.query_one(Curves).plots] == [69, 69, 69]
            raised = {f.code: f.raised_at for f in app.watched.run.of.findings}
            await pilot.press("tab", "enter")
            await until(pilot, lambda: f"known at step {raised['RWD002']}" in " ".join(text_of(app).split()))
            await pilot.press("escape", "q")
        assert app.return_value is MonitorResult.LEFT

    run(go())


def test_a_folder_lists_its_logs_the_newest_selected_and_takes_in_new_ones(run, text_of) -> None:
    Path("runs/old").mkdir(parents=True)
    Path("runs/new").mkdir()
    write("runs/old/log.jsonl", [row(step, sick_from=35) for step in range(1, 70)])
    write("runs/new/log.jsonl", [row(step) for step in range(1, 30)])
    os.utime("runs/old/log.jsonl", (1, 1_000_000))
    Path("runs/notes.txt").write_text("nothing to see\n")

    async def go() -> None:
        app = watching("runs")
        async with app.run_test(size=(160, 50)) as pilot:
            await until(pilot, lambda: was_read(app))
            assert "2 logs: 1 error, 1 other file" in text_of(app)
            assert app.watched.selected == ("runs/new/log.jsonl", 1)
            (line,) = [line for line in text_of(app).split("\n") if line.startswith("old/log.jsonl")]
            assert line.split("│")[0].split()[1:5] == ["E", "RWD002", "reward_collapse", "69"]
            await pilot.press("down")
            assert app.watched.selected == ("runs/old/log.jsonl", 1)
            await until(pilot, lambda: "ERROR  RWD002" in text_of(app))
            Path("runs/another").mkdir()
            write("runs/another/log.jsonl", [row(step) for step in range(1, 10)])
            await until(pilot, lambda: "3 logs" in text_of(app) and was_read(app))
            assert app.watched.selected == ("runs/old/log.jsonl", 1)  # nobody is taken away from what they look at
            assert app.screen.query_one("#logs").cursor_row == 2

    run(go())


def test_runs_of_one_log_are_listed_and_the_selection_follows_the_one_that_goes_on(run, text_of) -> None:
    sick = [row(step, sick_from=35) for step in range(1, 70)]
    write("log.jsonl", sick)

    async def go() -> None:
        app = watching("log.jsonl")
        async with app.run_test(size=(160, 50)) as pilot:
            await until(pilot, lambda: was_read(app))
            assert not app.screen.query_one("#logs").display  # one run needs no table
            write("log.jsonl", [row(step) for step in range(1, 40)], mode="a")
            await until(pilot, lambda: "↳ segment 2" in text_of(app))
            assert app.watched.selected == ("log.jsonl", 2)
            assert [f.code for f in app.watched.run.of.findings] == ["LOG001"]
            assert all(f.code == "LOG001" for plot in app.screen.query_one(Curves).plots for f in plot.findings)
            await pilot.press("shift+tab", "up")
            assert app.watched.selected == ("log.jsonl", 1)
            assert "began anew" in text_of(app)
            assert "LOG001" not in [f.code for f in app.watched.run.of.findings]
            assert {"RWD002"} <= {
                f.code for p in app.screen.query_one(Curves).plots for f in p.findings if p.metric == "reward_mean"
            }

    run(go())


def test_text_of_others_is_neither_markup_nor_escapes(run, text_of) -> None:
    folder = Path("[b]runs")
    folder.mkdir()
    for name in (f"{HOSTILE.replace('/', '|')}.jsonl", "other.jsonl"):
        write(str(folder / name), [row(step, **{HOSTILE: 0.5, "config": 1.0}) for step in range(1, 30)])

    async def go() -> None:
        app = watching(str(folder))
        async with app.run_test(size=(200, 60)) as pilot:
            await until(pilot, lambda: was_read(app))
            for keys in (["up"], ["tab", "tab", "left", "right", "right", "right", "right", "enter"], ["escape"]):
                await pilot.press(*keys)
                text = text_of(app)
                assert "[red]bold[" in text
                assert "\x1b" not in text
                assert "\u202e" not in text
            assert "[b]runs" in text_of(app)
            assert "Curves of [red]bold[" in text_of(app)
            assert app.is_running  # nothing of it was a link or a key

    run(go())


def test_keys_are_answered_while_reading_hangs(run, text_of, monkeypatch: pytest.MonkeyPatch) -> None:
    write("log.jsonl", [row(step, sick_from=35) for step in range(1, 30)])
    gate, inside = threading.Event(), threading.Event()

    def hanging(self: TableLog) -> bool:
        inside.set()
        gate.wait()
        return False

    async def go() -> None:
        app = watching("log.jsonl")
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: was_read(app))
            monkeypatch.setattr(TableLog, "poll", hanging)
            write("log.jsonl", [row(30)], mode="a")
            await until(pilot, inside.is_set)  # from here on the thread waits for a disk that does not answer
            await pilot.press("tab", "enter")
            assert "Mean reward" in text_of(app)
            await pilot.press("escape", "question_mark")
            assert "To the next pane" in text_of(app)
            await pilot.press("escape", "q")
        assert app.return_value is MonitorResult.LEFT

    try:
        asyncio.run(asyncio.wait_for(go(), 60))
    finally:
        gate.set()


def test_how_far_reading_is_can_be_seen(run, text_of, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_feed, "TELL_INTERVAL", 0.0)
    write("log.jsonl", [row(step, **{"x" * 100: 0.5}) for step in range(1, 12_000)])  # some megabytes
    gate = threading.Semaphore(0)
    poll = TableLog.poll

    def waiting(self: TableLog) -> bool:
        gate.acquire()
        return poll(self)

    monkeypatch.setattr(TableLog, "poll", waiting)

    async def go() -> None:
        app = watching("log.jsonl")
        async with app.run_test(size=(80, 24)) as pilot:
            gate.release()
            await until(pilot, lambda: "READING" in text_of(app) and " % of " in text_of(app).replace("%", " %"))
            share = app.watched.run.of.log.share
            assert 0 < share < 1
            assert f"{share:.0%} of 2 MB" in text_of(app)
            gate.release(100)
            await until(pilot, lambda: "step 11999" in text_of(app))

    run(go())


def test_a_log_that_goes_away_is_said_and_what_is_known_stays(run, text_of) -> None:
    write("log.jsonl", [row(step) for step in range(1, 30)])

    async def go() -> None:
        app = watching("log.jsonl")
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda: was_read(app))
            Path("log.jsonl").rename("elsewhere")
            await until(pilot, lambda: "TROUBLE  cannot read log.jsonl: No such file or directory" in text_of(app))
            assert "reward_mean" in text_of(app)
            assert "No findings" in text_of(app)
            Path("elsewhere").rename("log.jsonl")
            await until(pilot, lambda: "RUNNING  step 29" in text_of(app))
            write("log.jsonl", [row(step) for step in range(30, 40)], mode="a")
            await until(pilot, lambda: "RUNNING  step 39" in text_of(app))

    run(go())


def lost(app: MonitorApp) -> list[str]:
    """What the report says could not be read."""
    return [note for note in app.watched.run.of.log.report.notes if "could not be read" in note]


def test_a_log_at_rest_is_read_to_its_end_and_goes_on_where_it_grows_after_all(run, text_of) -> None:
    write("log.jsonl", [row(step) for step in range(1, 30)])
    with Path("log.jsonl").open("a") as file:
        file.write(json.dumps(row(30)))  # without the end of its line
    os.utime("log.jsonl", (1, 1_000_000))

    async def go() -> None:
        app = watching("log.jsonl")
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda: was_read(app))
            assert "QUIET  step 30, nothing written for" in text_of(app)
            half, rest = json.dumps(row(31))[:30], json.dumps(row(31))[30:]
            with Path("log.jsonl").open("a") as file:
                file.write("\n" + half)
            os.utime("log.jsonl", (1, 1_000_000))
            await until(pilot, lambda: lost(app))
            with Path("log.jsonl").open("a") as file:
                file.write(rest + "\n")
            await until(pilot, lambda: "RUNNING  step 31" in text_of(app))
            assert list(app.screen.query_one(Curves).plots[0].curve.steps) == list(range(1, 32))
            assert not lost(app)  # it was no loss, only too early

    run(go())


@pytest.mark.parametrize(("path", "told"), [("logs", "nothing to diagnose in logs"), ("logs/x.jsonl", "is empty")])
def test_a_log_that_is_not_there_yet_is_waited_for(path: str, told: str, run, text_of) -> None:
    Path("logs").mkdir()
    Path("logs/x.jsonl").touch()

    async def go() -> None:
        app = MonitorApp(Path(path), found=Found(()))
        async with app.run_test(size=(100, 30)) as pilot:
            await until(pilot, lambda: "WAITING" in text_of(app))
            assert told in text_of(app)
            await pilot.press(*"123456e")
            write("logs/x.jsonl", [row(step) for step in range(1, 30)])
            await until(pilot, lambda: "RUNNING" in text_of(app))
            assert app.watched.run is not None
            assert "WAITING" not in text_of(app)
            Path("logs/x.jsonl").unlink()
            await until(pilot, lambda: "TROUBLE" in text_of(app))

    run(go())


@pytest.mark.parametrize("path", ["logs", "logs/train.log"])
def test_what_a_log_is_may_only_be_known_from_its_later_lines(path: str, run, text_of) -> None:
    Path("logs").mkdir()
    log = Path("logs/train.log")
    log.touch()

    async def go() -> None:
        app = MonitorApp(Path(path), found=Found(()))
        async with app.run_test(size=(100, 30)) as pilot:
            await until(pilot, lambda: "WAITING" in text_of(app))
            log.write_text("Loading checkpoint shards\n")
            await until(pilot, lambda: "log that autotune reads" in text_of(app))
            assert "WAITING" in text_of(app)
            log.write_text("2026-01-01 12:00:00,123 INFO Loading model\n")  # might be a CSV
            await until(pilot, lambda: app.watched.runs)
            with log.open("a") as file:
                file.writelines(f"{row(step)}\n" for step in range(1, 40))
            await until(pilot, lambda: app.watched.run and "reward_mean" in app.watched.run.metrics)

    run(go())


def test_a_study_that_begins_where_a_log_was_waited_for_is_said(run, text_of) -> None:
    Path("logs").mkdir()

    async def go() -> None:
        app = MonitorApp(Path("logs"), found=Found(()))
        async with app.run_test(size=(100, 30)) as pilot:
            await until(pilot, lambda: "WAITING" in text_of(app))
            log = StudyLog(Path("logs"))
            log.started(load("arithmetic-grpo"), Search())
            log.close()
            await until(pilot, lambda: "a study has begun in logs. Leave with q" in text_of(app))

    run(go())


def test_a_log_that_is_being_written_keeps_its_torn_line_for_later(run, text_of) -> None:
    write("log.jsonl", [row(step) for step in range(1, 30)])
    torn = json.dumps(row(30)) + "\n"
    with Path("log.jsonl").open("a") as file:
        file.write(torn[:20])

    async def go() -> None:
        app = watching("log.jsonl")
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda: was_read(app))
            assert "step 29" in text_of(app)
            assert "could not be read" not in text_of(app)
            with Path("log.jsonl").open("a") as file:
                file.write(torn[20:])
            await until(pilot, lambda: "step 30" in text_of(app))

    run(go())


def test_names_are_read_by_a_map_of_ones_own(run, text_of) -> None:
    write("log.jsonl", [{"step": step, "my_score": step / 10} for step in range(1, 30)])

    async def go(mine: list[str], wanted: str) -> None:
        app = watching("log.jsonl", mine=from_arguments(mine))
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda: was_read(app))
            assert names(app) == [wanted]

    run(go([], "my_score"))
    run(go(["my_score=reward_mean"], "reward_mean"))


def test_nothing_is_asked_of_a_log(run, text_of) -> None:
    write("log.jsonl", [row(step) for step in range(1, 30)])

    async def go() -> None:
        app = watching("log.jsonl")
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda: was_read(app))
            await pilot.press("s", "x", "b")
            assert not isinstance(app.screen, Confirm)
            assert "Stop" not in text_of(app).split("\n")[-1]
            await pilot.press("ctrl+c")
        assert app.return_value is MonitorResult.INTERRUPT
        assert [path.name for path in Path().iterdir()] == ["log.jsonl"]

    run(go())


def test_a_bug_in_reading_is_no_silent_standstill(run, monkeypatch: pytest.MonkeyPatch) -> None:
    write("log.jsonl", [row(step) for step in range(1, 30)])
    monkeypatch.setattr(TableLog, "histories", lambda self: 1 / 0)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    async def go() -> None:
        app = watching("log.jsonl")
        async with app.run_test() as pilot:
            await until(pilot, lambda: not app.is_running)

    with pytest.raises(ZeroDivisionError):
        run(go())


def test_any_size_of_terminal_is_borne(run, text_of) -> None:
    Path("runs").mkdir()
    for name in ("a", "b"):
        write(f"runs/{name}.jsonl", [row(step, sick_from=35) for step in range(1, 70)])

    async def go() -> None:
        app = watching("runs")
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: was_read(app))
            for size in [(40, 15), (20, 6), (1, 1), (300, 100), (40, 100), (160, 12)]:
                await pilot.resize_terminal(*size)
                await pilot.pause()
                await pilot.pause()
                assert len(text_of(app).split("\n")) == size[1], size
                if size == (40, 15):
                    assert "E RWD002" in text_of(app)
                    assert " error" in text_of(app)

    run(go())


def test_what_did_not_change_is_no_news() -> None:
    write("log.jsonl", [row(step) for step in range(1, 30)])
    feed = log_feed.LogFeed(Path("log.jsonl"), find(Path("log.jsonl")), lambda _: None, lambda _: None)
    first = feed.read()
    assert feed.read() == first
    write("log.jsonl", [row(30)], mode="a")
    assert feed.read() != first


def test_of_a_folder_one_log_may_go_and_the_others_stay(run, text_of) -> None:
    Path("runs").mkdir()
    for name in ("a", "b"):
        write(f"runs/{name}.jsonl", [row(step) for step in range(1, 30)])

    async def go() -> None:
        app = watching("runs")
        async with app.run_test(size=(160, 50)) as pilot:
            await until(pilot, lambda: was_read(app))
            Path("runs/a.jsonl").unlink()
            await until(pilot, lambda: "trouble" in text_of(app))
            assert [log.name for log in watched(app).logs if log.trouble] == ["runs/a.jsonl"]
            assert {log.name for log in watched(app).logs if log.report} == {"runs/a.jsonl", "runs/b.jsonl"}
            Path("runs/b.jsonl").unlink()
            await until(pilot, lambda: "nothing to diagnose in runs" in text_of(app) or watched(app).trouble)
            assert len(watched(app).logs) == 2

    run(go())


def test_a_run_that_goes_on_in_another_file_is_one_log(samples: ModuleType, run) -> None:
    Path("tb").mkdir()
    rows = samples.run(60)
    Path("tb/events.out.tfevents.1700000000.host.1.0").write_bytes(samples.tensorboard(rows[:30]))

    async def go() -> None:
        app = watching("tb")
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda: was_read(app))
            assert app.watched.run.of.segment.last == 30
            Path("tb/events.out.tfevents.1700000999.host.2.0").write_bytes(samples.tensorboard(rows[30:]))
            await until(pilot, lambda: was_read(app) and app.watched.run.of.segment.last == 60)
            assert len(watched(app).logs) == 1

    run(go())


def test_what_cannot_be_read_in_a_folder_is_listed(run, text_of) -> None:
    Path("runs").mkdir()
    write("runs/log.jsonl", [row(step) for step in range(1, 30)])
    Path("runs/empty.jsonl").touch()

    async def go() -> None:
        app = watching("runs")
        async with app.run_test(size=(160, 50)) as pilot:
            await until(pilot, lambda: was_read(app))
            (line,) = [line for line in text_of(app).split("\n") if line.startswith("empty.jsonl")]
            assert "not read" in line
            assert app.watched.selected == ("runs/log.jsonl", 1)
            await pilot.press("down")
            assert "TROUBLE  not read: empty" in text_of(app)
            assert "Curves of empty.jsonl" in text_of(app)
            assert "no metrics yet" in text_of(app)

    run(go())


def test_a_run_of_a_log_has_the_causes_of_its_own_segment_and_no_others() -> None:
    kl = example(
        {"kl.reference.k3.token": "0 0.4 0.9 1.5~0.1*97", "reward_mean": "0.5~0.02*10 0.5-0.01~0.02*40 0.1*50"}
    )
    report = diagnose([kl, replace(kl, segment=2)])
    assert [cause.segment for cause in report.causes] == [1, 2]
    log = LogView("log.jsonl", report=report)
    console = Console(width=100)
    with console.capture() as written:
        console.print(about(Run(log, 2)))
    assert written.get().count("\n CAUSE ") == 1 and "segment 2" in written.get()
