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
from trl import GRPOConfig, GRPOTrainer

from diagnostics.catalogue import here
from diagnostics.errors import UserError
from diagnostics.finding import Severity
from diagnostics.vocabulary import parse_version, vocabulary
from diagnostics.watch import Watch
from studies.trial import TrialSpec
from trainers.models import load_tokenizer, lora, wants_bf16
from trainers.ppo import PPOConfig, PPOTrainer
from trainers.recorder import GRPO, PPO, canonical_settings
from trainers.tasks import Task


@dataclass(frozen=True, slots=True)
class Algorithm:
    """What trains, by what settings, and the vocabulary that these are named in."""

    trainer: type[GRPOTrainer]
    config: type[GRPOConfig]
    framework: str


ALGORITHMS = {"grpo": Algorithm(GRPOTrainer, GRPOConfig, GRPO), "ppo": Algorithm(PPOTrainer, PPOConfig, PPO)}


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
        **_knobs(spec, algorithm),
    }
    batch = spec.trl.get("generation_batch_size") or options["generation_batch_size"]
    options |= _split(int(batch), spec.trl)
    options |= spec.trl
    if spec.trl.get("steps_per_generation") is not None:
        options["generation_batch_size"] = None  # TRL takes one of the two, and derives the other
    try:
        _lint(options, spec, task, algorithm)
        config = algorithm.config(**options)
    except (TypeError, ValueError) as error:
        reason = str(error).removeprefix(f"{algorithm.config.__name__}.__init__() ").rstrip(".")
        raise UserError(f"TRL refuses the settings: {reason}", "Change the knob, or the option under trl.") from error
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
    settings = canonical_settings(algorithm.framework, trl.__version__, options, prompts)
    settings["peft"] = spec.lora_rank is not None
    findings = Watch(settings=settings, rules=here()).lint()
    refused = [finding for finding in findings if finding.severity >= Severity.ERROR]
    if settings["batch_size"] > settings["dataset_size"] * settings["num_generations"]:
        refused += [finding for finding in findings if finding.code == "CFG002"]  # TRL drops a batch it cannot fill
    for finding in refused:
        advice = " or ".join(f"{p.knob} {p.change}" for p in finding.prescriptions)
        raise UserError(f"{finding.code} {finding.name}: {finding.message}", f"Try {advice}." if advice else "")


def _knobs(spec: TrialSpec, algorithm: Algorithm) -> dict[str, Any]:
    """The knobs under the config's names."""
    words, version = vocabulary(algorithm.framework), parse_version(trl.__version__)
    options: dict[str, Any] = {}
    for knob, value in spec.knobs.items():
        name = words.spoken(knob, version)
        if knob == "num_train_epochs":
            raise UserError(
                "the knob num_train_epochs has no effect: the budget is counted in completions",
                "Set the number of completions, and take the knob out of the space.",
            )
        if knob == "reward_weight":
            options["reward_weights"] = [float(value)]
        elif name in algorithm.config.__dataclass_fields__:
            options[name] = value
        else:
            raise UserError(f"the knob {knob} means nothing to {spec.algorithm.upper()}", "Take it out of the space.")
    return options


def _split(batch: int, given: Mapping[str, Any]) -> dict[str, int]:
    """Completions per device and accumulation steps, so that a rollout is used up in one pass of optimizer steps.

    Of these there is one, and with PPO one for each mini-batch.
    """
    processes, mini_batches = PartialState().num_processes, int(given.get("num_mini_batches") or 1)
    parts = int(given.get("steps_per_generation") or given.get("gradient_accumulation_steps") or 1)
    each = batch // mini_batches
    per_device = int(given.get("per_device_train_batch_size") or each // (processes * parts))
    if per_device < 1 or batch % mini_batches or each % (processes * per_device):
        ways = f"over {processes} processes in batches of {per_device}"
        raise UserError(
            f"{batch} completions cannot be split "
            + (f"into {mini_batches} mini-batches " if mini_batches > 1 else "")
            + ways,
            "Make batch_size a multiple of processes, batch per device, accumulation steps and mini-batches.",
        )
    return {
        "per_device_train_batch_size": per_device,
        "gradient_accumulation_steps": each // (processes * per_device),
        "per_device_eval_batch_size": batch // processes,  # what one device samples at a time in training, too
    }
