"""The first screen of a study: what it has come to, in every state, at any size, without a key."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from diagnostics.events import FindingRaised, MetricsLogged, Outcome, RunEnded
from diagnostics.finding import Severity
from studies.log import STUDY_FILE
from studies.record import Origin, Proposal, Search, State
from studies.requests import Action, ask
from studies.spec import from_json, load
from tui import feed as feeds
from tui.app import MonitorApp
from tui.widgets import trials
from tui.widgets.row_table import RowTable, cut

from .conftest import START, explosion
from .pilots import HOSTILE, settled

SMALL, LARGE, HUGE = (80, 24), (160, 50), (220, 60)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "INTERVAL", 0.02)
    monkeypatch.setattr(feeds, "LOCK_INTERVAL", 0.02)


@pytest.fixture
def looks(stage, run, text_of) -> Callable[..., list[str]]:
    """The screen as text, of one monitor after each step: a size that it is given, or a key that is pressed."""

    def looked(*steps: tuple[int, int] | str) -> list[str]:
        async def go() -> list[str]:
            app = MonitorApp(Path("st"), clock=stage.clock)
            async with app.run_test(size=steps[0]) as pilot:
                async with asyncio.timeout(20):
                    while app.watched.source is None:
                        await pilot.pause(0.01)
                texts = [await settled(pilot, text_of)]
                for step in steps[1:]:
                    await (pilot.press(step) if isinstance(step, str) else pilot.resize_terminal(*step))
                    texts.append(await settled(pilot, text_of))
                return texts

        return run(go())

    return looked


@pytest.fixture
def look(looks) -> Callable[..., str]:
    """The screen of a size, after keys, as text."""

    def looked(size: tuple[int, int] = SMALL, *keys: str) -> str:
        return looks(size, *keys)[-1]

    return looked


def joined(text: str) -> str:
    return " ".join(text.split())


def waits(stage) -> None:
    stage.running()
    proposal = replace(stage.cure(), knobs={**stage.cure().knobs, "learning_rate": 1e-4})
    stage.log.proposed(3, 3, proposal, waits=True)


def paused(stage) -> None:
    stage.running()
    stage.log.paused(2)
    stage.clock.now += 600


def retried(stage) -> None:
    stage.running()
    stage.log.retried(2, 2, "it was ended by SIGKILL: was there too little memory?")


def failed(stage) -> None:
    stage.running()
    stage.log.ended(2, State.FAILED, "it was ended by SIGKILL: was there too little memory?", None, 20.0)
    stage.log.finished("failed")
    stage.log.close()


def killed(stage) -> None:
    stage.running()
    stage.log.close()
    stage.clock.now += 240


def over(outcome: str) -> Callable:
    def state(stage) -> None:
        stage.running()
        stage.log.finished(outcome)
        stage.log.close()

    return state


def ending(stage) -> None:
    stage.running()
    stage.log.ending()


def stale(stage) -> None:
    stage.running()
    stage.clock.now += 240


def asked(stage) -> None:
    stage.running()
    ask(Path("st"), Action.STOP_STUDY)


def damaged(stage) -> None:
    stage.running()
    with (Path("st") / STUDY_FILE).open("a") as file:
        file.write("{broken\n")


GO_ON = "go on with: autotune study resume st"


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (lambda stage: stage.begin(), ["EMPTY no trial yet: the first is being prepared", "0/4 trials"]),
        (lambda stage: stage.running(), ["RUNNING trial 2 at step 42/100, news 0 s ago", "about 60 to 90 s left"]),
        (stale, ["STALE trial 2: no new step for 4 min 00 s, usually every 0.5 s"]),
        (paused, ["PAUSED trial 2 is paused at step 42/100; p lets it go on", "paused 42/100", "of running left"]),
        (waits, ["WAITS FOR YOU trial 3: learning_rate 0.003 → 0.0001; a accepts it, r "
                 "refuses it; trial 2 at step 42/100", "waits for you",
                 "waits for you: a accepts it and r refuses it"]),
        (ending, ["RUNNING trial 2 at step 42/100, news 0 s ago, no new trial begins, as was asked"]),
        (asked, ["asked to stop the study: no answer yet"]),
        (retried, ["RUNNING trial 2, attempt 2, is starting",
                   "again attempt 2: it was ended by SIGKILL: was there too little memory?"]),
        (killed, ["KILLED no process runs it any more, the last news came 4 min 00 s ago; trial 2 broke off at step "
                  f"42/100; {GO_ON}", "cut at 42/100", "autotune study resume st takes it up again"]),
        (over("interrupted"), [f"INTERRUPTED by a person; trial 2 broke off at step 42/100; {GO_ON}"]),
        (over("stopped"), [f"STOPPED as a person asked; trial 2 broke off at step 42/100; {GO_ON}"]),
        (failed, ["FAILED trial 2 failed: it was ended by SIGKILL: was there too little memory?; mend it, then "
                  + GO_ON]),
        (lambda stage: stage.finished(), ["FINISHED ★ trial 1 is best: validation_reward 0.137 with learning_rate"]),
        (damaged, ["1 line could not be read; trial 2 at step 42/100"]),
    ],
    ids=["empty", "running", "stale", "paused", "waits", "ending", "asked", "retried", "killed", "interrupted",
         "stopped", "failed", "finished", "damaged"],
)  # fmt: skip
def test_each_state_says_what_happened_and_what_to_do(stage, state: Callable, says: list[str], look) -> None:
    state(stage)
    text = joined(look())
    for told in says:
        assert told in text


def test_the_essential_of_a_sick_trial_needs_no_key_on_a_small_screen(stage, look) -> None:
    stage.begin()
    stage.sick_trial()
    text = joined(look())
    assert "0 as the study starts stopped 49/100 -0.860 F KL002 -" in text
    assert "FATAL KL002 kl_explosion since step 5, known at step 49" in text
    assert "best none yet has ended well; the highest is trial 0, -0.86, stopped" in text
    assert "1/4 trials, 30 s, about 90 s to 3 min left" in text  # three of 29 s, or of 59 s where none is stopped


def test_before_anything_is_changed_it_says_what_is_tried_and_takes_a_mild_finding_for_no_harm(stage, look) -> None:
    stage.begin()
    events = stage.propose(0, Proposal(START, Origin.START, "where the study arithmetic-grpo starts"))
    stage.steps(events, 0, 20, sick=False)
    events.emit(FindingRaised(15, explosion(Severity.INFO, 14, 15)))
    text = joined(look(LARGE))
    assert "now trial 0 tries what the study starts with: learning_rate 0.003, kl_coef 0.04" in text
    assert "wrong nothing is found wrong so far" in text
    assert "also INFO KL002 kl_explosion since step 14, known at step 15" in text
    events.close()


def test_a_start_that_was_stopped_before_it_was_scored_says_so(stage, look) -> None:
    stage.begin()
    stage.propose(0, Proposal(START, Origin.START, "where the study arithmetic-grpo starts"))
    stage.log.ended(0, State.PRUNED, "a person stopped it", None, 1.0)
    stage.healthy_trial()
    assert "(start: no score, stopped)" in joined(look())


def test_a_trial_run_again_on_another_seed_changed_nothing(stage, looks) -> None:
    stage.begin()
    stage.sick_trial()
    stage.healthy_trial()
    stage.propose(2, Proposal(stage.cure().knobs, Origin.CONFIRM, "the best once more", 1))
    *_, text = map(joined, looks(LARGE, "up"))
    assert "then trial 2 ran the same on another seed" in text


def test_what_was_done_about_it_and_whether_it_helped_is_beside_it(stage, looks) -> None:
    stage.finished()
    text, before = map(joined, looks(SMALL, "up"))
    assert "then trial 1 changed learning_rate 0.003 → 0.000375: confirmed" in before
    assert "helped? CONFIRMED: the divergence fell as said, and the reward rose beyond the noise" in text
    assert "kl.reference.k3.token 2.31 → 0.17 ± 0.11" in text


def test_the_best_stands_against_the_start_and_what_is_tried_says_why(stage, look) -> None:
    events = stage.running()
    text = joined(look(LARGE))
    best = "best ★ trial 1, validation_reward 0.137 (start: -0.86, stopped): learning_rate 0.003 → 0.000375"
    assert best in text
    why = "trial 1 is the best so far; nothing below it was tried"
    assert f"now trial 2 tries learning_rate 0.000375 → 0.000119: {why}" in text
    assert "learned learning_rate: 0.000119 (not over), 0.000375 (0.137), 0.003 (stopped)" in text
    assert "one value only: kl_coef, update_epochs, temperature, num_generations" in text
    events.emit(RunEnded(42, Outcome.FINISHED))
    stage.log.ended(2, State.COMPLETE, "ran to its end", 0.05, 20.0)
    stage.propose(3, stage.cure())
    text = joined(look(HUGE))
    judged = (
        "kl.reference.k3.token falls by 1.21 within 50% of the run, and validation_reward is higher than in trial 0"
    )
    assert f"judged at its end: {judged} at equal cost" in text


def test_a_study_that_nobody_runs_tries_nothing_now(stage, looks) -> None:
    killed(stage)
    small, large = map(joined, looks(SMALL, LARGE))
    for text in (small, large):
        assert "now trial 2" not in text
        assert "learned learning_rate: 0.000119 (not over), 0.000375 (0.137), 0.003" in text


def test_columns_come_with_the_width(stage, looks) -> None:
    stage.running()
    small, large = looks(SMALL, LARGE)
    (header,) = [line for line in small.split("\n") if line.startswith("#")]
    assert header.split() == ["#", "changed", "state", "score", "finding", "verdict"]
    (header,) = [line for line in large.split("\n") if line.startswith("#")]
    assert header.split() == ["#", "changed", "learning_rate", "state", "curve", "score", "finding", "verdict"]
    (sick,) = [line for line in large.split("\n") if line.startswith("0 ")]
    assert "F KL002 kl_explosion from 5" in sick
    assert "█" in sick


def test_below_the_trials_panes_take_turns_where_there_is_room_for_one(stage, looks) -> None:
    stage.finished()
    titles = ("Trial 1: learning_rate", "Curves of trial 1", "Log, the newest first")
    texts = looks(SMALL, "tab", "tab", "tab", "tab", (100, 30), LARGE, HUGE)
    shown = [[title for title in titles if title in text] for text in texts]
    about, curves, log = titles
    assert shown[:5] == [[about], [about], [curves], [log], [about]]
    assert shown[5:] == [[about, curves], [about, curves, log], [about, curves, log]]
    assert all("verdict" in text for text in texts)  # the table stays


def many(stage, count: int) -> None:
    stage.log.started(replace(load("arithmetic-grpo"), trials=count + 20), Search(parallel=4))
    for number in range(count):
        rate = 1e-3 * 1.02**-number
        proposal = Proposal({**stage.cure().knobs, "learning_rate": rate}, Origin.SAMPLER, "the model of the sampler")
        events = stage.propose(number, proposal)
        for step in (0, 5, 10):
            stage.clock.now += 1
            events.emit(MetricsLogged(step, {"validation_reward": number / 1000 + step / 100}))
        if number < count - 4:
            events.emit(RunEnded(100, Outcome.FINISHED))
            stage.log.ended(number, State.COMPLETE, "ran to its end", 0.5, 60.0)
        events.close()


def test_a_step_of_one_of_many_trials_changes_its_own_cells_alone(
    stage, run, text_of, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(stage, 60)
    changed: list[tuple[str, str]] = []
    worded: list[int] = []
    row = trials.row

    def watched_row(study, trial, *rest, **more):
        worded.append(trial.number)
        return row(study, trial, *rest, **more)

    update, add = RowTable.update_cell, RowTable.add_row

    def watched_update(self, row, column, *rest, **more):
        changed.append((row, column))
        return update(self, row, column, *rest, **more)

    def watched_add(self, *cells, **more):
        changed.append(("added", str(cells[0])))
        return add(self, *cells, **more)

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=LARGE) as pilot:
            async with asyncio.timeout(20):
                while app.watched.source is None or app.screen.query_one("#trials").row_count < 60:
                    await pilot.pause(0.01)
            await pilot.pause()
            assert "56/80 trials" in text_of(app)
            monkeypatch.setattr(trials, "row", watched_row)
            monkeypatch.setattr(RowTable, "update_cell", watched_update)
            monkeypatch.setattr(RowTable, "add_row", watched_add)
            path = Path("st/trials/57/events.jsonl")
            line = path.read_text().splitlines()[-1]
            with path.open("a") as file:
                file.write(line.replace('"step":10', '"step":11').replace('"step": 10', '"step": 11') + "\n")
            async with asyncio.timeout(20):
                while not changed:
                    await pilot.pause(0.01)
            await pilot.pause()

    run(go())
    assert set(worded) == {57}
    assert {row for row, _ in changed} == {"57"}
    assert {column for _, column in changed} <= {"state", "curve", "score"}


def test_the_newest_of_200_trials_is_in_sight(stage, looks) -> None:
    many(stage, 200)
    small, huge = looks(SMALL, HUGE)
    assert "\n199 " in small
    assert "196/220 trials" in small
    assert "\n199 " in huge
    (learned,) = [line for line in huge.split("\n") if line.startswith("learned learning_rate")]
    assert learned.count("(") == 6  # neighbours are told together


def of_command(stage, knobs: dict[str, object]) -> None:
    space = {knob: {"low": 1e-6, "high": 1e-1, "log": True} for knob in knobs}
    command = "python x.py " + " ".join(f"--{i} {{{knob}}}" for i, knob in enumerate(knobs))
    table = {"name": "mine", "objective": "my_score", "trial": {"command": command}, "space": space, "start": knobs}
    stage.log.started(from_json(table, "mine.toml"), Search())
    stage.clock.now += 1
    stage.log.proposed(0, 0, Proposal(knobs, Origin.START, "where the study mine starts"))


def test_a_study_of_a_command_with_a_knob_of_its_own(stage, looks) -> None:
    of_command(stage, {"warm_up": 1e-3})
    events = stage.propose(1, Proposal({"warm_up": 1e-4}, Origin.SAMPLER, HOSTILE))
    events.emit(MetricsLogged(1, {}, {"my_score": 0.25}))
    for text in looks(SMALL, LARGE):
        assert "warm_up 0.001 → 0.0001" in text
        assert "[red]bold[/red]" in text
        assert "\x1b" not in text
        assert "\u202e" not in text


def test_names_of_any_length_are_cut_and_no_number_is(stage, looks) -> None:
    name = "a_knob_whose_name_tells_all_that_there_is_to_tell_and_goes_on"
    of_command(stage, {name: 1e-3})
    stage.propose(1, Proposal({name: 1.25e-4}, Origin.SAMPLER, "the model of the sampler"))
    sizes = (SMALL, (100, 30), LARGE, HUGE)
    for size, text in zip(sizes, looks(*sizes), strict=True):
        for line in text.split("\n"):
            assert len(line) <= size[0]
            assert "0.0001…" not in line
            assert "0.00…" not in line


@pytest.mark.parametrize(
    ("text", "cells", "told"),
    [("lr 0.003 → 0.00012", 18, "lr 0.003 → 0.00012"), ("lr 0.003 → 0.00012", 16, "lr 0.003 →…"),
     ("lr 0.003 → 0.00012, kl", 20, "lr 0.003 →…"), ("abc", 0, "")],
)  # fmt: skip
def test_what_is_cut_keeps_its_numbers(text: str, cells: int, told: str) -> None:
    from rich.text import Text

    assert cut(Text(text), cells).plain == told


def test_enter_opens_the_selected_trial(stage, looks) -> None:
    stage.finished()
    *_, text = looks(SMALL, "up", "enter")
    assert "━trial 0━" in text
    assert "⏎ Open" in looks(SMALL)[0]
