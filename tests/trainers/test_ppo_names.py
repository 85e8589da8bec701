"""Everything that a PPOTrainer logs and is set to has a canonical name, in whatever log it is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import diagnostics
from diagnostics.events import MetricsLogged, RunStarted
from diagnostics.metrics import is_metric
from diagnostics.naming import settle
from diagnostics.vocabulary import vocabulary
from trainers.callback import AutotuneCallback
from trainers.ppo import PPOConfig
from trainers.recorder import run_settings

from .conftest import events
from .small_ppo import ppo

ADAPTIVE = {"kl_controller": "adaptive", "kl_target": 2.0, "value_learning_rate": 3e-3, "num_generations": 4}


@pytest.fixture(scope="module")
def trained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, Path]:
    """A trainer after two rollouts, the folder of its callback's events, and its checkpoint."""
    folder = tmp_path_factory.mktemp("named")
    trainer = ppo(
        tiny_model, folder, max_steps=8, save_strategy="steps", save_steps=8, logging_steps=4, missing_eos_penalty=0.1,
        **ADAPTIVE,
    )  # fmt: skip
    trainer.add_callback(AutotuneCallback(folder / "told"))
    trainer.train()
    return trainer, folder / "told", folder / "checkpoint-8"


def logged(checkpoint: Path) -> dict[str, float]:
    """Every name of the log, with a value."""
    rows = json.loads((checkpoint / "trainer_state.json").read_text())["log_history"]
    return {name: value for row in rows for name, value in row.items()}


Trained = tuple[Any, Path, Path]


def test_its_own_log_is_recognised_and_understood_to_the_last_name(trained: Trained) -> None:
    report = diagnostics.diagnose(str(trained[2] / "trainer_state.json"))
    assert (report.framework, report.version, report.unmapped) == ("autotune-ppo", "1.16.0 or newer", ())
    assert not report.notes


# How loggers respell what a trainer logs, and what they add.
RESPELT = {
    "trainer_state.json": (lambda name: name, {"step", "epoch"}),
    "wandb": (lambda name: f"train/{name}", {"_step", "_runtime", "_timestamp", "train/global_step", "train/epoch"}),
    "notebook": (lambda name: name.replace("/", " / "), {"step"}),
}


@pytest.mark.parametrize("logger", RESPELT)
@pytest.mark.parametrize("told", [True, False], ids=["with settings", "names alone"])
def test_names_mean_the_same_however_they_are_respelt(trained: Trained, logger: str, told: bool) -> None:
    respelt, clocks = RESPELT[logger]
    names = {name: respelt(name) for name in logged(trained[2])}
    naming = settle([*names.values(), *clocks], settings=trained[0].args.to_dict() if told else {})
    assert (naming.framework, naming.unmapped) == ("autotune-ppo", ())
    assert naming.understood >= clocks
    own = [name for name in names if is_metric(name) and names[name] not in naming.understood]
    assert len(own) > 35
    for name in own:  # what the trainer measures is logged under its canonical name
        assert naming.metrics[names[name]].metric == name
    means = {"loss": "total_loss", "completions/clipped_ratio": "truncated_share"}
    assert {name: naming.metrics[names[name]].metric for name in means} == means


def test_every_name_of_the_vocabulary_that_can_be_logged_here_is(trained: Trained) -> None:
    trls = {entry.name for entry in vocabulary("trl-grpo").metrics}
    ours = {entry.name for entry in vocabulary("autotune-ppo").metrics} - trls
    with_more = {"value_learning_rate", "zero_std_share_ceiling", "zero_std_share_floor"}  # where bounds are declared
    assert ours - with_more <= logged(trained[2]).keys()


def test_the_callback_tells_of_it_as_it_is(trained: Trained) -> None:
    start, *rest = events(trained[1])
    assert isinstance(start, RunStarted) and start.framework == "autotune-ppo"
    rows = [event for event in rest if isinstance(event, MetricsLogged)]
    assert [row.step for row in rows] == [4, 8]
    assert all(not row.unmapped and all(map(is_metric, row.metrics)) for row in rows)
    assert rows[-1].metrics["reward_mean"] == logged(trained[2])["reward_mean"]


def test_settings_are_canonical(trained: Trained) -> None:
    settings, _ = run_settings(trained[0].args, trained[0].model, trained[0].train_dataset)
    expected = {
        "kl_coef": 0.05, "update_epochs": 4, "clip_range": 0.2, "value_clip_range": 0.2, "vf_coef": 0.1, "gamma": 1.0,
        "gae_lambda": 0.95, "value_learning_rate": 3e-3, "num_generations": 4, "batch_size": 16, "temperature": 1.0,
        "kl_controller_adaptive": True, "kl_controller_target": 2.0, "max_completion_length": 6,
    }  # fmt: skip
    assert expected.items() <= settings.items()
    assert not {"loss_type", "scale_rewards", "target_kl", "scoring_temperature"} & settings.keys()


@pytest.mark.parametrize(
    ("options", "says", "lacks"),
    [
        ({}, {"kl_controller_adaptive": False}, {"kl_controller_target", "value_learning_rate", "target_kl"}),
        ({"kl_controller": "adaptive"}, {"kl_controller_adaptive": True, "kl_controller_target": 6.0}, set()),
        ({"target_kl": 0.1, "logprob_temperature": 1.0}, {"target_kl": 0.1, "scoring_temperature": 1.0}, set()),
        ({"generation_kwargs": {"min_new_tokens": 3}}, {"min_completion_length": 3}, {"scoring_temperature"}),
    ],
)
def test_settings_that_are_not_set_are_not_said(
    tmp_path: Path, options: dict[str, Any], says: dict[str, Any], lacks: set[str]
) -> None:
    config = PPOConfig(output_dir=str(tmp_path), report_to="none", bf16=False, **options)
    settings, raw = run_settings(config, None, None)
    assert says.items() <= settings.items() and not lacks & settings.keys()
    read = settle(["value_loss", "explained_variance", "kl.rollout.k2.token"], settings=raw).settings
    assert says.items() <= read.items() and not lacks & read.keys()
