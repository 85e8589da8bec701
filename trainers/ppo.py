"""PPO with a value head on TRL's machinery: what TRL dropped in 1.13, with Python reward functions.

    from trainers.ppo import PPOConfig, PPOTrainer
    config = PPOConfig(output_dir="out")
    PPOTrainer(model="Qwen/Qwen3-0.6B", reward_funcs=reward, args=config, train_dataset=data).train()

It is a GRPOTrainer whose credit assignment is another one: generation, vLLM, PEFT, accelerate, reward functions, tools,
logging of completions and checkpoints are TRL's. `tests/trainers/test_ppo_seams.py` holds each private part of TRL 1.16
that is overridden or called here.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from accelerate.utils import is_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from trainers import losses, measure_ppo
from trainers.attach import attach_sampling
from trainers.kl_controller import KLController
from trainers.measure import Meter, loss_sums, weighted
from trainers.ppo_config import PPOConfig
from trainers.resume import align
from trainers.seams import GRPOTrainer, add_fused_lm_head, disable_gradient_checkpointing
from trainers.value_head import NAME, Scorer, add_value_head, hidden, split_state

VALUE_HEAD_FILE = "value_head.safetensors"
STATE_FILE = "ppo_state.json"
# How far above `target_kl` a step may be; 1.5 is Spinning Up's, and TRL's up to 0.11.
KL_SLACK = 1.5
# What TRL passes on to the model beside ids and mask: pictures and their like, by their names in a rollout.
_OF_PICTURES = tuple(inspect.signature(GRPOTrainer._get_per_token_logps_and_entropies).parameters)[8:]

__all__ = ["PPOConfig", "PPOTrainer"]


class PPOTrainer(GRPOTrainer):
    """Clipped policy and value losses on generalized advantages, with the KL to the reference in the reward.

    Takes what GRPOTrainer takes, with a PPOConfig. Source: Schulman et al. 2017, arXiv:1707.06347, and for language
    models Ziegler et al. 2019, arXiv:1909.08593. `meter` has the metrics of the step under way, `kl_controller` the
    KL coefficient.

    Every mean over tokens is a sum over all of a mini-batch divided by their number, over all processes and parts that
    are accumulated, so that neither changes an update.
    """

    _tag_names = ("trl", "ppo")
    _name = "PPO"
    _paper = MappingProxyType(  # that a model card cites
        {
            "title": "Proximal Policy Optimization Algorithms",
            "id": "1707.06347",
            "citation": "@article{schulman2017ppo,\n"
            "    title  = {{Proximal Policy Optimization Algorithms}},\n"
            "    author = {John Schulman and Filip Wolski and Prafulla Dhariwal and Alec Radford and Oleg Klimov},\n"
            "    year   = 2017,\n"
            "    eprint = {arXiv:1707.06347},\n"
            "}",
        }
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        options, target = self.args, self.args.kl_target if self.args.kl_controller == "adaptive" else None
        self.kl_controller = KLController(options.kl_coef, target, options.kl_horizon)
        self.meter = Meter()
        attach_sampling(self, self.meter)
        if options.logprob_temperature is not None:  # the head that is added last is the one that is asked
            fused = {"temperature": options.logprob_temperature, "cast_lm_head_to_fp32": options.cast_lm_head_to_fp32}
            for model in (self._policy, self.ref_model):
                if model is not None:
                    add_fused_lm_head(model, outputs=("log_probs", "entropy"), **fused)
        add_value_head(self._policy, detach=options.detach_value_trunk)
        if self.use_vllm:
            self._hide_head_from_vllm()
        self._values: list[Tensor] | None = None  # of the rollout that is being scored
        self._raw_scores: Tensor | None = None
        self._update: list[Tensor] = []  # of each micro-batch of the optimizer step under way
        self._left_out = False  # the rest of this rollout
        self._took_step = False  # since the last log

    @property
    def _policy(self) -> Any:
        """The causal LM itself, without DDP or an adapter around it."""
        model = self.accelerator.unwrap_model(self.model)
        return model.get_base_model() if is_peft_model(model) else model

    # ---- rollout

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """TRL's rollout, with values, returns and advantages of each token, all (B, T)."""
        self._values = []
        try:
            rollout = super()._generate_and_score_completions(inputs)
            if "old_per_token_logps" not in rollout:  # TRL leaves them out where a rollout is one optimizer step
                self._values.clear()
                rollout["old_per_token_logps"] = self._score_rollout(rollout)
            values = self._values[0]
        finally:
            self._values = None
        own = self.accelerator.process_index * len(inputs)
        self._assign_credit(rollout, values, self._raw_scores[own : own + len(inputs)])
        return rollout

    def _score_rollout(self, rollout: Mapping[str, Any]) -> Tensor:
        """Log-probabilities of the rollout's tokens under the policy that sampled them, (B, T)."""
        training = self.model.training
        size = self.args.per_device_train_batch_size if training else self.args.per_device_eval_batch_size
        with torch.no_grad(), disable_gradient_checkpointing(self.model, self.args.gradient_checkpointing_kwargs):
            return self._score(self.model, rollout, batch_size=size)[0]

    def _score(self, model: Any, batch: Mapping[str, Any], **options: Any) -> tuple[Tensor, Tensor | None, Any]:
        """TRL's log-probabilities, entropies and load-balancing loss of a batch's completions."""
        return self._get_per_token_logps_and_entropies(
            model,
            torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1),
            torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1),
            batch["completion_ids"].shape[1],
            **options,
            **{name: batch[name] for name in _OF_PICTURES if name in batch},
        )

    def _get_per_token_logps_and_entropies(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        """As TRL's; the values of the same forward pass are put into `_values` where someone waits for them."""
        if torch.is_grad_enabled() or not self.model.training:
            return self._logps_entropies_and_values(model, *args, **kwargs)
        with self.meter.timed("scoring_seconds"):  # of a rollout, and not in the loss
            return self._logps_entropies_and_values(model, *args, **kwargs)

    def _logps_entropies_and_values(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        if self._values is None or model is self.ref_model:
            return super()._get_per_token_logps_and_entropies(model, *args, **kwargs)
        scorer = Scorer(model)
        scored = super()._get_per_token_logps_and_entropies(scorer, *args, **kwargs)
        self._values.append(torch.cat(scorer.values)[:, -scored[0].shape[1] :])
        return scored

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Tensor:
        """As TRL's, (completions of all processes, functions); the weighted rewards are kept as they are."""
        per_function = super()._calculate_rewards(*args, **kwargs)
        self._raw_scores = weighted(per_function, self.reward_weights)
        return per_function

    def _assign_credit(self, rollout: dict[str, Any], values: Tensor, raw: Tensor) -> None:
        """From raw rewards (B,) and values (B, T) to what the loss needs; a completion nobody scored does not count."""
        options, training = self.args, self.model.training
        mask = _mask(rollout) * ~raw.isnan().unsqueeze(1)
        ended = self._ended(rollout)
        scores = raw.nan_to_num(nan=0.0) * options.reward_scale
        if options.reward_clip is not None:
            scores = scores.clamp(-options.reward_clip, options.reward_clip)
        if options.missing_eos_penalty is not None:
            scores = scores - options.missing_eos_penalty * ~ended
        logps, reference = rollout["old_per_token_logps"], rollout.get("ref_per_token_logps")
        values = values.masked_fill(mask == 0, 0.0)
        kl = torch.zeros_like(logps)
        if reference is not None:
            kl = losses.KL_ESTIMATORS[options.kl_estimator](logps, reference)
        earned = rewards = losses.token_rewards(scores, kl, mask, self.kl_controller.coef)
        if options.whiten_rewards:
            rewards = losses.whiten(earned, mask, *losses.moments(earned, mask, self._total), shift_mean=False)
        raw_advantages, returns = losses.generalized_advantages(rewards, values, mask, options.gamma, options.lam)
        advantages = raw_advantages
        if options.whiten_advantages:
            advantages = losses.whiten(advantages, mask, *losses.moments(advantages, mask, self._total))
        rollout |= {"loss_mask": mask, "values": values, "returns": returns, "advantages": advantages}
        if training:
            told = measure_ppo.Rollout(mask, logps, reference, scores, ended, earned, values, returns, raw_advantages)
            self._tell_rollout(told)
        if self.num_generations == 1 and training:  # no group, so no spread within one
            self._metrics["train"].pop("frac_reward_zero_std", None)

    def _tell_rollout(self, rollout: measure_ppo.Rollout) -> None:
        """Measure a rollout over all processes, and let the KL controller see it."""
        sums = measure_ppo.rollout_sums(rollout)
        summed = dict(zip(sums, self._total(torch.stack(list(sums.values()))).tolist(), strict=True))
        metrics = measure_ppo.rollout_metrics(summed) | {"kl_coef": self.kl_controller.coef}
        kl = metrics.get("kl.reference.k1.sequence")
        if kl is not None and self.kl_controller.target is not None:
            metrics["kl_controller_error"] = self.kl_controller.error(kl)
            self.kl_controller.update(kl, self.args.generation_batch_size)
        self.meter.note(metrics)

    def _prepare_inputs(self, generation_batch: Any) -> dict[str, Any]:
        """TRL's next part of a rollout, which is told how many tokens the mini-batch it belongs to has everywhere."""
        before = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)
        if self.model.training and self._buffered_inputs is not before:
            self._count_tokens(self._buffered_inputs)
        return inputs

    def _count_tokens(self, parts: Sequence[dict[str, Any]]) -> None:
        accumulated = self.args.gradient_accumulation_steps
        own = torch.stack([part["loss_mask"].sum() for part in parts]).view(-1, accumulated).sum(dim=1)
        for part, tokens in zip(parts, self._total(own).repeat_interleave(accumulated), strict=True):
            part["mini_batch_tokens"] = tokens

    # ---- update

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any) -> Tensor:
        """One forward and backward pass, or none where the rest of the rollout is left out: then nothing is updated."""
        if self._step % (self.args.steps_per_generation * self.num_iterations) == 0:
            self._left_out = False
        if self._left_out:
            model.train()  # as a step that is taken does, after an evaluation
            self._step += 1
            return torch.zeros((), device=self.accelerator.device)  # gradients stay None, which no optimizer touches
        loss = super().training_step(model, inputs, num_items_in_batch)
        if self.accelerator.sync_gradients:
            self._end_update()
        return loss

    def _compute_loss(self, model: Any, inputs: Mapping[str, Any]) -> Tensor:
        """Policy loss + `vf_coef` value loss, per token of the mini-batch."""
        options, training = self.args, self.model.training
        mask = inputs["loss_mask"]
        self._values = []
        try:
            logps, entropies, balance = self._score(
                model, inputs, compute_entropy=True, compute_aux_loss=self.aux_loss_enabled
            )
            values = self._values[0]
        finally:
            self._values = None
        old_values, returns, advantages = inputs["values"], inputs["returns"], inputs["advantages"]
        # Filled before anything is computed from them: what stands at masked positions must reach no gradient.
        log_ratio = (logps - inputs["old_per_token_logps"]).masked_fill(mask == 0, 0.0)
        values = values.masked_fill(mask == 0, 0.0)
        clip = (self.epsilon_low, self.epsilon_high)
        per_token = losses.clipped_surrogate(log_ratio, advantages, *clip)
        if "importance_sampling_ratio" in inputs:  # of vLLM's probabilities to ours
            per_token = per_token * inputs["importance_sampling_ratio"]
        per_token = per_token - self.entropy_coef * entropies
        per_token = per_token + options.vf_coef * losses.clipped_value_loss(
            values, old_values, returns, options.cliprange_value
        )
        tokens = inputs["mini_batch_tokens"] if training else self._total(mask.sum())
        # DDP takes the mean over processes of what is a share of one sum.
        loss = losses.masked_sum(per_token, mask) * self.accelerator.num_processes / tokens.clamp(min=1)
        if balance is not None:
            loss = loss + self.router_aux_loss_coef * balance / (options.gradient_accumulation_steps if training else 1)
        if training:
            rollout = inputs["old_per_token_logps"]
            sums = loss_sums(logps, entropies, mask, advantages, reference=None, rollout=rollout, clip=clip)
            sums |= measure_ppo.update_sums(log_ratio, values, old_values, returns, mask, options.cliprange_value)
            self.meter.micro_batch(sums)
            totals = [mask.sum(), sums["kl.rollout.k2.token"], sums["probability_ratio_mean"]]
            self._update.append(torch.cat([torch.stack(totals).float(), measure_ppo.ratio_extremes(log_ratio, mask)]))
        return loss

    def _end_update(self) -> None:
        """Once a mini-batch has its gradients: whether it may use them, and whether it was the rollout's last."""
        parts = self.accelerator.gather(torch.stack(self._update))  # (parts of all processes, 5)
        self._update = []
        tokens, kl, ratio = parts[:, :3].sum(dim=0).tolist()
        highest, inverse_lowest = parts[:, 3:].amax(dim=0)
        if tokens:
            extremes = {"probability_ratio_max": highest, "probability_ratio_min": inverse_lowest.reciprocal()}
            self.meter.note({name: float(ratio) for name, ratio in extremes.items()})
        threshold, target = self.args.ratio_threshold, self.args.target_kl
        if not tokens or (threshold is not None and ratio > threshold * tokens):
            self.model.zero_grad(set_to_none=True)  # with gradients of 0 momentum and weight decay would go on
        else:
            self._took_step = True
        if target is not None and kl > KL_SLACK * target * tokens:
            self._left_out = True

    def create_optimizer(self, model: Any = None) -> Any:
        """TRL's optimizer, in which the value head has a group of its own where it has a learning rate of its own."""
        made = self.optimizer is None
        optimizer = super().create_optimizer(model)
        rate = self.args.value_learning_rate
        if rate is not None and made:
            own = {id(p) for name, p in (model or self.model).named_parameters() if f"{NAME}." in name}
            for group in list(optimizer.param_groups):
                head = [p for p in group["params"] if id(p) in own]
                if head:
                    group["params"] = [p for p in group["params"] if id(p) not in own]
                    rest = {key: value for key, value in group.items() if key not in ("params", "lr", "initial_lr")}
                    optimizer.add_param_group({**rest, "params": head, "lr": rate})
        return optimizer

    # ---- logs

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """TRL's log, and under canonical names what the meter has; a step left out has no loss and no gradient."""
        if self.model.training and "learning_rate" in logs:  # of steps, and not the summary of the run
            if not self._took_step:
                logs = {name: value for name, value in logs.items() if name not in ("loss", "grad_norm")}
            self._took_step = False
            logs = {**logs, **self.meter.read(self._total)}
        super().log(logs, start_time)

    # ---- checkpoints

    def _save(self, output_dir: str | None = None, state_dict: Mapping[str, Tensor] | None = None) -> None:
        """The policy as any causal LM, and the value head in a file beside it."""
        folder = Path(output_dir or self.args.output_dir)
        whole = self.accelerator.unwrap_model(self.model).state_dict() if state_dict is None else state_dict
        policy, head = split_state(whole)
        super()._save(output_dir, policy)
        if self.args.should_save:  # every process comes here, and one writes
            save_file({name: tensor.contiguous().cpu() for name, tensor in head.items()}, folder / VALUE_HEAD_FILE)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """What PPO has of its own goes in before the trainer's own state, which is what tells a checkpoint is whole."""
        if self.args.should_save:
            folder = Path(self._get_output_dir(trial=trial)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
            folder.mkdir(parents=True, exist_ok=True)
            state = {"kl_coef": self.kl_controller.coef, "completions_generated": self.meter.generated}
            (folder / STATE_FILE).write_text(json.dumps(state), encoding="utf-8")
        super()._save_checkpoint(model, trial)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Policy, value head, what PPO has of its own, and the place in the shuffled prompts."""
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        folder = Path(resume_from_checkpoint)
        self._policy.get_submodule(NAME).load_state_dict(load_file(folder / VALUE_HEAD_FILE))
        state = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
        self.kl_controller.coef, self.meter.generated = state["kl_coef"], state["completions_generated"]
        align(self, folder)

    # ---- helpers

    def _total(self, values: Tensor) -> Tensor:
        """The sum over all processes."""
        return self.accelerator.reduce(values, reduction="sum")

    def _ended(self, rollout: Mapping[str, Any]) -> Tensor:
        """Which completions ended by themselves, (B,): by their last token, as each call of a tool ends by one, too."""
        ids, mask = rollout["completion_ids"], rollout["completion_mask"]
        last = ids.gather(1, (mask.sum(dim=1, keepdim=True) - 1).clamp(min=0)).squeeze(1)
        return torch.isin(last, torch.tensor(self.eos_token_ids, device=ids.device))

    def _hide_head_from_vllm(self) -> None:
        """vLLM's model has no value head, and refuses weights it does not know."""
        synchronise = self.vllm_generation.sync_weights

        def without_head(*args: Any, **kwargs: Any) -> Any:
            with hidden(self._policy):
                return synchronise(*args, **kwargs)

        self.vllm_generation.sync_weights = without_head


def _mask(rollout: Mapping[str, Any]) -> Tensor:
    """1 on the tokens that the policy chose, (B, T)."""
    mask = rollout["completion_mask"]
    return mask * rollout["tool_mask"] if "tool_mask" in rollout else mask
