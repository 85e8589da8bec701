"""The samples: which step and group is looked at, what is best and worst, and that text stays text."""

import json
import math
import threading
from pathlib import Path

import pytest

from diagnostics.events import EventLog, MetricsLogged, SamplesLogged
from diagnostics.sample_file import SampleFile
from diagnostics.samples import sampled
from diagnostics.sources import find
from tui import feed as feeds
from tui import sample_feed
from tui.app import MonitorApp, MonitorResult
from tui.screens.samples import Read, SamplesScreen
from tui.widgets.completions import CARD, Completions

from .pilots import until

SIZES = [(80, 24), (160, 50)]
LARGE = (160, 50)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "INTERVAL", 0.02)
    monkeypatch.setattr(feeds, "LOCK_INTERVAL", 0.02)
    monkeypatch.setattr(sample_feed, "INTERVAL", 0.02)


def said(completion: str, reward: float, group: int = 0, **more: object) -> dict[str, object]:
    return {
        "split": "train", "group": group, "prompt": f"question {group}", "completion": completion, "reward": reward,
        "advantage": reward - 0.5, "tokens": 3, "ended": True, **more,
    }  # fmt: skip


def step(number: int) -> SamplesLogged:
    first = [said("right", 1.0), said("wrong", 0.0), said("nearly", 0.5, ended=False), said("wrong", 0.0)]
    second = [said(f"all alike {number}", 0.0, 1), said("none better", 0.0, 1)]
    validated = [{"split": "validation", "prompt": f"{i} + 7", "completion": str(i + 7), "reward": 1.0} for i in (1, 2)]
    return SamplesLogged(number, (*first, *second, *validated))


def samples_of(stage, trial: int) -> EventLog:
    return EventLog(stage.directory / "trials" / str(trial) / "samples.jsonl", clock=stage.clock)


async def opened(pilot, app: MonitorApp) -> SamplesScreen:
    """Turn to the samples, and wait until something is known of them."""
    await until(pilot, lambda: app.watched.run)
    await pilot.press("4")
    await until(pilot, lambda: isinstance(app.screen, SamplesScreen))
    screen = app.screen
    assert isinstance(screen, SamplesScreen)
    await until(pilot, lambda: screen.view.shown or screen.view.trouble)
    return screen


@pytest.mark.parametrize("size", SIZES)
def test_a_group_side_by_side_the_best_first_identical_ones_once(stage, size, run, text_of) -> None:
    stage.finished()
    log = samples_of(stage, 1)
    for number in (0, 10, 20):
        log.emit(step(number))

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=size) as pilot:
            screen = await opened(pilot, app)
            text = text_of(app)
            assert "step 20  ◂ 3 of 3" in text and "the newest: follows" in text
            assert "6 told in 2 groups, reward 0.25 ± 0.418 (0 to 1), 1 of 2 all equal" in text
            assert "group 1 of 3 ▾ train: 4 of one prompt, 3 different" in text
            assert "question 0" in text
            best = next(line for line in text.splitlines() if "▲ best" in line)
            assert "reward 1  advantage +0.50" in best and "▼ worst" not in best.partition("▲ best")[0]
            assert text.count("▲ best") == 1 and text.count("▼ worst") == 1
            assert text.index("right") < text.index("wrong") or size != LARGE
            assert "×2 the same" in text
            assert "cut here: no end token" in text
            assert screen.query_one(Completions).across == (2 if size[0] < 3 * CARD else 3)
            await pilot.press("down")
            assert "all different, all rewards equal" in text_of(app) and "question 1" in text_of(app)
            assert "▲ best" not in text_of(app)  # among equals there is none
            await pilot.press("down", "down", "down")  # the last of them stays
            text = text_of(app)
            assert "group 3 of 3 ▴ validation: one each of 2 prompts" in text
            assert "prompt: 1 + 7" in text and "prompt: 2 + 7" in text

    run(go())


def test_a_group_is_copied_as_text(stage, run) -> None:
    stage.finished()
    samples_of(stage, 1).emit(step(10))

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test() as pilot:
            await opened(pilot, app)
            await pilot.press("y")
            assert app.clipboard.startswith("prompt\nquestion 0\n\n▲ best reward 1  advantage +0.50 3 tokens\nright\n")
            assert "▼ worst reward 0  advantage -0.50 3 tokens  ×2 the same\nwrong" in app.clipboard
            await pilot.press("down", "down", "y")
            assert "prompt: 1 + 7\n8" in app.clipboard

    run(go())


def test_steps_are_turned_to_and_the_newest_is_followed_until_then(stage, run, text_of) -> None:
    stage.begin()
    stage.sick_trial()
    stage.healthy_trial()
    events = stage.running_trial(21)
    log = samples_of(stage, 2)
    log.emit(step(0))
    log.emit(step(10))

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=LARGE) as pilot:
            await opened(pilot, app)
            await until(pilot, lambda: "step 10" in text_of(app))
            log.emit(step(20))
            await until(pilot, lambda: "step 20  ◂ 3 of 3" in text_of(app))
            await pilot.press("down", "left")
            await until(pilot, lambda: "all alike 10" in text_of(app))  # the group stays
            assert "step 10  ◂ 2 of 3 ▸  newest: 20 (end)" in text_of(app)
            log.emit(step(30))  # of a step that the trial has not told yet
            await pilot.press("home")
            await until(pilot, lambda: "step 0    1 of 3 ▸" in text_of(app))
            stage.steps(events, 21, 31, sick=False)
            await until(pilot, lambda: "step 0    1 of 4 ▸  newest: 30 (end)" in text_of(app))  # nobody is taken away
            await pilot.press("end")
            await until(pilot, lambda: "step 30  ◂ 4 of 4" in text_of(app) and "follows" in text_of(app))
            log.emit(step(40))
            stage.steps(events, 31, 41, sick=False)
            await until(pilot, lambda: "step 40  ◂ 5 of 5" in text_of(app))

    run(go())


def test_another_run_shows_its_own_samples_or_says_that_it_has_none(stage, run, text_of) -> None:
    stage.finished()
    samples_of(stage, 1).emit(step(10))

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(80, 24)) as pilot:
            screen = await opened(pilot, app)
            assert "right" in text_of(app)
            await pilot.press("left_square_bracket")
            await until(pilot, lambda: "no samples: this trial wrote none" in text_of(app))
            assert "right" not in text_of(app) and "Completions of trial 0" in text_of(app)
            assert screen.group is None
            late = sample_feed.SampleView(1, (10,), sampled(step(10)))  # which was read before the other was turned to
            screen.post_message(Read(late))
            await pilot.pause()
            assert screen.group is None
            await pilot.press("left", "right", "home", "end", "up", "down", "enter", "pagedown")  # none of them falls
            await pilot.press("right_square_bracket")
            await until(pilot, lambda: "right" in text_of(app))

    run(go())


def test_a_trial_under_way_has_none_yet(stage, run, text_of) -> None:
    stage.begin()
    stage.running_trial(3)

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(80, 24)) as pilot:
            await opened(pilot, app)
            assert "no samples so far" in text_of(app)

    run(go())


def test_what_models_write_stays_text(stage, run, text_of) -> None:
    stage.finished()
    hostile = "[red]bold[/red] [@click=app.leave]x[/] \x1b[31mred\x1b[0m \u202egnp\x07\nnext line\r"
    group = (said(hostile, 1.0, prompt=hostile), said("\x9b2J", math.nan, prompt=hostile))
    samples_of(stage, 1).emit(SamplesLogged(10, group))

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(160, 50)) as pilot:
            await opened(pilot, app)
            for keys in ((), ("enter",)):
                await pilot.press(*keys)
                await pilot.pause()
                text = text_of(app)
                assert "[red]bold[/red] [@click=app.leave]x[/] \\x1b[31mred\\x1b[0m" in text
                assert "\\u202egnp" in text and "next line\\r" in text
                assert not any(char in text for char in "\x1b\x9b\x07\u202e")

    run(go())


def test_long_completions_are_cut_short_and_shown_whole_on_their_own(stage, run, text_of) -> None:
    stage.finished()
    long = "\n".join(f"line {i}" for i in range(300))
    samples_of(stage, 1).emit(SamplesLogged(10, (said(long, 1.0), said("short", 0.0))))

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(100, 30)) as pilot:
            screen = await opened(pilot, app)
            assert screen.query_one(Completions).virtual_size.height < 60
            await pilot.press("pagedown", "pagedown", "pagedown", "pagedown")
            assert "… enter or a click shows all of it" in text_of(app)
            await pilot.press("pageup", "pageup", "pageup", "pageup")
            await pilot.click("#completions", offset=(60, 3))
            await pilot.pause()
            assert "step 10, train: 2 of 2" in text_of(app) and "short" in text_of(app)
            await pilot.press("right")  # around
            assert "step 10, train: 1 of 2" in text_of(app) and "line 3" in text_of(app)
            await pilot.press("end")
            await until(pilot, lambda: "line 299" in text_of(app))
            await pilot.press("escape")
            await pilot.pause()
            assert app.screen is screen

    run(go())


def test_search_marks_counts_and_goes_to_the_next_group_that_has_it(stage, run, text_of) -> None:
    stage.finished()
    samples_of(stage, 1).emit(step(10))

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(100, 30)) as pilot:
            screen = await opened(pilot, app)
            await pilot.press("slash", *"ALIKE")
            await pilot.pause()
            assert '"ALIKE" in 0 of 4 here, in 1 of 3 groups' in text_of(app)
            assert app.watched.selected == 1  # letters that are keys elsewhere were typed
            await pilot.press("enter")
            assert screen.place == 1 and '"ALIKE" in 1 of 2 here' in text_of(app)
            strips = app.screen._compositor.render_strips()
            marked = [s.text for strip in strips for s in strip if s.style and s.style.reverse and s.text == "alike"]
            assert marked == ["alike"]
            await pilot.press("escape")
            assert "ALIKE" not in text_of(app) and app.screen is screen
            await pilot.press("q")
        assert app.return_value is MonitorResult.LEFT

    run(go())


def test_damage_is_counted_and_a_torn_line_is_not_yet(stage, run, text_of) -> None:
    stage.finished()
    log = samples_of(stage, 1)
    log.emit(step(10))
    log.close()
    path = stage.directory / "trials" / "1" / "samples.jsonl"
    whole = path.read_bytes()
    line = json.dumps({**json.loads(whole), "step": 20}).encode()
    path.write_bytes(whole + b"not a line\n" + line[:-40])

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(100, 30)) as pilot:
            await opened(pilot, app)
            await until(pilot, lambda: "1 line could not be read" in text_of(app))
            assert "step 10    1 of 1" in text_of(app)
            with path.open("ab") as file:
                file.write(line[-40:] + b"\n")
            await until(pilot, lambda: "step 20  ◂ 2 of 2" in text_of(app))

    run(go())


def test_keys_are_answered_while_the_disk_hangs(stage, run, text_of, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.finished()
    samples_of(stage, 1).emit(step(10))
    gate, inside = threading.Event(), threading.Event()

    def hanging(self: SampleFile) -> bool:
        inside.set()
        gate.wait(30)
        return False

    monkeypatch.setattr(SampleFile, "poll", hanging)

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: app.watched.run)
            await pilot.press("4")
            await until(pilot, inside.is_set)
            assert "looking for samples" in text_of(app)
            await pilot.press("left_square_bracket", "right", "down")
            assert "Completions of trial 0" in text_of(app)
            await pilot.press("q")
        assert app.return_value is MonitorResult.LEFT

    try:
        run(go())
    finally:
        gate.set()


def test_nothing_is_read_for_a_screen_that_nobody_sees(stage, run, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.finished()
    samples_of(stage, 1).emit(step(10))
    polls = []
    poll = SampleFile.poll

    def counted(self: SampleFile) -> bool:
        polls.append(self.path)
        return poll(self)

    monkeypatch.setattr(SampleFile, "poll", counted)

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test() as pilot:
            await opened(pilot, app)
            await pilot.press("1")
            await pilot.pause(0.1)
            before = len(polls)
            await pilot.pause(0.2)  # ten looks' time
            assert len(polls) == before
            await pilot.press("4")
            await until(pilot, lambda: len(polls) > before)

    run(go())


def test_a_log_of_ours_has_samples_beside_it_and_others_say_that_they_hold_none(tmp_path, run, text_of) -> None:
    log = EventLog(tmp_path / "run" / "events.jsonl")
    log.emit(MetricsLogged(10, {"reward_mean": 0.5, "zero_std_share": 0.25}))
    EventLog(tmp_path / "run" / "samples.jsonl").emit(step(10))
    (tmp_path / "log.jsonl").write_text('{"step": 1, "reward": 0.5}\n{"step": 2, "reward": 0.6}\n')

    async def go(path: Path, *texts: str) -> None:
        app = MonitorApp(path, found=find(path))
        async with app.run_test(size=(100, 30)) as pilot:
            await opened(pilot, app)
            await until(pilot, lambda: all(text in text_of(app) for text in texts))

    run(go(tmp_path / "run", "▲ best", "of all: reward_mean 0.5, zero_std_share 0.25"))
    run(go(tmp_path / "log.jsonl", "no samples: this log holds none"))
