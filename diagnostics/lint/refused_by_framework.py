"""CFG011: the framework stops with these settings before the run begins."""

from collections.abc import Iterator, Mapping
from typing import Any

from diagnostics.finding import Severity
from diagnostics.rule import Told, lint


@lint(
    "CFG011",
    Severity.ERROR,
    needs=["refusal"],
    fires=[
        {"refusal": "fp16 and bf16 are both on", "remedy": "leave one of them on"},
    ],
    quiet=[
        {"refusal": ""},
        {"refusal": "", "remedy": "nothing"},
    ],
    ahead=True,
)
def refused_by_framework(settings: Mapping[str, Any]) -> Iterator[Told]:
    """The framework refuses these settings: the run stops before its first step.

    ## Meaning
    Settings contradict each other by the framework's own checks. Of TRL: `fp16` with `bf16`; `sync_ref_model` with a
    `beta` of 0 or with an adapter; `generation_batch_size` with `steps_per_generation`, or no multiple of what all
    processes take at a time; an evaluation batch without whole groups; `auto_find_batch_size`; `load_best_model_at_end`
    where it saves at other times than it evaluates; a scheduler that lacks what it goes by. Of verl: a batch below its
    mini-batch; completions that the GPUs cannot share; both names of a micro-batch's size, or neither. Of OpenRLHF:
    fewer micro-batches than processes; a training batch that DeepSpeed cannot split; filtering groups of one; an engine
    that sleeps while it is to sample.

    ## Why it matters
    Most of these checks come after the machines are there and the model is loaded, some after the first rollout.

    ## Look at
    The versions: what is refused is so in the newest version of the framework that has all the names.

    ## What to change
    What the finding says.

    ## When this is wrong
    An older version of the framework that let it pass, or a fork. Settings that a script changes after it read them.

    ## References
    - TRL 1.16, GRPOConfig and RLOOConfig; TRL 0.11, PPOTrainer; transformers 5.23, TrainingArguments.
    - verl 0.9.1, utils/config.py and workers/config; OpenRLHF 0.11.2, cli/train_ppo_ray.py; DeepSpeed, which asserts
      that the training batch is micro-batch x accumulation steps x processes.
    """
    if settings["refusal"]:
        remedy = settings.get("remedy")
        yield Told(settings["refusal"], 0, (), advice=(f"{remedy[0].upper()}{remedy[1:]}.",) if remedy else ())
