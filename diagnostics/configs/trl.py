"""What TRL and transformers have against settings.

Source: GRPOConfig.__post_init__ and GRPOTrainer.__init__ of TRL 1.16 and the same of RLOO, PPOTrainer.__init__ of 0.11,
TrainingArguments._validate_args and optimization.py of transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Iterator

from diagnostics.configs.known import Raw
from diagnostics.configs.objection import Objection


def grouped(raw: Raw) -> Iterator[Objection]:
    """Of GRPOConfig and RLOOConfig."""
    yield from arguments(raw)
    if raw.says("generation_batch_size") and raw.says("steps_per_generation") and not raw.dumped:
        yield Objection(
            "generation_batch_size and steps_per_generation are both set, and each follows from the other",
            "leave one of them out",
            ("steps_per_generation", "generation_batch_size"),
        )
    yield from _batches(raw)
    if raw.on("sync_ref_model") and raw.get("beta") == 0:
        yield Objection(
            "sync_ref_model is on and beta is 0, so that there is no reference model to synchronise",
            "set beta above 0, such as 0.04, or sync_ref_model to false",
            ("sync_ref_model", "beta"),
        )
    if raw.on("sync_ref_model") and raw.on("use_peft"):
        yield Objection(
            "sync_ref_model is on and an adapter is trained, whose reference is the model without it",
            "set sync_ref_model to false",
            ("sync_ref_model", "use_peft"),
        )
    if raw.on("auto_find_batch_size"):
        yield Objection(
            "auto_find_batch_size is on, and a halved batch does not hold whole groups",
            "set auto_find_batch_size to false, and per_device_train_batch_size lower",
            ("auto_find_batch_size",),
        )


def _batches(raw: Raw) -> Iterator[Objection]:
    processes = raw.processes.value if raw.processes is not None else None
    each, whole = raw.whole("per_device_train_batch_size"), raw.whole("generation_batch_size")
    if each and whole and isinstance(processes, int) and not raw.says("steps_per_generation"):
        at_a_time = each * processes
        if whole % at_a_time:
            yield Objection(
                f"generation_batch_size {whole} is no multiple of the {at_a_time} completions that all processes take "
                f"at a time (per_device_train_batch_size {each} x {processes})",
                f"set generation_batch_size to {max(1, round(whole / at_a_time)) * at_a_time}",
                ("generation_batch_size", "per_device_train_batch_size"),
            )
    group = raw.whole("num_generations_eval") or raw.whole("num_generations")
    evaluated = raw.whole("per_device_eval_batch_size")
    if raw.get("eval_strategy") in (None, "no") or not group or not evaluated or not isinstance(processes, int):
        return
    if evaluated * processes % group:
        yield Objection(
            f"an evaluation batch of {evaluated * processes} (per_device_eval_batch_size {evaluated} x {processes}) "
            f"does not hold whole groups of {group}",
            f"set per_device_eval_batch_size to {group}, or num_generations_eval to a divisor of the batch",
            ("per_device_eval_batch_size", "num_generations_eval", "num_generations"),
        )


def arguments(raw: Raw) -> Iterator[Objection]:
    """Of transformers' TrainingArguments, which all configs of TRL are."""
    if raw.on("fp16") and raw.on("bf16"):
        yield Objection(
            "fp16 and bf16 are both on", "leave one of them on: bf16 where the GPU has it", ("fp16", "bf16")
        )
    evaluates, saves = raw.get("eval_strategy"), raw.get("save_strategy")
    if raw.on("load_best_model_at_end") and None not in (evaluates, saves) and saves not in ("best", evaluates):
        yield Objection(
            f"load_best_model_at_end is on, and it saves at other times (save_strategy {saves}) than it evaluates at "
            f"(eval_strategy {evaluates})",
            "set eval_strategy and save_strategy to the same",
            ("load_best_model_at_end", "eval_strategy", "save_strategy"),
        )
    scheduler = raw.get("lr_scheduler_type")
    if scheduler in ("reduce_lr_on_plateau", "greedy") and evaluates == "no":
        yield Objection(
            f"lr_scheduler_type is {scheduler}, which goes by evaluations, and there are none",
            "set eval_strategy, or another lr_scheduler_type",
            ("lr_scheduler_type", "eval_strategy"),
        )
    if scheduler == "cosine_with_min_lr" and not any(
        raw.says(f"lr_scheduler_kwargs{end}") for end in ("", ".min_lr", ".min_lr_rate")
    ):
        yield Objection(
            "lr_scheduler_type is cosine_with_min_lr, and nothing says the lowest rate",
            "set lr_scheduler_kwargs to {min_lr_rate: 0.1}",
            ("lr_scheduler_type",),
        )
    steps, warmup = raw.whole("max_steps"), raw.whole("warmup_steps")
    if steps and warmup and warmup >= steps:
        yield Objection(
            f"warmup_steps {warmup} is not below max_steps {steps}: the run ends before the learning rate is reached",
            f"set warmup_steps to a tenth of max_steps, {max(1, steps // 10)}, or less",
            ("warmup_steps", "max_steps"),
            refused=False,
        )


def classic(raw: Raw) -> Iterator[Objection]:
    """Of the first PPOConfig."""
    batch, mini = raw.whole("batch_size"), raw.whole("mini_batch_size")
    parts = raw.whole("gradient_accumulation_steps")
    if batch and mini and parts and batch % (mini * parts):
        yield Objection(
            f"batch_size {batch} is no multiple of mini_batch_size {mini} x gradient_accumulation_steps {parts}",
            f"set batch_size to {max(1, round(batch / (mini * parts))) * mini * parts}",
            ("batch_size", "mini_batch_size", "gradient_accumulation_steps"),
        )
