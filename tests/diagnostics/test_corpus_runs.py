"""Real runs of other people, each recognised and read as it should be: what must be there was listed by hand.

They are not ours to keep: `AUTOTUNE_CORPUS` is the folder that has them, with `labels.json`.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from diagnostics.engine import diagnose
from diagnostics.logs import read
from diagnostics.metrics import is_metric
from diagnostics.sources import find

CORPUS = Path(os.environ.get("AUTOTUNE_CORPUS", ""))
pytestmark = pytest.mark.skipif(
    not os.environ.get("AUTOTUNE_CORPUS"), reason="AUTOTUNE_CORPUS is not set: the folder with the shared real runs"
)

STATE, CONSOLE, TENSORBOARD = "trainer_state.json of transformers", "console log", "TensorBoard event file"
CSV, JSONL, WANDB = "CSV", "JSONL", "wandb run file"


@dataclass(frozen=True)
class Run:
    """What a log must be read as: of each metric how many points, and in notes what was repaired or is missing.

    `steps` are the first and the last; of a log with several segments each has its own.
    """

    format: str
    framework: str
    steps: tuple[tuple[int, int], ...]
    metrics: Mapping[str, int]
    unmapped: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    machine: Mapping[str, int] = field(default_factory=dict)  # of the machine, sampled beside the rows


def each(n: int, *metrics: str, **others: int) -> dict[str, int]:
    return dict.fromkeys(metrics, n) | others


# What GRPO in TRL logs at each step of its optimizer, and with each batch of completions.
STEP = ("total_loss", "grad_norm", "learning_rate")
CLIP = ("clip_fraction.token", "clip_fraction_low.token", "clip_fraction_high.token")
BATCH = (
    "reward_mean", "zero_std_share", "truncated_share", "completion_length_mean", "completion_length_min",
    "completion_length_max", "completion_length_terminated_mean",
)  # fmt: skip
UNVERSIONED = ("clip_fraction", "clip_fraction_low", "clip_fraction_high")


def grpo(n: int, *, kl: int | None = None, batches: int | None = None) -> dict[str, int]:
    """TRL before 0.27, from TensorBoard; a KL of exactly 0 in the first steps was not measured."""
    found = each(n, *STEP, *CLIP, "entropy.token") | each(batches or n, *BATCH, "reward_std.group")
    return found | each(kl or n, "kl.reference.k3.token")


def component(n: int, *names: str, std: bool = True) -> dict[str, int]:
    kinds = ("mean", "std") if std else ("mean",)
    return {f"reward_component_{kind}[{name}]": n for name in names for kind in kinds}


DEEP_RETRIEVAL = Run(  # digitised from pictures, under names that the author made up
    CSV, "plain", ((0, 599),),
    each(600, "value_loss", "policy_loss", "kl.reference.unknown", "reward_mean", "explained_variance", "entropy",
         "value_clip_fraction", "clip_fraction", "kl.rollout.unknown"),
)  # fmt: skip
WORDLE = component(300, "wordle_reward_func")

RUNS = {
    "imjonezz_unsloth_250": Run(
        STATE, "trl-grpo", ((1, 250),),
        each(250, *STEP, "reward_mean", "reward_std.group", "completion_length_mean") | {"kl.reference.k3.token": 248}
        | component(250, "correctness_reward_func", "int_reward_func", "soft_format_reward_func",
                    "strict_format_reward_func", "xmlcount_reward_func", std=False),
    ),
    "chaos_trainer_state_200": Run(  # logged every five steps
        STATE, "unsloth", ((5, 200),),
        each(40, *STEP, *CLIP, *BATCH, "reward_std", "kl.reference.unknown.token")
        | component(40, "diversity_reward_fn", "format_reward_fn", "oversight_reward_fn", "pnl_reward_fn",
                    "risk_reward_fn"),
        notes=("completion_length is not read",),
    ),
    "chaos_vsr_env": Run(  # a Trainer prints no step
        CONSOLE, "unsloth", ((0, 29),),
        each(30, *STEP, *CLIP, *BATCH, "reward_std", "kl.reference.unknown.token", "step_seconds")
        | component(30, "reward_fn"),
        notes=("no step was logged", "completion_length is not read"),
    ),
    "verl_qwen05b_p1024": Run(
        CONSOLE, "verl", ((0, 434),),
        each(435, "reward_mean", "reward_min", "reward_max", "reward_total", "kl_coef", "policy_loss", "entropy.token",
             "clip_fraction.token", "kl.rollout.k1.token", "grad_norm", "learning_rate", "value_loss", "value_mean",
             "value_clip_fraction", "value_grad_norm", "value_learning_rate", "advantage_mean", "advantage_min",
             "advantage_max", "return_mean", "completion_length_mean", "completion_length_min", "completion_length_max")
        | {"kl.reference.k1.token": 430, "eval_set_reward[openai/gsm8k]": 43},  # three decimals: 0.000 in five steps
        notes=("critic/vpred_mean is not read",),
    ),
    "deepspeed_chat_opt13b": Run(  # two lines for each step
        CONSOLE, "deepspeed-chat", ((0, 476),), each(477, "policy_loss", "value_loss", "reward_mean"),
    ),
    "minimind_grpo_v2_r1": Run(
        CONSOLE, "minimind-grpo", ((1, 500),),
        each(500, "reward_mean", "kl.reference.k1.token", "advantage_std", "total_loss", "completion_length_mean",
             "learning_rate"),
        unmapped=frozenset({"Fmt", "Correct"}),
    ),
    "juncy_oct22": Run(  # no KL, as beta is 0; logged every ten steps
        TENSORBOARD, "trl-grpo", ((10, 490),),
        {k: v for k, v in grpo(49).items() if k != "kl.reference.k3.token"}
        | component(49, "mc_idx_reward", "think_format_reward", "mdi_reward"),
        unmapped=frozenset({"train/rewards/total_reward"}
                           | {f"train/attention/{layers}/{what}" for layers in ("early", "middle", "late", "all")
                              for what in ("mdi", "mdi_balance", "mdi_penalty", "aei_text", "aei_vision")}),
    ),
    "cas_4090_400": Run(  # nothing in it tells which version of TRL: not what it tells from 0.27 on either
        STATE, "trl-grpo", ((1, 400),),
        each(400, *STEP, *UNVERSIONED, *BATCH, "reward_std", "entropy.token", "step_seconds")
        | {"kl.reference.unknown.token": 399}
        | component(400, "wordle_reward_func"),
    ),
    "cas_1767733342": Run(
        TENSORBOARD, "trl-grpo", ((1, 300),),
        grpo(300, kl=298) | WORDLE | {"step_seconds": 300},
    ),
    "cas_1767883513": Run(  # each batch is trained on more than once: its rewards are logged once
        TENSORBOARD, "trl-grpo", ((1, 180),), grpo(180, batches=120) | dict.fromkeys(WORDLE, 120)
        | {"step_seconds": 180},
    ),
    "cas_1767714698": Run(
        TENSORBOARD, "trl-grpo", ((1, 147),),
        grpo(147) | dict.fromkeys(WORDLE, 147) | {"step_seconds": 147},
    ),
    "cas_1766164434": Run(
        TENSORBOARD, "trl-grpo", ((1, 90),),
        grpo(90, kl=88) | dict.fromkeys(WORDLE, 90) | {"step_seconds": 90},
    ),
    "cas_1767718134": Run(
        TENSORBOARD, "trl-grpo", ((1, 100),),
        grpo(100, kl=99) | dict.fromkeys(WORDLE, 100) | {"step_seconds": 100},
    ),
    "rookworld_all": Run(  # five runs in one file; the label counts the rows of all
        JSONL, "plain", ((1, 3), (1, 5), (1, 642), (1, 595), (1, 165)),
        each(1410, "total_loss", "reward_mean", "kl.reference.unknown"),
    ),
    "rookworld_run3": Run(JSONL, "plain", ((1, 642),), each(642, "total_loss", "reward_mean", "kl.reference.unknown")),
    "kardenia_grpo": Run(
        CSV, "plain", ((0, 121),),
        each(122, "success_share", "entropy", "kl.reference.unknown", "advantage_mean", "advantage_std", "grad_norm"),
        unmapped=frozenset({"grad_second_moment"}),
    ),
    "rohan_fixed_kl": Run(  # evaluations in between, the first before any step
        JSONL, "plain", ((0, 80),),
        each(80, "reward_mean", "reward_std", "kl.reference.unknown", "policy_loss", "grad_norm", "learning_rate",
             eval_reward=9),
        unmapped=frozenset({"eval_perplexity", "eval_distinct_2", "eval_completion_tokens", "completion_tokens"}),
    ),
    "herman_ppo": Run(  # ten rows of evaluations, which have a step of their own, and a first without a reward
        CSV, "stable-baselines3", ((4096, 100352),),
        each(48, "reward_mean", "success_share", "episode_length_mean", "learning_rate", "policy_loss", "value_loss",
             "total_loss", "kl.rollout.k3.action", "clip_fraction.action", "entropy.action", "explained_variance")
        | each(10, "eval_reward", "eval_success_share"),
        notes=("the step is time/total_timesteps",),
    ),
    "alessia_ppo_1737131114": Run(  # losses from the second iteration on
        TENSORBOARD, "stable-baselines3", ((4000, 2_000_000),),
        each(500, "reward_mean", "episode_length_mean") | each(10, "eval_reward")
        | each(499, "learning_rate", "policy_loss", "value_loss", "total_loss", "kl.rollout.k3.action",
               "clip_fraction.action", "entropy.action", "explained_variance"),
    ),
    "conceptppo_lcoremr1": Run(
        WANDB, "plain", ((32_768, 25_001_984),), each(763, "policy_loss", "value_loss"),
        unmapped=frozenset({"Loss/entropy"} | {f"{what}/{kind}_episodes" for what in ("Rewards", "Len")
                                               for kind in ("mean", "min", "max")}),
        notes=("the step is global_step",), machine={"gpu_utilization": 253, "process_memory": 254},
    ),
    "pporytorch_CartPole-v1_0": Run(
        CSV, "plain", ((800, 100_000),), each(125, "reward_mean"), notes=("the step is timestep",),
    ),
    "pporytorch_LunarLander-v2_0": Run(
        CSV, "plain", ((600, 999_600),), each(1666, "reward_mean"), notes=("the step is timestep",),
    ),
    "pporytorch_RoboschoolHopper-v1_0": Run(
        CSV, "plain", ((2000, 3_000_000),), each(1500, "reward_mean"), notes=("the step is timestep",),
    ),
    "robust_cartpole_truncated": Run(  # no name in it has a meaning by itself; the label counts `adversary_reward`
        WANDB, "plain", ((0, 3311),), {}, unmapped=frozenset({"adversary_reward", "ppo_agent_mean_reward_orig"}),
        notes=("the step is _step", "bytes of a last record that was never finished", "no exit record"),
        machine={"gpu_utilization": 5, "process_memory": 7},
    ),
    **dict.fromkeys(("deepretrieval_exp1", "deepretrieval_exp2", "deepretrieval_exp4", "deepretrieval_exp5"),
                    DEEP_RETRIEVAL),
}  # fmt: skip


@pytest.fixture(scope="module")
def labels():
    return {label["id"]: label for label in json.loads((CORPUS / "labels.json").read_text(encoding="utf-8"))}


def test_every_run_is_in_the_table(labels):
    assert labels.keys() == RUNS.keys()


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_recognised_and_read(name, labels):
    expected = RUNS[name]
    found = find(CORPUS / name)
    (source,) = found.sources
    assert found.unreadable == ()
    runs = read(source)
    assert {run.format for run in runs} == {expected.format}
    assert {run.framework for run in runs} == {expected.framework}
    assert [run.segment for run in runs] == list(range(1, len(expected.steps) + 1))

    points = [[*run.series.values(), *run.others.values()] for run in runs]
    assert tuple((min(s.steps[0] for s in of), max(s.steps[-1] for s in of)) for of in points) == expected.steps
    assert {metric: sum(len(run[metric]) for run in runs) for metric in runs[0].series} == {
        **expected.metrics,
        **expected.machine,
    }
    assert all(is_metric(metric) for metric in runs[0].series)
    assert all(run.series.keys() == runs[0].series.keys() for run in runs)
    assert set(runs[-1].unmapped) == expected.unmapped
    counted = expected.metrics.values() or (len(series) for series in runs[0].others.values())
    assert max(counted) == labels[name]["points"]

    notes = runs[0].notes
    assert [part for part in expected.notes if not any(part in note for note in notes)] == []
    assert len(notes) == len(expected.notes)

    report = diagnose(runs)
    assert report.segments == len(runs)
    assert (report.steps >= 0) is bool(expected.metrics or expected.machine)
    resets = [finding.segment for finding in report.findings if finding.code == "LOG001"]
    assert sorted(resets) == list(range(2, len(runs) + 1))


# ---- the numbers themselves, where Python's own modules can read them

REWARD = {"mean_reward", "success_rate", "train_reward", "rollout/ep_rew_mean", "reward", "train/avg_reward"}


def logged_rewards(file):
    """The numbers under the name of the reward, in the order in which they stand in `file`."""
    match file.suffix:
        case ".jsonl":
            rows = [json.loads(line) for line in file.read_text().splitlines()]
        case ".csv":
            with file.open(newline="") as opened:
                rows = list(csv.DictReader(opened))
        case _:
            rows = json.loads(file.read_text())["log_history"]
    return [float(row[name]) for row in rows for name in REWARD if row.get(name) not in (None, "")]


@pytest.mark.parametrize("name", [name for name, run in RUNS.items() if run.format in (STATE, CSV, JSONL)])
def test_the_rewards_are_those_in_the_file(name):
    (file,) = (path for path in (CORPUS / name).iterdir() if path.is_file())
    (source,) = find(file).sources
    metrics = ("reward_mean", "success_share")
    read_out = [
        v for run in read(source) for m in metrics if m in run.series and run.names[m] in REWARD for v in run[m].values
    ]
    logged = logged_rewards(file)
    assert len(read_out) == len(logged) > 30
    assert all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(read_out, logged, strict=True))
