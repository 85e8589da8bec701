"""Our PPO beside TRL 1.12's and our GRPO: python tests/benchmarks/table_ppo_peers.py --environments DIR --out DIR

TRL 1.12, the last with a PPO (`trl.experimental.ppo`), runs in an environment of its own below `--environments` (made
where it is not there), with the torch, transformers, accelerate and datasets that are installed here. All three begin
with the same tiny model and sample as many completions: 32 a rollout, to prompts of the same set, at temperature 1, of
at most 32 tokens. All are rewarded by the same Python function, which TRL 1.12 gets as a reward model:
tests/benchmarks/ppo_trl112.py says how.

Both PPOs have what TRL 1.12 has by default: 4 epochs of one mini-batch, clipping at 0.2, gamma 1, lambda 0.95, whitened
advantages, and k1 times 0.05 taken from the reward. TRL 1.12 trains a value network as large as the policy beside it,
at the same learning rate, and clips no gradient. Ours trains a value head on the policy's own layers, at a learning
rate of its own (3e-3, vf_coef 0.5), and clips the norm at 1. GRPO takes one optimizer step on 8 completions each of 4
prompts, where the PPOs take 4 on one each of 32.

The learning rate is the best of three for each of the three trainers, on a seed that the table does not have, by what
both PPOs maximise, held-out reward less 0.05 times the KL: at a higher learning rate more reward can be had, at a KL
that costs more than it. `--search` prints that search.

Reward is that of training over the last tenth of the rollouts. Held-out reward and KL are the trained model's, sampled
by the same code whoever trained it, at temperature 1, four times on each validation prompt; the KL is to the first
model, k1 summed over a completion. All are means over seeds ± their standard deviation. Speed is the median over
rollouts, on one thread, one run after the other, each seed by all trainers in turn: completions, and optimizer steps,
by the seconds from one rollout to the next. Ours runs as a trial, with its events and its diagnosis.

Runs that lie in `--out` are not run again; a table of speeds wants a folder of its own.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}  # before torch is imported, here and in the runs

import torch
from environments import made
from torch import Tensor
from transformers.utils import logging

from diagnostics.events import EVENTS_FILE, MetricsLogged, Tail
from studies import trial
from studies.trial import TrialSpec
from trainers.run import CHECKPOINTS, FINAL
from trainers.tasks import Task, built_in

PEER, PPO, GRPO = "TRL 1.12, PPO", "ours, PPO", "ours, GRPO"
PACKAGE = "trl==1.12.0"
BESIDE = ("torch", "transformers", "accelerate", "datasets", "numpy")  # in the versions that are installed here
TASKS = ("boolean-query", "short-query")
BATCH, ROLLOUTS, EPOCHS, GENERATIONS = 32, 80, 4, 8
PASSES = 4  # over the validation prompts
SEARCH_SEED = 100
RATES = (3e-4, 1e-3, 3e-3)
KL_COEF, BETA = 0.05, 0.04  # the PPOs' is in the reward, GRPO's in the loss
# By what `--search` found.
CHOSEN: Mapping[tuple[str, str], float] = {
    ("boolean-query", PEER): 1e-3,
    ("boolean-query", PPO): 3e-4,
    ("boolean-query", GRPO): 1e-3,
    ("short-query", PEER): 3e-4,
    ("short-query", PPO): 3e-4,
    ("short-query", GRPO): 3e-4,
}


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: the mean reward of each rollout, the seconds from each to the next one, and the model."""

    rewards: Sequence[float]
    seconds: Sequence[float]
    steps_per_rollout: float
    model: Path

    @property
    def reward(self) -> float:
        """Over the last tenth of the rollouts."""
        return statistics.mean(self.rewards[-(len(self.rewards) // 10) :])


def peer(python: Path, task: str, rate: float, seed: int, folder: Path) -> Run:
    """A run of TRL 1.12's PPO in its own environment."""
    rows = folder / "rows.jsonl"
    if not rows.exists():
        options = {
            "learning_rate": rate,
            "kl_coef": KL_COEF,
            "seed": seed,
            "per_device_train_batch_size": BATCH,
            "gradient_accumulation_steps": 1,
            "num_mini_batches": 1,
            "num_ppo_epochs": EPOCHS,
            "total_episodes": BATCH * ROLLOUTS,
        }
        folder.mkdir(parents=True, exist_ok=True)
        script = Path(__file__).with_name("ppo_trl112.py")
        partial = folder / "rows.partial"
        with partial.open("w") as out:
            _run([str(python), "-P", str(script), task, json.dumps(options), str(folder)], folder, out)
        partial.replace(rows)
    logged = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    rewards = [row["objective/scores"] for row in logged]
    return Run(rewards, _differences([row["time"] for row in logged]), EPOCHS, folder)


def ours(algorithm: str, task: str, rate: float, seed: int, folder: Path) -> Run:
    """A trial of ours."""
    model = folder / CHECKPOINTS / FINAL
    if not model.exists():
        if algorithm == "ppo":
            options = {
                "num_ppo_epochs": EPOCHS,
                "num_mini_batches": 1,
                "num_generations": 1,
                "learning_rate": rate,
                "kl_coef": KL_COEF,
                "value_learning_rate": 3e-3,
                "vf_coef": 0.5,
            }
        else:
            options = {"num_generations": GENERATIONS, "learning_rate": rate, "beta": BETA}
        spec = TrialSpec(
            algorithm=algorithm,
            task=task,
            seed=seed,
            completions=BATCH * ROLLOUTS,
            batch_size=BATCH,
            eval_every=ROLLOUTS,  # before and after only: its time is not that of training
            stop_on=None,
            trl=options,
        )
        folder.mkdir(parents=True, exist_ok=True)
        (folder / EVENTS_FILE).unlink(missing_ok=True)
        trial.write(spec, folder)
        _run([sys.executable, "-P", "-m", "trainers", str(folder)], folder, subprocess.DEVNULL)
    steps = [e for e in Tail(folder / EVENTS_FILE).poll() if isinstance(e.event, MetricsLogged) and e.event.step > 0]
    first = [step for step in steps if "reward_mean" in step.event.metrics]  # of the steps on a rollout
    rewards = [step.event.metrics["reward_mean"] for step in first]
    return Run(rewards, _differences([step.time for step in first]), len(steps) / len(first), model)


def _run(command: Sequence[str], folder: Path, out: Any) -> None:
    with (folder / "errors").open("w") as errors:
        status = subprocess.run(command, stdout=out, stderr=errors).returncode
    if status:
        raise SystemExit(f"{' '.join(command)}\n{(folder / 'errors').read_text(encoding='utf-8')[-2000:]}")


def _differences(times: Sequence[float]) -> list[float]:
    return [after - before for before, after in itertools.pairwise(times)]


# ---- the same look at every model


def held_out(model: Path, task: Task) -> tuple[float, float]:
    """Mean reward, and mean KL to the first model (k1, summed over a completion), on the validation prompts."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(task.model, padding_side="left")
    policy = AutoModelForCausalLM.from_pretrained(model).eval()
    first = AutoModelForCausalLM.from_pretrained(task.model).eval()
    rows = [dict(row) for row in task.validation] * PASSES
    prompts = [row["prompt"] for row in rows]
    inputs = tokenizer(prompts, return_tensors="pt", padding=True)
    torch.manual_seed(0)
    with torch.no_grad():
        ids = policy.generate(
            **inputs, do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=task.max_completion_length
        )
        answers = ids[:, inputs.input_ids.shape[1] :]
        ended = (answers == tokenizer.eos_token_id).long()
        counts = (ended.cumsum(1) - ended == 0).long()  # up to the end, that token included
        mask = torch.cat([inputs.attention_mask, counts], 1)
        kl = (log_probs(policy, ids, mask) - log_probs(first, ids, mask))[:, -answers.shape[1] :]
    completions = tokenizer.batch_decode(answers, skip_special_tokens=True)
    columns = {name: [row[name] for row in rows] for name in rows[0] if name != "prompt"}
    rewards = task.reward(prompts=prompts, completions=completions, **columns)
    return statistics.mean(rewards), float((kl * counts).sum(1).mean())


def log_probs(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """Log-probability of each token but the first, (B, T - 1), of `ids` and `mask`, both (B, T), padded on the left."""
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    logits = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits[:, :-1]
    return logits.log_softmax(-1).gather(2, ids[:, 1:, None]).squeeze(2)


# ---- the tables


Start = Callable[[str, float, int, Path], Run]


def starters(python: Path) -> dict[str, Start]:
    """How each trainer is started."""
    return {
        PEER: lambda task, rate, seed, folder: peer(python, task, rate, seed, folder),
        PPO: lambda task, rate, seed, folder: ours("ppo", task, rate, seed, folder),
        GRPO: lambda task, rate, seed, folder: ours("grpo", task, rate, seed, folder),
    }


def place(out: Path, task: str, trainer: str, rate: float, seed: int) -> Path:
    """The folder of one run."""
    name = trainer.lower().replace(", ", "-").replace(" ", "-")
    return out / task / f"{name}-lr{rate:g}-seed{seed}"


def search(trainers: Mapping[str, Start], tasks: Sequence[str], out: Path) -> None:
    """Print what comes of every setting of the search."""
    print(f"| task | trainer | learning rate | reward | held-out reward | KL | held-out reward - {KL_COEF:g} KL |")
    print("|---|---|---|---:|---:|---:|---:|")
    for name, (trainer, start) in itertools.product(tasks, trainers.items()):
        task = built_in(name)
        for rate in RATES:
            run = start(name, rate, SEARCH_SEED, place(out, name, trainer, rate, SEARCH_SEED))
            reward, kl = held_out(run.model, task)
            cells = (name, trainer, f"{rate:g}", f"{run.reward:.3f}", f"{reward:.3f}", f"{kl:.2f}")
            print(f"| {' | '.join(cells)} | {reward - KL_COEF * kl:.3f} |", flush=True)


def table(trainers: Mapping[str, Start], name: str, seeds: int, out: Path) -> None:
    """Print a row for each trainer."""
    task = built_in(name)
    runs: dict[str, list[Run]] = {trainer: [] for trainer in trainers}
    for seed, (trainer, start) in itertools.product(range(seeds), trainers.items()):
        rate = CHOSEN[name, trainer]
        runs[trainer].append(start(name, rate, seed, place(out, name, trainer, rate, seed)))
    before, _ = held_out(Path(task.model), task)
    print(f"\n## {name}: {BATCH * ROLLOUTS:,} completions, {seeds} seeds; the first model has {before:.3f}\n")
    net = f"held-out reward - {KL_COEF:g} KL"
    print(f"| trainer | learning rate | reward | held-out reward | KL | {net} | completions/s | steps/s |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for trainer, each in runs.items():
        held = [held_out(run.model, task) for run in each]
        seconds = statistics.median(second for run in each for second in run.seconds)
        cells = (
            trainer,
            f"{CHOSEN[name, trainer]:g}",
            spread([run.reward for run in each], 3),
            spread([reward for reward, _ in held], 3),
            spread([kl for _, kl in held], 2),
            spread([reward - KL_COEF * kl for reward, kl in held], 3),
            f"{BATCH / seconds:.0f}",
            f"{each[0].steps_per_rollout / seconds:.1f}",
        )
        print(f"| {' | '.join(cells)} |", flush=True)


def spread(values: Sequence[float], digits: int) -> str:
    """Mean and standard deviation."""
    deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{deviation}"


def main() -> None:
    """Run what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environments", type=Path, required=True, help="folder with the environment of TRL 1.12")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    parser.add_argument("--trainers", nargs="+", default=(PEER, PPO, GRPO), choices=(PEER, PPO, GRPO))
    parser.add_argument("--search", action="store_true", help="run the search for settings instead")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    beside = [f"{package}=={version(package).partition('+')[0]}" for package in BESIDE]
    python = made(arguments.environments / PACKAGE.replace("==", "-"), [PACKAGE, *beside])
    trainers = {name: start for name, start in starters(python).items() if name in arguments.trainers}
    print(", ".join([PACKAGE, f"trl=={version('trl')}", *beside]))
    if arguments.search:
        search(trainers, arguments.tasks, arguments.out)
    else:
        for name in arguments.tasks:
            table(trainers, name, arguments.seeds, arguments.out)


if __name__ == "__main__":
    main()
