import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.console import RenderableType as Renderable

from autotune.views.plain import PlainView, closing
from autotune.views.run import LiveRun, PlainRun
from autotune.views.table import trials_table
from diagnostics.events import EventLog, FindingRaised, MetricsLogged, RunStarted
from diagnostics.finding import Confidence, Evidence, Finding, Severity
from studies import words
from studies.record import Origin, Proposal, State, StudyRecord, TrialRecord
from studies.spec import load
from studies.trial_log import Evaluation, TrialLog

FINDING = Finding(
    "KL002", "kl_explosion", Severity.FATAL, Confidence.HIGH, 3, 20, 20, "KL to the reference is 2.1 nats per token",
    (Evidence("kl.reference.k3.token", 3, 20, "median", 2.1, 0.5),),
)  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (75, "1 min 15 s"), (3700, "1 h 01 min")]
)
def test_durations(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said


def study(directory: Path) -> tuple[StudyRecord, TrialLog]:
    spec = load("arithmetic-grpo")
    first = TrialRecord(
        0, 1, 0, Proposal(spec.start, Origin.START, "where it starts"), State.PRUNED, "KL002",
        (Evaluation(0, 0, -0.3), Evaluation(20, 2560, -0.9)), (FINDING,), 21, 100, 2688, 4.0,
    )  # fmt: skip
    knobs = {**spec.start, "learning_rate": 3.75e-4, "num_generations": 16}
    second = TrialRecord(
        1, 1, 1, Proposal(knobs, Origin.FINDING, "[red]it[/red] \x1b[31mfell", 0), max_steps=100, steps=40
    )
    directory.mkdir()
    log = EventLog(directory / "events.jsonl", clock=lambda: 3.0)
    log.emit(RunStarted(0, "trl-grpo", "1.16.0", {"max_steps": 100}, notes=("no reference model",)))
    for step in range(40):
        log.emit(MetricsLogged(step, {"reward_mean": step / 40, "validation_reward": 0.1, "entropy.token": 1.0}))
    log.emit(FindingRaised(20, FINDING))
    follower = TrialLog(directory, "validation_reward")
    follower.poll()
    return StudyRecord(directory, spec, (first, second)), follower


@pytest.mark.parametrize("width", [30, 40, 59, 80, 200])
def test_the_table_of_trials_fits_any_width(tmp_path: Path, width: int) -> None:
    record, _ = study(tmp_path / "[red]s")
    text = shown(trials_table(record, width), width)
    assert "[red]s" in text.replace("\n", "") or width < 100  # markup of a name is shown, not obeyed
    assert "KL002" in text or width < 40


def shown(renderable: Renderable, width: int) -> str:
    out = io.StringIO()
    Console(width=width, file=out, force_terminal=False).print(renderable)
    lines = out.getvalue().splitlines()
    assert max(cell_len(line) for line in lines) <= width
    return out.getvalue()


def test_the_best_trial_is_marked(tmp_path: Path) -> None:
    record, _ = study(tmp_path / "s")
    done = replace(record.trials[1], state=State.COMPLETE, evaluations=(Evaluation(100, 12800, 0.41),))
    text = shown(trials_table(replace(record, trials=(record.trials[0], done)), 100), 100)
    assert "★ 1" in text
    assert "learning_rate 0.003 → 0.000375" in text
    assert "num_generations 8 → 16" in text


def test_what_is_best_counts_with_all_its_seeds(tmp_path: Path) -> None:
    record, _ = study(tmp_path / "s")
    one = replace(record.trials[1], state=State.COMPLETE, evaluations=(Evaluation(100, 12800, 0.4),))
    other = replace(one, number=2, evaluations=(Evaluation(100, 12800, 0.3),))
    assert words.result(record.with_trial(one), one) == "0.4"
    both = record.with_trial(one).with_trial(other)
    assert words.result(both, one) == words.result(both, other) == "0.35 over 2 seeds"
    assert closing(both)[0].startswith("best: trial 1 with validation_reward 0.35 over 2 seeds")
    assert words.result(record, record.trials[0]) == "-0.9"  # stopped: it is worth what it came to


def test_a_run_in_plain_lines(tmp_path: Path) -> None:
    _, log = study(tmp_path / "s")
    out = io.StringIO()
    again = TrialLog(log.directory, "validation_reward")
    events = again.poll()
    with PlainRun(out) as view:
        view.moved(again, events)
    lines = out.getvalue().splitlines()
    assert lines[:3] == ["trl-grpo 1.16.0, 100 steps", "no reference model", "step 0/100  validation_reward +0.100"]
    assert lines[-1].startswith("FATAL KL002 kl_explosion at step 20: KL to the reference")


@pytest.mark.parametrize("width", [40, 80])
def test_a_run_on_a_screen(tmp_path: Path, width: int) -> None:
    _, log = study(tmp_path / "s")
    view = LiveRun(Console(width=width, file=io.StringIO(), force_terminal=False))
    assert "starting" in shown(view.screen(), width)
    view.moved(log, ())
    text = shown(view.screen(), width)
    assert "reward_mean" in text
    assert "step 39/100" in text


def test_an_objective_logged_at_every_step_is_not_a_line_at_every_step(tmp_path: Path) -> None:
    record, _ = study(tmp_path / "s")
    folder = tmp_path / "often"
    log = EventLog(folder / "events.jsonl")
    for step in range(500):
        log.emit(MetricsLogged(step, {"validation_reward": float(step)}))
    log.close()
    out, follower = io.StringIO(), TrialLog(folder, "validation_reward")
    view = PlainView(record, out)
    view.moved(record.trials[1], follower, follower.poll())
    steps = [int(line.split("step ")[1].split()[0]) for line in out.getvalue().splitlines() if "step " in line]
    assert steps[:30] == list(range(30))
    assert steps[30:] == [*range(39, 100, 10), *range(99, 500, 100)[1:]]  # the 40th, 50th, ..., 100th, 200th, ...
