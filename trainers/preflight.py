"""What the spec of a trial tells by itself: settings that are refused, and others that it is warned of.

Imports neither torch nor TRL: a study asks before it starts anything, and `trainers.build` goes by the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from diagnostics.catalogue import here
from diagnostics.errors import UserError
from diagnostics.finding import Finding, Severity
from diagnostics.readers.table import flat
from diagnostics.vocabulary import vocabulary
from diagnostics.watch import Watch
from studies.trial import TrialSpec
from trainers import ppo_limits
from trainers.supported import TRL

GRPO, PPO = "trl-grpo", "autotune-ppo"
FRAMEWORKS = {"grpo": GRPO, "ppo": PPO}  # the vocabulary that the settings of each algorithm are named in
# Knobs that there are, and which mean nothing to the algorithm.
_NOT_OF = {
    "grpo": {"vf_coef", "value_learning_rate", "reward_threshold", "best_of_n"},
    "ppo": {"loss_type", "scale_rewards", "reward_threshold", "best_of_n"},
}


def check(spec: TrialSpec, processes: int = 1) -> tuple[Finding, ...]:
    """What is wrong with the settings of a trial, as far as its spec says them, and does not forbid to train.

    UserError, in one line, for what does: no trial of this spec could begin.
    """
    options = {"generation_batch_size": spec.batch_size, **knob_options(spec)}
    batch = spec.trl.get("generation_batch_size") or options["generation_batch_size"]
    options |= split(batch, spec.trl, processes) | spec.trl | {"generation_batch_size": batch}
    if options.get("steps_per_generation") is not None:
        each = options["per_device_train_batch_size"] * processes
        options["generation_batch_size"] = each * options["steps_per_generation"]
    if spec.algorithm == "ppo":
        options = {"kl_coef": ppo_limits.KL_COEF} | options
        try:
            ppo_limits.refuse_names(spec.trl)
            ppo_limits.refuse(options)
        except (TypeError, ValueError) as error:
            raise refusal(spec, error) from error
    elif options.get("num_generations") == 1:
        raise UserError(
            "num_generations is 1, and GRPO compares the completions of a prompt", "Give 2 at least, or train with PPO."
        )
    settings = vocabulary(FRAMEWORKS[spec.algorithm]).canonical_settings(dict(flat(options)), TRL[0])
    return lint(settings | {"peft": spec.lora_rank is not None})


def lint(settings: Mapping[str, Any], also: Iterable[str] = ()) -> tuple[Finding, ...]:
    """What the lint says of canonical settings; UserError for the first finding at ERROR, or with a code of `also`."""
    findings = Watch(settings=settings, rules=here()).lint()
    for finding in findings:
        if finding.severity >= Severity.ERROR or finding.code in also:
            advice = " or ".join(f"{p.knob} {p.change}" for p in finding.prescriptions)
            raise UserError(f"{finding.code} {finding.name}: {finding.message}", f"Try {advice}." if advice else "")
    return findings


def refusal(spec: TrialSpec, error: Exception) -> UserError:
    """A config's own word for settings that it refuses."""
    reason = str(error).removeprefix("GRPOConfig.__init__() ").removeprefix("PPOConfig.__init__() ").rstrip(".")
    return UserError(
        f"{spec.algorithm.upper()} refuses the settings: {reason}", "Change the knob, or the option under trl."
    )


def knob_options(spec: TrialSpec) -> dict[str, Any]:
    """The knobs under the names of the algorithm's config. UserError for one that has no effect."""
    words = vocabulary(FRAMEWORKS[spec.algorithm])
    options: dict[str, Any] = {}
    for knob, value in spec.knobs.items():
        if knob == "num_train_epochs":
            raise UserError(
                "the knob num_train_epochs has no effect: the budget is counted in completions",
                "Set the number of completions, and take the knob out of the space.",
            )
        if knob in _NOT_OF[spec.algorithm]:
            raise UserError(f"the knob {knob} means nothing to {spec.algorithm.upper()}", "Take it out of the space.")
        if knob == "reward_weight":
            options["reward_weights"] = [float(value)]
        else:
            options[words.spoken(knob, TRL[0])] = value
    return options


def split(batch: int, given: Mapping[str, Any], processes: int) -> dict[str, int]:
    """Completions per device and accumulation steps, so that a rollout is used up in one pass of optimizer steps.

    Of these there is one, and with PPO one for each mini-batch. `batch` is a rollout's completions, `given` what is not
    to be changed. UserError where they cannot be split so.
    """
    batch = _whole({"generation_batch_size": batch}, "generation_batch_size", 1)
    mini_batches = _whole(given, "num_mini_batches", 1)
    parts = _whole(given, "steps_per_generation", _whole(given, "gradient_accumulation_steps", 1))
    if batch % mini_batches:
        raise UserError(
            f"{mini_batches} mini-batches do not divide a rollout of {batch} completions",
            "Make num_mini_batches a divisor of batch_size.",
        )
    each = batch // mini_batches
    per_device = _whole(given, "per_device_train_batch_size", each // (processes * parts))
    if per_device < 1 or each % (processes * per_device):
        what = f"a mini-batch of {each} completions" if mini_batches > 1 else f"{each} completions"
        raise UserError(
            f"{what} cannot be split over {processes} processes in batches of {per_device}",
            "Make batch_size a multiple of processes, batch per device, accumulation steps and mini-batches.",
        )
    return {
        "per_device_train_batch_size": per_device,
        "gradient_accumulation_steps": each // (processes * per_device),
        "per_device_eval_batch_size": batch // processes,  # what one device samples at a time in training, too
    }


def _whole(options: Mapping[str, Any], name: str, default: int) -> int:
    value = options.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"{name} is {value!r}", "It takes a whole number from 1 upwards.")
    return value
