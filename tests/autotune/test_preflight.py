"""Settings that contradict each other are told in one line before a worker is started, or torch imported."""

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autotune import loop
from autotune.dry_run import dry_run
from autotune.launch import Launcher
from autotune.preflight import check
from autotune.views.plain import PlainView
from diagnostics.errors import UserError
from diagnostics.events import EventLog
from studies.log import read
from studies.record import Search, State
from studies.spec import StudySpec, from_json, presets
from studies.spec import load as load_study
from studies.trial import TrialSpec


def study(
    algorithm: str = "ppo", *, trl: Any = None, trial: Any = None, **knobs: tuple[Any, dict[str, Any]]
) -> StudySpec:
    """A study of 64 completions a rollout; `knobs` are each its start and its space."""
    usual = {
        "learning_rate": (1e-4, {"low": 1e-6, "high": 1e-2, "log": True}),
        "kl_coef": (0.05, {"low": 0.01, "high": 1}),
    }
    space = usual | knobs
    data = {
        "name": "mine",
        "trial": {"algorithm": algorithm, "task": "arithmetic", "batch_size": 64, "trl": trl or {}, **(trial or {})},
        "space": {knob: table for knob, (_, table) in space.items()},
        "start": {knob: start for knob, (start, _) in space.items()},
    }
    return from_json(data, "mine.toml")


ADAPTIVE = {"kl_controller": "adaptive"}
REFUSED = {
    "mini-batches": (study(trl={"num_mini_batches": 3}), "3 mini-batches do not divide a rollout of 64 completions"),
    "parts of one": (
        study(trl={"num_mini_batches": 4, "per_device_train_batch_size": 5}),
        "a mini-batch of 16 completions cannot be split over 1 processes in batches of 5",
    ),
    "controller": (study(trl=ADAPTIVE, kl_coef=(0, {"choices": [0]})), "kl_controller is adaptive and kl_coef is 0"),
    "controller later": (
        study(trl=ADAPTIVE, kl_coef=(0.1, {"low": 0, "high": 1})),
        "its space has kl_coef 0: PPO refuses the settings: kl_controller is adaptive and kl_coef is 0",
    ),
    "groups": (study(num_generations=(5, {"choices": [5]})), "CFG001 .*: 5 generations .* a batch of 64 completions"),
    "groups later": (
        study(num_generations=(1, {"choices": [1, 8, 48]})),
        "its space has num_generations 48: CFG001 generations_divide_batch: 48 generations",
    ),
    "groups between": (
        study(num_generations=(1, {"low": 1, "high": 4, "integer": True})),
        "has num_generations 3: CFG001",
    ),
    "groups and batches": (
        study(num_generations=(8, {"choices": [8, 16]}), batch_size=(64, {"choices": [24, 64]})),
        "its space has num_generations 16, batch_size 24: CFG001",
    ),
    "batches and mini-batches": (
        study(trl={"num_mini_batches": 4}, batch_size=(64, {"choices": [50, 64]})),
        "its space has batch_size 50: 4 mini-batches do not divide",
    ),
    "whole numbers": (study(num_generations=(1, {"low": 1, "high": 4})), "the space of num_generations is 1 to 4, and"),
    "GRPO alone": (study("grpo", num_generations=(1, {"choices": [1, 4]})), "num_generations is 1, and GRPO compares"),
    "estimator": (study(trl={"kl_estimator": "k4"}), "kl_estimator is 'k4': it is one of k1, k2, k3, abs"),
    "limits": (study(trl={"gamma": 1.5}), "gamma is 1.5: it lies between 0 and 1"),
    "no number": (study(trl={"vf_coef": "much"}), "PPO refuses the settings: '<' not supported"),
    "parts": (study(trl={"num_mini_batches": 0}), "num_mini_batches is 0. It takes a whole number"),
    "GRPO's loss": (study(loss_type=("dapo", {"choices": ["dapo", "grpo"]})), "loss_type means nothing to PPO"),
    "GRPO's scale": (study(scale_rewards=("group", {"choices": ["group"]})), "scale_rewards means nothing to PPO"),
    "GRPO's option": (study(trl={"loss_type": "dapo"}), "PPO refuses the settings: loss_type is GRPO's"),
    "GRPO's name": (study(trl={"beta": 0.1}), "PPO refuses the settings: beta is GRPO's name: PPO's is kl_coef"),
    "PPO's values": (study("grpo", vf_coef=(0.1, {"low": 0.1, "high": 1})), "vf_coef means nothing to GRPO"),
    "no effect": (study(num_train_epochs=(1, {"choices": [1]})), "num_train_epochs has no effect"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_no_trial_could_train_with_is_refused(what: str) -> None:
    spec, says = REFUSED[what]
    with pytest.raises(UserError, match=says) as caught:
        check(spec)
    assert str(caught.value).startswith("study mine: ") and "\n" not in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"algorithm": "rloo"}, "there is no algorithm 'rloo'. Choose one of grpo, ppo"),
        ({"knobs": {"vf_coeff": 1}}, "unknown knob vf_coeff"),
    ],
)
def test_what_there_is_not_is_refused_when_it_is_read(data: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        study(trial=data)


WARNED = {
    "top_p": ({"top_p": 0.9}, "sampled with top_p 0.9, and the KL is taken as if with top_p 1"),
    "top_k": ({"top_k": 50}, "sampled with top_k 50"),
    "least": ({"generation_kwargs": {"min_new_tokens": 4}}, "sampled with min_completion_length 4"),
    "colder": ({"temperature": 0.7, "logprob_temperature": 1.0}, "sampled with temperature 0.7, .* temperature 1"),
}


@pytest.mark.parametrize("what", WARNED)
def test_sampling_that_the_kl_does_not_know_of_is_told(what: str) -> None:
    trl, says = WARNED[what]
    (line,) = check(study(trl=trl))
    assert line.startswith("INFO CFG004 truncating_sampling: completions are ") and line.endswith(
        "or score as is sampled."
    )
    (told,) = [line for line in dry_run(study(trl=trl), Search(), Path("nowhere")) if "CFG004" in line]
    assert told.startswith("its settings alone tell: INFO CFG004")
    assert re.search(says, line)


def test_ppo_has_a_kl_coefficient_where_nobody_named_one() -> None:
    whole = study(trl={"top_p": 0.9})
    rest = {"space": {"learning_rate": whole.space["learning_rate"]}, "start": {"learning_rate": 1e-4}}
    (line,) = check(replace(whole, **rest))
    assert line.startswith("INFO CFG004 truncating_sampling")


@pytest.mark.parametrize("trl", [{}, {"logprob_temperature": None}, {"temperature": 0.7}, {"top_p": 1.0, "top_k": 0}])
def test_sampling_from_what_is_scored_is_not(trl: dict[str, Any]) -> None:
    assert check(study(trl=trl)) == ()


def test_presets_begin_without_a_warning_but_those_on_queries_which_begin_where_their_journal_did() -> None:
    warned = {name: {line.split()[1] for line in check(load_study(name))} for name in presets()}
    assert warned.pop("arithmetic-grpo") == set()
    assert warned.pop("ppo-query") == {"CFG005"}
    assert warned == {f"ppo-experiment-{n}": {"CFG004", "CFG005"} for n in range(1, 9)}


def refused_by_the_trial(spec: TrialSpec, log: EventLog) -> Generator[int, None, int]:
    yield from ()
    return 2


def test_a_study_says_it_before_its_first_trial_and_ends_where_a_trial_refuses(
    stepwise: Callable[..., Launcher], tmp_path: Path
) -> None:
    loop.create(study(trl={"top_p": 0.9}), Search(), tmp_path / "it")
    said = io.StringIO()
    with pytest.raises(UserError, match="trial 0: the last line of its log"):
        loop.run(tmp_path / "it", stepwise(refused_by_the_trial), PlainView(read(tmp_path / "it"), said))
    lines = said.getvalue().splitlines()
    assert lines[1].startswith("INFO CFG004") and lines[2].startswith("trial 0  ")
    record = read(tmp_path / "it")
    assert [trial.state for trial in record.trials] == [State.FAILED]  # the next would be refused as well
    assert lines[1] in (tmp_path / "it" / "journal.md").read_text()


def write(path: Path, *, trl: str, model: bool = False) -> Path:
    what = 'model = "/no/model"\ndataset = "/no/data.jsonl"\nreward = "no:reward"' if model else 'task = "arithmetic"'
    path.write_text(
        f'name = "mine"\n[trial]\nalgorithm = "ppo"\n{what}\nbatch_size = 64\ntrl = {trl}\n'
        "[space]\nkl_coef = { low = 0.01, high = 1.0 }\n[start]\nkl_coef = 0.1\n"
    )
    return path


@pytest.mark.parametrize("options", [["--dry-run"], ["--dir", "it", "--plain"]], ids=["dry", "wet"])
def test_nothing_is_imported_loaded_or_written(options: list[str], tmp_path: Path) -> None:
    write(tmp_path / "mine.toml", trl="{ num_mini_batches = 3 }", model=True)
    program = (
        "import json, sys\nfrom autotune.cli import main\n"
        f"status = main({['study', 'start', 'mine.toml', *options]!r})\n"
        "print(json.dumps([status, sorted({name.partition('.')[0] for name in sys.modules})]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=True)
    status, modules = json.loads(done.stdout)
    assert status == 2
    assert not {"torch", "trl", "transformers", "datasets"} & set(modules)
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        "autotune: error: study mine: 3 mini-batches do not divide a rollout of 64 completions. Make"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


def test_a_single_run_is_refused_and_warned_of_as_well(tmp_path: Path) -> None:
    write(tmp_path / "mine.toml", trl="{ top_p = 0.9 }", model=True)
    train = [sys.executable, "-m", "autotune", "train", "--preset", "mine.toml", "--plain"]
    refused = subprocess.run([*train, "--trl", "num_mini_batches=3"], capture_output=True, text=True, cwd=tmp_path)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "error: 3 mini-batches do not divide" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]
    warned = subprocess.run([*train, "--dir", "."], capture_output=True, text=True, cwd=tmp_path)  # a folder in use
    assert warned.stderr.startswith("autotune: INFO CFG004 truncating_sampling: completions are sampled with top_p 0.9")
    assert warned.stderr.count("\n") == 2
