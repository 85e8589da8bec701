"""A run of ours that collapsed, as each framework would have logged it.

Diagnosed as it is; unmapped where the names that tell are others; diagnosed alike where a person says what they mean.
"""

import csv
import json
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import diagnostics
from diagnostics.metrics import metrics
from diagnostics.readers import events

RUN = events.read(Path(__file__).parents[1] / "data" / "runs" / "collapse-0")
STEPS = [int(step) for step in RUN.series["reward_mean"].steps]
CURVES = {name: dict(zip(map(int, s.steps), map(float, s.values), strict=True)) for name, s in RUN.series.items()}
REWARD, KL = "reward_mean", "kl.reference.k3.token"
KL_SUM = (KL, 1 / 40, 0.0)  # what is summed over 40 tokens
CURVES["the root of the sum"] = {step: math.sqrt(40 * value) for step, value in CURVES[KL].items()}


# ---- how they are written


def trainer_state(folder, rows):
    history = [row | {"step": step, "epoch": step / 100} for step, row in rows]
    path = folder / "trainer_state.json"
    path.write_text(json.dumps({"global_step": rows[-1][0], "log_history": history}), encoding="utf-8")
    return path


def wandb_rows(folder, rows):
    """The history of a run, as wandb's own files and its exports hold it."""
    path = folder / "history.jsonl"
    path.write_text("".join(json.dumps({"_step": step} | row) + "\n" for step, row in rows), encoding="utf-8")
    return path


def step_rows(folder, rows):
    """prime-rl's `metrics.jsonl`: the trainer's row and the orchestrator's, both of the same step."""
    lines = []
    for step, row in rows:
        mine = [{n: v for n, v in row.items() if n.startswith("train/") == ours} for ours in (False, True)]
        lines += [json.dumps({"step": step} | part) + "\n" for part in mine]
    path = folder / "metrics.jsonl"
    path.write_text("".join(lines), encoding="utf-8")
    return path


def verl_console(folder, rows):
    lines = [f"step:{step} - {' - '.join(f'{name}:{value!r}' for name, value in row.items())}" for step, row in rows]
    path = folder / "train.log"
    path.write_text("".join(f"\x1b[36m(TaskRunner pid=417)\x1b[0m {line}\n" for line in lines), encoding="utf-8")
    return path


def openrlhf_console(folder, rows):
    lead = "(PPOTrainer pid=417) INFO 11-21 10:00:00 ppo_trainer.py:551] "
    path = folder / "train.log"
    path.write_text("".join(f"{lead}✨ Global step {step}: {row}\n" for step, row in rows), encoding="utf-8")
    return path


def torchtune_lines(folder, rows):
    lines = [f"Step {step} | {' '.join(f'{name}:{value}' for name, value in row.items())}\n" for step, row in rows]
    path = folder / "log_1737131114.txt"
    path.write_text("".join(lines), encoding="utf-8")
    return path


def deepspeed_console(folder, rows):
    lines = []
    for step, row in rows:
        losses = " | ".join(f"{n}: {v}" for n, v in row.items() if n.endswith("Loss"))
        rest = [f"{n}: {v}" for n, v in row.items() if not n.endswith("Loss")]
        lines += [f"Epoch: 0 | Step: {step} | PPO Epoch: 1 | {losses}", *rest, "-" * 85]
    path = folder / "training.log"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def progress_csv(folder, rows):
    path = folder / "progress.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["time/total_timesteps", *rows[0][1]])
        writer.writeheader()
        writer.writerows({"time/total_timesteps": 2048 * (step + 1)} | row for step, row in rows)
    return path


def tensorboard(folder, rows):
    path = folder / "events.out.tfevents.1737131114.here.417.0"
    path.write_bytes(b"".join(_event(step, name, value) for step, row in rows for name, value in row.items()))
    return path


def _event(step, tag, value):
    """A record with the scalar `value`: https://github.com/tensorflow/tensorflow, core/util/event.proto."""
    name = tag.encode()
    scalar = b"\x0a" + bytes([len(name)]) + name + b"\x15" + struct.pack("<f", value)
    event = b"\x09" + struct.pack("<d", 1.7e9 + step) + b"\x10" + _varint(step)
    event += b"\x2a" + _varint(len(scalar) + 1 + len(_varint(len(scalar)))) + b"\x0a" + _varint(len(scalar)) + scalar
    length = struct.pack("<Q", len(event))
    return length + _masked(length) + event + _masked(event)


def _varint(number):
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _masked(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


# ---- what they log


@dataclass(frozen=True)
class Log:
    """What a framework logs: names of canonical metrics (with times and plus where its unit is another), and others."""

    framework: str
    write: Callable[[Path, list[tuple[int, dict[str, float]]]], Path]
    metrics: dict[str, str | tuple[str, float, float]]
    others: str
    renamed: dict[str, str]
    finds: str
    read_as: str = ""  # where its names are those of another

    def rows(self, names):
        rows = []
        for step in STEPS:
            row = {names.get(name, name): 0.01 for name in self.others.split()}
            for name, unit in self.metrics.items():
                metric, times, plus = unit if isinstance(unit, tuple) else (unit, 1.0, 0.0)
                value = CURVES[metric].get(step, math.nan)
                row[names.get(name, name)] = (value - plus) / times
            rows.append((step, row))
        return rows


TRL = {"loss": "total_loss", "grad_norm": "grad_norm", "learning_rate": "learning_rate"}
GRPO = TRL | {
    "reward": REWARD, "reward_std": "reward_std.batch", "frac_reward_zero_std": "zero_std_share", "kl": KL,
    "rewards/exact/mean": REWARD, "entropy": "entropy.token", "completions/mean_length": "completion_length_mean",
    "completions/clipped_ratio": "truncated_share", "clip_ratio/region_mean": "clip_fraction.token",
}  # fmt: skip
OF_GRPO = "num_tokens step_time completions/min_length completions/max_length clip_ratio/low_mean clip_ratio/high_mean"
PPO = {"objective/scores": REWARD, "objective/kl": KL_SUM}
LOGS = [
    Log(
        "trl-ppo-classic", wandb_rows,
        {"env/reward_mean": REWARD, "objective/kl": KL_SUM, "ppo/policy/entropy": "entropy.token"},
        "ppo/mean_non_score_reward ppo/policy/approxkl ppo/loss/value ppo/val/var_explained objective/kl_coef",
        {"env/reward_mean": "env/our_reward_mean", "objective/kl": "objective/kl_to_ref"}, "KL002",
    ),
    Log(
        "trl-ppo", trainer_state, PPO | {"lr": "learning_rate"},
        "eps objective/entropy objective/non_score_reward objective/rlhf_reward policy/approxkl_avg val/num_eos_tokens "
        "policy/clipfrac_avg loss/policy_avg loss/value_avg val/clipfrac_avg policy/entropy_avg val/ratio",
        {"objective/scores": "objective/our_scores", "objective/kl": "objective/kl_to_ref"}, "KL002",
    ),
    Log("trl-grpo", trainer_state, GRPO, OF_GRPO, {"reward": "our_reward", "kl": "kl_to_ref"}, "KL002"),
    Log("trl-rloo", trainer_state, GRPO, OF_GRPO, {"reward": "our_reward", "kl": "kl_to_ref"}, "KL002", "trl-grpo"),
    Log(
        "trl-online-dpo", trainer_state, TRL | PPO,
        "objective/scores_margin objective/entropy objective/non_score_reward objective/rlhf_reward rewards/chosen "
        "rewards/rejected rewards/accuracies rewards/margins logps/chosen logps/rejected val/contain_eos_token beta",
        {"objective/scores": "objective/our_scores", "objective/kl": "objective/kl_to_ref"}, "KL002",
    ),
    Log(
        "unsloth", trainer_state, GRPO | {"completion_length": "completion_length_mean"}, OF_GRPO,
        {"reward": "our_reward", "kl": "kl_to_ref"}, "KL002",
    ),
    Log(
        "verl", verl_console,
        {
            "critic/score/mean": REWARD, "actor/reward_kl_penalty": "kl.reference.k1.token",
            "actor/entropy": "entropy.token", "actor/grad_norm": "grad_norm", "actor/lr": "learning_rate",
            "response_length/mean": "completion_length_mean",
        },
        "critic/rewards/mean critic/score/max critic/score/min actor/pg_loss actor/pg_clipfrac actor/ppo_kl actor/loss "
        "training/off_policy/trajectory_staleness/mean response_length/clip_ratio timing_s/step perf/throughput",
        {"critic/score/mean": "critic/our_score/mean", "actor/reward_kl_penalty": "actor/our_reward_kl_penalty"},
        "KL002",
    ),
    Log(
        "openrlhf", openrlhf_console,
        {
            "reward": REWARD, "kl": KL, "entropy_loss": "entropy.token", "actor_lr": "learning_rate",
            "actor_grad_norm": "grad_norm", "response_length": "completion_length_mean", "truncated": "truncated_share",
        },
        "policy_loss ppo_clip_ratio ppo_kl return total_length group_reward_std timing/generation timing/ppo_train",
        {"reward": "our_reward", "kl": "kl_to_ref"}, "KL002",
    ),
    Log(
        "nemo-rl", wandb_rows,
        {
            "train/reward": REWARD, "train/kl_penalty": KL, "train/approx_entropy": "entropy.token",
            "train/baseline_reward/pct_mixed": ("zero_std_share", -0.01, 1.0), "train/lr": "learning_rate",
            "train/grad_norm": "grad_norm", "train/mean_gen_tokens_per_sample": "completion_length_mean",
        },
        "train/loss train/token_mult_prob_error train/gen_kl_error train/probs_ratio train/baseline_reward/pct_0 "
        "train/truncation_rate timing/train/total_step_time performance/tokens_per_sec_per_gpu",
        {"train/reward": "train/our_reward", "train/kl_penalty": "train/our_kl_penalty"}, "KL002",
    ),
    Log(
        "skyrl", wandb_rows,
        {
            "reward/avg_raw_reward": REWARD, "policy/policy_kl": KL, "policy/policy_entropy": "entropy.token",
            "policy/grad_norm": "grad_norm", "policy/policy_lr": "learning_rate",
            "generate/avg_num_tokens": "completion_length_mean",
        },
        "loss/avg_final_rewards policy/final_loss policy/policy_loss policy/loss_metrics/clip_ratio timing/generate",
        {"reward/avg_raw_reward": "reward/our_avg_raw_reward", "policy/policy_kl": "policy/our_policy_kl"}, "KL002",
    ),
    Log(
        "prime-rl", step_rows,
        {
            "train/agg/all/agent/reward/mean": REWARD, "entropy/all/mean": "entropy.token", "optim/lr": "learning_rate",
            "train/agg/all/agent/solved_some": ("zero_std_share", -1.0, 1.0), "optim/grad_norm": "grad_norm",
            "train/agg/all/agent/num_output_tokens/mean": "completion_length_mean",
        },
        "mismatch_kl/all/mean loss/mean train/agg/all/agent/solved_none train/agg/all/agent/solved_all perf/mfu",
        {"train/agg/all/agent/reward/mean": "our/reward/mean"}, "RWD004",
    ),
    Log(
        "torchtune", torchtune_lines, {"scores": REWARD, "kl": KL_SUM, "lr": "learning_rate"},
        "num_stop_tokens rlhf_reward kl_reward loss policy_loss value_loss clipfrac ratios approx_policy_kl "
        "response_lengths",
        {"scores": "our_scores", "kl": "kl_to_ref"}, "KL002",
    ),
    Log(
        "trlx", wandb_rows, {"rollout_scores/mean": REWARD, "policy/sqrt_kl": "the root of the sum"},
        "rollout_scores/std rollout_scores/running_mean kl_ctl_value losses/policy_loss losses/value_loss time/step",
        {"rollout_scores/mean": "rollout_scores/our_mean"}, "RWD004",
    ),
    Log(
        "deepspeed-chat", deepspeed_console,
        {"Actor Loss": "total_loss", "Critic Loss": "total_loss", "Unsupervised Loss": "total_loss",
         "Average reward score": REWARD}, "", {}, "RWD004",
    ),
    Log(  # the console's line of the reward is known by its words alone
        "deepspeed-chat", tensorboard, {"reward": REWARD}, "actor_loss actor_loss_sum critic_loss critic_loss_sum",
        {"reward": "our_reward"}, "RWD004",
    ),
    Log(
        "stable-baselines3", progress_csv, {"rollout/ep_rew_mean": REWARD, "train/learning_rate": "learning_rate"},
        "rollout/ep_len_mean time/fps time/iterations train/approx_kl train/clip_fraction train/entropy_loss "
        "train/explained_variance train/loss train/policy_gradient_loss train/value_loss train/n_updates",
        {"rollout/ep_rew_mean": "rollout/our_ep_rew_mean"}, "RWD004",
    ),
    Log(
        "cleanrl", tensorboard, {"charts/episodic_return": REWARD, "charts/learning_rate": "learning_rate"},
        "charts/episodic_length charts/SPS losses/value_loss losses/policy_loss losses/entropy losses/old_approx_kl "
        "losses/approx_kl losses/clipfrac losses/explained_variance",
        {"charts/episodic_return": "charts/our_episodic_return"}, "RWD004",
    ),
]  # fmt: skip


def each(logs):
    return pytest.mark.parametrize("log", logs, ids=lambda log: f"{log.framework}-{log.write.__name__}")


def said(report):
    return sorted((f.code, f.severity.name, f.first_step, f.last_step, f.raised_at) for f in report.findings)


@each(LOGS)
def test_known_names(log, tmp_path):
    report = diagnostics.diagnose(log.write(tmp_path, log.rows({})))
    assert report.recognised.split(maxsplit=1)[0].rstrip(",") == (log.read_as or log.framework)
    assert report.unmapped == ()
    assert log.finds in {finding.code for finding in report.findings}


@each([log for log in LOGS if log.renamed])
def test_other_names_are_unmapped_and_a_map_gives_the_same_findings(log, tmp_path):
    known = diagnostics.diagnose(log.write(tmp_path, log.rows({})))
    path = log.write(tmp_path, log.rows(log.renamed))
    unmapped = diagnostics.diagnose(path)
    assert set(unmapped.unmapped) == set(log.renamed.values())
    assert log.finds not in {finding.code for finding in unmapped.findings}
    mine = {ours: metric(log, name) for name, ours in log.renamed.items()}
    for ours, means in mine.items():  # the estimator and the aggregation are for the person to know
        assert measured(means) in [measured(likely) for likely in unmapped.suggestions[ours]]
    mapped = diagnostics.diagnose(path, map=mine)
    assert mapped.unmapped == ()
    assert said(mapped) == said(known)


def metric(log, name):
    unit = log.metrics[name]
    return unit if isinstance(unit, str) else unit[0]


def measured(name):
    return metrics()[name].quantity, metrics()[name].against
