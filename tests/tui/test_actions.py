"""What a person asks of a study from the monitor: when it can be asked, how, and what is said of the answer."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from studies.record import Origin, Proposal, Search, State
from studies.requests import REQUESTS, Action, Request, pending
from tui import feed as feeds
from tui.actions import ACTIONS, BY_NAME, impossible, possible
from tui.app import MonitorApp
from tui.asking import PATIENCE, silence
from tui.feed import Feed, Snapshot
from tui.screens.confirm import Confirm
from tui.screens.knobs import KnobForm
from tui.screens.line import Line
from tui.watched import Watched

from .pilots import said, until

HOSTILE = "[red]b[/red] \x1b[31mred"
SMALL, LARGE = (80, 24), (160, 50)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "INTERVAL", 0.02)
    monkeypatch.setattr(feeds, "LOCK_INTERVAL", 0.02)


def monitor(stage) -> MonitorApp:
    return MonitorApp(Path("st"), clock=stage.clock)


def asked() -> list[Request]:
    return [request for request in pending(Path("st"), set()) if isinstance(request, Request)]


def propose(stage, number: int, knobs: dict) -> None:
    """A proposal that waits for a person."""
    stage.log.proposed(number, number, Proposal(knobs, Origin.BRACKET, "between", 1), waits=True)


async def ready(app: MonitorApp, pilot) -> None:
    await until(pilot, lambda: app.watched.study is not None)


async def write(pilot, text: str) -> None:
    from textual.keys import _character_to_key

    await pilot.press(*(_character_to_key(character) for character in text))


# ---- when


def watched_now(stage) -> Watched:
    return Watched().updated(Feed(Path("st"), lambda _: None, lambda _: None).read())


def test_what_can_be_asked_follows_the_study(stage) -> None:
    stage.begin()
    nothing_ran = {"stop_study", "note", "review"}
    assert set(possible(watched_now(stage))) == nothing_ran
    stage.sick_trial()
    assert set(possible(watched_now(stage))) == {*nothing_ran, "try"}
    stage.healthy_trial()
    stage.running_trial()
    running = watched_now(stage)
    assert set(possible(running)) == {*nothing_ran, "try", "pause", "stop_trial"}
    assert set(possible(replace(running, selected=1))) == {*nothing_ran, "try"}
    propose(stage, 3, {**running.runs[2].of.proposal.knobs, "kl_coef": 0.1})
    assert set(possible(watched_now(stage))) == {*nothing_ran, "accept", "refuse"}  # all four trials are spent


@pytest.mark.parametrize(
    ("name", "selected", "why_not"),
    [
        ("pause", 1, "trial 1 does not run: select trial 2"),
        ("stop_trial", 0, "trial 0 does not run: select trial 2"),
        ("accept", 2, "no proposal waits for you; with v all that come will"),
        ("refuse", 2, "no proposal waits for you"),
    ],
)
def test_what_cannot_be_asked_says_why(stage, name: str, selected: int, why_not: str) -> None:
    stage.running()
    assert why_not in impossible(BY_NAME[name], replace(watched_now(stage), selected=selected))


def test_of_what_is_over_past_or_a_log_nothing_can_be_asked(stage) -> None:
    from tui.log_feed import Logs

    stage.running()
    running = watched_now(stage)
    assert isinstance(running.source, Snapshot)
    assert running.study is not None
    gone = replace(running, source=replace(running.source, running=False))
    ended = replace(running, source=replace(running.source, study=replace(running.study, ended="finished")))
    past = replace(running, source=replace(running.source, replayed=True))
    for action in ACTIONS:
        assert "nothing runs this study" in impossible(action, gone)
        assert "autotune study resume st" in impossible(action, ended)
        assert "replay" in impossible(action, past)
        assert "a log" in impossible(action, Watched(Logs()))
        assert impossible(action, Watched())
        assert impossible(action, Watched(Snapshot())) == "the study has not begun"


def test_a_study_that_ends_or_has_no_trial_left_takes_no_settings(stage) -> None:
    stage.running()
    running = watched_now(stage)
    assert isinstance(running.source, Snapshot)
    assert running.study is not None
    ending = replace(running, source=replace(running.source, study=replace(running.study, ending=True)))
    assert "begins no other" in impossible(BY_NAME["try"], ending)
    full = replace(running.study, spec=replace(running.study.spec, trials=3))
    assert "all 3 trials" in impossible(BY_NAME["try"], replace(running, source=replace(running.source, study=full)))


# ---- how


@pytest.mark.parametrize(("size", "screen"), [(SMALL, "1"), (LARGE, "6")])
def test_each_key_asks_for_what_it_says_on_every_screen(stage, run, size, screen: str) -> None:
    stage.running()
    wanted: list[tuple[list[str], Action, int | None]] = [
        (["p"], Action.PAUSE, 2),
        (["x", "y"], Action.STOP_TRIAL, 2),
        (["s", "y"], Action.STOP_STUDY, None),
        (["s", "a"], Action.STOP_AFTER, None),
        (["v"], Action.REVIEW_ON, None),
    ]

    async def go() -> None:
        app = monitor(stage)
        async with app.run_test(size=size) as pilot:
            await ready(app, pilot)
            await pilot.press(screen)
            for i, (keys, action, trial) in enumerate(wanted, 1):
                await pilot.press(*keys)
                await until(pilot, lambda count=i: len(asked()) == count)
                assert (asked()[-1].action, asked()[-1].trial) == (action, trial)

    run(go())


def test_what_costs_is_confirmed_and_return_confirms_nothing(stage, run, text_of) -> None:
    stage.running()

    async def go() -> None:
        app = monitor(stage)
        async with app.run_test(size=SMALL) as pilot:
            await ready(app, pilot)
            for key, no in (("x", "n"), ("s", "escape"), ("x", "q"), ("x", "a")):
                await pilot.press(key, "enter")
                assert isinstance(app.screen, Confirm)
                await pilot.press(no)
                if no == "a":  # a choice of the other question
                    assert isinstance(app.screen, Confirm)
                    await pilot.press("escape")
                assert not isinstance(app.screen, Confirm)
            await pilot.press("s")
            assert "after the trials that run" in text_of(app)
            await pilot.click("Keys", offset=(6, 1))  # the mouse, on the second choice
            await until(pilot, asked)
            assert [request.action for request in asked()] == [Action.STOP_AFTER]

    run(go())


def test_a_paused_trial_is_let_go_on_with_the_same_key(stage, run, text_of) -> None:
    stage.running()
    stage.log.paused(2)

    async def go() -> None:
        app = monitor(stage)
        async with app.run_test(size=SMALL) as pilot:
            await ready(app, pilot)
            assert "p Continue" in text_of(app)
            await pilot.press("p")
            await until(pilot, asked)
            assert asked()[0].action is Action.CONTINUE
            stage.log.continued(2, 3.0)
            await until(pilot, lambda: "p Pause" in text_of(app))

    run(go())


def test_a_proposal_is_accepted_or_refused_with_a_reason(stage, run, text_of) -> None:
    stage.running()
    stage.log.reviewed(on=True)

    async def go() -> None:
        app = monitor(stage)
        async with app.run_test(size=SMALL) as pilot:
            await ready(app, pilot)
            assert not app.screen.active_bindings["a"].binding.show
            propose(stage, 3, {**app.watched.runs[2].of.proposal.knobs, "kl_coef": 0.1})
            await until(pilot, lambda: "a Accept" in text_of(app))
            await pilot.press("up")  # the one that waits is meant, whichever is selected
            await pilot.press("r")
            assert isinstance(app.screen, Line)
            await write(pilot, "too [red]hot")
            await pilot.press("enter")
            await until(pilot, asked)
            assert (asked()[0].action, asked()[0].trial, asked()[0].text) == (Action.REFUSE, 3, "too [red]hot")
            await pilot.press("r", "enter")  # without a reason
            await until(pilot, lambda: len(asked()) == 2)
            assert asked()[1].text == ""
            await pilot.press("a")
            await until(pilot, lambda: len(asked()) == 3)
            assert (asked()[2].action, asked()[2].trial) == (Action.ACCEPT, 3)
            await pilot.press("v")
            await until(pilot, lambda: len(asked()) == 4)
            assert asked()[3].action is Action.REVIEW_OFF

    run(go())


def test_changed_knobs_are_checked_while_they_are_written(stage, run, text_of) -> None:
    stage.running()

    async def go() -> None:
        app = monitor(stage)
        async with app.run_test(size=SMALL) as pilot:
            await ready(app, pilot)
            await pilot.press("c")
            form = app.screen
            assert isinstance(form, KnobForm)
            for shown in ("learning_rate", "0.000119", "1e-06 to 0.01", "one of 2, 4, 8, 16, 32", "nothing is changed"):
                assert shown in text_of(app)
            await pilot.press("enter")
            assert app.screen is form
            await write(pilot, "e9")
            assert "learning_rate=119000.0 is outside its space" in " ".join(text_of(app).split())
            await pilot.press("enter")
            assert app.screen is form
            await pilot.press("backspace", "backspace", "down", "backspace", "8")
            assert "kl_coef 0.04 → 0.08" in text_of(app)
            await pilot.press("down", "backspace", "4", "down", "down", "down")
            await write(pilot, "I think so")
            await pilot.press("enter")
            await until(pilot, asked)
            (request,) = asked()
            assert (request.action, request.trial, request.text) == (Action.TRY, 2, "I think so")
            assert request.knobs == {"kl_coef": 0.08, "update_epochs": 4}
            assert isinstance(request.knobs["update_epochs"], int)

    run(go())


def test_a_note_is_of_the_trial_or_of_the_study(stage, run, text_of) -> None:
    stage.running()

    async def go() -> None:
        app = monitor(stage)
        async with app.run_test(size=SMALL) as pilot:
            await ready(app, pilot)
            await pilot.press("n", "enter")
            assert "nothing is written yet" in text_of(app)
            await write(pilot, HOSTILE.replace("\x1b", "y"))
            await pilot.press("enter")
            await until(pilot, asked)
            assert (asked()[0].trial, asked()[0].text) == (2, HOSTILE.replace("\x1b", "y"))
            await pilot.press("n")
            await write(pilot, "of all")
            await pilot.press("tab", "space", "up", "enter")
            await until(pilot, lambda: len(asked()) == 2)
            assert (asked()[1].action, asked()[1].trial, asked()[1].text) == (Action.NOTE, None, "of all")

    run(go())


# ---- answers


def test_an_answer_is_told_to_two_monitors_and_the_same_is_not_asked_twice(stage, run, text_of) -> None:
    stage.running()

    async def go() -> None:
        one, other = monitor(stage), monitor(stage)
        async with one.run_test(size=SMALL) as first, other.run_test(size=LARGE) as second:
            await ready(one, first)
            await ready(other, second)
            await first.press("x", "y")
            await until(second, lambda: "asked to stop trial 2: no answer yet" in " ".join(text_of(other).split()))
            await second.press("x", "y")
            await until(second, lambda: "asked already" in said(other))
            assert len(asked()) == 1
            await second.press("p")  # something else may be asked meanwhile
            await until(second, lambda: len(asked()) == 2)
            by, at = asked()[0].by, asked()[0].id
            stage.log.answered(at, "stop_trial", f"it ends {HOSTILE}", trial=2, by=by)
            for app, pilot in ((one, first), (other, second)):
                await until(pilot, lambda app=app: "asked to stop trial 2: it ends" in said(app))
                assert "\\x1b" in said(app)
                assert not any(notification.markup for notification in app._notifications)

    run(go())


def test_what_was_answered_before_the_monitor_opened_is_no_news(stage, run) -> None:
    stage.running()
    stage.log.answered("1-a", "pause", "it is paused", trial=2)

    async def go() -> None:
        app = monitor(stage)
        async with app.run_test(size=SMALL) as pilot:
            await ready(app, pilot)
            stage.log.noted("news")
            await until(pilot, lambda: app.watched.study.decisions[-1].kind == "noted")
            assert said(app) == ""

    run(go())


def test_a_request_without_an_answer_is_said_once_with_what_may_be_wrong(stage, run) -> None:
    stage.running()

    async def go() -> None:
        app = monitor(stage)
        async with app.run_test(size=SMALL) as pilot:
            await ready(app, pilot)
            await pilot.press("p")
            await until(pilot, lambda: app.watched.source.requests)
            app.asking.remind()
            stage.clock.now += PATIENCE - 1
            app.asking.remind()
            await pilot.pause()
            assert said(app) == ""
            stage.clock.now += 1
            app.asking.remind()
            app.asking.remind()
            await pilot.pause()
            assert said(app).count("asked to pause trial 2: no answer for 10 s") == 1
            assert "may be busy" in said(app)

    run(go())


def test_silence_is_explained_by_how_the_study_stands(stage) -> None:
    stage.running()
    snapshot = watched_now(stage).source
    assert isinstance(snapshot, Snapshot)
    assert "may be busy" in silence(snapshot, stage.clock.now)
    assert "may hang: trial 2: no new step for" in silence(snapshot, stage.clock.now + 240)
    assert "autotune study resume st" in silence(replace(snapshot, running=False), stage.clock.now)


def test_a_folder_that_cannot_be_written_is_said(stage, run, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.running()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tui.asking.ask", full)

    async def go() -> None:
        app = monitor(stage)
        async with app.run_test(size=SMALL) as pilot:
            await ready(app, pilot)
            await pilot.press("p")
            await until(pilot, lambda: "st: No space left on device: it could not be asked" in said(app))

    run(go())


def test_a_disk_that_hangs_keeps_no_key(stage, run, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    stage.running()
    gate = threading.Event()
    monkeypatch.setattr("tui.asking.ask", lambda *_, **__: gate.wait())

    async def go() -> None:
        app = monitor(stage)
        async with app.run_test(size=SMALL) as pilot:
            await ready(app, pilot)
            await pilot.press("p", "up")
            assert app.watched.selected == 1
            await pilot.press("q")

    try:
        run(go())
    finally:
        gate.set()


def test_knobs_of_any_name_are_text(tmp_path, stage, run, text_of) -> None:
    from studies.command import CommandSpec
    from studies.space import Range
    from studies.spec import StudySpec

    odd = "\u202elr\x1b" + "x" * 60
    trial = CommandSpec(f"true {{{odd}}}", "score")
    spec = StudySpec("odd", "", 4, 0, "score", trial, {odd: Range(0.0, 1.0)}, {odd: 0.5})
    stage.log.started(spec, Search())
    stage.log.proposed(0, 0, Proposal({odd: 0.5}, Origin.START, "start"))

    async def go() -> None:
        app = monitor(stage)
        async with app.run_test(size=SMALL) as pilot:
            await until(pilot, lambda: app.watched.run is not None)
            await pilot.press("c", "backspace", "4")
            assert "\\u202elr\\x1bxxx" in text_of(app)
            assert "0.5 → 0.4" in " ".join(text_of(app).replace("┃", " ").split())
            assert "\x1b" not in text_of(app)
            await pilot.press("enter")
            await until(pilot, asked)
            assert asked()[0].knobs == {odd: 0.4}

    run(go())


def test_no_dialog_is_wider_or_higher_than_a_small_terminal(stage, run) -> None:
    stage.running()

    async def go() -> None:
        app = monitor(stage)
        async with app.run_test(size=SMALL) as pilot:
            await ready(app, pilot)
            for key in ("x", "s", "c", "n", "e", "question_mark"):
                await pilot.press(key)
                box = app.screen.query_one(".box").region
                assert box.right <= 80
                assert box.bottom <= 24
                keys = app.screen.query_one("Keys").region
                assert box.contains_region(keys), key
                await pilot.press("escape")

    run(go())


def test_the_file_of_a_request_says_who_asked(stage, run) -> None:
    stage.running()

    async def go() -> None:
        app = monitor(stage)
        async with app.run_test(size=SMALL) as pilot:
            await ready(app, pilot)
            await pilot.press("p")
            await until(pilot, asked)

    run(go())
    (file,) = (Path("st") / REQUESTS).glob("*.json")
    data = json.loads(file.read_text())
    assert (data["action"], data["trial"]) == ("pause", 2)
    assert data["time"] > 0


def test_trials_that_ended_are_no_longer_stopped(stage) -> None:
    stage.running()
    watched = watched_now(stage)
    assert watched.run is not None
    assert watched.run.of.state is State.RUNNING
    stage.log.ended(2, State.COMPLETE, "ran to its end", 0.1, 20.0)
    assert "stop_trial" not in possible(watched_now(stage))


def test_what_is_typed_at_once_goes_into_the_dialog_that_the_first_key_opens(stage, run) -> None:
    from textual import events
    from textual.widgets import Input

    stage.running()

    async def go() -> None:
        app = monitor(stage)
        async with app.run_test(size=SMALL) as pilot:
            await ready(app, pilot)
            for letter in "nxsq":  # as a terminal hands them over that was busy
                app.post_message(events.Key(letter, letter))
            await until(pilot, lambda: isinstance(app.screen, Line))
            await until(pilot, lambda: app.screen.query_one(Input).value == "xsq")

    run(go())
