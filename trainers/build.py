"""A trial as TRL's GRPOTrainer or our PPOTrainer: settings under their names, and nothing of TRL's own taken away."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import trl
from accelerate import PartialState
from accelerate.utils import DistributedType
from datasets import Dataset
from transformers import PrinterCallback

from studies.trial import TrialSpec
from trainers import preflight
from trainers.models import load_tokenizer, lora, wants_bf16
from trainers.ppo import PPOConfig, PPOTrainer
from trainers.recorder import canonical_settings
from trainers.seams import GRPOConfig, GRPOTrainer
from trainers.tasks import Task


@dataclass(frozen=True, slots=True)
class Algorithm:
    """What trains, and by what settings."""

    trainer: type[GRPOTrainer]
    config: type[GRPOConfig]


ALGORITHMS = {"grpo": Algorithm(GRPOTrainer, GRPOConfig), "ppo": Algorithm(PPOTrainer, PPOConfig)}


def build(spec: TrialSpec, task: Task, output: Path) -> GRPOTrainer:
    """The trainer of a trial; what TRL writes goes to `output`. UserError where the settings are refused."""
    config = configure(spec, task, output)
    trainer = ALGORITHMS[spec.algorithm].trainer(
        model=task.model,
        reward_funcs=task.reward,
        args=config,
        train_dataset=Dataset.from_list([dict(row) for row in task.train]),
        processing_class=load_tokenizer(task.model),
        peft_config=lora(spec.lora_rank) if spec.lora_rank is not None else None,
    )
    if config.disable_tqdm:
        trainer.remove_callback(PrinterCallback)  # it prints every row of the log to stdout
    return trainer


def configure(spec: TrialSpec, task: Task, output: Path) -> GRPOConfig:
    """The config of a trial: what suits the task, then the knobs, then `spec.trl`, each over the one before.

    UserError, in the words of the lint, where the settings alone tell that nothing can come of them; a mere warning is
    raised as a finding once the run has started.

    However the batch is split over devices and accumulation, one rollout has batch_size completions, and the number of
    steps follows from the budget in completions.
    """
    algorithm = ALGORITHMS[spec.algorithm]
    longest = min(spec.max_completion_length, task.max_completion_length or spec.max_completion_length)
    options: dict[str, Any] = {
        "output_dir": str(output),
        "seed": spec.seed,
        "lr_scheduler_type": "constant",
        "max_completion_length": longest,
        "generation_batch_size": spec.batch_size,
        "num_generations_eval": 1,
        "use_cpu": PartialState().distributed_type == DistributedType.MULTI_CPU,
        "bf16": wants_bf16(),
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # a loss that is not finite is evidence
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        **(task.trl or {}),
        **preflight.knob_options(spec),
    }
    batch = spec.trl.get("generation_batch_size") or options["generation_batch_size"]
    options |= preflight.split(batch, spec.trl, PartialState().num_processes)
    options |= spec.trl
    if spec.trl.get("steps_per_generation") is not None:
        options["generation_batch_size"] = None  # TRL takes one of the two, and derives the other
    try:
        _lint(options, spec, task, algorithm)
        config = algorithm.config(**options)
    except (TypeError, ValueError) as error:
        raise preflight.refusal(spec, error) from error
    if config.max_steps <= 0:
        rollouts = max(1, spec.completions // config.generation_batch_size)
        config.max_steps = math.ceil(rollouts * steps_per_rollout(config))
    return config


def steps_per_rollout(config: GRPOConfig) -> float:
    """Optimizer steps taken on one batch of completions."""
    return config.num_iterations * config.steps_per_generation / config.gradient_accumulation_steps


def _lint(options: Mapping[str, Any], spec: TrialSpec, task: Task, algorithm: Algorithm) -> None:
    """UserError for the first lint that forbids these options of the config."""
    defaults = {f.name: f.default for f in fields(algorithm.config) if f.default is not MISSING}
    options = defaults | dict(options)
    if options["generation_batch_size"] is None:
        each = options["per_device_train_batch_size"] * PartialState().num_processes
        options["generation_batch_size"] = each * options["steps_per_generation"]
    prompts = [row["prompt"] for row in task.train]
    settings = canonical_settings(preflight.FRAMEWORKS[spec.algorithm], trl.__version__, options, prompts)
    settings["peft"] = spec.lora_rank is not None
    wanting = settings["batch_size"] > settings["dataset_size"] * settings["num_generations"]
    preflight.lint(settings, also=("CFG002",) if wanting else ())  # TRL drops a batch it cannot fill
