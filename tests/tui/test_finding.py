"""The finding screen: what is wrong with a trial or a log, what it rests on, what to change, whether that helped."""

import asyncio
import gzip
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from diagnostics import engine
from diagnostics.events import FindingRaised, Outcome, RunEnded
from diagnostics.finding import Confidence, Evidence, Finding, Severity
from diagnostics.rule import shipped
from diagnostics.sources import find
from studies.record import Origin, Proposal, State
from tui import feed as feeds
from tui import log_feed
from tui.app import MonitorApp
from tui.widgets.evidence import EvidencePlots
from tui.widgets.finding_words import sections

from .conftest import START
from .pilots import HOSTILE, settled

PATHOLOGIES = Path(__file__).parents[1] / "data" / "pathologies"
SMALL, LARGE, HUGE = (80, 24), (160, 50), (220, 60)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(feeds, "INTERVAL", 0.02)
    monkeypatch.setattr(feeds, "LOCK_INTERVAL", 0.02)
    monkeypatch.setattr(log_feed, "INTERVAL", 0.02)
    monkeypatch.setattr(log_feed, "SHARE", 10.0)
    monkeypatch.chdir(tmp_path)


def steps_of(app: MonitorApp, run, text_of: Callable, *steps: tuple[int, int] | str) -> list[str]:
    """The screen after each step: a size that it is given, or a key that is pressed."""

    async def go() -> list[str]:
        async with app.run_test(size=steps[0]) as pilot:
            async with asyncio.timeout(30):
                while not app.watched.runs or not ready(app):
                    await pilot.pause(0.01)
            texts = [await settled(pilot, text_of)]
            for step in steps[1:]:
                await (pilot.press(step) if isinstance(step, str) else pilot.resize_terminal(*step))
                texts.append(await settled(pilot, text_of))
            return texts

    return run(go())


def ready(app: MonitorApp) -> bool:
    logs = getattr(app.watched.source, "logs", ())
    return all(log.report or log.trouble for log in logs)


def joined(text: str) -> str:
    return " ".join(text.split())


def pathology(name: str) -> Path:
    """One recorded run of a pathology, written a while ago."""
    path = Path(f"{name}.jsonl")
    path.write_bytes(gzip.decompress((PATHOLOGIES / name / "0.jsonl.gz").read_bytes()))
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


def test_a_trial_tells_what_is_wrong_what_was_done_and_whether_it_helped(stage, run, text_of) -> None:
    stage.finished()
    app = MonitorApp(Path("st"), clock=stage.clock)
    *_, small, large = steps_of(app, run, text_of, SMALL, "up", "3", LARGE)
    assert "F KL002 kl_explosion" in small
    assert "What KL002 rests on (dotted line: mean, limit 0.5)" in joined(small)
    assert "FATAL KL002 kl_explosion steps 5 to 49, error at 20, raised at 49" in joined(small)  # as the trial told
    text = joined(large)
    assert "change Try: divide learning_rate by 8, because smaller updates move the policy no further" in text
    assert "who the tuner may try it, in a new trial" in text
    assert "done trial 0 was stopped because of it" in text
    assert "tried trial 1 changed learning_rate 0.003 → 0.000375: complete" in text
    assert "helped? CONFIRMED: the divergence fell as said" in text
    assert "kl.reference.k3.token 2.31 → 0.17 ± 0.11 (1 against 1 run, at 6,272 completions)" in text
    assert "cause The learning rate is too high high confidence" in text
    assert "chain KL002 kl_explosion at 11" in text
    assert "rule The policy has left the reference far behind" in text
    assert "1 fatal; 17 of 54 rules could be checked." in text


def test_a_trial_is_judged_by_the_rules_of_the_project(stage, run, text_of) -> None:
    stage.finished()
    rules = {code: judge for code, judge in shipped().items() if code in ("KL001", "KL002")}
    app = MonitorApp(Path("st"), clock=stage.clock, rules=rules)
    *_, text = steps_of(app, run, text_of, SMALL, "up", "3", LARGE)
    assert "1 fatal; 2 of 2 rules could be checked." in joined(text)


def test_a_finding_without_an_answer_says_so(stage, run, text_of) -> None:
    stage.begin()
    stage.sick_trial()
    *_, text = steps_of(MonitorApp(Path("st"), clock=stage.clock), run, text_of, LARGE, "3")
    assert "tried nothing in response yet" in joined(text)


def test_what_answers_another_finding_is_no_answer_to_this_one(stage, run, text_of) -> None:
    stage.begin()
    stage.sick_trial()
    stage.propose(1, replace(stage.cure(), code="LEN001"))
    *_, text = steps_of(MonitorApp(Path("st"), clock=stage.clock), run, text_of, LARGE, "up", "3")
    assert "Findings of trial 0" in text
    assert "tried nothing in response yet" in joined(text)


def test_what_was_not_checked_and_what_looks_wrong_are_told_with_why(stage, run, text_of) -> None:
    stage.finished()
    app = MonitorApp(Path("st"), clock=stage.clock)
    *_, mild, skips, harmless = steps_of(app, run, text_of, LARGE, "3", "down", "down")
    assert "I KL001 negative_kl" in mild
    assert "Nothing is wrong that could be checked" in mild
    assert "1 info; 20 of 54 rules could be checked." in mild
    assert "not checked: 34 rules" in skips
    assert "need what this run did not log" in joined(skips)
    assert "VAL001" in skips
    assert "looks wrong and is not: 1" in harmless


def test_a_run_without_findings_says_so_and_what_that_rests_on(run, text_of) -> None:
    path = Path("log.csv")
    path.write_text("step,reward\n" + "".join(f"{i},{i / 100 + (i % 3) / 50}\n" for i in range(1, 40)))
    os.utime(path, (1_700_000_000, 1_700_000_000))
    *_, text = steps_of(MonitorApp(path, found=find(path)), run, text_of, SMALL, "3")
    assert "nothing was found" in text
    assert "No findings; 3 of 54 rules could be checked." in text
    path.write_text("step,strange\n1,2\n2,3\n")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    *_, text = steps_of(MonitorApp(path, found=find(path)), run, text_of, SMALL, "3")
    assert "Nothing could be checked: no rule found what it needs." in joined(text)


def test_a_log_tells_each_finding_in_the_names_of_its_framework(run, text_of) -> None:
    path = pathology("06_entcol_bad")
    app = MonitorApp(path, found=find(path))
    *_, first, second = steps_of(app, run, text_of, LARGE, "3", "down")
    assert "E RWD009 reward_hacking" in first
    assert "Try: set init_kl_coef to 0.04" in joined(first)
    assert "to be tried in a new run: it may change what is learned" in joined(first)
    assert "cause The KL penalty is too weak or absent" in joined(first)
    assert "chain LEN002 length_collapse at 40 → RWD005 reward_saturation at 44 → RWD009" in joined(first)
    assert "WARNING LEN002 length_collapse" in joined(second)
    assert "What LEN002 rests on" in second


def test_names_that_nobody_knows_are_counted_and_listed_with_what_to_type(run, text_of) -> None:
    path = Path("log.csv")
    path.write_text("step,reward,my/entropy_loss\n" + "".join(f"{i},{i / 100},{0.5}\n" for i in range(1, 60)))
    os.utime(path, (1_700_000_000, 1_700_000_000))
    app = MonitorApp(path, found=find(path))
    *_, text = steps_of(app, run, text_of, LARGE, "3", "down", "down")
    assert "not understood: 1 name" in text
    assert "my/entropy_loss" in text


def test_enter_shows_the_evidence_on_the_whole_screen_and_back(stage, run, text_of) -> None:
    stage.finished()
    app = MonitorApp(Path("st"), clock=stage.clock)
    *_, zoomed, back = steps_of(app, run, text_of, SMALL, "up", "3", "enter", "escape")
    assert "Findings of" not in zoomed
    assert "kl.reference.k3.token" in zoomed
    assert "Findings of trial 0" in back


def test_no_search_is_offered_where_there_are_no_metrics_to_search_among(stage, run, text_of) -> None:
    stage.finished()
    app = MonitorApp(Path("st"), clock=stage.clock)
    *_, small = steps_of(app, run, text_of, SMALL, "up", "3")
    assert "Search" not in small.splitlines()[-1]
    assert "Help" in small.splitlines()[-1]


def test_another_run_begins_with_its_worst_finding(stage, run, text_of) -> None:
    stage.finished()
    app = MonitorApp(Path("st"), clock=stage.clock)
    *_, healthy, sick = steps_of(app, run, text_of, SMALL, "3", "left_square_bracket")
    assert "Findings of trial 1" in healthy
    assert "Findings of trial 0" in sick
    assert "FATAL KL002" in joined(sick)


def test_a_finding_of_a_rule_that_is_not_known_here_is_text_all_the_same(stage, run, text_of) -> None:
    stage.begin()
    events = stage.propose(0, stage.cure())
    stage.steps(events, 0, 20, sick=False)
    strange = Finding(
        HOSTILE, HOSTILE, Severity.ERROR, Confidence.HIGH, 3, 9, 9, HOSTILE,
        (Evidence("nowhere", 3, 9, HOSTILE, 1.0, 2.0),),
    )  # fmt: skip
    events.emit(FindingRaised(9, strange))
    app = MonitorApp(Path("st"), clock=stage.clock)
    *_, text = steps_of(app, run, text_of, LARGE, "3")
    assert "is no rule that is known here" in joined(text)
    assert "[red]bold[/red]" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "rests on" not in text  # nothing was logged that it could be drawn from


def test_a_trial_whose_events_cannot_be_read_says_so_and_keeps_what_is_known(stage, run, text_of) -> None:
    stage.finished()

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    app = MonitorApp(Path("st"), clock=stage.clock)
    from diagnostics import logs

    before, logs.read = logs.read, broken
    try:
        *_, text, told = steps_of(app, run, text_of, LARGE, "up", "3", "down")
    finally:
        logs.read = before
    assert "F KL002 kl_explosion" in text
    assert "could not be judged" in text
    assert "cannot read st/trials/0: Input/output error" in joined(told)


def test_keys_are_answered_while_a_trial_is_judged(stage, run, text_of, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.finished()
    inside, gate = threading.Event(), threading.Event()
    diagnose = engine.diagnose

    def slow(*arguments: object):
        inside.set()
        gate.wait(20)
        return diagnose(*arguments)

    monkeypatch.setattr(engine, "diagnose", slow)

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=LARGE) as pilot:
            async with asyncio.timeout(20):
                while not app.watched.runs:
                    await pilot.pause(0.01)
                await pilot.press("up", "3")
                while not inside.is_set():
                    await pilot.pause(0.01)
            await pilot.pause()
            assert "Findings of trial 0 (being judged)" in text_of(app)
            assert "FATAL  KL002" in text_of(app)  # the trial's own word is there at once
            await pilot.press("1")
            assert "verdict" in text_of(app)
            await pilot.press("3")
            gate.set()
            assert "rules could be checked" in joined(await settled(pilot, text_of))
            assert "(being judged)" not in text_of(app)

    try:
        run(go())
    finally:
        gate.set()


def test_a_trial_is_judged_anew_when_it_finds_something_and_when_it_ends(stage, run, text_of, monkeypatch) -> None:
    stage.begin()
    events = stage.propose(0, stage.cure())
    stage.steps(events, 0, 40, sick=False)
    judged: list[int] = []
    diagnose = engine.diagnose

    def counted(runs, *rest: object):
        judged.append(runs[0].last_step)
        return diagnose(runs, *rest)

    monkeypatch.setattr(engine, "diagnose", counted)

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=LARGE) as pilot:
            async with asyncio.timeout(20):
                while not app.watched.runs:
                    await pilot.pause(0.01)
                await pilot.press("3")
                await settled(pilot, text_of)
                stage.steps(events, 40, 60, sick=False)  # goes on, and has not doubled: nothing to judge
                while app.watched.run.of.steps < 60:
                    await pilot.pause(0.01)
                await settled(pilot, text_of)
                assert judged == [40]
                events.emit(RunEnded(60, Outcome.FINISHED))
                stage.log.ended(0, State.COMPLETE, "ran to its end", 0.1, 30.0)
                while len(judged) < 2:
                    await pilot.pause(0.01)
            assert judged == [40, 60]

    run(go())


def test_a_click_on_a_finding_leads_to_it(stage, run, text_of) -> None:
    stage.finished()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=LARGE) as pilot:
            async with asyncio.timeout(20):
                while not app.watched.runs:
                    await pilot.pause(0.01)
            await pilot.press("up")
            text = await settled(pilot, text_of)
            y, line = next((y, line) for y, line in enumerate(text.split("\n")) if "FATAL  KL002" in line)
            await pilot.click(offset=(line.index("KL002") + 1, y))
            assert "Findings of trial 0" in await settled(pilot, text_of)

    run(go())


def test_a_limit_that_is_no_level_is_no_line(stage, run, text_of) -> None:
    stage.begin()
    events = stage.propose(0, stage.cure())
    stage.steps(events, 0, 20, sick=False)
    fall = Evidence("reward_mean", 3, 9, "fall in units of noise", 9.0, 3.0)
    events.emit(
        FindingRaised(9, Finding("X1", "x", Severity.ERROR, Confidence.HIGH, 3, 9, 9, "it fell", (fall,))),
    )

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=LARGE) as pilot:
            async with asyncio.timeout(20):
                while not app.watched.runs:
                    await pilot.pause(0.01)
            await pilot.press("3")
            await settled(pilot, text_of)
            (plot,) = app.screen.query_one(EvidencePlots).plots
            assert plot.metric == "reward_mean"
            assert plot.before.steps == ()
            assert "limit" not in str(app.screen.query_one(EvidencePlots).border_title)

    run(go())


def test_sections_of_a_page() -> None:
    page = "One sentence,\nover two lines.\n\n## Meaning\nA\nB\n\n## References\nC"
    assert sections(page) == {"": "One sentence, over two lines.", "Meaning": "A B", "References": "C"}


def test_a_trial_without_a_step_is_not_called_unchecked(stage, run, text_of) -> None:
    stage.begin()
    stage.propose(0, Proposal(START, Origin.START, "where the study arithmetic-grpo starts"))
    app = MonitorApp(Path("st"), clock=stage.clock)
    *_, text = steps_of(app, run, text_of, SMALL, "3")
    assert "no step yet" in text
    assert "Nothing is judged before the first step." in text
    assert "Nothing could be checked" not in text and "nothing was found" not in text


def test_the_bar_below_the_evidence_begins_where_the_finding_was_milder(stage, run, text_of) -> None:
    stage.finished()
    app = MonitorApp(Path("st"), clock=stage.clock)
    *_, text = steps_of(app, run, text_of, SMALL, "up", "3")
    (bar,) = [line for line in text.split("\n") if "━━" in line and "F" in line and "━Findings" not in line]
    assert bar.index("━") < bar.index("F") / 2  # from step 5 on, not from 20, of the 49 that end at the F
