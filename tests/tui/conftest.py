"""Studies on disk, written as the loop writes them, at a time of our own; and what a screen shows, as text."""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from diagnostics.events import EventLog, FindingRaised, MetricsLogged, Outcome, RunEnded, RunStarted
from diagnostics.finding import Confidence, Direction, Evidence, Finding, Hypothesis, Severity
from studies.log import StudyLog, trial_directory
from studies.record import Comparison, Judgement, Origin, Proposal, Search, State, Verdict
from studies.spec import load
from tui.app import MonitorApp

BEGAN = 1_700_000_000.0  # 14 November 2023, 22:13:20 in UTC
START = {"learning_rate": 3e-3, "kl_coef": 0.04, "update_epochs": 1, "temperature": 1.0, "num_generations": 8}
KL = "kl.reference.k3.token"


class Clock:
    """Seconds since the epoch, moved by hand."""

    def __init__(self) -> None:
        self.now = BEGAN

    def __call__(self) -> float:
        return self.now


def explosion(severity: Severity, onset: int, raised_at: int) -> Finding:
    return Finding(
        "KL002", "kl_explosion", severity, Confidence.HIGH, onset, raised_at, raised_at,
        f"{KL} is 2.42 (limit 0.5) from step {onset} to {raised_at}, while the reward stands at -0.93",
        (Evidence(KL, onset, raised_at, "mean", 2.42, 0.5),),
    )  # fmt: skip


class Stage:
    """A study in `directory` that can be brought to any state; `log` holds the lock until it is closed."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.clock = directory, Clock()
        directory.mkdir(parents=True, exist_ok=True)
        self.log = StudyLog(directory, clock=self.clock)

    def begin(self, trials: int = 4) -> None:
        from dataclasses import replace

        self.log.started(replace(load("arithmetic-grpo"), trials=trials), Search())

    def propose(self, number: int, proposal: Proposal) -> EventLog:
        self.clock.now += 1
        self.log.proposed(number, number, proposal)
        self.clock.now += 4
        events = EventLog(trial_directory(self.directory, number) / "events.jsonl", clock=self.clock)
        events.emit(RunStarted(0, "trl-grpo", "1.16.0", {"max_steps": 100}))
        return events

    def steps(self, events: EventLog, first: int, last: int, *, sick: bool) -> None:
        """Steps of half a second; a sick run's KL leaves and its reward falls, a healthy one learns."""
        for step in range(first, last):
            self.clock.now += 0.5
            if step % 10 == 0:
                value = -0.56 - 0.3 * math.tanh(step / 10) if sick else -0.56 + 0.7 * math.tanh(step / 30)
                events.emit(MetricsLogged(step, {"validation_reward": round(value, 3)}))
            kl = 2.4 * math.tanh(step / 15) if sick else 0.2 * math.tanh(step / 30)
            metrics = {
                "reward_mean": (-0.5 - 0.4 * math.tanh(step / 10) if sick else -0.5 + 0.8 * math.tanh(step / 30)),
                KL: kl + 0.05 * math.sin(step),
                "entropy.token": 0.7 - 0.003 * step + 0.05 * math.sin(step * 1.7),
                "zero_std_share": 0.3 + 0.2 * math.sin(step / 7),
                "grad_norm": 1.0 + 0.3 * math.sin(step * 2.3),
                "completions_generated": 128.0 * (step + 1),
            }
            events.emit(MetricsLogged(step + 1, metrics))

    def sick_trial(self) -> None:
        """Trial 0, stopped by KL002 at step 49."""
        events = self.propose(0, Proposal(START, Origin.START, "where the study arithmetic-grpo starts"))
        self.steps(events, 0, 49, sick=True)
        for severity, onset, at in ((Severity.WARNING, 5, 14), (Severity.FATAL, 20, 49)):
            events.emit(FindingRaised(at, explosion(severity, onset, at)))
        events.emit(RunEnded(49, Outcome.STOPPED, "KL002"))
        events.close()
        self.log.stopped(0, "kl_explosion", explosion(Severity.FATAL, 20, 49))
        self.log.ended(0, State.PRUNED, "KL002 kl_explosion at step 49", -0.85, 29.0)

    def cure(self) -> Proposal:
        because = "the updates are so large that the policy is carried off faster than the reward can guide it"
        return Proposal(
            {**START, "learning_rate": 3.75e-4}, Origin.FINDING, "KL002 kl_explosion in trial 0", 0, "KL002",
            "learning_rate", Hypothesis(KL, Direction.DOWN, 1.21, 0.5, because),
        )  # fmt: skip

    def healthy_trial(self) -> None:
        """Trial 1, with a smaller learning rate: confirmed."""
        events = self.propose(1, self.cure())
        self.steps(events, 0, 100, sick=False)
        events.emit(RunEnded(100, Outcome.FINISHED))
        events.close()
        self.log.ended(1, State.COMPLETE, "ran to its end", 0.14, 54.0)
        verdict = Verdict(
            Judgement.CONFIRMED,
            "the divergence fell as said, and the reward rose beyond the noise",
            Comparison(KL, 2.31, 0.17, 0.11, (1, 1), 6272),
            Comparison("validation_reward", -0.85, 0.09, 0.04, (1, 1), 6272),
        )
        self.log.judged(1, verdict)

    def running_trial(self, steps: int = 42) -> EventLog:
        """Trial 2, under way."""
        knobs = {**START, "learning_rate": 1.19e-4}
        events = self.propose(
            2,
            Proposal(
                knobs, Origin.BRACKET, "trial 1 is the best so far; nothing below it was tried", 1, "", "learning_rate"
            ),
        )
        self.steps(events, 0, steps, sick=False)
        return events

    def running(self) -> EventLog:
        """Two trials done, the third under way."""
        self.begin()
        self.sick_trial()
        self.healthy_trial()
        return self.running_trial()

    def finished(self) -> None:
        """Two trials, and the end."""
        self.begin(2)
        self.sick_trial()
        self.healthy_trial()
        self.log.finished("finished")
        self.log.close()


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    made = Stage(tmp_path / "st")
    monkeypatch.chdir(tmp_path)  # so that a screen shows the folder's name and not where it lies
    yield made
    made.log.close()
    monkeypatch.undo()
    time.tzset()


def shown(app: MonitorApp) -> str:
    """What is on the screen, as text, without blanks at the ends of lines."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


@pytest.fixture
def text_of() -> Callable[[MonitorApp], str]:
    return shown


@pytest.fixture
def run() -> Callable:
    import asyncio

    return asyncio.run
